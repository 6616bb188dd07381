//! The watchman: holds what the pipeline publishes against the rules, and tells whoever is to be told.
//!
//! Floor 7, beside the server. A task of its own:
//!
//! ```text
//!  history ── a cursor, as every reader has ──▶ what removed rows, DDL, gaps ─────────┐
//!  Counts ── each behind the block that it belongs to, and only while live ───────────┼─▶ Engine ─┬─▶ Bulletin: stream, API, metrics
//!  Status ── once a second ───────────────────────────────────────────────────────────┘           ├─▶ log
//!                                                                                                 └─▶ Mailing ──▶ webhook::Post
//! ```
//!
//! Invariants: it holds nothing back, neither the pipeline (it has a cursor and nothing else) nor, by a webhook that hangs, itself. What
//! it could not look at, since it fell behind further than the history reaches, is itself an alert; what no webhook took by the end is logged.

mod facts;
mod look;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::alerts::{Alert, Bulletin, Engine, Links, Mailing, Moment, Place, Rules, State};
use crate::beat;
use crate::event::filter::{Filter, FilterError};
use crate::history::{History, Reader, Start};
use crate::lsn::Epoch;
use crate::pipeline::{self, Counts, Published};
use crate::webhook::{Post, SetupError};

/// Alerts are published this often at most.
const PUBLISH: Duration = Duration::from_millis(100);
/// How long webhooks may take at the end.
const PATIENCE: Duration = Duration::from_secs(3);

/// A watchman who has not begun.
pub struct Watchman {
    engine: Engine,
    mailing: Mailing,
    posts: Vec<Post>,
    /// The health of a webhook has changed.
    posted: Arc<Notify>,
    /// Which database is watched, for those outside.
    place: watch::Sender<Option<Place>>,
    published: Published,
    history: History,
    reader: Reader,
    filter: Arc<Filter>,
    /// The epoch that the engine knows.
    epoch: Option<Epoch>,
    /// The version of the counts that the engine knows.
    told: Option<u64>,
    /// Counts that are to be told once the reader has come as far.
    ahead: Option<Arc<Counts>>,
    bulletin: watch::Sender<Arc<Bulletin>>,
}

/// A watchman who cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum WatchmanError {
    /// A webhook that cannot be used.
    #[error(transparent)]
    Webhook(#[from] SetupError),
    /// What is to be read cannot be said.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl Watchman {
    /// Takes a place in the history. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When a webhook's address or secret cannot be had.
    pub fn new(rules: &Rules, links: Links, history: History, published: Published) -> Result<Self, WatchmanError> {
        let posted = Arc::new(Notify::new());
        let place = watch::Sender::default();
        let post = |webhook| Post::start(webhook, links.clone(), place.subscribe(), Arc::clone(&posted));
        let posts = rules.webhooks.iter().map(post).collect::<Result<_, _>>()?;
        let filter = history.intern(Filter::parse([("kinds", "change,commit,ddl"), ("op", "delete,truncate")])?);
        let now = now();
        let mut watchman = Self {
            engine: Engine::new(rules, links, now),
            mailing: Mailing::new(rules),
            posts,
            posted,
            place,
            published,
            reader: history.read_from(Start::Live),
            history,
            filter,
            epoch: None,
            told: None,
            ahead: None,
            bulletin: watch::Sender::default(),
        };
        watchman.publish(now);
        Ok(watchman)
    }

    /// The alerts, from now on.
    pub fn bulletin(&self) -> watch::Receiver<Arc<Bulletin>> {
        self.bulletin.subscribe()
    }

    /// Watches until cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut tick = beat::every(Duration::from_secs(1));
        let mut published = Instant::now();
        let mut counting = true;
        loop {
            self.look(now());
            // However much there is to look at, others run in between.
            tokio::task::consume_budget().await;
            let publish_at = (self.engine.revision() > self.bulletin.borrow().revision).then_some(published + PUBLISH);
            tokio::select! {
                () = cancel.cancelled() => return self.end().await,
                _ = tick.tick() => {
                    let now = now();
                    self.tell_status(now);
                    self.engine.passed(now);
                    self.forget();
                    // Quiet hours may have ended, and what a webhook has not been told for a while may be due.
                    self.mail(now);
                }
                () = self.reader.ready() => continue,
                // Once nobody counts any more, time still passes.
                changed = self.published.counts.changed(), if counting => {
                    counting = changed.is_ok();
                    continue;
                }
                () = self.posted.notified() => self.publish_health(),
                () = sleep_until(publish_at.unwrap_or_else(Instant::now).into()), if publish_at.is_some() => {
                    published = Instant::now();
                    self.publish(now());
                }
            }
            if self.engine.is_evaluating() != self.bulletin.borrow().evaluating {
                self.publish(now());
            }
        }
    }

    /// What is known by now is told, as far as that takes no long time.
    async fn end(mut self) {
        let now = now();
        self.look(now);
        self.publish(now);
        join_all(self.posts.into_iter().map(|post| post.close(PATIENCE))).await;
    }

    fn tell_status(&mut self, now: Moment) {
        let status = Arc::clone(&self.published.status.borrow());
        self.engine.watched(&facts::watch(&status, now.instant), now);
        let place = facts::place(&status);
        self.place.send_if_modified(|known| {
            let is_news = *known != place;
            *known = place;
            is_news
        });
    }

    fn is_live(&self, now: Moment) -> bool {
        self.published.status.borrow().state_at(now.instant) == pipeline::State::Live
    }

    /// What has left the history cannot be undone any more.
    fn forget(&mut self) {
        let history = &self.history;
        self.engine.forget(|transaction| transaction.id.parse().is_ok_and(|id| history.keeps(&id)));
    }

    fn publish(&mut self, now: Moment) {
        self.forget();
        for alert in self.engine.take_news() {
            log(&alert);
        }
        let webhooks = self.posts.iter().map(Post::health).collect();
        self.bulletin.send_replace(Arc::new(Bulletin { webhooks, ..self.engine.bulletin() }));
        self.mail(now);
    }

    fn publish_health(&self) {
        let webhooks = self.posts.iter().map(Post::health).collect();
        let before = Bulletin::clone(&self.bulletin.borrow());
        self.bulletin.send_replace(Arc::new(Bulletin { webhooks, ..before }));
    }

    fn mail(&mut self, now: Moment) {
        let bulletin = Arc::clone(&self.bulletin.borrow());
        for (webhook, alert) in self.mailing.due(&bulletin, now) {
            if let Some(post) = self.posts.get(webhook) {
                post.send(alert);
            }
        }
    }
}

/// The text of an alert holds no row's value.
fn log(alert: &Alert) {
    let Alert { id, rule, severity, state, text, .. } = alert;
    match state {
        State::Firing => tracing::warn!(id, rule, severity = severity.as_str(), "alert: {text}"),
        State::Resolved => tracing::info!(id, rule, severity = severity.as_str(), "resolved: {text}"),
    }
}

fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment { instant: Instant::now(), unix: i64::try_from(since.as_micros()).unwrap_or(i64::MAX) }
}
