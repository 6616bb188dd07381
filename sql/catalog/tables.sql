-- Every table of the application, what the publication with oid $1 (NULL: none) says of it by name, and what the current role may do.
-- Left out: system schemas, temporary tables, and pgvigil's own schema. No table is opened, so no lock is waited for.
SELECT c.oid,
       n.oid AS schema_oid,
       n.nspname AS schema,
       c.relname AS name,
       c.relkind AS kind,
       c.relpersistence AS persistence,
       c.relispartition AS is_partition,
       -- A partition that DETACH ... CONCURRENTLY has begun to detach is none any more, also if that was never finished.
       (SELECT i.inhparent FROM pg_inherits i WHERE c.relispartition AND i.inhrelid = c.oid AND NOT i.inhdetachpending) AS parent,
       (SELECT i.xmin::text::int8 FROM pg_inherits i WHERE c.relispartition AND i.inhrelid = c.oid) AS attached_by,
       c.relreplident AS replica_identity,
       -- Or had: it stays so until VACUUM.
       c.relhasrules AS has_rules,
       c.relfilenode,
       c.relpages AS pages,
       ARRAY(SELECT a.attname::text
               FROM pg_index k, unnest(k.indkey) WITH ORDINALITY AS key (attnum, place), pg_attribute a
              WHERE k.indrelid = c.oid AND k.indisprimary AND key.place <= k.indnkeyatts
                AND a.attrelid = c.oid AND a.attnum = key.attnum
              ORDER BY key.place) AS primary_key,
       r.oid IS NOT NULL AS listed,
       -- A number that changes when the publication names the table anew, or it is attached or moved to a schema, be it the same one.
       hashtextextended(concat_ws(' ', r.oid,
         (SELECT i.xmin FROM pg_inherits i WHERE c.relispartition AND i.inhrelid = c.oid),
         (SELECT d.xmin FROM pg_depend d
           WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.refclassid = 'pg_namespace'::regclass)),
         0) AS place,
       -- prqual is there from 15 on; read through JSON, its absence is no error.
       coalesce(to_jsonb(r) ->> 'prqual' IS NOT NULL, false) AS filtered,
       -- NULL for what was dropped a moment ago.
       coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AS usage,
       coalesce(has_table_privilege(c.oid, 'SELECT'), false) AS "select",
       row_security_active(c.oid) AS row_security
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_publication_rel r ON r.prrelid = c.oid AND r.prpubid = $1
 WHERE c.relkind IN ('r', 'p', 'm', 'f')
   AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'pgvigil')
 ORDER BY n.nspname, c.relname
