//! What a rule looks for.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alert::Severity;

/// The kinds of rule, as a file names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Kind {
    CountZero,
    CountDrop,
    CountFloor,
    MassDelete,
    ProtectedTable,
    TableDropped,
    ChangedUnwatched,
    RecountDiffers,
    NotLive,
    CannotEvaluate,
    WalHeld,
    /// Of no rule: what `pgvigil alerts test` sends.
    #[serde(skip_deserializing)]
    Test,
}

/// What a rule looks for, with its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A table has no rows.
    CountZero {
        /// It had at least so many …
        from_rows: i64,
        /// … within this time before.
        within: Duration,
        /// Then no rows are what is usual.
        resolve_after: Duration,
    },
    /// A table has fallen.
    CountDrop {
        /// By more than this.
        percent: u8,
        /// Within this time.
        within: Duration,
        /// It had at least so many rows.
        from_rows: i64,
        /// Then so few rows are what is usual.
        resolve_after: Duration,
    },
    /// A table has fewer rows than this.
    CountFloor {
        /// The least that is good.
        min: i64,
    },
    /// One transaction deleted more rows of a table than this.
    MassDelete {
        /// So many are good.
        rows: u64,
        /// Without a further one.
        resolve_after: Duration,
    },
    /// Rows of a table were deleted, or it was truncated.
    ProtectedTable {
        /// Without a further one.
        resolve_after: Duration,
    },
    /// A table is gone.
    TableDropped {
        /// It had at least so many rows, or nobody knows how many.
        from_rows: i64,
        /// For people to have seen it.
        resolve_after: Duration,
    },
    /// A table has fewer rows than when its count was last known.
    ChangedUnwatched {
        /// By more than this.
        percent: u8,
        /// It had at least so many rows.
        from_rows: i64,
        /// For people to have seen it.
        resolve_after: Duration,
    },
    /// A count was found to have been wrong.
    RecountDiffers {
        /// Without a further one.
        resolve_after: Duration,
    },
    /// What is shown is not the present.
    NotLive {
        /// For so long.
        lasting: Duration,
    },
    /// A count that rules are about is not known.
    CannotEvaluate {
        /// For so long.
        lasting: Duration,
    },
    /// The server holds log for our slot.
    WalHeld {
        /// More than so much of its budget.
        percent: u8,
        /// More than so many bytes, where it has no budget.
        bytes: u64,
    },
}

impl Condition {
    /// Its name.
    pub fn kind(&self) -> Kind {
        match self {
            Self::CountZero { .. } => Kind::CountZero,
            Self::CountDrop { .. } => Kind::CountDrop,
            Self::CountFloor { .. } => Kind::CountFloor,
            Self::MassDelete { .. } => Kind::MassDelete,
            Self::ProtectedTable { .. } => Kind::ProtectedTable,
            Self::TableDropped { .. } => Kind::TableDropped,
            Self::ChangedUnwatched { .. } => Kind::ChangedUnwatched,
            Self::RecountDiffers { .. } => Kind::RecountDiffers,
            Self::NotLive { .. } => Kind::NotLive,
            Self::CannotEvaluate { .. } => Kind::CannotEvaluate,
            Self::WalHeld { .. } => Kind::WalHeld,
        }
    }

    /// Whether a fall of a table from so many rows to so many is one that it looks for.
    pub(super) fn is_broken_by(&self, from: i64, to: i64) -> bool {
        match *self {
            Self::CountZero { from_rows, .. } => to == 0 && from >= from_rows,
            Self::CountDrop { percent, from_rows, .. } | Self::ChangedUnwatched { percent, from_rows, .. } => {
                from >= from_rows && i128::from(from - to) * 100 > i128::from(from) * i128::from(percent)
            }
            _ => false,
        }
    }

    /// How far back it looks at a table's count.
    pub(super) fn looks_back(&self) -> Option<Duration> {
        match self {
            Self::CountZero { within, .. } | Self::CountDrop { within, .. } => Some(*within),
            _ => None,
        }
    }
}

impl Kind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CountZero => "count_zero",
            Self::CountDrop => "count_drop",
            Self::CountFloor => "count_floor",
            Self::MassDelete => "mass_delete",
            Self::ProtectedTable => "protected_table",
            Self::TableDropped => "table_dropped",
            Self::ChangedUnwatched => "changed_unwatched",
            Self::RecountDiffers => "recount_differs",
            Self::NotLive => "not_live",
            Self::CannotEvaluate => "cannot_evaluate",
            Self::WalHeld => "wal_held",
            Self::Test => "test",
        }
    }

    /// Whether it judges numbers, and is blind without them.
    pub fn is_of_counts(self) -> bool {
        matches!(self, Self::CountZero | Self::CountDrop | Self::CountFloor)
    }

    /// The options that mean something to it, beside those of every rule.
    pub(super) fn options(self) -> &'static [&'static str] {
        match self {
            Self::CountZero => {
                &["tables", "except_tables", "partitions", "actors", "except_actors", "from_rows", "within", "resolve_after"]
            }
            Self::CountDrop => &[
                "tables",
                "except_tables",
                "partitions",
                "actors",
                "except_actors",
                "percent",
                "within",
                "from_rows",
                "resolve_after",
            ],
            Self::CountFloor => &["tables", "except_tables", "partitions", "min"],
            Self::MassDelete => &["tables", "except_tables", "partitions", "actors", "except_actors", "rows", "resolve_after"],
            Self::ProtectedTable => &["tables", "actors", "except_actors", "resolve_after"],
            Self::TableDropped => &["tables", "except_tables", "partitions", "from_rows", "resolve_after"],
            Self::ChangedUnwatched => &["tables", "except_tables", "partitions", "percent", "from_rows", "resolve_after"],
            Self::RecountDiffers => &["tables", "except_tables", "partitions", "resolve_after"],
            Self::NotLive => &["for"],
            Self::CannotEvaluate => &["tables", "except_tables", "for"],
            Self::WalHeld => &["percent", "bytes"],
            Self::Test => &[],
        }
    }

    /// How much it matters, if the rule does not say.
    pub(super) fn usual_severity(self) -> Severity {
        match self {
            Self::CountZero | Self::ProtectedTable | Self::TableDropped | Self::RecountDiffers => Severity::Critical,
            _ => Severity::Warning,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
