//! Someone who writes at random.

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;
use tokio_postgres::error::SqlState;

use crate::support::Database;

const TABLES: [&str; 5] = ["by_key", "by_index", "full_row", "child", "tree"];

pub(crate) struct Writer {
    database: Database,
    rng: StdRng,
    number: u64,
}

impl Writer {
    pub(crate) async fn connect(url: &str, rng: StdRng, number: u64) -> Result<Self> {
        let database = Database::connect(url).await?;
        database.run("SET lock_timeout = '2s'; SET deadlock_timeout = '100ms'").await?;
        Ok(Writer { database, rng, number })
    }

    /// One transaction, of whatever kind. That it fails, because of the others, is no failure.
    pub(crate) async fn transaction(&mut self) -> Result<()> {
        let mut sql = "BEGIN;".to_owned();
        for _ in 0..self.rng.random_range(1..6) {
            let statement = self.statement();
            sql += &match self.rng.random_range(0..8) {
                0 => format!("SAVEPOINT s; {statement}; ROLLBACK TO s;"),
                1 => format!("SAVEPOINT s; {statement}; RELEASE s;"),
                _ => format!("{statement};"),
            };
        }
        match self.rng.random_range(0..12) {
            0 => sql.push_str("ROLLBACK"),
            1 => sql += &format!("PREPARE TRANSACTION 'w{0}'; COMMIT PREPARED 'w{0}'", self.number),
            _ => sql.push_str("COMMIT"),
        }
        // Statement by statement: what is prepared cannot be committed in the same query.
        for part in sql.split_inclusive(';') {
            if let Err(error) = self.database.run(part).await {
                let code = error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code).cloned();
                let expected = [
                    SqlState::UNIQUE_VIOLATION,
                    SqlState::FOREIGN_KEY_VIOLATION,
                    SqlState::T_R_DEADLOCK_DETECTED,
                    SqlState::T_R_SERIALIZATION_FAILURE,
                    SqlState::LOCK_NOT_AVAILABLE,
                    SqlState::DUPLICATE_COLUMN,
                    SqlState::UNDEFINED_COLUMN,
                    SqlState::FEATURE_NOT_SUPPORTED,
                    // Another one has renamed the value first.
                    SqlState::INVALID_PARAMETER_VALUE,
                ];
                anyhow::ensure!(code.is_some_and(|code| expected.contains(&code)), "{part}: {error:?}");
                self.database.run("ROLLBACK").await?;
                return Ok(());
            }
        }
        Ok(())
    }

    fn statement(&mut self) -> String {
        let table = TABLES[self.rng.random_range(0..TABLES.len())];
        let (id, other) = (self.rng.random_range(1..60), self.rng.random_range(1..60));
        let rows = format!("SELECT (any_row(i, {})).*", if table == "child" { "(SELECT min(id) FROM by_key)" } else { "i" });
        let columns = "(id, code, a, n, f, m, d, j, r, b, arr, t, i, c, o, large)";
        match self.rng.random_range(0..100) {
            0..30 => format!("INSERT INTO {table} {columns} {rows} FROM generate_series({id}, {id} + 3) i ON CONFLICT DO NOTHING"),
            30..45 => format!("UPDATE {table} SET a = 'changed', n = {other}.10 WHERE id BETWEEN {id} AND {id} + 5"),
            45..50 => format!("UPDATE {table} SET large = repeat('x', 4000) WHERE id = {id}"),
            50..58 => format!("UPDATE {table} SET id = {other} WHERE id = {id}"),
            58..80 => format!("DELETE FROM {table} WHERE id BETWEEN {id} AND {id} + 3"),
            80..83 => format!("INSERT INTO {table} {columns} {rows} FROM generate_series(1000, 1400) i ON CONFLICT DO NOTHING"),
            83..86 => format!("DELETE FROM {table} WHERE id >= 1000"),
            86..89 => format!("TRUNCATE {table}{}", if table == "by_key" { " CASCADE" } else { "" }),
            89 => "TRUNCATE full_row, tree_high, by_index".to_owned(),
            90 => format!("ALTER TABLE {table} ADD COLUMN more int DEFAULT 5"),
            91 => format!("ALTER TABLE {table} DROP COLUMN more"),
            // Another value in every row, and nothing of it in the stream.
            92 => format!("ALTER TABLE {table} ALTER n TYPE numeric USING n + 1"),
            93 => "ALTER TABLE by_index REPLICA IDENTITY FULL".to_owned(),
            94 => "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code".to_owned(),
            95 => "ALTER TABLE tree DETACH PARTITION tree_high; ALTER TABLE tree ATTACH PARTITION tree_high FOR VALUES FROM (20) TO (1000000)".to_owned(),
            96 => format!("ANALYZE {table}"),
            97 if self.rng.random_ratio(1, 3) => "SELECT rename_mood()".to_owned(),
            _ => format!("INSERT INTO {table} {columns} {rows} FROM generate_series({id}, {id}) i ON CONFLICT DO NOTHING"),
        }
    }
}
