-- The sessions that run transactions of these ids. To a role without pg_read_all_stats the server shows all of this but the address (and of the
-- statement, which is not asked for, the words "<insufficient privilege>").
SELECT backend_xid::text AS xid, usename::text AS session_user, application_name, host(client_addr) AS client_addr, pid
  FROM pg_stat_activity
 WHERE backend_xid::text = ANY ($1)
