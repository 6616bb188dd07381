-- The replication slot $1, if it is there, and what bounds the log that the server keeps for it. Columns that a server does not have yet
-- are read through JSON, where their absence is no error.
SELECT s.slot_name IS NOT NULL AS exists,
       coalesce(s.slot_type = 'logical' AND s.plugin = 'pgoutput', false) AS is_logical,
       s.database::text AS database,
       coalesce(s.database = current_database(), false) AS here,
       coalesce(s.temporary, false) AS temporary,
       s.active_pid,
       s.confirmed_flush_lsn::text AS confirmed,
       coalesce(to_jsonb(s) ->> 'invalidation_reason',
                CASE WHEN (to_jsonb(s) ->> 'conflicting')::boolean THEN 'conflict' END,
                CASE WHEN s.wal_status = 'lost' THEN 'wal_removed' END) AS invalidated,
       coalesce((to_jsonb(s) ->> 'failover')::boolean, false) AS failover,
       coalesce(current_setting('synchronized_standby_slots', true), '') <> '' AS standbys_first,
       pg_current_wal_flush_lsn()::text AS end_lsn,
       coalesce((SELECT setting::bigint >= 0 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'), false)
         OR coalesce((SELECT setting::bigint > 0 FROM pg_settings WHERE name = 'idle_replication_slot_timeout'), false) AS bounded
  FROM (VALUES ($1)) AS asked (name)
  LEFT JOIN pg_replication_slots s ON s.slot_name = asked.name
