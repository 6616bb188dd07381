//! What the engine knows of one table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::takers::{Takers, Takings};
use crate::alerts::alert::Subject;
use crate::alerts::board::{Clearing, Key, Report, Target};
use crate::alerts::fact::{Moment, Relation};
use crate::alerts::peaks::Peaks;
use crate::alerts::rules::Rule;
use crate::alerts::text::{self, Called};

/// One table.
#[derive(Debug)]
pub(super) struct Known {
    subject: Subject,
    pub(super) relation: Relation,
    /// The partitioned table that it belongs to.
    pub(super) parent: Option<u32>,
    pub(super) count: Count,
    /// Why its count is not known.
    pub(super) reason: Option<String>,
    pub(super) found_wrong: u64,
    /// Rules have a say in what is written to it.
    pub(super) has_rules: bool,
    /// The rules that are about it.
    pub(super) rules: Arc<[usize]>,
    /// By rule: what the table had, and who took it.
    past: Vec<(usize, Past)>,
    /// Those that took rows since counts were published, where the count after them was not told.
    pub(super) takers: Option<Takers>,
}

/// What a rule looks back at.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) peaks: Peaks,
    pub(super) takings: Takings,
}

impl Past {
    /// What was before does not count: the table has `rows` from now on.
    pub(super) fn begin(&mut self, rows: i64, now: Instant, within: Duration) {
        self.peaks.forget();
        self.takings.forget();
        self.peaks.note(rows, now, within);
    }
}

/// How many rows it has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Known(i64),
    Unknown { since: Moment, last: Option<Last> },
}

/// When its count was last known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) rows: i64,
    pub(super) at: Moment,
    /// The stream has been held ever since, so what it did is known, though not its count.
    pub(super) watched: bool,
}

impl Count {
    pub(super) fn is_known(self) -> bool {
        matches!(self, Self::Known(_))
    }

    /// The number that is known, or was.
    pub(super) fn last_known(self) -> Option<i64> {
        match self {
            Self::Known(rows) => Some(rows),
            Self::Unknown { last, .. } => last.map(|last| last.rows),
        }
    }
}

impl Known {
    pub(super) fn new(subject: Subject, relation: Relation, rules: Vec<usize>, now: Moment) -> Self {
        Self {
            subject,
            relation,
            parent: None,
            count: Count::Unknown { since: now, last: None },
            reason: None,
            found_wrong: 0,
            has_rules: false,
            rules: rules.into(),
            past: Vec::new(),
            takers: None,
        }
    }

    /// It has another name, or has become something else; other rules may be about it.
    pub(super) fn rename(&mut self, subject: Subject, relation: Relation, rules: Vec<usize>) {
        self.past.retain(|(rule, _)| rules.contains(rule));
        (self.subject, self.relation, self.rules) = (subject, relation, rules.into());
    }

    /// Its count is not known from now on; `watched` if the stream is still held.
    pub(super) fn lose(&mut self, now: Moment, watched: bool) {
        match &mut self.count {
            Count::Known(rows) => {
                let last = Last { rows: *rows, at: now, watched };
                // It held until now.
                self.past.iter_mut().for_each(|(_, past)| past.peaks.hold(now.instant));
                self.count = Count::Unknown { since: now, last: Some(last) };
            }
            Count::Unknown { last, .. } => {
                if let Some(last) = last {
                    last.watched &= watched;
                }
            }
        }
        if !watched {
            self.takers = None;
            self.found_wrong = 0;
        }
    }

    /// What this rule looks back at.
    pub(super) fn past(&mut self, rule: usize) -> &mut Past {
        let index = match self.past.iter().position(|(known, _)| *known == rule) {
            Some(index) => index,
            None => {
                self.past.push((rule, Past::default()));
                self.past.len() - 1
            }
        };
        #[expect(clippy::indexing_slicing, reason = "it was just found or made")]
        &mut self.past[index].1
    }

    pub(super) fn is_called(&self) -> (&str, &str) {
        (&self.subject.schema, &self.subject.name)
    }

    /// The same, for a sentence.
    pub(super) fn called(&self) -> Called<'_> {
        Called(&self.subject.schema, &self.subject.name)
    }

    pub(super) fn is_named_by(&self, rule: &Rule) -> bool {
        rule.selection.names_table(&self.subject.schema, &self.subject.name)
    }

    pub(super) fn subject(&self) -> Subject {
        self.subject.clone()
    }

    /// Its alert of this rule.
    pub(super) fn key(&self, rule: usize) -> Key {
        Key { rule, target: self.subject.oid.map_or(Target::Watch, Target::Table) }
    }

    pub(super) fn fallen(&self, from: i64, to: i64, ago: Duration, why: Option<&Takers>, clearing: Clearing) -> Report {
        let report = Report::new(text::fell(self.called(), from, to, ago, why), clearing);
        let report = Report { subject: Some(self.subject()), from: Some(from), to: Some(to), ..report };
        why.map_or(report.clone(), |why| self.because(report, why))
    }

    pub(super) fn below(&self, from: Option<i64>, rows: i64, min: i64, why: Option<&Takers>) -> Report {
        let clearing = Clearing::Count { good: min, clear: min + (min / 10).max(1), usual_after: None };
        let report = Report::new(text::below(self.called(), rows, min, why.map(|why| &why.greatest)), clearing);
        let report = Report { subject: Some(self.subject()), from, to: Some(rows), ..report };
        why.map_or(report.clone(), |why| self.because(report, why))
    }

    /// The report of what transactions did.
    pub(super) fn because(&self, report: Report, why: &Takers) -> Report {
        let Takers { greatest, others } = why;
        Report {
            subject: Some(self.subject()),
            deleted: greatest.rows(),
            transaction: Some(Arc::clone(&greatest.transaction)),
            others: *others,
            undo: Some(greatest.undo.clone()),
            ..report
        }
    }
}
