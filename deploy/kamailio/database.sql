-- What the edge may read: which nodes there are, and where everybody is at home.
-- psql -v password=… -f database.sql, once the first node has made the tables.
CREATE ROLE edge LOGIN PASSWORD :'password';
GRANT SELECT ON node, home TO edge;
