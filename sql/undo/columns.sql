-- The columns of the tables $1, in their order.
SELECT a.attrelid AS "table", a.attname AS name, a.attnum AS number,
       -- As it is called without a length: a value that is too long is refused when it is stored, where a cast would cut it.
       format_type(a.atttypid, -1) AS type_name,
       base.oid IN ('json'::regtype, 'jsonb'::regtype) AS is_document,
       a.attgenerated <> '' AS is_generated,
       a.attidentity = 'a' AS is_identity_always,
       NOT a.attnotnull OR a.atthasdef OR a.attidentity <> '' AS may_be_left_out
  FROM pg_attribute a
  CROSS JOIN LATERAL (
      WITH RECURSIVE base AS (
          SELECT oid, typtype, typbasetype FROM pg_type WHERE oid = a.atttypid
          UNION ALL
          SELECT t.oid, t.typtype, t.typbasetype FROM base JOIN pg_type t ON base.typtype = 'd' AND t.oid = base.typbasetype
      )
      SELECT oid FROM base WHERE typtype <> 'd'
  ) base
 WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum
