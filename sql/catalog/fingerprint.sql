-- Two numbers that change when the publication named $1, or anything about any table, does.
--
-- Whatever belongs to a publication depends on it in pg_depend, on every version, and is replaced rather than altered.
-- The row of pg_class has a new xmin after every ALTER, rewrite, TRUNCATE, ATTACH and DETACH; VACUUM and ANALYZE write in place.
SELECT (SELECT hashoidextended(p.oid, p.xmin::text::bigint)::numeric
               + (SELECT coalesce(sum(hashoidextended(d.objid, 1)), 0)
                    FROM pg_depend d
                   WHERE d.refclassid = 'pg_publication'::regclass AND d.refobjid = p.oid)
          FROM pg_publication p
         WHERE p.pubname = $1)::text AS publication,
       (SELECT coalesce(sum(hashoidextended(c.oid, c.xmin::text::bigint)), 0)
          FROM pg_class c
         WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't' AND c.oid >= 16384)::text AS tables
