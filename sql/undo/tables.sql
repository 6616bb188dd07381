-- The tables $1 by name. Partitions are no children of theirs: their rows are its own.
SELECT c.oid, n.nspname AS schema, c.relname AS name,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AS has_children,
       -- From 15 on a publication may leave columns out; read through JSON, the absence of a list is no error.
       EXISTS (SELECT FROM pg_publication_rel p WHERE p.prrelid = c.oid AND to_jsonb(p) ->> 'prattrs' IS NOT NULL) AS has_column_list,
       -- PostgreSQL takes no statement of ours where a rule has a say; ON CONFLICT not even beside a rule for UPDATE that is disabled.
       ruled.on_insert OR ruled.for_update AS ruled_insert, ruled.on_update AS ruled_update, ruled.on_delete AS ruled_delete
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL (
      SELECT coalesce(bool_or(ev_type = '3' AND is_on), false) AS on_insert, coalesce(bool_or(ev_type = '2' AND is_on), false) AS on_update,
             coalesce(bool_or(ev_type = '4' AND is_on), false) AS on_delete, coalesce(bool_or(ev_type = '2'), false) AS for_update
        FROM (SELECT ev_type, ev_enabled IN ('O', 'A') AS is_on FROM pg_rewrite WHERE ev_class = c.oid) rule
  ) ruled
 WHERE c.oid = ANY ($1)
