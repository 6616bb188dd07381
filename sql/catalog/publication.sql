-- The publication named $1.
SELECT oid, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot
  FROM pg_publication
 WHERE pubname = $1
