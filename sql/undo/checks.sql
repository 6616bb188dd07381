-- The CHECK constraints of the tables $1. One that was never held against the rows that were there (NOT VALID) is held against those that come.
SELECT c.conrelid AS "table", c.conname AS name,
       pg_get_expr(c.conbin, c.conrelid) AS expression,
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS key (attnum, place)
               JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = key.attnum ORDER BY key.place) AS columns,
       -- How many transactions ago it was made or altered; one that rows of before need not fulfil is in doubt for all.
       CASE WHEN c.convalidated THEN age(c.xmin)::bigint ELSE 0 END AS altered,
       -- It is not asked where it may run what somebody else wrote: see columns.sql.
       c.conbin::text ~ '\{(COERCETODOMAIN|JSONEXPR) '
           OR EXISTS (SELECT FROM regexp_matches(c.conbin::text, ':(?:funcid|opfuncid) (\d+)', 'g') named (oid)
                       WHERE NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
                                          WHERE p.oid = named.oid[1]::oid AND p.provolatile = 'i' AND l.lanname IN ('internal', 'c')))
           AS calls_application
  FROM pg_constraint c
 WHERE c.contype = 'c' AND c.conrelid = ANY ($1)
   -- From 18 on one may be declared only.
   AND coalesce(to_jsonb(c) ->> 'conenforced', 'true') = 'true'
 ORDER BY c.conrelid, c.conname
