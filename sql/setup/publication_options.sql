-- Someone has changed what it publishes, or a key has a generated column now.
ALTER PUBLICATION {publication}
SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = false{generated});
