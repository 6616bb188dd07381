//! The rhythm of the demo: little transactions without end, an incident now and then, and what puts it right.
//!
//! ```text
//!   scenes ──────────────▶ incident ──▶ scenes, on what is left ──▶ aftermath ──▶ scenes …
//!          after ~45 s, then              60 to 90 s
//!          every 1 to 3 min
//! ```

use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep};
use tokio_postgres::Error;
use tokio_util::sync::CancellationToken;

use super::incidents::{Aftermath, Incident};
use super::players::Players;
use super::rotate;
use super::scenes::{Scene, Sizes};

/// How lively it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The same seed leads to the same choices.
    pub seed: u64,
    /// From one transaction to the next, on average; the single gap varies much.
    pub pace: Duration,
    /// From the beginning to the first incident.
    pub first_incident: Duration,
    /// From one incident's aftermath to the next incident.
    pub calm: Range<Duration>,
    /// From an incident to its aftermath.
    pub damage: Range<Duration>,
}

impl Default for Options {
    /// About five transactions a second; the first incident after 45 seconds, then one every one to three minutes.
    fn default() -> Self {
        let seconds = |range: Range<u64>| Duration::from_secs(range.start)..Duration::from_secs(range.end);
        Self {
            seed: 7,
            pace: Duration::from_millis(200),
            first_incident: Duration::from_secs(45),
            calm: seconds(40..140),
            // Time enough to find out what has happened, and to undo it oneself.
            damage: seconds(60..90),
        }
    }
}

/// How often the log's partitions are looked after.
const ROTATION: Duration = Duration::from_secs(300);

/// Plays until it is cancelled. What somebody else does to the tables meanwhile spoils a scene or two, never the play.
///
/// # Errors
/// When a connection is lost.
pub async fn play(players: Players, options: Options, cancel: CancellationToken) -> Result<(), Error> {
    players.dress().await?;
    let mut rng = StdRng::seed_from_u64(options.seed);
    let incidents = Incident::rounds(options.seed);
    let plot = Plot::Incident(Instant::now() + options.first_incident);
    let pace = options.pace;
    let mut show = Show { players, options, incidents, plot, rotation: Instant::now() };
    while cancel.run_until_cancelled(sleep(gap(pace, &mut rng))).await.is_some() {
        match show.turn(&mut rng).await {
            Ok(()) => {}
            Err(error) if show.players.is_broken() || error.as_db_error().is_none() => return Err(error),
            Err(error) => tracing::debug!(%error, "a scene of the demo was spoilt"),
        }
    }
    Ok(())
}

/// What comes next beside the scenes, and when.
enum Plot {
    Incident(Instant),
    Aftermath(Instant, Aftermath),
}

struct Show<I> {
    players: Players,
    options: Options,
    incidents: I,
    plot: Plot,
    /// When the log's partitions are looked after next.
    rotation: Instant,
}

impl<I: Iterator<Item = Incident>> Show<I> {
    /// Whatever is due; a scene if nothing else is.
    async fn turn(&mut self, rng: &mut StdRng) -> Result<(), Error> {
        let now = Instant::now();
        if self.rotation <= now {
            self.rotation = now + ROTATION;
            return rotate(&self.players.application).await;
        }
        let calm = Plot::Incident(now + between(&self.options.calm, rng));
        match &self.plot {
            Plot::Incident(due) if *due <= now => {
                self.plot = calm;
                if let Some(incident) = self.incidents.next() {
                    let aftermath = incident.happen(&self.players).await?;
                    self.plot = Plot::Aftermath(now + between(&self.options.damage, rng), aftermath);
                }
                Ok(())
            }
            Plot::Aftermath(due, aftermath) if *due <= now => {
                let outcome = aftermath.happen(&mut self.players).await;
                self.plot = calm;
                outcome
            }
            Plot::Incident(_) | Plot::Aftermath(..) => {
                let sizes = Sizes::read(&self.players.application).await?;
                Scene::choose(&sizes, rng).play(&mut self.players.application, rng).await
            }
        }
    }
}

/// Irregular, as people are: the gaps of a Poisson process, none of them so long that all looks dead.
fn gap(pace: Duration, rng: &mut StdRng) -> Duration {
    let draw: f64 = rng.random_range(f64::EPSILON..1.0);
    pace.mul_f64(-draw.ln()).clamp(pace / 10, pace * 6)
}

fn between(range: &Range<Duration>, rng: &mut StdRng) -> Duration {
    range.start + range.end.saturating_sub(range.start).mul_f64(rng.random())
}
