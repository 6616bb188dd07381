//! One of the writers: transaction after transaction, with savepoints in savepoints, rolled back or not, prepared or not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::error::SqlState;

use crate::acts::{ACTS, Act, Whether};
use crate::support::Database;

/// How often what was done, and how often it could not be.
pub(crate) type Tally = Arc<Mutex<BTreeMap<&'static str, (u64, u64)>>>;

/// Locks are not waited for long: the writers are in each other's way all the time.
const SETTINGS: &str =
    "SET lock_timeout = '200ms'; SET deadlock_timeout = '50ms'; SET statement_timeout = '10s'; SET client_min_messages = error";

pub(crate) struct Writer {
    number: u64,
    rng: StdRng,
    database: Database,
    tally: Tally,
    acts: Vec<&'static Act>,
    prepared: Option<String>,
    transactions: u64,
}

/// What a statement came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Yes,
    No,
}

impl Writer {
    pub(crate) async fn new(number: u64, seed: u64, url: &str, major: u32, tally: Tally) -> Result<Self> {
        let database = Database::connect(url).await?;
        database.run(SETTINGS).await?;
        let possible = |act: &&Act| act.since <= major;
        Ok(Writer {
            number,
            rng: StdRng::seed_from_u64(seed ^ number),
            database,
            tally,
            acts: ACTS.iter().filter(possible).collect(),
            prepared: None,
            transactions: 0,
        })
    }

    /// Runs one transaction.
    pub(crate) async fn transaction(&mut self) -> Result<()> {
        self.transactions += 1;
        if self.rng.random_ratio(1, 2) {
            self.finish_prepared().await?;
        }
        if self.rng.random_ratio(1, 12) {
            let act = self.choose(|act| act.whether == Whether::Alone);
            self.act(act).await?;
            return Ok(());
        }
        self.run("BEGIN").await?;
        let open = self.within(0).await? == Done::Yes;
        let (end, name) = match self.rng.random_range(0..20) {
            _ if !open => ("ROLLBACK".to_owned(), "failed transaction"),
            0..3 => ("ROLLBACK".to_owned(), "rollback"),
            3..6 if self.prepared.is_none() => {
                let gid = format!("writer {} transaction {}", self.number, self.transactions);
                let sql = format!("PREPARE TRANSACTION '{gid}'");
                self.prepared = Some(gid);
                (sql, "prepare")
            }
            _ => ("COMMIT".to_owned(), "commit"),
        };
        let done = self.run(&end).await?;
        self.count(name, done);
        if done == Done::No {
            self.prepared = None;
        }
        Ok(())
    }

    /// Ends what is prepared, in one way or the other.
    pub(crate) async fn finish_prepared(&mut self) -> Result<()> {
        if let Some(gid) = self.prepared.take() {
            let how = if self.rng.random_ratio(2, 3) { "COMMIT" } else { "ROLLBACK" };
            let done = self.run(&format!("{how} PREPARED '{gid}'")).await?;
            self.count(if how == "COMMIT" { "commit prepared" } else { "rollback prepared" }, done);
        }
        Ok(())
    }

    /// Some acts in a row, some of them in savepoints. `No` when the transaction is broken.
    async fn within(&mut self, depth: u32) -> Result<Done> {
        for _ in 0..self.rng.random_range(1..5) {
            if depth < 4 && self.rng.random_ratio(1, 3) {
                self.run(&format!("SAVEPOINT s{depth}")).await?;
                let done = Box::pin(self.within(depth + 1)).await?;
                let roll_back = done == Done::No || self.rng.random_ratio(1, 3);
                self.run(&format!("{} SAVEPOINT s{depth}", if roll_back { "ROLLBACK TO" } else { "RELEASE" })).await?;
                self.count(if roll_back { "rollback to savepoint" } else { "release" }, Done::Yes);
            } else {
                let act = self.choose(|act| act.whether != Whether::Alone);
                if self.act(act).await? == Done::No {
                    return Ok(Done::No);
                }
            }
        }
        Ok(Done::Yes)
    }

    fn choose(&mut self, fits: impl Fn(&Act) -> bool) -> &'static Act {
        let acts = self.acts.iter().filter(|act| fits(act));
        let mut ticket = self.rng.random_range(0..acts.clone().map(|act| act.weight).sum());
        let drawn = acts.into_iter().find(|act| {
            let here = ticket < act.weight;
            ticket = ticket.saturating_sub(act.weight);
            here
        });
        drawn.expect("the weights add up")
    }

    async fn act(&mut self, act: &'static Act) -> Result<Done> {
        let sql = (act.sql)(&mut self.rng);
        let done = self.run(&sql).await?;
        self.count(act.name, done);
        Ok(done)
    }

    /// Runs a statement. That the server refuses it is part of the game; that the connection is lost, or the SQL wrong, is not.
    async fn run(&mut self, sql: &str) -> Result<Done> {
        match self.database.client().batch_execute(sql).await {
            Ok(()) => Ok(Done::Yes),
            Err(error) => match error.code() {
                None | Some(&SqlState::SYNTAX_ERROR) => Err(error).with_context(|| sql.to_owned()),
                Some(_) => Ok(Done::No),
            },
        }
    }

    fn count(&self, name: &'static str, done: Done) {
        let mut tally = self.tally.lock().unwrap();
        let (yes, no) = tally.entry(name).or_default();
        *(if done == Done::Yes { yes } else { no }) += 1;
    }
}
