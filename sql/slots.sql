-- The slots that pgvigil may have made: logical ones for pgoutput, of all databases of the server. Columns that a server does not have yet are read
-- through JSON, where their absence is no error.
SELECT s.slot_name::text AS name,
       s.database::text AS database,
       s.temporary,
       s.active_pid,
       a.application_name,
       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0)::int8 AS retained_bytes,
       s.confirmed_flush_lsn::text AS confirmed_lsn,
       coalesce(to_jsonb(s) ->> 'invalidation_reason',
                CASE WHEN s.wal_status = 'lost' THEN 'wal_removed' END) AS invalidated,
       (to_jsonb(s) ->> 'inactive_since') AS inactive_since
  FROM pg_replication_slots s
  LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
 WHERE s.slot_type = 'logical' AND s.plugin = 'pgoutput'
 ORDER BY s.database <> current_database(), s.database, s.slot_name
