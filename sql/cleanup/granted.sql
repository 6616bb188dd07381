-- What the role $1 was granted in this database: ('TABLE' | 'SCHEMA' | 'DATABASE', schema or null, name).
SELECT 'TABLE' AS kind, n.nspname::text AS schema, c.relname::text AS name
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p')
   AND EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee = $1::text::regrole)
UNION ALL
SELECT 'SCHEMA', NULL, n.nspname::text
  FROM pg_namespace n
 WHERE EXISTS (SELECT FROM aclexplode(n.nspacl) a WHERE a.grantee = $1::text::regrole)
   AND n.nspname <> 'pgvigil'      -- goes as a whole
UNION ALL
SELECT 'DATABASE', NULL, d.datname::text
  FROM pg_database d
 WHERE d.datname = current_database()
   AND EXISTS (SELECT FROM aclexplode(d.datacl) a WHERE a.grantee = $1::text::regrole)
 ORDER BY 1, 2, 3
