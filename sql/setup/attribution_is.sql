-- What there is of attribution: its functions, and what they are made to tell; whether tables to come are seen to; what may be made.
SELECT p.prosrc AS tell_actor,
       -- Code that belongs to another may be replaced by that other, and would then run as whoever changes rows.
       coalesce(p.prosecdef AND p.proconfig = '{"search_path=pg_catalog, pg_temp"}' AND (o.rolsuper OR o.rolname = current_user), false)
         AS trusted,
       coalesce(has_function_privilege(p.oid, 'EXECUTE'), false) AS may_use,
       (SELECT n.prosrc FROM pg_proc n WHERE n.oid = to_regproc('pgvigil.attribute_new')) AS attribute_new,
       EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'pgvigil_new' AND evtenabled = 'A') AS to_come,
       coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = 'pgvigil'),
                has_database_privilege(current_database(), 'CREATE')) AS may_make
  FROM (SELECT to_regproc('pgvigil.tell_actor') AS oid) f
  LEFT JOIN pg_proc p ON p.oid = f.oid
  LEFT JOIN pg_roles o ON o.oid = p.proowner
