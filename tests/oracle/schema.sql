-- What the writers of the oracle write to.
CREATE TABLE plain (id bigserial PRIMARY KEY, n int, v text);
CREATE TABLE keyless (n int, v text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
CREATE SCHEMA "Mixed Case";
CREATE TABLE "Mixed Case"."Order ""Items""" ("Id" bigserial PRIMARY KEY, n int);
CREATE TABLE kv (k int PRIMARY KEY, v int);
CREATE TABLE wide (id bigserial PRIMARY KEY, v text);
CREATE TABLE flip (id bigserial PRIMARY KEY);
CREATE TABLE wanderer (id bigserial PRIMARY KEY);

CREATE TABLE author (id bigserial PRIMARY KEY);
CREATE TABLE book (id bigserial PRIMARY KEY, author bigint NOT NULL REFERENCES author ON DELETE CASCADE);
CREATE INDEX ON book (author);
CREATE TABLE page (id bigserial PRIMARY KEY, book bigint REFERENCES book ON DELETE CASCADE);
CREATE INDEX ON page (book);

CREATE TABLE animal (id bigserial PRIMARY KEY);
CREATE TABLE dog (PRIMARY KEY (id), breed text) INHERITS (animal);

-- A tree that stays as it is.
CREATE TABLE tree (k int, id bigserial, PRIMARY KEY (k, id)) PARTITION BY LIST (k);
CREATE TABLE tree_0 PARTITION OF tree FOR VALUES IN (0);
CREATE TABLE tree_1 PARTITION OF tree FOR VALUES IN (1);
CREATE TABLE tree_2 PARTITION OF tree FOR VALUES IN (2) PARTITION BY HASH (id);
CREATE TABLE tree_2_even PARTITION OF tree_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE tree_2_odd PARTITION OF tree_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE tree_rest PARTITION OF tree DEFAULT;

-- A tree whose leaves come and go.
CREATE TABLE log (day int, id bigserial, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE log_0 PARTITION OF log FOR VALUES FROM (0) TO (10);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (10) TO (20);
CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (20) TO (30);

INSERT INTO plain (n) SELECT generate_series(1, 200);
INSERT INTO author SELECT FROM generate_series(1, 50);
INSERT INTO book (author) SELECT id FROM author, generate_series(1, 3);
INSERT INTO page (book) SELECT id FROM book, generate_series(1, 3);
INSERT INTO tree (k) SELECT i % 5 FROM generate_series(1, 100) i;
INSERT INTO kv SELECT i, 0 FROM generate_series(1, 50) i;
