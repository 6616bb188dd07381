-- The triggers that tell who changes rows, wherever they are by now.
SELECT n.nspname::text AS schema, c.relname::text AS name, t.tgname::text AS trigger
  FROM pg_trigger t
  JOIN pg_class c ON c.oid = t.tgrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE t.tgfoid = to_regproc('pgvigil.tell_actor')
 ORDER BY n.nspname, c.relname, t.tgname
