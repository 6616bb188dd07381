-- The role named $1.
SELECT rolsuper AS superuser,
       rolreplication AS may_replicate,
       pg_has_role(oid, 'pg_read_all_data', 'USAGE') AS reads_all,
       coalesce(shobj_description(oid, 'pg_authid') LIKE 'Made by pgvigil setup%', false) AS ours
  FROM pg_roles
 WHERE rolname = $1
