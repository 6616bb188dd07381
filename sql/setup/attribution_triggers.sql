-- Who changes the rows of these tables is told: always, also in sessions that apply changes from elsewhere. Each trigger waits for those
-- who are writing to its table now, and not for long.
SET LOCAL lock_timeout = '500ms';
{triggers}
