-- Every table that could be published, what identifies its rows, and what the role $1 (`public` for everyone) lacks to read it.
SELECT c.oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       c.relkind = 'p' AS partitioned,
       c.relpersistence = 'u' AS unlogged,
       (SELECT i.inhparent FROM pg_inherits i WHERE c.relispartition AND i.inhrelid = c.oid) AS parent,
       -- Whose DELETE reaches its rows: those that it is a partition of, or inherits from.
       ARRAY(SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = c.oid) AS above,
       c.relreplident AS replica_identity,
       pg_has_role(c.relowner, 'USAGE') AS owned,
       -- An index identifies rows only if it is valid and holds at every moment, not just at the end of a transaction.
       coalesce(k.indisvalid AND k.indimmediate, false) AS key_usable,
       coalesce(NOT k.indimmediate, false) AS key_deferrable,
       coalesce(i.indisvalid AND i.indimmediate, false) AS index_usable,
       (SELECT quote_ident(x.relname) FROM pg_index u JOIN pg_class x ON x.oid = u.indexrelid
         WHERE u.indrelid = c.oid AND u.indisunique AND u.indisvalid AND u.indimmediate AND u.indpred IS NULL
           AND NOT EXISTS (SELECT FROM unnest(u.indkey) WITH ORDINALITY AS key (attnum, place)
                             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = key.attnum
                            WHERE key.place <= u.indnkeyatts AND a.attnotnull IS NOT TRUE)
         ORDER BY u.indnkeyatts, u.indexrelid LIMIT 1) AS candidate,
       EXISTS (SELECT FROM pg_attribute a
                WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attgenerated = 's'
                  AND (c.relreplident = 'f' OR a.attnum = ANY (CASE c.relreplident WHEN 'i' THEN i.indkey ELSE k.indkey END))
              ) AS identity_generated,
       EXISTS (SELECT FROM pg_attribute a
                WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attgenerated = 's') AS stored_columns,
       EXISTS (SELECT FROM pg_attribute a
                WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attgenerated = 'v') AS virtual_columns,
       -- What it has pgvigil told of, as in pg_trigger.tgtype; null when there is no such trigger, or another by its name.
       (SELECT t.tgtype FROM pg_trigger t
         WHERE t.tgrelid = c.oid AND t.tgname = 'pgvigil_actor' AND t.tgenabled = 'A'
           AND t.tgfoid = (SELECT p.oid FROM pg_proc p JOIN pg_namespace s ON s.oid = p.pronamespace
                            WHERE s.nspname = 'pgvigil' AND p.proname = 'tell_actor' AND p.pronargs = 0)) AS attributed,
       NOT has_schema_privilege($1, n.oid, 'USAGE') AS lacks_usage,
       NOT has_table_privilege($1, c.oid, 'SELECT') AS lacks_select
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_index k ON k.indrelid = c.oid AND k.indisprimary
  LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisreplident
 WHERE c.relkind IN ('r', 'p')
   -- A partitioned table has no rows: up to 17 it may be called unlogged, and its partitions be none the less permanent.
   AND (c.relpersistence = 'p' OR c.relpersistence = 'u' AND c.relkind = 'p')
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'pgvigil')
 ORDER BY n.nspname, c.relname
