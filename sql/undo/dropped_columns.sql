-- The numbers of the columns that the tables $1 had once.
SELECT a.attrelid AS "table", a.attnum AS number
  FROM pg_attribute a
 WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND a.attisdropped
