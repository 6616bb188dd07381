-- Who runs the transaction $1 (its 32 bits, as text): a session, or a prepared transaction.
SELECT (SELECT pid
          FROM pg_locks
         WHERE locktype = 'transactionid' AND transactionid = $1::text::xid AND mode = 'ExclusiveLock' AND granted
         LIMIT 1) AS pid,
       (SELECT gid FROM pg_prepared_xacts WHERE transaction = $1::text::xid) AS prepared
