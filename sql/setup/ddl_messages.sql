-- DDL messages: what happens to tables, types and publications, told in the stream itself, at the place in the transaction where it happened.
--
-- Without them pgvigil finds out by looking at the system catalogs every second. With them it knows at the very position.
--
-- A message has the prefix `pgvigil.ddl` and is one JSON object in UTF-8, whatever the encoding of the database:
--
--   {"event": "created" | "altered" | "dropped", "command": "ALTER TABLE", "sql": "alter table ...", "actor": {...}, "subxid": 771,
--    "table": {"oid": 16402, "schema": "public", "name": "User",
--              "kind": "r",              -- pg_class.relkind: r p f m                  (this and the rest not for "dropped")
--              "persistence": "p",       -- pg_class.relpersistence: p u
--              "parent": 16400,          -- the partitioned table that it is attached to, or null
--              "partitions": [16402]}}   -- of a partitioned table those attached to it, else null
--   {"event": "type", "command": "ALTER TYPE", "sql": "...", "type": {"oid": 16410, "schema": "public", "name": "mood"}}
--   {"event": "publication", "command": "ALTER PUBLICATION", "sql": "...", "publication": "pgvigil"}
--   {"event": "schema", "command": "ALTER SCHEMA", "sql": "...", "schema": "shop"}
--
-- "altered" carries the state after the command: a new name is a rename, a new parent an ATTACH, an oid gone from "partitions" a DETACH,
-- another persistence SET LOGGED or SET UNLOGGED. "type" is one that was altered, or, where a type was dropped and columns with it, that of the
-- rows that lost them: values made of it may be another text from there on. "actor" is who did it, as in the messages of
-- pgvigil.tell_actor. "sql" is the start of what the client sent, and null where that is not wanted: ALTER DATABASE ... SET
-- pgvigil.ddl_sql = off. "subxid" is the innermost sub-transaction that has an id, or the transaction: what is rolled back to a savepoint may
-- have been sent already, and the server does not say where a message was written.
--
-- A message says that something changed, and where. It is never believed beyond that, since every role may call
-- pg_logical_emit_message; what is true is then read from the catalogs.
--
-- The functions cannot make the user's statement fail: an error inside them becomes a line in the server's log. They take no lock on any
-- table, so they wait for nobody; and what they read of the catalogs they read in a sub-transaction that is rolled back, so that no lock on
-- these is held until the user's COMMIT. They run with their owner's rights, since the user may have none, and the owner is a superuser, since
-- whoever owns the code of an event trigger may become whoever runs DDL. Their search_path is fixed and they build no SQL.

-- Made anew rather than replaced: what is replaced keeps its owner.
DROP EVENT TRIGGER IF EXISTS pgvigil_change;
DROP EVENT TRIGGER IF EXISTS pgvigil_drop;
DROP FUNCTION IF EXISTS pgvigil.tell_change();
DROP FUNCTION IF EXISTS pgvigil.tell_drop();

CREATE FUNCTION pgvigil.tell_change() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  context jsonb;
  messages bytea[];
  message bytea;
BEGIN
  BEGIN
    context := jsonb_build_object(
      'subxid', (SELECT transactionid::text::bigint FROM pg_locks
                  WHERE pid = pg_backend_pid() AND locktype = 'transactionid' AND mode = 'ExclusiveLock'
                  ORDER BY age(transactionid) LIMIT 1),
      'sql', CASE WHEN current_setting('pgvigil.ddl_sql', true) IS DISTINCT FROM 'off' THEN left(current_query(), 1000) END,
      'actor', jsonb_build_object(
        'xid', pg_current_xact_id()::text, 'pid', pg_backend_pid(), 'session_user', session_user,
        'current_user', coalesce(nullif(current_setting('role'), 'none'), session_user),
        'application_name', current_setting('application_name'), 'client_addr', host(inet_client_addr())));
    SELECT array_agg(convert_to((told.message || context)::text, 'UTF8')) INTO messages
      FROM (
        -- One message a table, however many parts the command had.
        SELECT jsonb_build_object(
                 'event', CASE WHEN bool_or(d.command_tag LIKE 'CREATE %' OR d.command_tag = 'SELECT INTO')
                               THEN 'created' ELSE 'altered' END,
                 'command', tg_tag,
                 'table', jsonb_build_object(
                   'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname,
                   'kind', c.relkind, 'persistence', c.relpersistence,
                   'parent', (SELECT i.inhparent::bigint FROM pg_inherits i WHERE c.relispartition AND i.inhrelid = c.oid),
                   'partitions', (SELECT jsonb_agg(i.inhrelid::bigint) FROM pg_inherits i
                                   WHERE c.relkind = 'p' AND i.inhparent = c.oid)))
          FROM pg_event_trigger_ddl_commands() d
          JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't'
         GROUP BY c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relispartition
        UNION ALL
        -- A composite type is altered as what it is in pg_class.
        SELECT DISTINCT jsonb_build_object(
                 'event', 'type',
                 'command', tg_tag,
                 'type', jsonb_build_object('oid', t.oid::bigint, 'schema', n.nspname, 'name', t.typname))
          FROM pg_event_trigger_ddl_commands() d
          JOIN pg_type t ON (d.classid = 'pg_type'::regclass AND t.oid = d.objid)
                         OR (d.classid = 'pg_class'::regclass AND t.typrelid = d.objid)
          JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE d.command_tag = 'ALTER TYPE'
        UNION ALL
        SELECT DISTINCT jsonb_build_object(
                 'event', 'publication',
                 'command', tg_tag,
                 'publication', CASE d.object_type WHEN 'publication' THEN a.object_names[1] ELSE a.object_args[1] END)
          FROM pg_event_trigger_ddl_commands() d, pg_identify_object_as_address(d.classid, d.objid, d.objsubid) a
         WHERE d.object_type IN ('publication', 'publication relation', 'publication namespace')
        UNION ALL
        SELECT jsonb_build_object('event', 'schema', 'command', tg_tag, 'schema', n.nspname)
          FROM pg_event_trigger_ddl_commands() d
          JOIN pg_namespace n ON d.classid = 'pg_namespace'::regclass AND n.oid = d.objid
         WHERE tg_tag = 'ALTER SCHEMA'
      ) told (message);
    RAISE SQLSTATE 'PV000';
  EXCEPTION WHEN SQLSTATE 'PV000' THEN
    -- The locks are given back; the variables keep what they have.
  END;
  FOREACH message IN ARRAY coalesce(messages, '{}') LOOP
    PERFORM pg_logical_emit_message(true, 'pgvigil.ddl', message);
  END LOOP;
EXCEPTION WHEN OTHERS THEN
  RAISE LOG 'pgvigil: % is not told in the stream: SQLSTATE %', tg_tag, SQLSTATE;
END $$;
COMMENT ON FUNCTION pgvigil.tell_change() IS 'Tells pgvigil of tables, types and publications that were made or altered.';

CREATE FUNCTION pgvigil.tell_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  context jsonb;
  messages bytea[];
  message bytea;
BEGIN
  BEGIN
    context := jsonb_build_object(
      'subxid', (SELECT transactionid::text::bigint FROM pg_locks
                  WHERE pid = pg_backend_pid() AND locktype = 'transactionid' AND mode = 'ExclusiveLock'
                  ORDER BY age(transactionid) LIMIT 1),
      'sql', CASE WHEN current_setting('pgvigil.ddl_sql', true) IS DISTINCT FROM 'off' THEN left(current_query(), 1000) END,
      'actor', jsonb_build_object(
        'xid', pg_current_xact_id()::text, 'pid', pg_backend_pid(), 'session_user', session_user,
        'current_user', coalesce(nullif(current_setting('role'), 'none'), session_user),
        'application_name', current_setting('application_name'), 'client_addr', host(inet_client_addr())));
    SELECT array_agg(convert_to((told.message || context)::text, 'UTF8')) INTO messages
      FROM (
        SELECT jsonb_build_object(
                 'event', 'dropped',
                 'command', tg_tag,
                 'table', jsonb_build_object('oid', d.objid::bigint, 'schema', d.schema_name, 'name', d.object_name))
          FROM pg_event_trigger_dropped_objects() d
         WHERE d.object_type IN ('table', 'foreign table', 'materialized view') AND NOT d.is_temporary
        UNION ALL
        SELECT DISTINCT jsonb_build_object(
                 'event', 'type',
                 'command', tg_tag,
                 'type', jsonb_build_object('oid', t.oid::bigint, 'schema', n.nspname, 'name', t.typname))
          FROM pg_event_trigger_dropped_objects() d
          JOIN pg_type t ON t.typrelid = d.objid
          JOIN pg_namespace n ON n.oid = t.typnamespace
         -- One that was itself named by the command is told of by tell_change.
         WHERE d.classid = 'pg_class'::regclass AND d.objsubid <> 0 AND NOT d.original AND NOT d.is_temporary
        UNION ALL
        SELECT DISTINCT jsonb_build_object(
                 'event', 'publication',
                 'command', tg_tag,
                 'publication', CASE d.object_type WHEN 'publication' THEN d.address_names[1] ELSE d.address_args[1] END)
          FROM pg_event_trigger_dropped_objects() d
         WHERE d.object_type IN ('publication', 'publication relation', 'publication namespace')
      ) told (message);
    RAISE SQLSTATE 'PV000';
  EXCEPTION WHEN SQLSTATE 'PV000' THEN
    -- The locks are given back; the variables keep what they have.
  END;
  FOREACH message IN ARRAY coalesce(messages, '{}') LOOP
    PERFORM pg_logical_emit_message(true, 'pgvigil.ddl', message);
  END LOOP;
EXCEPTION WHEN OTHERS THEN
  RAISE LOG 'pgvigil: % is not told in the stream: SQLSTATE %', tg_tag, SQLSTATE;
END $$;
COMMENT ON FUNCTION pgvigil.tell_drop() IS 'Tells pgvigil of tables and publications that were dropped.';

-- ALWAYS: also for sessions that apply changes from elsewhere.
CREATE EVENT TRIGGER pgvigil_change ON ddl_command_end
  WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE',
               'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'IMPORT FOREIGN SCHEMA',
               'CREATE MATERIALIZED VIEW', 'ALTER MATERIALIZED VIEW',
               'ALTER TYPE', 'CREATE SCHEMA', 'ALTER SCHEMA', 'CREATE EXTENSION', 'ALTER EXTENSION',
               'CREATE PUBLICATION', 'ALTER PUBLICATION')
  EXECUTE FUNCTION pgvigil.tell_change();
ALTER EVENT TRIGGER pgvigil_change ENABLE ALWAYS;

CREATE EVENT TRIGGER pgvigil_drop ON sql_drop EXECUTE FUNCTION pgvigil.tell_drop();
ALTER EVENT TRIGGER pgvigil_drop ENABLE ALWAYS;
