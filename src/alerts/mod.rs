//! Alerts: rules over counts and transactions, and what is said when one of them is broken.
//!
//! Floor 3, pure: facts come in with the moment at which they are known, and no clock is read.
//!
//! ```text
//!  Rules (TOML) ─┐
//!                ▼
//!  facts ──▶ Engine ──▶ Board ──▶ Bulletin ──▶ stream, API, metrics, log
//!            conditions  episodes     │
//!            of each     firing or    └──▶ Mailing ──▶ which webhook is told of what, and when
//!            table       resolved
//! ```
//!
//! Invariants:
//! - One alert a rule and table, from when it fires until it is resolved; whatever happens meanwhile updates it. A rule that fires for
//!   very many tables has one alert for those beyond [`MOST_OF_A_RULE`]. So nothing that happens makes a storm, and what is kept is bounded.
//! - No count alert fires or is resolved by a number that is not known to be true now. While numbers are missing, that is itself an
//!   alert (`not_live`, `cannot_evaluate`), and it names the rules that are blind.
//! - A new epoch is no drop. A table that has far fewer rows when it is counted again is said to have changed while nobody watched.
//! - A resolved alert takes a margin, or a time: a count that trembles around a limit makes one alert, not many.
//! - What a person is told never holds a row's value.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod alert;
mod board;
mod condition;
mod engine;
mod fact;
mod file;
mod mailing;
mod peaks;
mod quiet;
mod rules;
mod selection;
#[cfg(test)]
mod tests;
mod text;
mod webhook;

pub use alert::{Alert, Bulletin, Links, Severity, State, Subject, Undo};
pub use board::MOST_OF_A_RULE;
pub use condition::{Condition, Kind};
pub use engine::Engine;
pub use fact::{Actor, Commit, Moment, Relation, Slot, TableChange, TableCount, Taken, Transaction, Watch};
pub use file::RulesError;
pub use mailing::Mailing;
pub use quiet::QuietHours;
pub use rules::{Rule, Rules};
pub use selection::Selection;
pub use webhook::{Format, Health, LastFailure, Place, Source, Webhook};
