-- Partitions of the log for the last, this and the next hour; older ones go.
DO $$
DECLARE
  hour timestamptz;
  partition text;
BEGIN
  FOR hour IN SELECT generate_series(date_trunc('hour', now()) - interval '1 hour', now() + interval '1 hour', interval '1 hour') LOOP
    partition := 'ActivityLog_' || to_char(hour AT TIME ZONE 'UTC', 'YYYYMMDDHH24');
    IF to_regclass(format('%I', partition)) IS NULL THEN
      EXECUTE format('CREATE TABLE %I PARTITION OF "ActivityLog" FOR VALUES FROM (%L) TO (%L)', partition, hour, hour + interval '1 hour');
    END IF;
  END LOOP;
  FOR partition IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = '"ActivityLog"'::regclass
       AND c.relname < 'ActivityLog_' || to_char((now() - interval '2 hours') AT TIME ZONE 'UTC', 'YYYYMMDDHH24')
  LOOP
    EXECUTE format('DROP TABLE %I', partition);
  END LOOP;
END $$;
