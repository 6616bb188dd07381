-- Tables of one kind of row, named in different ways, and one that records what every old row was, as the database itself saw it.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN amount AS numeric CHECK (VALUE > -1e30);
CREATE TABLE sample (
  id int, code int, a text, n numeric, f float8, m mood, d amount, j jsonb, r json, b bytea, arr text[], t timestamptz, i interval,
  c char(5), o bool, large text);
ALTER TABLE sample ALTER large SET STORAGE EXTERNAL;

CREATE TABLE by_key (LIKE sample INCLUDING ALL, PRIMARY KEY (id));
CREATE TABLE by_index (LIKE sample INCLUDING ALL);
ALTER TABLE by_index ALTER code SET NOT NULL, ALTER id SET NOT NULL;
CREATE UNIQUE INDEX by_index_code ON by_index (code, id);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code;
CREATE TABLE full_row (LIKE sample INCLUDING ALL, PRIMARY KEY (id));
ALTER TABLE full_row REPLICA IDENTITY FULL;
CREATE TABLE child (LIKE sample INCLUDING ALL, PRIMARY KEY (id), FOREIGN KEY (code) REFERENCES by_key ON DELETE CASCADE);
CREATE TABLE tree (LIKE sample INCLUDING ALL, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE tree_low PARTITION OF tree FOR VALUES FROM (0) TO (20);
CREATE TABLE tree_high PARTITION OF tree FOR VALUES FROM (20) TO (1000000);
ALTER TABLE tree_low ALTER large SET STORAGE EXTERNAL;
ALTER TABLE tree_high ALTER large SET STORAGE EXTERNAL;

CREATE TABLE truth (place text, op text, LIKE sample);

CREATE FUNCTION tell_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO truth
  SELECT TG_TABLE_NAME, lower(TG_OP), OLD.id, OLD.code, OLD.a, OLD.n, OLD.f, OLD.m, OLD.d, OLD.j, OLD.r, OLD.b, OLD.arr, OLD.t, OLD.i, OLD.c,
         OLD.o, OLD.large;
  RETURN NULL;
END $$;
CREATE FUNCTION tell_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO truth SELECT %L, ''truncate'', id, code, a, n, f, m, d, j, r, b, arr, t, i, c, o, large FROM ONLY %I',
                 TG_TABLE_NAME, TG_TABLE_NAME);
  RETURN NULL;
END $$;
DO $$
DECLARE place text;
BEGIN
  FOREACH place IN ARRAY ARRAY['by_key', 'by_index', 'full_row', 'child', 'tree'] LOOP
    EXECUTE format('CREATE TRIGGER tell_row AFTER UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION tell_row()', place);
  END LOOP;
  FOREACH place IN ARRAY ARRAY['by_key', 'by_index', 'full_row', 'child', 'tree_low', 'tree_high'] LOOP
    EXECUTE format('CREATE TRIGGER tell_all BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION tell_all()', place);
  END LOOP;
END $$;

-- Another text in every row that has it, and nothing of it in the stream.
CREATE FUNCTION rename_mood() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- Of these the log itself may tell all old rows, in the text from before where they were written before: truth would have the other.
  LOCK TABLE full_row, by_index IN EXCLUSIVE MODE;
  EXECUTE format('ALTER TYPE mood RENAME VALUE %L TO %L', (enum_range(NULL::mood))[1 + floor(random() * 3)::int], md5(random()::text));
END $$;

-- A row of any values, some of which have a text that few would guess.
CREATE FUNCTION any_row(id int, code int) RETURNS sample LANGUAGE sql VOLATILE AS $$
  SELECT id, code, (ARRAY['', 'plain', E'tab\there\nline \\N \\', 'Größe', NULL])[1 + floor(random() * 5)::int],
         (ARRAY['NaN', '1.50', '-0.000000000000000000017', '12345678901234567890', NULL])[1 + floor(random() * 5)::int]::numeric,
         (ARRAY['Infinity', '0.1', '-0', '1e300', NULL])[1 + floor(random() * 5)::int]::float8,
         (enum_range(NULL::mood))[1 + floor(random() * 4)::int],
         (random() * 1000)::numeric(10, 3),
         (ARRAY['null', '{"a": [1, null]}', '"text"', NULL])[1 + floor(random() * 4)::int]::jsonb,
         (ARRAY['null', E'{\n "a": 1}', '{"a":1,"a":2}', NULL])[1 + floor(random() * 4)::int]::json,
         decode(md5(random()::text), 'hex'), (ARRAY['{}', '{a,NULL,"b c"}', '[2:3]={x,y}', NULL])[1 + floor(random() * 4)::int]::text[],
         (ARRAY['infinity', '0044-03-15 12:00:00 BC', '2026-11-22 14:02:11.204113+05:30', NULL])[1 + floor(random() * 4)::int]::timestamptz,
         (ARRAY['1 year 2 mons -3 days 04:05:06.7', '0', NULL])[1 + floor(random() * 3)::int]::interval,
         (ARRAY['ab', '', NULL])[1 + floor(random() * 3)::int]::char(5), (ARRAY[true, false, NULL])[1 + floor(random() * 3)::int],
         CASE WHEN random() < 0.3 THEN repeat(md5(random()::text), 100) WHEN random() < 0.5 THEN 'short' END $$;

INSERT INTO by_key SELECT (any_row(i, i)).* FROM generate_series(1, 60) i;
INSERT INTO by_index SELECT (any_row(i, i)).* FROM generate_series(1, 40) i;
INSERT INTO full_row SELECT (any_row(i, i)).* FROM generate_series(1, 40) i;
INSERT INTO child SELECT (any_row(i, i)).* FROM generate_series(1, 40) i;
INSERT INTO tree SELECT (any_row(i, i)).* FROM generate_series(1, 40) i;
CREATE PUBLICATION pgvigil FOR ALL TABLES;
