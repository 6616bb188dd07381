-- Two-phase commit: sent when it is prepared, not when it is committed.

CREATE TABLE plain (id int PRIMARY KEY, value text);
CREATE TABLE ballast (value text);
CREATE PUBLICATION capture FOR TABLE plain;
SELECT pg_create_logical_replication_slot(current_database(), 'pgoutput', false, true) \g /dev/null

BEGIN;
INSERT INTO plain VALUES (1, 'committed');
PREPARE TRANSACTION 'first';
INSERT INTO plain VALUES (2, 'between');
COMMIT PREPARED 'first';

BEGIN;
INSERT INTO plain VALUES (3, 'rolled back');
PREPARE TRANSACTION 'second: "ü"';
ROLLBACK PREPARED 'second: "ü"';

-- Large enough to be streamed.
BEGIN;
INSERT INTO plain VALUES (4, 'large');
SAVEPOINT s;
INSERT INTO plain VALUES (5, 'rolled back');
INSERT INTO ballast SELECT repeat('x', 100) FROM generate_series(1, 400);
ROLLBACK TO s;
INSERT INTO ballast SELECT repeat('x', 100) FROM generate_series(1, 400);
PREPARE TRANSACTION 'third';
COMMIT PREPARED 'third';

BEGIN;
INSERT INTO plain VALUES (6, 'large');
INSERT INTO ballast SELECT repeat('x', 100) FROM generate_series(1, 400);
PREPARE TRANSACTION 'fourth';
ROLLBACK PREPARED 'fourth';
