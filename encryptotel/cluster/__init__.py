"""Several programs as one exchange on one PostgreSQL database: who is alive and who leads
(`membership`), where everybody is at home (`homes`), and word of what others changed (`changes`).
"""
