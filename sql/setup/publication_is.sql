-- The publication named $1, and the tables that it names.
SELECT p.puballtables AS all_tables,
       coalesce(obj_description(p.oid, 'pg_publication') LIKE 'Made by pgvigil setup%', false) AS ours,
       p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND NOT p.pubviaroot AS whole,
       -- From 18 on, 's' when stored generated columns are published; read through JSON, its absence is no error.
       coalesce(to_jsonb(p) ->> 'pubgencols' = 's', false) AS generated,
       ARRAY(SELECT r.prrelid FROM pg_publication_rel r WHERE r.prpubid = p.oid) AS tables
  FROM pg_publication p
 WHERE p.pubname = $1
