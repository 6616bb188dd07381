-- What is streamed. All four operations, or a count would not be exact; partitions under their own names, because a TRUNCATE of one
-- partition is not in the stream otherwise.
--
-- The tables are named one by one. FOR ALL TABLES would reach every table made later, and the first one made without a key would have its
-- UPDATE and DELETE fail. Run setup again to take in new tables.
CREATE PUBLICATION {publication}{tables}
WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = false{generated});
COMMENT ON PUBLICATION {publication} IS 'Made by pgvigil setup; pgvigil cleanup removes it.';
