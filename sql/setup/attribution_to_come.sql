-- Attribution of tables to come: partitions of what is attributed, and, where a publication is for all tables, every table.
--
-- A trigger is only ever put on a table that this very transaction has just made, attached or rewritten, and so holds the strongest lock on already:
-- nothing is waited for. Should it not be possible, the user's statement succeeds all the same. The owner is a superuser, since whoever
-- owns the code of an event trigger may become whoever runs DDL. The names in the SQL that it builds are those of the catalog, quoted.
DROP EVENT TRIGGER IF EXISTS pgvigil_new;
DROP FUNCTION IF EXISTS pgvigil.attribute_new();

CREATE FUNCTION pgvigil.attribute_new() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  tables text[];
  told text[];
BEGIN
  -- Read in a sub-transaction that is rolled back: no lock on the catalogs is held until the user's COMMIT.
  BEGIN
    -- Trees are read from the catalog: pg_partition_tree would lock every partition.
    WITH RECURSIVE
         commands AS (SELECT objid, command_tag, in_extension FROM pg_event_trigger_ddl_commands() WHERE classid = 'pg_class'::regclass),
         made AS (SELECT objid FROM commands JOIN pg_class ON oid = objid
                   WHERE command_tag IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO') AND NOT in_extension
                     AND (EXISTS (SELECT FROM pg_publication WHERE puballtables)
                          OR relispartition AND EXISTS (SELECT FROM pg_inherits JOIN pg_trigger ON tgrelid = inhparent
                                                         WHERE inhrelid = objid AND tgname = 'pgvigil_actor'))),
         below AS (SELECT inhrelid FROM commands JOIN pg_trigger ON tgrelid = objid JOIN pg_inherits ON inhparent = objid
                    WHERE command_tag = 'ALTER TABLE' AND tgname = 'pgvigil_actor'
                    UNION SELECT i.inhrelid FROM below b JOIN pg_inherits i ON i.inhparent = b.inhrelid),
         altered AS (SELECT inhrelid FROM below JOIN pg_class ON oid = inhrelid WHERE relispartition
                     UNION SELECT objid FROM commands
                      WHERE command_tag = 'ALTER TABLE' AND NOT in_extension AND EXISTS (SELECT FROM pg_publication WHERE puballtables)),
         -- Attached, or made logged.
         attached AS (SELECT inhrelid FROM altered
                       WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = inhrelid AND tgname = 'pgvigil_actor')
                         AND EXISTS (SELECT FROM pg_locks l
                                      WHERE l.pid = pg_backend_pid() AND l.relation = inhrelid AND l.mode = 'AccessExclusiveLock'))
    SELECT array_agg(ARRAY[CASE c.relkind WHEN 'p' THEN '{of_partitioned}' ELSE '{events}' END, format('%I.%I', n.nspname, c.relname)])
      INTO tables
      FROM (SELECT objid FROM made UNION SELECT inhrelid FROM attached) m (oid)
      JOIN pg_class c ON c.oid = m.oid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgvigil');
    RAISE SQLSTATE 'PV000';
  EXCEPTION WHEN SQLSTATE 'PV000' THEN
    -- The variables keep what they have.
  END;
  IF tables IS NULL THEN
    RETURN;
  END IF;
  FOREACH told SLICE 1 IN ARRAY tables LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER pgvigil_actor AFTER %s ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION pgvigil.tell_actor()', told[1], told[2]);
    EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER pgvigil_actor', told[2]);
  END LOOP;
EXCEPTION WHEN OTHERS THEN
  RAISE LOG 'pgvigil: who changes the table of a % is not told: SQLSTATE %', tg_tag, SQLSTATE;
END $$;
COMMENT ON FUNCTION pgvigil.attribute_new() IS 'Has pgvigil told who changes the rows of tables made from now on.';

-- Named to come after pgvigil_change: that a table was made is told before what is done to it here.
CREATE EVENT TRIGGER pgvigil_new ON ddl_command_end
  WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE SCHEMA', 'ALTER TABLE')
  EXECUTE FUNCTION pgvigil.attribute_new();
ALTER EVENT TRIGGER pgvigil_new ENABLE ALWAYS;
