-- Who changes the rows of these tables is not told any more.
SET LOCAL lock_timeout = '500ms';
{triggers}
