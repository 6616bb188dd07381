-- The columns of the table $1 that the publication $2 carries, in order: as the stream will describe them.
SELECT a.attname::text AS name,
       a.atttypid AS type,
       a.atttypmod AS typmod,
       -- An old row carries it.
       c.relreplident = 'f' OR key.attnum IS NOT NULL AS in_identity,
       -- It is one of those that name a row: under REPLICA IDENTITY FULL, of the primary key.
       key.attnum IS NOT NULL AS in_key,
       -- Its values can be of any length.
       t.typlen = -1 AS any_length,
       -- Its text tells the name of something else, which may be given another one.
       b.typnamespace = 'pg_catalog'::regnamespace AND (b.typname LIKE 'reg%' OR b.typname = 'aclitem') AS tells_names
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid
  JOIN pg_type b ON b.oid = coalesce(nullif(t.typbasetype, 0), nullif(t.typelem, 0), t.oid)
  LEFT JOIN pg_publication p ON p.pubname = $2::text::name
  LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid
  LEFT JOIN LATERAL (SELECT k.attnum
                       FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
                      WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate AND k.place <= i.indnkeyatts
                        AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'n' THEN false ELSE i.indisprimary END) AS key
    ON key.attnum = a.attnum
 WHERE c.oid = $1
   -- By the list of columns, if there is one (from 15 on); else all but generated ones, which can be published too from 18 on. Both are
   -- read through JSON, so that their absence is no error.
   AND coalesce(nullif(to_jsonb(r) -> 'prattrs', 'null') @> to_jsonb(a.attnum),
                a.attgenerated = '' OR (a.attgenerated = 's' AND to_jsonb(p) ->> 'pubgencols' = 's'))
 ORDER BY a.attnum
