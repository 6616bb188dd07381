-- The triggers that tell who changes rows, wherever they are by now.
SELECT n.nspname::text AS schema, c.relname::text AS name, t.tgname::text AS trigger
  FROM pg_trigger t
  JOIN pg_class c ON c.oid = t.tgrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_proc p ON p.oid = t.tgfoid AND p.proname = 'tell_actor'
  JOIN pg_namespace s ON s.oid = p.pronamespace AND s.nspname = 'pgvigil'
 ORDER BY n.nspname, c.relname, t.tgname
