-- Run with the lock on the table held: what the count is going to see, and a position in the log behind all of it.
-- $1 is the table's oid, $2 the name it was locked by.
SELECT pg_current_snapshot()::text AS snapshot,
       -- Behind a record that ends with its page, the next one would begin behind the header of the next page: 24 bytes, 40 at the start
       -- of a segment. No record ends there, and no keepalive names that place before there is another one; the page's start will do.
       (SELECT l - CASE WHEN (l - '0/0'::pg_lsn) % pg_size_bytes(current_setting('wal_segment_size')) = 40 THEN 40
                        WHEN (l - '0/0'::pg_lsn) % current_setting('wal_block_size')::numeric = 24 THEN 24
                        ELSE 0 END::numeric
          FROM pg_current_wal_insert_lsn() l)::text AS lsn,
       c.relfilenode,
       -- The name still means that table, and the snapshot is not older than the table's file.
       to_regclass($2) IS NOT DISTINCT FROM c.oid::regclass AND c.relfilenode = pg_relation_filenode(c.oid) AS same,
       pg_relation_size(c.oid) / current_setting('block_size')::bigint AS blocks,
       -- Ranges of ctid are quick to find only in a heap.
       am.amname = 'heap' AS heap
  FROM pg_class c
  LEFT JOIN pg_am am ON am.oid = c.relam
 WHERE c.oid = $1
