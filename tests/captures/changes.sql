-- Every kind of row change, type and replica identity, one transaction after the other.

CREATE SCHEMA "Odd schema";
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE "Odd schema"."a pair" AS (x int, y text);

CREATE TABLE types (
    id int PRIMARY KEY, b bool, i2 int2, i8 int8, f4 float4, f8 float8, n numeric, m money, t text, v varchar(9), c char(5),
    bytes bytea, d date, tm time, tz timetz, ts timestamp, tstz timestamptz, iv interval, u uuid, j json, jb jsonb, xid8 xid8,
    ip inet, net cidr, mac macaddr, bits bit(3), vbits varbit, pt point, r int4range, mr int4multirange, ints int[], texts text[],
    search tsvector, lsn pg_lsn, reg regclass, mood mood, moods mood[], positive positive, pair "Odd schema"."a pair"
);
CREATE TABLE plain (id int PRIMARY KEY, value text);
CREATE TABLE by_index (id int, code text NOT NULL, value text);
CREATE UNIQUE INDEX by_index_code ON by_index (code);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code;
CREATE TABLE whole (id int, value text);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE none (id int);
ALTER TABLE none REPLICA IDENTITY NOTHING;
CREATE TABLE no_columns ();
CREATE TABLE large (id int PRIMARY KEY, touched int, value text);
ALTER TABLE large ALTER value SET STORAGE EXTERNAL;
CREATE TABLE "Odd schema"."User ""ü""" ("Id" int PRIMARY KEY, "a ""b""" text, gone int);
CREATE TABLE computed (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id serial PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE);
CREATE TABLE log (day date, entry text, PRIMARY KEY (day, entry)) PARTITION BY RANGE (day);
CREATE TABLE log_2025 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE log_2026 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');

CREATE PUBLICATION capture FOR ALL TABLES;
SELECT current_setting('server_version_num')::int >= 180000 AS publishes_generated \gset
\if :publishes_generated
ALTER PUBLICATION capture SET (publish_generated_columns = stored);
\endif
SELECT pg_create_logical_replication_slot(current_database(), 'pgoutput') \g /dev/null

INSERT INTO types VALUES (
    1, true, -2, 9007199254740993, 1.5, 'NaN', 12345678901234567890.123456789, 12.34, E'tab\t"quotes" \\ ünïcode', 'var', 'ch',
    '\xdeadbeef00', '2026-11-22', '14:02:11.204113', '14:02:11+02', '2026-11-22 14:02:11.204113', '2026-11-22 14:02:11.204113+01',
    '1 year 2 mons 3 days 04:05:06.7', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": [1, null]}', '{"b": 1.50}', '771',
    '192.168.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '101', '10', '(1.5,-2)', '[1,5)', '{[1,2),[4,6)}', '[0:1]={1,NULL}',
    '{a,"b c",NULL,"NULL",""}', 'a fat cat', '16/B374D848', 'plain', 'happy', '{sad,ok}', 7, '(1,"x, y")'
);
INSERT INTO types (id) VALUES (2);
INSERT INTO types (id, f4, f8, n, t, d, ts, tm, iv, texts)
    VALUES (3, 'Infinity', '-Infinity', 'NaN', '', '0044-03-15 BC', '-infinity', '24:00:00', '-1 day', '{}');

INSERT INTO plain SELECT n, 'row ' || n FROM generate_series(1, 5) n;
UPDATE plain SET value = 'no key' WHERE id = 1;
UPDATE plain SET id = 6 WHERE id = 2;
DELETE FROM plain WHERE id = 3;
COPY plain FROM STDIN;
10	copied
11	\N
\.
INSERT INTO plain VALUES (10, 'x') ON CONFLICT (id) DO UPDATE SET value = excluded.value;

INSERT INTO by_index VALUES (1, 'a', 'old'), (2, 'b', 'old');
UPDATE by_index SET value = 'new' WHERE code = 'a';
UPDATE by_index SET code = 'c' WHERE code = 'a';
DELETE FROM by_index WHERE code = 'b';

INSERT INTO whole VALUES (1, 'old'), (2, NULL);
UPDATE whole SET value = 'new';
DELETE FROM whole WHERE id = 2;

INSERT INTO none VALUES (1);
INSERT INTO no_columns DEFAULT VALUES;

-- Just long enough to be stored out of line.
INSERT INTO large VALUES (1, 0, repeat('x', 2048));
UPDATE large SET touched = 1;
UPDATE large SET id = 2;
ALTER TABLE large REPLICA IDENTITY FULL;
UPDATE large SET touched = 2;
ALTER TABLE large REPLICA IDENTITY DEFAULT;
DELETE FROM large;

INSERT INTO "Odd schema"."User ""ü""" VALUES (1, 'b', 0);
BEGIN;
ALTER TABLE "Odd schema"."User ""ü""" DROP COLUMN gone, ADD COLUMN come date DEFAULT '2026-01-01';
UPDATE "Odd schema"."User ""ü""" SET "a ""b""" = 'c';
ALTER TABLE "Odd schema"."User ""ü""" RENAME TO renamed;
DELETE FROM "Odd schema".renamed;
COMMIT;

INSERT INTO computed VALUES (21);

INSERT INTO parent VALUES (1), (2);
INSERT INTO child (parent) VALUES (1), (2);
DELETE FROM parent WHERE id = 1;
TRUNCATE plain;
TRUNCATE whole, child RESTART IDENTITY;
TRUNCATE parent CASCADE;
TRUNCATE parent RESTART IDENTITY CASCADE;

INSERT INTO log VALUES ('2025-12-31', 'old'), ('2026-01-01', 'new');
UPDATE log SET day = '2026-02-02' WHERE entry = 'old';
TRUNCATE log;

BEGIN;
INSERT INTO plain VALUES (1, 'kept');
SAVEPOINT a;
INSERT INTO plain VALUES (2, 'rolled back');
ROLLBACK TO a;
SELECT pg_logical_emit_message(true, 'transactional', 'with a change') \g /dev/null
COMMIT;
SELECT pg_logical_emit_message(true, 'transactional', 'alone') \g /dev/null
SELECT pg_logical_emit_message(false, 'at once', '\x00ff'::bytea) \g /dev/null
SELECT pg_logical_emit_message(false, '', '') \g /dev/null

SELECT pg_replication_origin_create('elsewhere') \g /dev/null
SELECT pg_replication_origin_session_setup('elsewhere') \g /dev/null
BEGIN;
SELECT pg_replication_origin_xact_setup('0/ABCDEF', '2026-11-22 14:02:11+00') \g /dev/null
INSERT INTO plain VALUES (3, 'from elsewhere');
COMMIT;
SELECT pg_replication_origin_session_reset() \g /dev/null
