-- Which of the tables $1 are still there, at the top of which tree of partitions each is, and what else is in these trees.
SELECT DISTINCT member.oid, tree.root,
       -- How many transactions ago a partition was put where it is, or was last asked something of that its tree is not.
       CASE WHEN member.oid <> tree.root THEN least(
           (WITH RECURSIVE above AS (
                SELECT inhparent, age(xmin) AS age FROM pg_inherits WHERE inhrelid = member.oid
                UNION ALL
                SELECT i.inhparent, age(i.xmin) FROM above JOIN pg_inherits i ON i.inhrelid = above.inhparent
            ) SELECT min(age) FROM above),
           (SELECT min(age(xmin)) FROM pg_constraint WHERE conrelid = member.oid AND contype = 'c' AND coninhcount = 0),
           (SELECT min(age(a.xmin)) FROM pg_attribute a
             WHERE a.attrelid = member.oid AND a.attnum > 0 AND a.attnotnull AND NOT a.attisdropped
               AND NOT EXISTS (SELECT FROM pg_attribute r WHERE r.attrelid = tree.root AND r.attname = a.attname AND r.attnotnull))
       )::bigint END AS altered
  FROM pg_class c
  CROSS JOIN LATERAL (SELECT coalesce(pg_partition_root(c.oid), c.oid)::oid) tree (root)
  CROSS JOIN LATERAL (
      SELECT c.oid UNION ALL SELECT relid::oid FROM pg_partition_tree(tree.root) WHERE isleaf
  ) member (oid)
 WHERE c.oid = ANY ($1) AND c.relkind IN ('r', 'p')
