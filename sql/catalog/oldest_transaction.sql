-- The oldest transaction that has an id. Every one holds a lock on its own id until it ends; a prepared one has no process.
SELECT l.transactionid::text::bigint AS xid, l.pid, p.gid AS prepared
  FROM pg_locks l
  LEFT JOIN pg_prepared_xacts p ON p.transaction = l.transactionid AND l.pid IS NULL
 WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
 ORDER BY age(l.transactionid) DESC
 LIMIT 1
