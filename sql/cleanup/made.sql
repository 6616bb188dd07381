-- What setup may have made in this database, and what of it is there. $1 is the publication, $2 the role.
SELECT current_user::text AS me,
       current_database()::text AS database,
       EXISTS (SELECT FROM pg_event_trigger WHERE evtname IN ('pgvigil_change', 'pgvigil_drop')) AS triggers,
       EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                WHERE n.nspname = 'pgvigil' AND p.proname IN ('tell_change', 'tell_drop')) AS functions,
       EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'pgvigil_new')
         OR EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                     WHERE n.nspname = 'pgvigil' AND p.proname IN ('tell_actor', 'attribute_new')) AS attribution,
       -- Nothing is read that another role could have put there.
       EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles o ON o.oid = c.relowner
                WHERE n.nspname = 'pgvigil' AND c.relname = 'replica_identity_before' AND c.relkind = 'r'
                  AND (o.rolsuper OR o.rolname = current_user)) AS identities,
       (SELECT coalesce(obj_description(oid, 'pg_namespace') LIKE 'Made by pgvigil setup%', false)
          FROM pg_namespace WHERE nspname = 'pgvigil') AS schema_ours,
       (SELECT coalesce(obj_description(oid, 'pg_publication') LIKE 'Made by pgvigil setup%', false)
          FROM pg_publication WHERE pubname = $1) AS publication_ours,
       (SELECT coalesce(shobj_description(oid, 'pg_authid') LIKE 'Made by pgvigil setup%', false)
          FROM pg_roles WHERE rolname = $2) AS role_ours
