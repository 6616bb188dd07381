-- The role that pgvigil connects as. REPLICATION lets it read the stream of changes; it is no superuser and owns nothing.
-- It cannot log in with a password before it has one. In psql, \password sets it without showing it or logging it.
CREATE ROLE {role} LOGIN REPLICATION;
COMMENT ON ROLE {role} IS 'Made by pgvigil setup; pgvigil cleanup removes it.';
