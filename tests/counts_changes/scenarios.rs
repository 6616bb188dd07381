//! What can happen to the rows of a table, as far as SQL can say it. Each scenario has a schema of its own, which is in its search path.

/// Something that happens to tables.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The first major version that can do it.
    pub(crate) since: u32,
    /// What is there before pgvigil comes.
    pub(crate) before: &'static str,
    /// What happens then, one query at a time.
    pub(crate) steps: &'static [&'static str],
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "truncate",
        since: 14,
        before: "CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (b int REFERENCES b); \
                 INSERT INTO a SELECT generate_series(1, 10); INSERT INTO b SELECT generate_series(1, 5); INSERT INTO c SELECT id FROM b",
        steps: &[
            "TRUNCATE a",
            "INSERT INTO a SELECT generate_series(1, 3)",
            "BEGIN; INSERT INTO a VALUES (4); TRUNCATE a; INSERT INTO a VALUES (5), (6); COMMIT",
            "BEGIN; TRUNCATE a; ROLLBACK",
            "BEGIN; SAVEPOINT s; TRUNCATE a; INSERT INTO a VALUES (9); ROLLBACK TO s; INSERT INTO a VALUES (7); COMMIT",
            "BEGIN; TRUNCATE a; TRUNCATE a; INSERT INTO a VALUES (1); TRUNCATE a RESTART IDENTITY; INSERT INTO a DEFAULT VALUES; COMMIT",
            "TRUNCATE b CASCADE",
            "INSERT INTO b VALUES (1)",
            "TRUNCATE a, b, c",
            "INSERT INTO b VALUES (1); INSERT INTO c VALUES (1)",
        ],
    },
    Scenario {
        name: "truncate of partitions",
        since: 14,
        before: "CREATE TABLE root (k int, v text, PRIMARY KEY (k)) PARTITION BY RANGE (k); \
                 CREATE TABLE low PARTITION OF root FOR VALUES FROM (0) TO (10); \
                 CREATE TABLE high PARTITION OF root FOR VALUES FROM (10) TO (100) PARTITION BY RANGE (k); \
                 CREATE TABLE high_1 PARTITION OF high FOR VALUES FROM (10) TO (100); \
                 CREATE TABLE rest PARTITION OF root DEFAULT; INSERT INTO root SELECT generate_series(0, 120)",
        steps: &[
            "TRUNCATE low",
            "INSERT INTO root VALUES (1), (2), (110 + 20)",
            "TRUNCATE high",
            "INSERT INTO root VALUES (11), (12)",
            "BEGIN; TRUNCATE high_1; INSERT INTO high_1 VALUES (13); COMMIT",
            "TRUNCATE ONLY low",
            "TRUNCATE root",
            "INSERT INTO root SELECT generate_series(0, 40)",
        ],
    },
    Scenario {
        name: "rows move between partitions",
        since: 14,
        before: "CREATE TABLE root (k int, v int, PRIMARY KEY (k, v)) PARTITION BY LIST (k); \
                 CREATE TABLE one PARTITION OF root FOR VALUES IN (1); CREATE TABLE rest PARTITION OF root DEFAULT; \
                 INSERT INTO root SELECT i % 3, i FROM generate_series(1, 30) i",
        steps: &[
            "UPDATE root SET k = 1 WHERE k = 2",
            "UPDATE root SET k = k + 1",
            "BEGIN; UPDATE root SET k = 1; SAVEPOINT s; UPDATE root SET k = 7; ROLLBACK TO s; COMMIT",
            "INSERT INTO root VALUES (1, 1) ON CONFLICT (k, v) DO UPDATE SET v = -root.v",
        ],
    },
    Scenario {
        name: "attach and detach",
        since: 14,
        before: "CREATE TABLE root (k int PRIMARY KEY) PARTITION BY RANGE (k); CREATE TABLE p0 PARTITION OF root FOR VALUES FROM (0) TO (10); \
                 CREATE TABLE p1 (k int PRIMARY KEY); INSERT INTO p0 SELECT generate_series(0, 4); INSERT INTO p1 SELECT generate_series(10, 12)",
        steps: &[
            "ALTER TABLE root ATTACH PARTITION p1 FOR VALUES FROM (10) TO (20)",
            "INSERT INTO root VALUES (13), (5)",
            "ALTER TABLE root DETACH PARTITION p0",
            "INSERT INTO p0 VALUES (6), (7)",
            "BEGIN; ALTER TABLE root DETACH PARTITION p1; INSERT INTO p1 VALUES (14); \
             ALTER TABLE root ATTACH PARTITION p1 FOR VALUES FROM (10) TO (20); INSERT INTO root VALUES (15); COMMIT",
            "CREATE TABLE p2 PARTITION OF root FOR VALUES FROM (20) TO (30)",
            "INSERT INTO root VALUES (20), (21), (19)",
            "ALTER TABLE root DETACH PARTITION p1 CONCURRENTLY",
            "DROP TABLE p1",
            "ALTER TABLE root ATTACH PARTITION p0 FOR VALUES FROM (0) TO (20)",
        ],
    },
    Scenario {
        name: "inheritance",
        since: 14,
        before: "CREATE TABLE parent (id serial PRIMARY KEY); CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent); \
                 CREATE TABLE grandchild (note text) INHERITS (child); ALTER TABLE grandchild REPLICA IDENTITY FULL; \
                 INSERT INTO parent DEFAULT VALUES; INSERT INTO child VALUES (10), (11); INSERT INTO grandchild VALUES (20, 'a'), (21, 'b'), (22, 'c')",
        steps: &[
            "INSERT INTO parent DEFAULT VALUES",
            "DELETE FROM parent WHERE id IN (1, 10, 20)",
            "DELETE FROM ONLY parent",
            "ALTER TABLE grandchild NO INHERIT child",
            "INSERT INTO grandchild VALUES (23)",
            "TRUNCATE ONLY child",
            "ALTER TABLE grandchild INHERIT child",
            "INSERT INTO child VALUES (12)",
            "TRUNCATE parent",
        ],
    },
    Scenario {
        name: "sub-transactions",
        since: 14,
        before: "CREATE TABLE t (id serial PRIMARY KEY, v int)",
        steps: &[
            "BEGIN; INSERT INTO t (v) VALUES (1); SAVEPOINT a; INSERT INTO t (v) VALUES (2); SAVEPOINT b; INSERT INTO t (v) VALUES (3); \
             ROLLBACK TO b; INSERT INTO t (v) VALUES (4); RELEASE a; SAVEPOINT c; DELETE FROM t; ROLLBACK TO c; COMMIT",
            "DO $$ BEGIN FOR i IN 1..200 LOOP BEGIN INSERT INTO t (id, v) VALUES (1000 + i / 2, i); \
             EXCEPTION WHEN unique_violation THEN NULL; END; END LOOP; END $$",
            "BEGIN; SAVEPOINT a; SAVEPOINT b; SAVEPOINT c; INSERT INTO t (v) VALUES (1); RELEASE a; ROLLBACK",
            "BEGIN; INSERT INTO t (v) VALUES (1); SAVEPOINT a; INSERT INTO t (v) VALUES (2); RELEASE a; SAVEPOINT a; \
             INSERT INTO t (v) VALUES (2); ROLLBACK TO a; INSERT INTO t (v) VALUES (3); ROLLBACK TO a; COMMIT",
        ],
    },
    Scenario {
        name: "large transactions",
        since: 14,
        before: "CREATE TABLE t (id serial PRIMARY KEY, v text); CREATE TABLE u (LIKE t INCLUDING ALL)",
        steps: &[
            "INSERT INTO t (v) SELECT repeat('x', 200) FROM generate_series(1, 3000)",
            "BEGIN; INSERT INTO t (v) SELECT repeat('y', 200) FROM generate_series(1, 1000); SAVEPOINT a; \
             INSERT INTO t (v) SELECT repeat('z', 200) FROM generate_series(1, 1000); ROLLBACK TO a; \
             INSERT INTO u (v) SELECT repeat('z', 200) FROM generate_series(1, 1000); COMMIT",
            "BEGIN; SAVEPOINT a; INSERT INTO u (v) SELECT repeat('y', 200) FROM generate_series(1, 1000); SAVEPOINT b; \
             DELETE FROM t; SAVEPOINT c; TRUNCATE u; INSERT INTO u (v) SELECT repeat('y', 200) FROM generate_series(1, 700); \
             ROLLBACK TO b; UPDATE t SET v = v || 'a' WHERE id % 2 = 0; RELEASE a; COMMIT",
            "BEGIN; DELETE FROM t; SAVEPOINT a; ALTER TABLE t ADD COLUMN w int; INSERT INTO t (v, w) SELECT repeat('y', 200), i \
             FROM generate_series(1, 1000) i; ROLLBACK TO a; INSERT INTO t (v) SELECT repeat('y', 200) FROM generate_series(1, 900); COMMIT",
            "BEGIN; INSERT INTO t (v) SELECT repeat('y', 200) FROM generate_series(1, 1000); ROLLBACK",
            "BEGIN; INSERT INTO t (v) SELECT repeat('y', 200) FROM generate_series(1, 1000); TRUNCATE t; INSERT INTO t (v) VALUES ('a'); COMMIT",
        ],
    },
    Scenario {
        name: "prepared transactions",
        since: 14,
        before: "CREATE TABLE t (id serial PRIMARY KEY, v text)",
        steps: &[
            "BEGIN; INSERT INTO t (v) VALUES ('a'), ('b'); PREPARE TRANSACTION 'one'",
            "INSERT INTO t (v) VALUES ('between')",
            "COMMIT PREPARED 'one'",
            "BEGIN; DELETE FROM t; PREPARE TRANSACTION 'two'",
            "ROLLBACK PREPARED 'two'",
            "BEGIN; SAVEPOINT a; INSERT INTO t (v) SELECT repeat('x', 200) FROM generate_series(1, 1000); ROLLBACK TO a; \
             INSERT INTO t (v) SELECT repeat('x', 200) FROM generate_series(1, 1000); PREPARE TRANSACTION 'three'",
            "COMMIT PREPARED 'three'",
            "BEGIN; TRUNCATE t; INSERT INTO t (v) VALUES ('z'); PREPARE TRANSACTION 'four'",
            "COMMIT PREPARED 'four'",
        ],
    },
    Scenario {
        name: "tables made from queries and files",
        since: 14,
        before: "CREATE TABLE t (id int PRIMARY KEY)",
        steps: &[
            "CREATE TABLE made AS SELECT generate_series(1, 100) AS id",
            "SELECT * INTO selected FROM made WHERE id < 10",
            "INSERT INTO made VALUES (0)",
            "COPY t FROM PROGRAM 'seq 1 50'",
            "BEGIN; CREATE TABLE frozen (id int); COPY frozen FROM PROGRAM 'seq 1 70' WITH (FREEZE); COMMIT",
            "BEGIN; TRUNCATE t; COPY t FROM PROGRAM 'seq 1 20' WITH (FREEZE); COMMIT",
            "BEGIN; CREATE TABLE never AS SELECT 1; ROLLBACK",
            "CREATE TABLE none AS SELECT * FROM made WITH NO DATA",
            "BEGIN; CREATE TABLE a AS SELECT 1 AS x; ALTER TABLE a ADD COLUMN y int; INSERT INTO a VALUES (2, 3); ALTER TABLE a RENAME TO b; \
             INSERT INTO b VALUES (3, 4); COMMIT",
        ],
    },
    Scenario {
        name: "rewrites",
        since: 14,
        before: "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, i FROM generate_series(1, 50) i; \
                 CREATE TABLE lobs (id int PRIMARY KEY, v text); ALTER TABLE lobs ALTER v SET STORAGE EXTERNAL; \
                 INSERT INTO lobs SELECT i, repeat('x', 9000) FROM generate_series(1, 5) i",
        steps: &[
            "ALTER TABLE t ALTER COLUMN v TYPE bigint",
            "BEGIN; INSERT INTO t VALUES (51, 1); ALTER TABLE t ALTER COLUMN v TYPE text; DELETE FROM t WHERE id < 10; COMMIT",
            "VACUUM FULL t",
            "CLUSTER t USING t_pkey",
            "INSERT INTO t VALUES (1, 'x')",
            "ALTER TABLE t ADD COLUMN r float DEFAULT random()",
            "ALTER TABLE t DROP COLUMN v",
            "DELETE FROM t WHERE id % 2 = 0",
            "UPDATE lobs SET id = id + 100",
            "BEGIN; UPDATE lobs SET v = repeat('y', 9000) WHERE id = 101; ALTER TABLE lobs ALTER id TYPE bigint; DELETE FROM lobs WHERE id = 102; COMMIT",
            "VACUUM FULL lobs",
        ],
    },
    Scenario {
        name: "new names",
        since: 14,
        before: "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); CREATE SCHEMA \"Other Schema\"; \
                 INSERT INTO t VALUES (1), (2); INSERT INTO u VALUES (1), (2), (3)",
        steps: &[
            "ALTER TABLE t RENAME TO \"T\"",
            "INSERT INTO \"T\" VALUES (3)",
            "BEGIN; ALTER TABLE \"T\" RENAME TO x; ALTER TABLE u RENAME TO \"T\"; ALTER TABLE x RENAME TO u; COMMIT",
            "INSERT INTO u VALUES (4), (5)",
            "ALTER TABLE u SET SCHEMA \"Other Schema\"",
            "INSERT INTO \"Other Schema\".u VALUES (6)",
            "CREATE TABLE u (id int PRIMARY KEY)",
            "INSERT INTO u VALUES (1)",
            "BEGIN; DROP TABLE u; CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (1), (2); COMMIT",
            "ALTER SCHEMA \"Other Schema\" RENAME TO \"Still Another\"",
            "INSERT INTO \"Still Another\".u VALUES (7)",
            "DROP SCHEMA \"Still Another\" CASCADE",
        ],
    },
    Scenario {
        name: "columns",
        since: 14,
        before: "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE bare (); ALTER TABLE bare REPLICA IDENTITY FULL; \
                 CREATE TABLE stripped (a int); ALTER TABLE stripped REPLICA IDENTITY FULL; INSERT INTO stripped VALUES (1), (NULL)",
        steps: &[
            "BEGIN; INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN a int; INSERT INTO t VALUES (2, 3); SAVEPOINT s; \
             ALTER TABLE t DROP COLUMN a, ADD COLUMN b text; INSERT INTO t VALUES (3, 'x'); ROLLBACK TO s; INSERT INTO t VALUES (4, 4); COMMIT",
            "INSERT INTO bare DEFAULT VALUES",
            "INSERT INTO bare SELECT FROM generate_series(1, 9)",
            "DELETE FROM stripped WHERE a IS NULL",
            "ALTER TABLE stripped DROP COLUMN a",
            "INSERT INTO stripped DEFAULT VALUES",
            "DELETE FROM stripped",
            "DELETE FROM bare",
            "INSERT INTO bare DEFAULT VALUES",
        ],
    },
    Scenario {
        name: "upserts",
        since: 14,
        before: "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 10) i",
        steps: &[
            "INSERT INTO t SELECT i, 1 FROM generate_series(5, 15) i ON CONFLICT (id) DO UPDATE SET v = excluded.v",
            "INSERT INTO t SELECT i, 1 FROM generate_series(5, 25) i ON CONFLICT DO NOTHING",
            "WITH gone AS (DELETE FROM t WHERE id > 20 RETURNING id) INSERT INTO t SELECT id + 100, 1 FROM gone",
            "UPDATE t SET id = -id",
        ],
    },
    Scenario {
        name: "merge",
        since: 15,
        before: "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 10) i",
        steps: &["MERGE INTO t USING generate_series(6, 14) AS s (id) ON t.id = s.id WHEN MATCHED AND s.id % 2 = 0 THEN DELETE \
             WHEN MATCHED THEN UPDATE SET v = 1 WHEN NOT MATCHED THEN INSERT VALUES (s.id, 2)"],
    },
    Scenario {
        name: "foreign keys and triggers",
        since: 14,
        before: "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE); \
                 CREATE TABLE c (id int PRIMARY KEY, b int REFERENCES b ON DELETE SET NULL); CREATE TABLE log (what text); \
                 CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (tg_op); RETURN NULL; END'; \
                 CREATE TRIGGER note AFTER DELETE ON b FOR EACH ROW EXECUTE FUNCTION note(); \
                 INSERT INTO a SELECT generate_series(1, 5); INSERT INTO b SELECT i, i % 5 + 1 FROM generate_series(1, 20) i; \
                 INSERT INTO c SELECT i, i % 20 + 1 FROM generate_series(1, 40) i",
        steps: &[
            "DELETE FROM a WHERE id < 3",
            "UPDATE a SET id = id + 10",
            "BEGIN; DELETE FROM a; SAVEPOINT s; DELETE FROM c; ROLLBACK TO s; COMMIT",
        ],
    },
    Scenario {
        name: "names that need quotes",
        since: 14,
        before: "CREATE TABLE \"Mixed \"\"Case\"\"\" (\"Id\" int PRIMARY KEY); CREATE TABLE \"schöne.Namen 表\" (id int PRIMARY KEY); \
                 CREATE TABLE \"select\" (id int PRIMARY KEY); CREATE TABLE \"\\back'slash\" (id int PRIMARY KEY)",
        steps: &[
            "INSERT INTO \"Mixed \"\"Case\"\"\" VALUES (1), (2)",
            "INSERT INTO \"schöne.Namen 表\" VALUES (1)",
            "INSERT INTO \"select\" VALUES (1); DELETE FROM \"select\"; INSERT INTO \"select\" VALUES (1)",
            "INSERT INTO \"\\back'slash\" VALUES (1); TRUNCATE \"\\back'slash\"; INSERT INTO \"\\back'slash\" VALUES (1)",
        ],
    },
    Scenario {
        name: "replica identities",
        since: 14,
        before: "CREATE TABLE whole (a int, b text); ALTER TABLE whole REPLICA IDENTITY FULL; \
                 CREATE TABLE indexed (a int NOT NULL, b text); CREATE UNIQUE INDEX indexed_a ON indexed (a); \
                 ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_a; CREATE TABLE keyless (a int); \
                 INSERT INTO whole SELECT i, repeat('x', 9000) FROM generate_series(1, 9) i; INSERT INTO whole VALUES (NULL, NULL), (NULL, NULL)",
        steps: &[
            "UPDATE whole SET a = a + 1",
            "DELETE FROM whole WHERE a IS NULL",
            "INSERT INTO indexed SELECT i, i FROM generate_series(1, 9) i",
            "UPDATE indexed SET a = -a; DELETE FROM indexed WHERE a < -5",
            "INSERT INTO keyless VALUES (1), (2)",
            "TRUNCATE keyless",
            "ALTER TABLE keyless REPLICA IDENTITY FULL",
            "INSERT INTO keyless VALUES (1), (1)",
            "DELETE FROM keyless",
        ],
    },
    Scenario {
        name: "generated columns",
        since: 14,
        before: "CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, \"identity\" int GENERATED ALWAYS AS IDENTITY)",
        steps: &["INSERT INTO t (id) SELECT generate_series(1, 9)", "UPDATE t SET id = -id; DELETE FROM t WHERE id < -6"],
    },
    Scenario {
        name: "virtual columns",
        since: 18,
        before: "CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL)",
        steps: &["INSERT INTO t (id) SELECT generate_series(1, 9)", "UPDATE t SET id = -id; DELETE FROM t WHERE id < -6"],
    },
    Scenario {
        name: "nothing at all",
        since: 14,
        before: "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)",
        steps: &[
            "DELETE FROM t WHERE id = 7",
            "BEGIN; INSERT INTO t VALUES (2); DELETE FROM t WHERE id = 2; COMMIT",
            "SELECT pg_logical_emit_message(true, 'pgvigil.ddl', 'nonsense'), pg_logical_emit_message(false, 'x', 'y')",
            "SELECT pg_logical_emit_message(true, 'pgvigil.ddl', json_build_object('event', 'dropped', 'command', 'DROP TABLE', 'table', \
             json_build_object('oid', 't'::regclass::oid::int8, 'schema', 'x', 'name', 't'))::text)",
            "INSERT INTO t VALUES (3)",
            "SELECT pg_logical_emit_message(true, 'pgvigil.ddl', json_build_object('event', 'altered', 'command', 'ALTER TABLE', 'table', \
             json_build_object('oid', 't'::regclass::oid::int8, 'schema', 'x', 'name', 't', 'kind', 'r', 'persistence', 'u'))::text)",
            "INSERT INTO t VALUES (4)",
        ],
    },
    Scenario {
        name: "a life in one transaction",
        since: 14,
        before: "CREATE TABLE stays (id int PRIMARY KEY)",
        steps: &[
            "BEGIN; CREATE TABLE short (id int PRIMARY KEY); INSERT INTO short SELECT generate_series(1, 9); DROP TABLE short; INSERT INTO stays VALUES (1); COMMIT",
            "CREATE TABLE brief (id int PRIMARY KEY); INSERT INTO brief SELECT generate_series(1, 9)",
            "DROP TABLE brief",
            "CREATE TABLE brief (id int PRIMARY KEY)",
            "BEGIN; ALTER TABLE brief DISABLE TRIGGER ALL; INSERT INTO brief SELECT generate_series(1, 9); ALTER TABLE brief ENABLE TRIGGER ALL; COMMIT",
            "CREATE TEMPORARY TABLE passing (id int); INSERT INTO passing VALUES (1)",
            "CREATE TEMPORARY TABLE brief (id int); INSERT INTO brief VALUES (1); DROP TABLE brief",
            "INSERT INTO brief VALUES (99)",
        ],
    },
];
