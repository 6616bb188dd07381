-- Who asks, what they may do, and of which server; what the role $1 (`public` for everyone) lacks; what there is of the DDL messages.
SELECT r.rolname::text AS me,
       r.rolsuper AS superuser,
       r.rolcreaterole AS may_create_roles,
       r.rolreplication AS may_replicate,
       has_database_privilege(current_database(), 'CREATE') AS may_create,
       current_database()::text AS database,
       current_setting('server_version_num')::int AS version,
       current_setting('wal_level') AS wal_level,
       EXISTS (SELECT FROM pg_namespace WHERE nspname = 'pgvigil') AS has_schema,
       -- Code that belongs to another may be replaced by that other, and would then run as whoever runs DDL.
       (SELECT o.rolname::text FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner
         WHERE n.nspname = 'pgvigil' AND NOT o.rolsuper AND o.rolname <> current_user) AS schema_of_another,
       -- Where identities are kept, whether everyone may read them; to be granted by the owner.
       (SELECT NOT pg_has_role(c.relowner, 'USAGE')
               OR has_schema_privilege('public', n.oid, 'USAGE') AND has_table_privilege('public', c.oid, 'SELECT')
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'pgvigil' AND c.relname = 'replica_identity_before') AS identities_shown,
       NOT has_database_privilege($1, current_database(), 'CONNECT') AS lacks_connect,
       ARRAY(SELECT p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
              WHERE n.nspname = 'pgvigil' AND p.proname IN ('tell_change', 'tell_drop') ORDER BY p.proname) AS ddl_functions,
       (SELECT count(*) = 2 FROM pg_event_trigger
         WHERE evtname IN ('pgvigil_change', 'pgvigil_drop') AND evtenabled = 'A') AS ddl_triggers
  FROM pg_roles r
 WHERE r.rolname = current_user
