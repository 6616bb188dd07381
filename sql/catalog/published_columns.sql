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
       made_of.untold,
       made_of.hangs_on
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_publication p ON p.pubname = $2::text::name
  LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid
  LEFT JOIN LATERAL (SELECT k.attnum
                       FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
                      WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate AND k.place <= i.indnkeyatts
                        AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'n' THEN false ELSE i.indisprimary END) AS key
    ON key.attnum = a.attnum
 CROSS JOIN LATERAL (
   -- What its values are made of: elements, base types, bounds of ranges, attributes of composites. Where these are the rows of a table,
   -- that is altered also with those above it, or with the type that it is OF.
   WITH RECURSIVE part (class, oid) AS (
     SELECT 'pg_type'::regclass::oid, a.atttypid
     UNION
     SELECT next.class, next.oid
       FROM part
      CROSS JOIN LATERAL (
              SELECT 'pg_type'::regclass::oid, unnest(ARRAY[y.typbasetype, y.typelem])
                FROM pg_type y WHERE part.class = 'pg_type'::regclass AND y.oid = part.oid
              UNION ALL
              SELECT 'pg_type'::regclass::oid, g.rngsubtype
                FROM pg_range g WHERE part.class = 'pg_type'::regclass AND part.oid IN (g.rngtypid, g.rngmultitypid)
              UNION ALL
              SELECT 'pg_class'::regclass::oid, y.typrelid
                FROM pg_type y WHERE part.class = 'pg_type'::regclass AND y.oid = part.oid
              UNION ALL
              SELECT 'pg_type'::regclass::oid, b.atttypid
                FROM pg_attribute b WHERE part.class = 'pg_class'::regclass AND b.attrelid = part.oid AND b.attnum > 0 AND NOT b.attisdropped
              UNION ALL
              SELECT 'pg_type'::regclass::oid, d.reloftype
                FROM pg_class d WHERE part.class = 'pg_class'::regclass AND d.oid = part.oid
              UNION ALL
              SELECT 'pg_class'::regclass::oid, h.inhparent
                FROM pg_inherits h WHERE part.class = 'pg_class'::regclass AND h.inhrelid = part.oid
            ) AS next (class, oid)
      WHERE next.oid <> 0
   )
   -- Its text may change and nothing tells of it: it has the name of something, which may be given another one; or it is of the rows of a
   -- view, or of what is not there for everyone.
   SELECT coalesce(bool_or((y.typnamespace = 'pg_catalog'::regnamespace AND (y.typname LIKE 'reg%' OR y.typname = 'aclitem'))
                           OR d.relkind NOT IN ('r', 'p', 'f', 'c') OR d.relpersistence = 't'), false) AS untold,
          -- Its text changes with these, of which the stream tells.
          coalesce(array_agg(part.oid) FILTER (WHERE y.typtype IN ('e', 'c') OR d.oid IS NOT NULL), '{}') AS hangs_on
     FROM part
     LEFT JOIN pg_type y ON part.class = 'pg_type'::regclass AND y.oid = part.oid
     LEFT JOIN pg_class d ON part.class = 'pg_class'::regclass AND d.oid = part.oid
 ) AS made_of
 WHERE c.oid = $1
   -- By the list of columns, if there is one (from 15 on); else all but generated ones, which can be published too from 18 on. Both are
   -- read through JSON, so that their absence is no error.
   AND coalesce(nullif(to_jsonb(r) -> 'prattrs', 'null') @> to_jsonb(a.attnum),
                a.attgenerated = '' OR (a.attgenerated = 's' AND to_jsonb(p) ->> 'pubgencols' = 's'))
 ORDER BY a.attnum
