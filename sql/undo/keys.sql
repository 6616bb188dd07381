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
       i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND m.amname = 'btree' AS by_columns
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
 WHERE i.indrelid = ANY ($1) AND (i.indisunique OR i.indisexclusion) AND i.indislive
 ORDER BY i.indrelid, i.indisprimary DESC, key.identifies DESC NULLS LAST, i.indnkeyatts, i.indexrelid
