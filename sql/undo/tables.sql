-- The tables $1 by name. Partitions are no children of theirs: their rows are its own.
SELECT c.oid, n.nspname AS schema, c.relname AS name,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AS has_children,
       -- From 15 on a publication may leave columns out; read through JSON, the absence of a list is no error.
       EXISTS (SELECT FROM pg_publication_rel p WHERE p.prrelid = c.oid AND to_jsonb(p) ->> 'prattrs' IS NOT NULL) AS has_column_list
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = ANY ($1)
