//! The task of one webhook: takes alerts, and sends each until it is taken or given up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::address::{Address, SetupError};
use super::error::SendError;
use super::message;
use super::queue::Queue;
use super::request::{Message, Sender};
use crate::alerts::{Alert, Health, LastFailure, Links, Place, Webhook};
use crate::event::time::rfc3339_unix;
use crate::replication::Backoff;

/// A message that nobody takes is given up after this time.
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);
/// No answer makes us wait longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One webhook's queue. Its task ends when this is dropped.
#[derive(Debug)]
pub struct Post {
    shared: Arc<Shared>,
    /// Nothing more will come.
    closing: CancellationToken,
    task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something was put into the queue.
    filled: Notify,
    health: watch::Sender<Health>,
    /// Told when the health has changed.
    changed: Arc<Notify>,
}

/// What the task needs.
struct Postman {
    shared: Arc<Shared>,
    sender: Sender,
    webhook: Webhook,
    links: Links,
    place: watch::Receiver<Option<Place>>,
    closing: CancellationToken,
}

impl Post {
    /// Begins. Must be called within a tokio runtime. `changed` is told whenever the health has changed.
    ///
    /// # Errors
    /// When address or secret cannot be had.
    pub fn start(
        webhook: &Webhook,
        links: Links,
        place: watch::Receiver<Option<Place>>,
        changed: Arc<Notify>,
    ) -> Result<Self, SetupError> {
        let sender = Sender::new(&webhook.name, Address::of(webhook)?, webhook.timeout)?;
        let health = Health {
            name: webhook.name.clone(),
            host: sender.host().to_owned(),
            format: webhook.format,
            delivered: 0,
            failed: 0,
            dropped: 0,
            waiting: 0,
            last_success: None,
            last_failure: None,
            failing: false,
        };
        let (queue, filled, health) = (Mutex::default(), Notify::new(), watch::Sender::new(health));
        let shared = Arc::new(Shared { queue, filled, health, changed });
        let closing = CancellationToken::new();
        let (webhook, until) = (webhook.clone(), closing.clone());
        let postman = Postman { shared: Arc::clone(&shared), sender, webhook, links, place, closing: until };
        let task = AbortOnDropHandle::new(tokio::spawn(postman.run()));
        Ok(Self { shared, closing, task })
    }

    /// Has the webhook told of this alert. Never waits.
    pub fn send(&self, alert: Arc<Alert>) {
        let dropped = self.shared.queue().push(alert);
        if dropped {
            tracing::warn!(webhook = self.shared.health.borrow().name, "too many alerts wait to be sent: the oldest is dropped");
        }
        self.shared.note(|health| health.dropped += u64::from(dropped));
        self.shared.filled.notify_one();
    }

    /// Nothing more will be sent: what waits is tried once more, now, and then as long as `patience` lasts. How many alerts were not
    /// delivered is logged.
    pub async fn close(self, patience: Duration) {
        self.closing.cancel();
        // Whether it came to an end by itself or not, the queue tells what is left.
        let _ = timeout(patience, self.task).await;
        let (untold, Health { name, host, .. }) = (self.shared.queue().untold(), &*self.shared.health.borrow());
        if untold > 0 {
            tracing::warn!(webhook = name, host, alerts = untold, "alerts could not be delivered before the end, and are lost");
        }
    }

    /// How it does.
    pub fn health(&self) -> Health {
        self.shared.health.borrow().clone()
    }
}

impl Shared {
    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        // A queue is right whatever happened while it was held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut Health)) {
        let waiting = self.queue().len();
        self.health.send_modify(|health| {
            health.waiting = waiting;
            change(health);
        });
        self.changed.notify_one();
    }
}

impl Postman {
    async fn run(self) {
        loop {
            let next = self.shared.queue().pop();
            match next {
                Some(alert) => {
                    self.deliver(alert).await;
                    self.shared.queue().done();
                }
                None if self.closing.is_cancelled() => return,
                None => {
                    self.closing.run_until_cancelled(self.shared.filled.notified()).await;
                }
            }
        }
    }

    /// Waits before the next try. That nothing more will come cuts it short, once.
    async fn pause(&self, pause: Duration) {
        if self.closing.is_cancelled() {
            sleep(pause).await;
        } else {
            self.closing.run_until_cancelled(sleep(pause)).await;
        }
    }

    /// Tries until it is taken, refused, or too old. What comes of the same alert meanwhile is sent in its place.
    async fn deliver(&self, mut alert: Arc<Alert>) {
        let (began, mut backoff, mut tries) = (Instant::now(), Backoff::default(), 0);
        loop {
            if let Some(newer) = self.shared.queue().take(&alert.id) {
                alert = newer;
            }
            tries += 1;
            let message = message(&self.webhook, &alert, &self.links, self.place.borrow().as_ref());
            let Err(error) = self.sender.send(&message, unix_micros() / 1_000_000).await else {
                return self.shared.note(|health| {
                    health.delivered += 1;
                    health.failing = false;
                    health.last_success = Some(rfc3339_unix(unix_micros()));
                });
            };
            let given_up = !error.is_transient() || began.elapsed() >= GIVE_UP_AFTER;
            let name = &self.webhook.name;
            match (given_up, tries) {
                (true, _) => tracing::error!(webhook = name, %error, tries, "an alert could not be sent, and is not tried again"),
                (false, 1) => tracing::warn!(webhook = name, %error, "an alert could not be sent; trying again"),
                (false, _) => tracing::debug!(webhook = name, %error, tries, "an alert could not be sent; trying again"),
            }
            let failure = LastFailure { time: rfc3339_unix(unix_micros()), error: error.to_string(), tries, given_up };
            self.shared.note(|health| {
                health.failing = true;
                health.failed += u64::from(given_up);
                health.last_failure = Some(failure);
            });
            if given_up {
                return;
            }
            let asked = match error {
                SendError::NotNow { retry_after, .. } => retry_after.unwrap_or_default().min(LONGEST_PAUSE),
                _ => Duration::ZERO,
            };
            self.pause(backoff.next_pause().max(asked)).await;
        }
    }
}

fn message(webhook: &Webhook, alert: &Alert, links: &Links, place: Option<&Place>) -> Message {
    let id = format!("{}.{}", alert.id, alert.revision);
    Message { id, body: message::body(webhook.format, alert, links, place) }
}

/// Sends one alert, with one try, and tells what came of it.
///
/// # Errors
/// Those of the webhook's setup; within, those of the try.
pub async fn send_once(webhook: &Webhook, alert: &Alert) -> Result<Result<(), SendError>, SetupError> {
    let sender = Sender::new(&webhook.name, Address::of(webhook)?, webhook.timeout)?;
    let message = message(webhook, alert, &Links::default(), None);
    Ok(sender.send(&message, unix_micros() / 1_000_000).await)
}

/// Microseconds of Unix time, by this machine's clock.
fn unix_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
