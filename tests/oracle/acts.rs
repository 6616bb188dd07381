//! What the writers do: SQL, at random.

use rand::Rng;
use rand::rngs::StdRng;

/// Something that can be done.
pub(crate) struct Act {
    pub(crate) name: &'static str,
    /// How often, compared with others.
    pub(crate) weight: u32,
    /// The first major version that can do it.
    pub(crate) since: u32,
    pub(crate) whether: Whether,
    pub(crate) sql: fn(&mut StdRng) -> String,
}

/// Where it can be done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whether {
    /// In a transaction, among other things.
    Within,
    /// Only by itself.
    Alone,
}

use Whether::{Alone, Within};

macro_rules! acts {
    ($($name:literal $weight:literal $since:literal $whether:ident $sql:expr;)+) => {
        /// All that can be done.
        pub(crate) const ACTS: &[Act] = &[$(Act { name: $name, weight: $weight, since: $since, whether: $whether, sql: $sql }),+];
    };
}

acts! {
    "insert" 30 14 Within |rng| insert(rng, 8);
    "insert into a tree" 12 14 Within |rng| format!("INSERT INTO {}", one(rng, &["tree (k) SELECT i % 6 FROM generate_series(1, 12) i", "log (day) SELECT i % 30 FROM generate_series(1, 9) i"]));
    "insert one" 20 14 Within |rng| insert(rng, 1);
    "delete" 25 14 Within |rng| format!("DELETE FROM {} WHERE ctid IN (SELECT ctid FROM {0} LIMIT {})", writable(rng), rng.random_range(1..12));
    "delete from a tree" 8 14 Within |rng| format!("DELETE FROM {} WHERE id % 7 = {}", one(rng, &["tree", "log", "tree_2"]), rng.random_range(0..7));
    "cascade" 8 14 Within |rng| format!("DELETE FROM author WHERE id % 17 = {}", rng.random_range(0..17));
    "family" 10 14 Within |_| "WITH a AS (INSERT INTO author DEFAULT VALUES RETURNING id), b AS (INSERT INTO book (author) SELECT id FROM a RETURNING id) \
                               SELECT * FROM b".to_owned();
    "update" 15 14 Within |rng| format!("UPDATE plain SET n = n + 1 WHERE id % 13 = {}", rng.random_range(0..13));
    "update of a key" 5 14 Within |rng| format!("UPDATE kv SET k = -k WHERE k % 11 = {}", rng.random_range(0..11));
    "move between partitions" 10 14 Within |rng| format!("UPDATE tree SET k = {} WHERE id % 5 = {}", rng.random_range(0..6), rng.random_range(0..5));
    "move between leaves that come and go" 5 14 Within |rng| format!("UPDATE log SET day = (day + {}) % 30 WHERE id % 9 = 1", rng.random_range(1..30));
    "upsert" 12 14 Within |rng| format!("INSERT INTO kv SELECT i, 1 FROM generate_series({0}, {0} + 9) i ON CONFLICT (k) DO UPDATE SET v = kv.v + 1", rng.random_range(-50..90));
    "insert where there is none" 6 14 Within |rng| format!("INSERT INTO kv SELECT i, 1 FROM generate_series({0}, {0} + 9) i ON CONFLICT DO NOTHING", rng.random_range(-50..90));
    "merge" 8 15 Within |rng| format!("MERGE INTO kv USING generate_series({0}, {0} + 9) AS s (k) ON kv.k = s.k WHEN MATCHED AND s.k % 3 = 0 THEN DELETE \
                                       WHEN MATCHED THEN UPDATE SET v = kv.v + 1 WHEN NOT MATCHED THEN INSERT VALUES (s.k, 0)", rng.random_range(-50..90));
    "copy" 8 14 Within |rng| format!("COPY {} FROM PROGRAM 'seq 1 {}'", one(rng, &["plain (n)", "keyless (n)"]), rng.random_range(1..40));
    "large insert" 5 14 Within |rng| format!("INSERT INTO wide (v) SELECT repeat('x', 300) FROM generate_series(1, {})", rng.random_range(100..700));
    "large values" 3 14 Within |_| "INSERT INTO wide (v) SELECT string_agg(md5(i::text), '') FROM generate_series(1, 900) i".to_owned();
    "large delete" 4 14 Within |rng| format!("DELETE FROM wide WHERE id % 3 = {}", rng.random_range(0..3));
    "caught errors" 4 14 Within |rng| format!("DO $$ BEGIN FOR i IN 1..{} LOOP BEGIN INSERT INTO kv VALUES (i, 0); EXCEPTION WHEN unique_violation THEN \
                                               DELETE FROM kv WHERE k = i - 1; END; END LOOP; END $$", rng.random_range(5..90));
    "truncate" 6 14 Within |rng| format!("TRUNCATE {}", one(rng, &["plain", "keyless", "kv", "wide", "page", "animal", "ONLY animal", "dog", "\"Mixed Case\".\"Order \"\"Items\"\"\""]));
    "truncate of several" 3 14 Within |rng| format!("TRUNCATE {}", one(rng, &["plain, kv", "keyless, wide, tree_rest", "kv, dog"]));
    "truncate with cascade" 2 14 Within |rng| format!("TRUNCATE {} CASCADE", one(rng, &["author", "book"]));
    "truncate of a partition" 4 14 Within |rng| format!("TRUNCATE {}", one(rng, &["tree_0", "tree_2", "tree_2_odd", "log_0", "log_1", "tree_rest"]));
    "truncate of a tree" 2 14 Within |rng| format!("TRUNCATE {}", one(rng, &["tree", "log"]));
    "detach" 5 14 Within |rng| format!("ALTER TABLE log DETACH PARTITION log_{}", rng.random_range(0..3));
    "attach" 8 14 Within |rng| { let i = rng.random_range(0..3); format!("ALTER TABLE log ATTACH PARTITION log_{i} FOR VALUES FROM ({i}0) TO ({}0)", i + 1) };
    "add a column" 4 14 Within |rng| format!("ALTER TABLE {} ADD COLUMN IF NOT EXISTS extra int DEFAULT {}", fixed(rng), one(rng, &["7", "random() * 9"]));
    "drop a column" 3 14 Within |rng| format!("ALTER TABLE {} DROP COLUMN IF EXISTS extra", fixed(rng));
    "rewrite" 4 14 Within |rng| format!("ALTER TABLE {} ALTER n TYPE {}", one(rng, &["plain", "keyless"]), one(rng, &["bigint", "int", "numeric"]));
    "rename" 5 14 Within |rng| one(rng, &["ALTER TABLE IF EXISTS wanderer RENAME TO \"The Wanderer\"", "ALTER TABLE IF EXISTS \"The Wanderer\" RENAME TO wanderer"]).to_owned();
    "another schema" 4 14 Within |rng| one(rng, &["ALTER TABLE IF EXISTS wanderer SET SCHEMA \"Mixed Case\"", "ALTER TABLE IF EXISTS \"Mixed Case\".wanderer SET SCHEMA public"]).to_owned();
    "wander" 8 14 Within |rng| format!("INSERT INTO {} DEFAULT VALUES", one(rng, &["wanderer", "\"The Wanderer\"", "\"Mixed Case\".wanderer"]));
    "create" 6 14 Within |rng| format!("CREATE TABLE IF NOT EXISTS extra_{} (id bigserial PRIMARY KEY)", rng.random_range(0..5));
    "create from a query" 5 14 Within |rng| format!("CREATE TABLE IF NOT EXISTS extra_{} AS SELECT generate_series(1, 20) AS id", rng.random_range(0..5));
    "fill what was created" 12 14 Within |rng| format!("INSERT INTO extra_{} SELECT generate_series({1}, {1} + 5)", rng.random_range(0..5), rng.random_range(1..1_000_000));
    "drop" 4 14 Within |rng| format!("DROP TABLE IF EXISTS extra_{}", rng.random_range(0..5));
    "swap" 2 14 Within |rng| { let i = rng.random_range(0..4); format!("ALTER TABLE extra_{i} RENAME TO swap; ALTER TABLE extra_{} RENAME TO extra_{i}; ALTER TABLE swap RENAME TO extra_{0}", i + 1) };
    "unlogged" 3 14 Within |_| "ALTER TABLE flip SET UNLOGGED".to_owned();
    "logged" 4 14 Within |_| "ALTER TABLE flip SET LOGGED".to_owned();
    "flip" 10 14 Within |_| "INSERT INTO flip SELECT FROM generate_series(1, 3)".to_owned();
    "vacuum full" 3 14 Alone |rng| format!("VACUUM FULL {}", fixed(rng));
    "cluster" 2 14 Alone |_| "CLUSTER plain USING plain_pkey".to_owned();
    "analyze" 2 14 Alone |_| "VACUUM ANALYZE".to_owned();
    "detach concurrently" 2 14 Alone |rng| format!("ALTER TABLE log DETACH PARTITION log_{} CONCURRENTLY", rng.random_range(0..3));
}

fn one<'a>(rng: &mut StdRng, from: &[&'a str]) -> &'a str {
    from[rng.random_range(0..from.len())]
}

/// Tables that are always there, with columns that may be altered.
fn fixed(rng: &mut StdRng) -> &'static str {
    one(rng, &["plain", "keyless", "kv", "wide", "page", "tree", "animal", "log_1", "\"Mixed Case\".\"Order \"\"Items\"\"\""])
}

/// Tables whose rows may be deleted one by one.
fn writable(rng: &mut StdRng) -> &'static str {
    one(
        rng,
        &[
            "plain",
            "keyless",
            "kv",
            "wide",
            "page",
            "book",
            "ONLY animal",
            "dog",
            "tree_0",
            "log_2",
            "\"Mixed Case\".\"Order \"\"Items\"\"\"",
        ],
    )
}

fn insert(rng: &mut StdRng, rows: u32) -> String {
    let into = one(
        rng,
        &[
            "plain (n) SELECT i",
            "keyless (n) SELECT i",
            "wide (v) SELECT i::text",
            "author SELECT",
            "page SELECT",
            "animal SELECT",
            "dog SELECT",
            "tree_1 (k) SELECT 1",
            "log_0 (day) SELECT i % 10",
            "\"Mixed Case\".\"Order \"\"Items\"\"\" (n) SELECT i",
        ],
    );
    let into = into.replace("page SELECT", "page (book) SELECT NULL");
    let columns = if into.ends_with("SELECT") { into.replace(" SELECT", " SELECT nextval('author_id_seq')") } else { into };
    format!("INSERT INTO {columns} FROM generate_series(1, {rows}) i")
}
