-- Which of the tables $1 are still there, and at the top of which tree of partitions each is.
SELECT c.oid, coalesce(pg_partition_root(c.oid), c.oid)::oid AS root
  FROM pg_class c
 WHERE c.oid = ANY ($1) AND c.relkind IN ('r', 'p')
