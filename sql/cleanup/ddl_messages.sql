-- The server stops telling of DDL in the stream.
DROP EVENT TRIGGER IF EXISTS pgvigil_change;
DROP EVENT TRIGGER IF EXISTS pgvigil_drop;
DROP FUNCTION IF EXISTS pgvigil.tell_change();
DROP FUNCTION IF EXISTS pgvigil.tell_drop();
