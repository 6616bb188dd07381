-- Where the transaction stands: what it sees, a position in the log that is behind all it sees, who asks, and whom.
SELECT pg_current_snapshot()::text AS snapshot,
       pg_current_wal_insert_lsn()::text AS lsn,
       current_user::text AS role,
       current_setting('server_version_num')::int AS version
