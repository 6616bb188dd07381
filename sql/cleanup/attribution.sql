-- Who changes rows is not told any more. Each trigger waits for those who use its table now, and not for long.
SET LOCAL lock_timeout = '500ms';
DROP EVENT TRIGGER IF EXISTS pgvigil_new;
DROP FUNCTION IF EXISTS pgvigil.attribute_new();
{triggers}
DROP FUNCTION IF EXISTS pgvigil.tell_actor();
