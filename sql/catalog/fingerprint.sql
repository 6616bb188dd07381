-- Two numbers that change when the publication named $1, or anything about any table, does; or what tells of DDL.
--
-- Asked on its own, so that every type is exact: a function or an operator that someone put into a schema of the search_path can only be
-- taken for the server's own where the server would have to convert.
--
-- Whatever belongs to a publication depends on it in pg_depend, on every version, and is replaced rather than altered.
-- The row of pg_class has a new xmin after every ALTER, rewrite, TRUNCATE, ATTACH and DETACH; VACUUM and ANALYZE write in place.
-- A DETACH ... CONCURRENTLY that came to no end is in pg_inherits alone.
SELECT (SELECT hashoidextended(p.oid, p.xmin::text::bigint)::numeric
               + (SELECT coalesce(sum(hashoidextended(d.objid, 1::bigint)), 0)
                    FROM pg_depend d
                   WHERE d.refclassid = 'pg_publication'::regclass::oid AND d.refobjid = p.oid)
          FROM pg_publication p
         WHERE p.pubname = $1::text::name)::text AS publication,
       ((SELECT coalesce(sum(hashoidextended(c.oid, c.xmin::text::bigint)), 0)
           FROM pg_class c
          WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't' AND c.oid >= 16384::oid)
        + (SELECT coalesce(sum(hashoidextended(i.inhrelid, i.xmin::text::bigint)), 0) FROM pg_inherits i)
        + (SELECT coalesce(sum(hashoidextended(e.oid, e.xmin::text::bigint)), 0) FROM pg_event_trigger e))::text AS tables
