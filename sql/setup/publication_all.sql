-- What is streamed: all tables, also those made later. NOTE: once a table is made that has no key, every UPDATE and DELETE on it fails
-- until it has one, or REPLICA IDENTITY FULL.
CREATE PUBLICATION {publication} FOR ALL TABLES
WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = false{generated});
COMMENT ON PUBLICATION {publication} IS 'Made by pgvigil setup; pgvigil cleanup removes it.';
