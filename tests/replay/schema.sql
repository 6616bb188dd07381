-- Tables with values of many types, without what would make one change follow from another: made in the source and in the copy.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'so "happy", really');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN percent AS numeric(5, 2) CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN tags AS text[];

CREATE TABLE kinds (
  id int PRIMARY KEY,
  b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, n2 numeric(10, 2), o oid, "Char" "char", nm name,
  t text, c char(5), v varchar(20), bytes bytea,
  ts timestamp, tz timestamptz, d date, tm time, tmz timetz, iv interval,
  u uuid, j json, jb jsonb,
  ia int[], ta text[], na numeric[], ba bool[], tza timestamptz[], fa float8[], ja jsonb[], bya bytea[], da date[],
  p point, bx box, cir circle, ip inet, net cidr, mac macaddr, bits bit(4), vb varbit, tsv tsvector, q tsquery,
  r int4range, mr int4multirange, tsr tstzrange, m mood, ma mood[], pr pair, pra pair[], pc percent, tg tags, l pg_lsn
);
CREATE TABLE whole (LIKE kinds);
ALTER TABLE whole REPLICA IDENTITY FULL;

CREATE TABLE large (id int PRIMARY KEY, small int, big text, big_bytes bytea);
CREATE TABLE large_whole (id int, small int, big text);
ALTER TABLE large_whole REPLICA IDENTITY FULL;
CREATE TABLE two_keys ("Key, one" int, "key ""two""" text, v int, PRIMARY KEY ("Key, one", "key ""two"""));
CREATE TABLE by_index (a int NOT NULL, b int, v text);
CREATE UNIQUE INDEX by_index_a ON by_index (a);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_a;
CREATE TABLE generated (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE parted (k int, id int, v text, PRIMARY KEY (k, id)) PARTITION BY LIST (k);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_rest (v text, id int NOT NULL, k int NOT NULL, PRIMARY KEY (k, id));
ALTER TABLE parted ATTACH PARTITION parted_rest DEFAULT;
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (id int PRIMARY KEY, parent int);
CREATE TABLE counters (id int PRIMARY KEY, n int);
