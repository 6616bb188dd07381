-- The tables that setup gave REPLICA IDENTITY FULL, as far as they are there and still have it, and what they had before.
SELECT n.nspname::text AS schema, c.relname::text AS name, b.identity
  FROM pgvigil.replica_identity_before b
  JOIN pg_class c ON c.oid = b.relation
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relreplident = 'f'
 ORDER BY n.nspname, c.relname
