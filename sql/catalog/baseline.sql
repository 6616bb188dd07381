-- Run with the lock on the table held: what the count is going to see, and a position in the log behind all of it.
-- $1 is the table's oid, $2 the name it was locked by.
SELECT pg_current_snapshot()::text AS snapshot,
       pg_current_wal_insert_lsn()::text AS lsn,
       c.relfilenode,
       -- The name still means that table, and the snapshot is not older than the table's file.
       to_regclass($2) IS NOT DISTINCT FROM c.oid::regclass AND c.relfilenode = pg_relation_filenode(c.oid) AS same,
       pg_relation_size(c.oid) / current_setting('block_size')::bigint AS blocks,
       -- Ranges of ctid are quick to find only in a heap.
       am.amname = 'heap' AS heap
  FROM pg_class c
  LEFT JOIN pg_am am ON am.oid = c.relam
 WHERE c.oid = $1
