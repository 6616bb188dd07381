-- Where the transaction stands: what it sees, the youngest transaction that is running (each holds a lock on its own id until it ends),
-- who asks, whom, and, if that one tells of DDL in its log, a number that stands for what does: made anew or altered, it is another.
SELECT pg_current_snapshot()::text AS snapshot,
       pg_current_wal_insert_lsn()::text AS lsn,
       (SELECT transactionid::text::bigint
          FROM pg_locks
         WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted
         ORDER BY age(transactionid)
         LIMIT 1) AS youngest,
       current_user::text AS role,
       current_setting('server_version_num')::int AS version,
       -- Of types too: what an earlier version of setup made does not.
       (SELECT hashtextextended(string_agg(concat_ws(',', evt.oid, evt.xmin, proc.oid, proc.xmin), ';' ORDER BY evtname), 0)
          FROM pg_event_trigger evt JOIN pg_proc proc ON proc.oid = evtfoid
         WHERE evtname IN ('pgvigil_change', 'pgvigil_drop') AND evtenabled = 'A'
           AND (evtname = 'pgvigil_drop' OR 'ALTER TYPE' = ANY (evttags))
        HAVING count(*) = 2) AS told_by
