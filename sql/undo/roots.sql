-- Which of the tables $1 are still there, at the top of which tree of partitions each is, and what else is in these trees.
SELECT DISTINCT member.oid, tree.root
  FROM pg_class c
  CROSS JOIN LATERAL (SELECT coalesce(pg_partition_root(c.oid), c.oid)::oid) tree (root)
  CROSS JOIN LATERAL (
      SELECT c.oid UNION ALL SELECT relid::oid FROM pg_partition_tree(tree.root) WHERE isleaf
  ) member (oid)
 WHERE c.oid = ANY ($1) AND c.relkind IN ('r', 'p')
