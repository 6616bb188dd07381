-- The columns of the tables $1, in their order.
SELECT a.attrelid AS "table", a.attname AS name, a.attnum AS number,
       -- As it is called without a length: a value that is too long is refused when it is stored, where a cast would cut it.
       format_type(a.atttypid, -1) AS type_name,
       format_type(a.atttypid, a.atttypmod) AS stored_as,
       base.is_document,
       base.is_spelled_out,
       a.attgenerated <> '' AS is_generated,
       -- From 18 on a publication may send them; read through JSON, the absence of the option is no error.
       a.attgenerated = '' OR a.attgenerated = 's'
           AND EXISTS (SELECT FROM pg_publication p WHERE to_jsonb(p) ->> 'pubgencols' = 's') AS may_be_sent,
       a.attidentity = 'a' AS is_identity_always,
       a.attnotnull OR base.is_not_null AS is_not_null,
       NOT (a.attnotnull OR base.is_not_null) OR a.atthasdef OR a.attidentity <> '' OR base.has_default AS may_be_left_out,
       -- How many transactions ago the column or something of its type was last altered; that of a type that takes any text is of no account.
       CASE WHEN format_type(a.atttypid, a.atttypmod) NOT IN ('text', 'character varying')
            THEN least(age(a.xmin), described.age)::bigint END AS altered,
       described.calls_application
  FROM pg_attribute a
  CROSS JOIN LATERAL (
      WITH RECURSIVE base AS (
          SELECT oid, typtype, typbasetype, typnotnull, typcategory, typdefault FROM pg_type WHERE oid = a.atttypid
          UNION ALL
          SELECT t.oid, t.typtype, t.typbasetype, t.typnotnull, t.typcategory, t.typdefault
            FROM base JOIN pg_type t ON base.typtype = 'd' AND t.oid = base.typbasetype
      )
      SELECT bool_or(oid IN ('json'::regtype, 'jsonb'::regtype)) AS is_document, bool_or(typcategory IN ('A', 'B')) AS is_spelled_out,
             bool_or(typnotnull) AS is_not_null, bool_or(typdefault IS NOT NULL) AS has_default
        FROM base
  ) base
  CROSS JOIN LATERAL (
      -- The type, and those that it is made of, as far as they are not the server's own.
      WITH RECURSIVE part (oid) AS (
          SELECT a.atttypid
          UNION
          SELECT next.oid FROM part
            JOIN pg_type t ON t.oid = part.oid AND t.oid >= 16384
            CROSS JOIN LATERAL (
                VALUES (t.typbasetype), (t.typelem),
                       ((SELECT rngsubtype FROM pg_range WHERE t.oid IN (rngtypid, (to_jsonb(pg_range) ->> 'rngmultitypid')::oid)))
                UNION ALL
                SELECT atttypid FROM pg_attribute WHERE attrelid = t.typrelid AND t.typrelid <> 0 AND attnum > 0 AND NOT attisdropped
            ) next (oid)
           WHERE next.oid >= 16384
      ), own AS (
          SELECT t.oid, t.typrelid, age(t.xmin) AS age FROM pg_type t JOIN part USING (oid) WHERE oid >= 16384
      )
      SELECT (SELECT min(age) FROM (
                  SELECT age FROM own
                  UNION ALL SELECT age(e.xmin) FROM pg_enum e JOIN own ON own.oid = e.enumtypid
                  UNION ALL SELECT age(c.xmin) FROM pg_constraint c JOIN own ON own.oid = c.contypid
                  UNION ALL SELECT age(m.xmin) FROM pg_attribute m JOIN own ON own.typrelid <> 0 AND own.typrelid = m.attrelid
              ) ages) AS age,
             -- A domain's CHECK is run by whoever gives it a value. It is not asked where it may run what somebody else wrote: all that it
             -- names has to be the server's own, or C, and no other domain.
             EXISTS (SELECT FROM pg_constraint c JOIN own ON own.oid = c.contypid
                      WHERE c.contype = 'c' AND (
                          c.conbin::text ~ '\{(COERCETODOMAIN|JSONEXPR) '
                          OR EXISTS (SELECT FROM regexp_matches(c.conbin::text, ':(?:funcid|opfuncid) (\d+)', 'g') named (oid)
                                      WHERE NOT EXISTS (SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
                                                         WHERE p.oid = named.oid[1]::oid AND p.provolatile = 'i'
                                                           AND l.lanname IN ('internal', 'c'))))) AS calls_application
  ) described
 WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum
