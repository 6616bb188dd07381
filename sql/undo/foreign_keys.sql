-- The foreign keys from and to the tables $1. Partitions count as their tree; what they inherited is left out.
-- Operators are named with their schema: else one for the very types of the columns, that anybody put into a schema of the search_path, would be
-- taken, and run by whoever runs the SQL.
SELECT c.conname AS name,
       coalesce(pg_partition_root(c.conrelid), c.conrelid)::oid AS "table",
       coalesce(pg_partition_root(c.confrelid), c.confrelid)::oid AS "references",
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS key (attnum, place)
               JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = key.attnum ORDER BY key.place) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS key (attnum, place)
               JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = key.attnum ORDER BY key.place) AS referenced,
       ARRAY(SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname)
               FROM unnest(c.conpfeqop) WITH ORDINALITY AS operator (oid, place)
               JOIN pg_operator o ON o.oid = operator.oid JOIN pg_namespace n ON n.oid = o.oprnamespace
              ORDER BY operator.place) AS operators,
       -- From 18 on; read through JSON, the absence of a column is no error.
       coalesce(to_jsonb(c) ->> 'conperiod', 'false') = 'true' AS is_temporal,
       c.confdeltype AS on_delete,
       c.confupdtype AS on_update
  FROM pg_constraint c
 WHERE c.contype = 'f' AND c.conparentid = 0
   AND (coalesce(pg_partition_root(c.conrelid), c.conrelid) = ANY ($1) OR coalesce(pg_partition_root(c.confrelid), c.confrelid) = ANY ($1))
   -- From 18 on a key may be declared only.
   AND coalesce(to_jsonb(c) ->> 'conenforced', 'true') = 'true'
 ORDER BY c.conrelid, c.conname
