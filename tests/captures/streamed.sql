-- Transactions larger than logical_decoding_work_mem, sent in blocks while they run. What makes them large is written to a table that is
-- not published, so the capture stays small.

CREATE EXTENSION dblink;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE plain (id int PRIMARY KEY, value text);
CREATE TABLE whole (id int, mood mood);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE known (id int PRIMARY KEY);
CREATE TABLE ballast (value text);

CREATE PUBLICATION capture FOR TABLE plain, whole, known;
SELECT pg_create_logical_replication_slot(current_database(), 'pgoutput') \g /dev/null

CREATE PROCEDURE fill() LANGUAGE sql AS $$ INSERT INTO ballast SELECT repeat('x', 100) FROM generate_series(1, 400) $$;
SELECT dblink_connect('other', format('dbname=%L host=%L port=%s', current_database(), :'HOST', :'PORT')) \g /dev/null

-- Committed, with every kind of change, in several blocks.
BEGIN;
INSERT INTO plain VALUES (1, 'a'), (2, 'b');
INSERT INTO known VALUES (1);
CALL fill();
INSERT INTO whole VALUES (1, 'ok');
UPDATE plain SET value = 'c' WHERE id = 1;
UPDATE plain SET id = 3 WHERE id = 2;
DELETE FROM plain WHERE id = 1;
UPDATE whole SET mood = 'happy';
CALL fill();
SELECT pg_logical_emit_message(true, 'streamed', 'content') \g /dev/null
TRUNCATE plain, whole;
CALL fill();
COMMIT;

-- Sub-transactions: kept, rolled back before and after they were sent, nested. The server looks up nothing for what it knows to be rolled
-- back by now, so a table must be known to it already, here from the transaction before, for its Relation to be sent in vain.
BEGIN;
INSERT INTO plain VALUES (10, 'top');
SAVEPOINT kept;
INSERT INTO plain VALUES (11, 'kept');
CALL fill();
SAVEPOINT sent;
INSERT INTO plain VALUES (12, 'rolled back after it was sent');
INSERT INTO known VALUES (12);
CALL fill();
SAVEPOINT nested;
INSERT INTO plain VALUES (13, 'nested, rolled back with it');
CALL fill();
ROLLBACK TO sent;
INSERT INTO plain VALUES (14, 'after');
INSERT INTO known VALUES (14);
CALL fill();
SAVEPOINT not_sent;
INSERT INTO plain VALUES (15, 'rolled back before it was sent');
ROLLBACK TO not_sent;
INSERT INTO plain VALUES (16, 'last');
COMMIT;

-- The relation changes within the transaction.
BEGIN;
INSERT INTO plain VALUES (20, 'before');
CALL fill();
ALTER TABLE plain ADD COLUMN more int DEFAULT 1;
INSERT INTO plain VALUES (21, 'after');
CALL fill();
SAVEPOINT s;
ALTER TABLE plain ADD COLUMN undone int;
INSERT INTO plain VALUES (22, 'rolled back', 1, 1);
CALL fill();
ROLLBACK TO s;
INSERT INTO plain VALUES (23, 'last');
COMMIT;

-- Rolled back whole.
BEGIN;
INSERT INTO plain VALUES (30, 'never');
CALL fill();
ROLLBACK;

-- Two at once, a small one between their blocks, and a message that belongs to none.
BEGIN;
INSERT INTO plain VALUES (40, 'one');
SELECT dblink_exec('other', 'BEGIN') \g /dev/null
SELECT dblink_exec('other', $$INSERT INTO plain VALUES (50, 'other')$$) \g /dev/null
CALL fill();
SELECT dblink_exec('other', 'CALL fill()') \g /dev/null
SELECT pg_logical_emit_message(false, 'between', 'blocks') \g /dev/null
INSERT INTO plain VALUES (41, 'one');
\! psql -Xqc "INSERT INTO plain VALUES (60, 'small')"
SELECT dblink_exec('other', $$INSERT INTO plain VALUES (51, 'other')$$) \g /dev/null
SELECT dblink_exec('other', 'CALL fill()') \g /dev/null
CALL fill();
SELECT dblink_exec('other', 'COMMIT') \g /dev/null
COMMIT;

-- Replicated here from elsewhere.
SELECT pg_replication_origin_create('upstream') \g /dev/null
SELECT pg_replication_origin_session_setup('upstream') \g /dev/null
BEGIN;
SELECT pg_replication_origin_xact_setup('0/FEDCBA', '2026-11-22 14:02:11+00') \g /dev/null
INSERT INTO plain VALUES (70, 'from elsewhere');
CALL fill();
COMMIT;
SELECT pg_replication_origin_session_reset() \g /dev/null
SELECT dblink_disconnect('other') \g /dev/null
