-- Attribution: which connection and which statement changed rows, told in the stream itself, within the transaction that did it.
--
-- A message has the prefix `pgvigil.actor` and is one JSON object, in the encoding of the database:
--
--   {"xid": "771", "operations": "delete,truncate", "pid": 4711, "session_user": "ann", "current_user": "app",
--    "application_name": "psql", "client_addr": "192.0.2.7", "query": "DELETE FROM ...", "until": "0/16B3748"}
--
-- It comes after the first changes of its transaction, and once more when the statement, a role or the application's name becomes another.
-- From the 16th on it has no statement, and so comes only for another role or name. The 64th is the last and names nobody: who does what
-- follows is not told. A savepoint that is rolled back takes its messages with it, and the note of them. "operations" are those that
-- fire the triggers: of any other change the statement is not known. "current_user" is the role that the session has taken on with SET
-- ROLE, if any, and within a SECURITY DEFINER function still that, not the function's owner; "client_addr" is null on a Unix socket.
-- "until": where the log stood when whom the message before tells of last changed rows, if that was after it; else null.
--
-- Who wants to hide from this can: it explains accidents, and is no audit. Whoever may call pg_logical_emit_message can also write such a
-- message, about itself.
--
-- The function takes no lock, reads no table, and builds no SQL. It does nothing that could fail, rather than catch what fails: that
-- would cost a sub-transaction, and a transaction id, each time. So it converts nothing, and runs with the rights of its owner, who can
-- call pg_logical_emit_message when the user cannot. The owner is whoever ran setup: a superuser, or the owner of the tables.

CREATE OR REPLACE FUNCTION pgvigil.tell_actor() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  operations CONSTANT text := '{operations}';
  query_length CONSTANT integer := {query_length};
  -- None, if nothing has been changed yet.
  this_xid CONSTANT text := pg_current_xact_id_if_assigned()::text;
  who CONSTANT text := concat_ws(' ', quote_ident(current_setting('session_authorization')), quote_ident(current_setting('role')),
                                 quote_ident(current_setting('application_name')));
  -- The same for all that one message of the client makes happen, be it ever so much, as long as it is by the same.
  moment CONSTANT text := this_xid || '@' || extract(epoch FROM statement_timestamp())::text || ' ' || who || ' ';
  -- What was told: the transaction, the moment, and a mark for each message.
  told CONSTANT text := current_setting('pgvigil.told', true);
  -- Where the log stands. Asking is a right that an owner who is no superuser could have lost: then all is told anew.
  at CONSTANT text := CASE WHEN moment IS NOT NULL AND has_function_privilege(2852::oid, 'EXECUTE') THEN pg_current_wal_insert_lsn() END;
  marks text := '';
  query text;
  told_as text;
  until text;
BEGIN
  IF moment IS NULL THEN
    RETURN NULL;
  END IF;
  IF starts_with(told, moment) AND at IS NOT NULL THEN
    PERFORM set_config('pgvigil.until', at, true);
    RETURN NULL;
  END IF;
  IF split_part(told, '@', 1) = this_xid THEN
    marks := substring(told FROM '[|]*$');
    IF length(marks) >= 64 THEN
      RETURN NULL;
    END IF;
  END IF;
  query := CASE WHEN query_length > 0 AND length(marks) < 15 THEN left(current_query(), query_length) END;
  told_as := concat_ws(' ', who, query);
  IF marks <> '' AND told_as = current_setting('pgvigil.told_as', true) AND at IS NOT NULL THEN
    PERFORM set_config('pgvigil.told', moment || marks, true), set_config('pgvigil.until', at, true);
    RETURN NULL;
  END IF;
  until := CASE WHEN marks <> '' THEN left(nullif(current_setting('pgvigil.until', true), ''), 20) END;
  -- Likewise a right (pg_logical_emit_message of a text, whatever its other arguments).
  IF has_function_privilege(3577::oid, 'EXECUTE') THEN
    PERFORM pg_logical_emit_message(true, 'pgvigil.actor', CASE WHEN length(marks) < 63 THEN json_build_object(
      'xid', this_xid, 'operations', operations, 'pid', pg_backend_pid(),
      'session_user', session_user, 'current_user', coalesce(nullif(current_setting('role'), 'none'), session_user),
      'application_name', current_setting('application_name'), 'client_addr', host(inet_client_addr()), 'query', query,
      'until', until)
      ELSE json_build_object('xid', this_xid, 'until', until) END::text);
  END IF;
  -- All are undone with the message, should this be rolled back to a savepoint.
  PERFORM set_config('pgvigil.told', moment || marks || '|', true),
          set_config('pgvigil.told_as', told_as, true),
          set_config('pgvigil.until', '', true);
  RETURN NULL;
END $$;
ALTER FUNCTION pgvigil.tell_actor() OWNER TO CURRENT_USER;
REVOKE ALL ON FUNCTION pgvigil.tell_actor() FROM PUBLIC;
COMMENT ON FUNCTION pgvigil.tell_actor() IS 'Tells pgvigil who changes rows, and by which statement.';
