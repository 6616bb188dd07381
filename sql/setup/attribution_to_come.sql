-- Attribution of tables to come: partitions of what is attributed, and, where a publication is for all tables, every table.
--
-- A trigger is only ever put on a table that this very transaction has just made or attached, and so holds the strongest lock on already:
-- nothing is waited for. Should it not be possible, the user's statement succeeds all the same. The owner is a superuser, since whoever
-- owns the code of an event trigger may become whoever runs DDL. The names in the SQL that it builds are those of the catalog, quoted.
DROP EVENT TRIGGER IF EXISTS pgvigil_new;
DROP FUNCTION IF EXISTS pgvigil.attribute_new();

CREATE FUNCTION pgvigil.attribute_new() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  name text;
BEGIN
  FOR name IN
    WITH commands AS (SELECT objid, command_tag, in_extension FROM pg_event_trigger_ddl_commands() WHERE classid = 'pg_class'::regclass),
         attributed AS (SELECT tgrelid FROM pg_trigger WHERE tgfoid = 'pgvigil.tell_actor'::regproc),
         made AS (SELECT objid FROM commands
                   WHERE command_tag IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO') AND NOT in_extension
                     AND (EXISTS (SELECT FROM pg_publication WHERE puballtables)
                          OR EXISTS (SELECT FROM pg_inherits JOIN attributed ON tgrelid = inhparent WHERE inhrelid = objid))),
         attached AS (SELECT t.relid FROM commands
                        JOIN attributed ON tgrelid = objid
                       CROSS JOIN pg_partition_tree(tgrelid) t
                       WHERE command_tag = 'ALTER TABLE' AND t.relid NOT IN (SELECT tgrelid FROM attributed)
                         AND EXISTS (SELECT FROM pg_locks l
                                      WHERE l.pid = pg_backend_pid() AND l.relation = t.relid AND l.mode = 'AccessExclusiveLock'))
    SELECT format('%I.%I', n.nspname, c.relname)
      FROM (SELECT objid FROM made UNION SELECT relid FROM attached) m (oid)
      JOIN pg_class c ON c.oid = m.oid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgvigil')
  LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER pgvigil_actor AFTER {events} ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION pgvigil.tell_actor()', name);
    EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER pgvigil_actor', name);
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
