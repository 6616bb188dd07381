//! The kinds of event that a client asks for with `kinds=`.

use std::fmt;

use super::error::{Problem, shown};

/// What a client can ask for. Not all of it comes from the history: counts, status and what is running are told beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// `change`
    Change,
    /// `commit`
    Commit,
    /// `counts`
    Counts,
    /// `status`
    Status,
    /// `alert`
    Alert,
    /// `ddl`
    Ddl,
    /// `message`
    Message,
    /// `running`
    Running,
}

impl StreamKind {
    /// All of them, in the order in which they are documented.
    pub const EACH: [StreamKind; 8] =
        [Self::Change, Self::Commit, Self::Counts, Self::Status, Self::Alert, Self::Ddl, Self::Message, Self::Running];

    /// As it is written in `kinds=`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Commit => "commit",
            Self::Counts => "counts",
            Self::Status => "status",
            Self::Alert => "alert",
            Self::Ddl => "ddl",
            Self::Message => "message",
            Self::Running => "running",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let named = Self::EACH.into_iter().find(|kind| kind.as_str() == text);
        named.ok_or_else(|| Problem::UnknownKind { given: shown(text) })
    }
}

/// A set of [`StreamKind`]s.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

impl Kinds {
    /// No kind.
    pub const NONE: Kinds = Kinds(0);

    /// Every kind.
    pub const ALL: Kinds = Kinds(0b1111_1111);

    /// Adds one.
    pub fn insert(&mut self, kind: StreamKind) {
        self.0 |= 1 << kind as u8;
    }

    /// Whether `kind` is one of them.
    pub fn contains(self, kind: StreamKind) -> bool {
        self.contains_all(kind.into())
    }

    /// Whether all of `others` are among them.
    pub fn contains_all(self, others: Kinds) -> bool {
        others.0 & !self.0 == 0
    }

    /// All of them but one.
    #[must_use]
    pub fn without(self, kind: StreamKind) -> Kinds {
        Kinds(self.0 & !Kinds::from(kind).0)
    }

    /// Those of either set.
    #[must_use]
    pub fn union(self, others: Kinds) -> Kinds {
        Kinds(self.0 | others.0)
    }
}

/// All but messages.
impl Default for Kinds {
    fn default() -> Self {
        Self::ALL.without(StreamKind::Message)
    }
}

impl From<StreamKind> for Kinds {
    fn from(kind: StreamKind) -> Self {
        Kinds(1 << kind as u8)
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(StreamKind::EACH.into_iter().filter(|kind| self.contains(*kind))).finish()
    }
}
