-- The tables that setup gave REPLICA IDENTITY FULL, as far as they are there and still have it; what they had before; and the publications,
-- but for $1, which goes, that would make their UPDATE or DELETE fail then.
SELECT n.nspname::text AS schema, c.relname::text AS name, b.identity,
       ARRAY(SELECT p.pubname::text
               FROM pg_publication p
              WHERE (p.pubupdate OR p.pubdelete) AND p.pubname <> $1
                AND NOT (b.identity <> 'n' AND EXISTS (SELECT FROM pg_index k
                                                        WHERE k.indrelid = c.oid AND k.indisprimary AND k.indisvalid AND k.indimmediate))
                -- As itself, or by a partitioned table above it.
                AND EXISTS (SELECT FROM pg_publication_tables t
                             WHERE t.pubname = p.pubname
                               AND to_regclass(format('%I.%I', t.schemaname, t.tablename)) IN
                                     (SELECT c.oid UNION SELECT relid FROM pg_partition_ancestors(c.oid)))
              ORDER BY p.pubname) AS published
  FROM pgvigil.replica_identity_before b
  JOIN pg_class c ON c.oid = b.relation
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relreplident = 'f'
 ORDER BY n.nspname, c.relname
