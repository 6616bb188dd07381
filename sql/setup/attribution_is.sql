-- What there is of attribution: its functions, and what they are made to tell; whether tables to come are seen to; what may be made.
WITH ours AS (SELECT p.* FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'pgvigil' AND p.pronargs = 0)
SELECT p.prosrc AS tell_actor,
       -- Code that belongs to another may be replaced by that other, and would then run as whoever changes rows.
       coalesce(p.prosecdef AND p.proconfig = '{"search_path=pg_catalog, pg_temp"}' AND (o.rolsuper OR o.rolname = current_user), false)
         AS trusted,
       -- Also of the schema, or it cannot be named.
       coalesce(has_schema_privilege(p.pronamespace, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE'), false) AS may_use,
       (SELECT prosrc FROM ours WHERE proname = 'attribute_new') AS attribute_new,
       EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'pgvigil_new' AND evtenabled = 'A') AS to_come,
       coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = 'pgvigil'),
                has_database_privilege(current_database(), 'CREATE')) AS may_make
  FROM (SELECT) nothing
  LEFT JOIN ours p ON p.proname = 'tell_actor'
  LEFT JOIN pg_roles o ON o.oid = p.proowner
