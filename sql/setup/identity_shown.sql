-- Whoever dumps a database with pg_dump reads every table in it, and is refused everything if one cannot be read.
GRANT USAGE ON SCHEMA pgvigil TO PUBLIC;
GRANT SELECT ON TABLE pgvigil.replica_identity_before TO PUBLIC;
