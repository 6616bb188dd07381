//! Scenarios: facts in, alerts out, on a clock of the test's own.

mod clearing;
mod drops;
mod files;
mod mail;
mod model;
mod storms;
mod watching;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::fact::{Relation, Slot, TableCount, Watch};
use super::{Alert, Bulletin, Engine, Links, Moment, Rules, State};

/// 2026-11-20 12:00 UTC, a Friday.
const NOON: i64 = 1_795_176_000_000_000;

/// The engine, and a clock in the test's hand.
struct Scene {
    engine: Engine,
    now: Moment,
    commits: u32,
}

/// A table as counts tell of it.
fn table(oid: u32, name: &'static str, count: impl Into<Option<i64>>) -> TableCount<'static> {
    TableCount {
        oid,
        schema: "public",
        name,
        relation: Relation::Table,
        parent: None,
        count: count.into(),
        reason: None,
        found_wrong: 0,
        has_rules: false,
    }
}

fn user(count: impl Into<Option<i64>>) -> TableCount<'static> {
    table(1, "User", count)
}

fn rules(text: &str) -> Rules {
    Rules::parse(text, |_| Some(TimeZone::UTC)).unwrap()
}

impl Scene {
    fn new(text: &str) -> Self {
        let now = Moment { instant: Instant::now(), unix: NOON };
        let links = Links { origin: "http://127.0.0.1:7777".to_owned() };
        Scene { engine: Engine::new(&rules(text), links, now), now, commits: 0 }
    }

    /// Live, with these tables counted.
    fn live(text: &str, tables: &[TableCount<'static>]) -> Self {
        let mut scene = Self::new(text);
        scene.epoch(1);
        scene.watch("live");
        scene.count(tables, true);
        scene
    }

    fn epoch(&mut self, number: u64) {
        self.engine.continues_in(&crate::lsn::Epoch::at_millis(number), self.now);
    }

    fn watch(&mut self, state: &str) {
        self.engine.watched(&Watch { state, live: state == "live", reason: None, slot: None }, self.now);
    }

    fn hold(&mut self, retained: u64, budget: Option<u64>) {
        let slot = Some(Slot { name: "pgvigil_1", retained, budget });
        self.engine.watched(&Watch { state: "live", live: true, reason: None, slot }, self.now);
    }

    fn count(&mut self, tables: &[TableCount<'static>], whole: bool) {
        self.engine.counted(tables.iter().copied(), &[], whole, self.now);
    }

    fn gone(&mut self, oid: u32) {
        self.engine.counted(std::iter::empty(), &[oid], false, self.now);
    }

    /// Alice deletes so many users, and so many are left. The log holds them whole.
    fn delete(&mut self, rows: u64, left: impl Into<Option<i64>>) {
        let left = left.into();
        self.take(rows, &json!({"op": "delete", "old_complete": true}));
        self.commit(&[
            json!({"oid": 1, "schema": "public", "name": "User", "inserts": 0, "deletes": rows, "truncates": 0, "count": left}),
        ]);
    }

    fn truncate(&mut self) {
        self.commit(&[
            json!({"oid": 1, "schema": "public", "name": "User", "inserts": 0, "deletes": 0, "truncates": 1, "count": 0}),
        ]);
    }

    /// So many events of users that go, of which this is told.
    fn take(&mut self, times: u64, how: &Value) {
        let mut taken = how.clone();
        taken["oid"] = json!(1);
        for _ in 0..times {
            self.engine.took(&serde_json::from_value(taken.clone()).unwrap());
        }
    }

    fn commit(&mut self, tables: &[Value]) {
        self.commit_by("alice", tables);
    }

    fn commit_by(&mut self, user: &str, tables: &[Value]) {
        self.commits += 1;
        let actor = json!({"session_user": user, "application_name": "psql", "query": "DELETE FROM x WHERE secret = 'value'"});
        let tx =
            json!({"id": format!("1-0-{}", self.commits), "xid": 700 + self.commits, "lsn": "0/1", "time": "t", "actor": actor});
        let commit = json!({"type": "commit", "tx": tx, "tables": tables});
        self.engine.committed(serde_json::from_value(commit).unwrap(), self.now);
    }

    /// So many seconds pass, each told, in this state.
    fn pass_as(&mut self, state: &str, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now.after(Duration::from_secs(1));
            self.watch(state);
            self.engine.passed(self.now);
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.pass_as("live", seconds);
    }

    fn bulletin(&mut self) -> Bulletin {
        self.engine.bulletin()
    }

    fn firing(&mut self) -> Vec<Arc<Alert>> {
        let mut firing: Vec<_> = self.bulletin().firing().cloned().collect();
        firing.sort_by(|a, b| a.rule.cmp(&b.rule));
        firing
    }

    /// The rules of which an alert fires.
    fn fires(&mut self) -> Vec<String> {
        self.firing().into_iter().map(|alert| alert.rule.clone()).collect()
    }

    /// The only alert that fires.
    fn alert(&mut self) -> Arc<Alert> {
        let firing = self.firing();
        assert_eq!(firing.len(), 1, "{firing:#?}");
        Arc::clone(&firing[0])
    }

    /// How many alerts were raised, ever.
    fn raised(&mut self) -> u64 {
        self.bulletin().fired.iter().map(|(_, _, fired)| fired).sum()
    }

    fn resolved(&mut self) -> usize {
        self.bulletin().alerts.iter().filter(|alert| alert.state == State::Resolved).count()
    }
}
