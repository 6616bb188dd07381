-- The tables $1 by name. Partitions are no children of theirs: their rows are its own.
SELECT c.oid, n.nspname AS schema, c.relname AS name,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AS has_children
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = ANY ($1)
