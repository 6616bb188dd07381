//! What happens in the source.

/// Follows from other changes, so the copy must not have it: the stream brings what comes of it.
pub(crate) const CONSEQUENCES: &str = "ALTER TABLE child ADD FOREIGN KEY (parent) REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE; \
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v := upper(NEW.v); RETURN NEW; END'; \
    CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION touch()";

/// One after the other.
pub(crate) const CHANGES: &[&str] = &[
    "INSERT INTO kinds (id) VALUES (1)",
    r#"INSERT INTO kinds VALUES (2, true, -32768, 2147483647, 9223372036854775807, 'NaN', '-Infinity', 'NaN', 1.10, 4294967295, 'x', 'a "name"',
       E'tab\t, quote ", apostrophe '', backslash \\, line\nend, \x01, schön 表 😀', 'ab', '', '\x00ff5c22',
       '4713-01-01 00:00:00 BC', 'infinity', '-infinity', '24:00:00', '23:59:59.999999+13:30', '1 year -2 mons 3 days -04:05:06.789',
       'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b" : 1,  "a": [1.10, null, "x\ny"], "b": 2}', '{"k": "\\ \" ü", "n": 12345678901234567890.123}',
       '{1,NULL,-3}', '{"a b","c,d","e\"f","g\\h","",NULL,"NULL","{}"}', '{1.10,NaN,NULL,1e-20}', '{t,f,NULL}', '{infinity,NULL,"2026-02-03 04:05:06.789+00"}',
       '{NaN,-0,1e300,Infinity}', ARRAY['{"a": [1]}', NULL, '7']::jsonb[], ARRAY['\x00', '\x5c22', NULL]::bytea[], '{2026-01-01,"0044-03-15 BC"}',
       '(1.5,-2)', '((0,0),(1,1))', '<(1,2),3>', '192.168.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', B'1010', B'', 'a:1A fat:2B,4C', 'fat & (rat | cat)',
       '[1,10)', '{[1,3),[5,7)}', '[2026-01-01 00:00:00+00,infinity)', 'so "happy", really', '{sad,"so \"happy\", really",NULL}',
       '(1,"x ""y"", z")', ARRAY['(1,a)', '(,)']::pair[], 99.50, '{a,b}', '16/B374D848')"#,
    r#"INSERT INTO kinds (id, i8, f4, f8, n, ia, ta, fa, tz, iv, c, j, jb) VALUES
       (3, -9007199254740993, 1e-40, 5e-324, 123456789012345678901234567890.12345, '[0:1]={7,8}', '{{a,b},{c,NULL}}', '{}', '1999-12-31 23:59:59.5+05', '0', '     ',
        '[]', '"text"'),
       (4, 9007199254740991, 3.4028235e38, 1.7976931348623157e308, 'Infinity', '{{1,2},{3,4}}', '{}', '{0.1,0.2}', 'epoch', '-1 mon', 'ü', '3.14', 'true'),
       (5, 0, 0.1, 0.1, 0.000, NULL, NULL, NULL, NULL, NULL, NULL, '{}', '{}')"#,
    "INSERT INTO whole SELECT * FROM kinds",
    "INSERT INTO whole SELECT * FROM kinds WHERE id < 3",
    "UPDATE kinds SET id = id + 100, t = t || '!' WHERE id < 4",
    "UPDATE kinds SET t = NULL, ta = '{new,NULL}', n = n * 2, b = NOT b",
    "UPDATE whole SET i4 = 5 WHERE id = 2",
    "DELETE FROM whole WHERE ctid IN (SELECT ctid FROM whole WHERE id = 1 LIMIT 1)",
    "INSERT INTO large SELECT i, i, (SELECT string_agg(md5((i * n)::text), '') FROM generate_series(1, 400) n), decode(repeat('00ff', 9000), 'hex') FROM generate_series(1, 5) i",
    "INSERT INTO large_whole SELECT id, small, big FROM large; INSERT INTO large_whole VALUES (NULL, NULL, NULL)",
    "UPDATE large SET small = small + 1",
    "UPDATE large SET id = id + 10, big_bytes = big_bytes || '\\x01' WHERE id < 3",
    "UPDATE large SET id = -id",
    "UPDATE large_whole SET small = small + 1",
    "UPDATE large_whole SET id = 7 WHERE id IS NULL",
    "DELETE FROM large_whole WHERE id = 2",
    r#"INSERT INTO two_keys VALUES (1, 'a', 1), (1, 'b "quoted"', 2), (2, '', 3)"#,
    r#"UPDATE two_keys SET "Key, one" = 9 WHERE v = 2; UPDATE two_keys SET "key ""two""" = 'z', v = 5 WHERE v = 1; DELETE FROM two_keys WHERE v = 3"#,
    "INSERT INTO by_index SELECT i, i, i::text FROM generate_series(1, 6) i; UPDATE by_index SET a = -a, b = 0 WHERE a < 3; DELETE FROM by_index WHERE a = 6",
    "INSERT INTO generated (id) SELECT generate_series(1, 5); UPDATE generated SET id = -id WHERE id > 3; DELETE FROM generated WHERE id = 1",
    "INSERT INTO parted SELECT i % 3, i, 'v' || i FROM generate_series(1, 30) i",
    "UPDATE parted SET k = (k + 1) % 3; DELETE FROM parted WHERE id % 5 = 0; TRUNCATE parted_1; INSERT INTO parted VALUES (1, 99, 'after')",
    "INSERT INTO parent SELECT i, 'v' || i FROM generate_series(1, 9) i; INSERT INTO child SELECT i, i % 9 + 1 FROM generate_series(1, 30) i",
    "DELETE FROM parent WHERE id < 4; UPDATE parent SET id = id + 100 WHERE id > 7",
    "BEGIN; TRUNCATE parent CASCADE; INSERT INTO parent VALUES (1, 'x'); SAVEPOINT s; INSERT INTO parent VALUES (2, 'y'); ROLLBACK TO s; INSERT INTO child VALUES (1, 1); COMMIT",
    "BEGIN; INSERT INTO counters SELECT i, 0 FROM generate_series(1, 3000) i; SAVEPOINT s; DELETE FROM counters; ROLLBACK TO s; UPDATE counters SET n = id WHERE id % 3 = 0; COMMIT",
    "BEGIN; UPDATE counters SET id = -id WHERE id < 500; PREPARE TRANSACTION 'replay'",
    "COMMIT PREPARED 'replay'",
    "BEGIN; ALTER TABLE counters ADD COLUMN later text DEFAULT 'set before'; ALTER TABLE counters DROP COLUMN later; DELETE FROM counters WHERE id > 2500; COMMIT",
];
