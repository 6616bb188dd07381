-- Whether anyone waits for a lock on the table $1.
SELECT EXISTS (
  SELECT FROM pg_locks
   WHERE locktype = 'relation' AND NOT granted AND relation = $1
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
