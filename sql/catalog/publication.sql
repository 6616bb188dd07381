-- The publication named $1, and a number that every ALTER PUBLICATION ... SET (...) changes.
SELECT oid, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, hashoidextended(oid, xmin::text::bigint) AS version
  FROM pg_publication
 WHERE pubname = $1
