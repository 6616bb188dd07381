-- What must be unique in the tables $1: first the primary key, then what names a row, the smallest first.
-- Operators are named with their schema: else one for the very types of the columns, that anybody put into a schema of the search_path, would be
-- taken, and run by whoever runs the SQL.
SELECT i.indrelid AS "table",
       key.columns,
       key.operators,
       key.identifies,
       NOT i.indimmediate AS is_deferrable,
       -- How many transactions ago it was made or altered.
       age(i.xmin)::bigint AS altered,
       -- Columns alone tell it, and each has an equality.
       i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND m.amname = 'btree' AS by_columns,
       -- And else: the same, for some of the rows; all columns that it compares, or makes of it what it compares; those that say for which rows.
       i.indisunique AND i.indexprs IS NULL AND m.amname = 'btree' AS is_partial_only,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND NOT a.attisdropped
                AND (a.attnum = ANY (i.indkey[:i.indnkeyatts - 1]) OR a.attnum = ANY (named.by_expressions) OR 0 = ANY (named.by_expressions))) AS compared,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND NOT a.attisdropped
                AND (a.attnum = ANY (named.by_condition) OR 0 = ANY (named.by_condition))) AS condition
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_am m ON m.oid = c.relam
  CROSS JOIN LATERAL (
      SELECT array_agg(a.attname::text ORDER BY part.place) AS columns,
             array_agg(format('OPERATOR(%I.%s)', n.nspname, o.oprname)
                       ORDER BY part.place) AS operators,
             bool_and(a.attnotnull) AS identifies
        FROM unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY AS part (attnum, class, place)
        LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = part.attnum
        LEFT JOIN pg_opclass p ON p.oid = part.class
        LEFT JOIN pg_amop s ON s.amopfamily = p.opcfamily AND s.amopstrategy = 3
                           AND s.amoplefttype = p.opcintype AND s.amoprighttype = p.opcintype
        LEFT JOIN pg_operator o ON o.oid = s.amopopr
        LEFT JOIN pg_namespace n ON n.oid = o.oprnamespace
       WHERE part.place <= i.indnkeyatts
  ) key
  CROSS JOIN LATERAL (
      -- The columns that are named by an expression; 0 is the whole row.
      SELECT ARRAY(SELECT named[1]::int2 FROM regexp_matches(i.indexprs::text, ':varattno (\d+)', 'g') named) AS by_expressions,
             ARRAY(SELECT named[1]::int2 FROM regexp_matches(i.indpred::text, ':varattno (\d+)', 'g') named) AS by_condition
  ) named
 WHERE i.indrelid = ANY ($1) AND (i.indisunique OR i.indisexclusion) AND i.indislive
 ORDER BY i.indrelid, i.indisprimary DESC, key.identifies DESC NULLS LAST, i.indnkeyatts, i.indexrelid
