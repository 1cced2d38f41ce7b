-- What the edge may read: which nodes there are, and where everybody is at home.
-- psql -v password=… -f database.sql, once the first node has made the tables; again for another
-- password.
SELECT 'CREATE ROLE edge LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'edge') \gexec
ALTER ROLE edge PASSWORD :'password';
GRANT SELECT ON node, home TO edge;
