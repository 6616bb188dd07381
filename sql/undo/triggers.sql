-- The triggers of the application that fire at changes of the tables $1, or of their partitions; not our own.
SELECT coalesce(pg_partition_root(t.tgrelid), t.tgrelid)::oid AS "table", t.tgname AS name,
       bool_or(t.tgtype & 4 <> 0) AS on_insert, bool_or(t.tgtype & 16 <> 0) AS on_update, bool_or(t.tgtype & 8 <> 0) AS on_delete
  FROM pg_trigger t
  JOIN pg_proc p ON p.oid = t.tgfoid
  JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE coalesce(pg_partition_root(t.tgrelid), t.tgrelid) = ANY ($1)
   AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND n.nspname <> 'pgvigil'
 GROUP BY 1, 2
 ORDER BY 1, 2
