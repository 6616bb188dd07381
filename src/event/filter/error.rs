//! Why a filter is refused: which parameter, what is wrong with it, what is accepted.

use super::kinds::StreamKind;

/// A parameter that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {problem}")]
pub struct FilterError {
    /// Its name.
    pub parameter: &'static str,
    /// What is wrong with it, and what is accepted.
    pub problem: Problem,
}

/// What is wrong with a parameter. Where it says what was `given`, that is cut to a readable length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not one of the four.
    #[error("{given:?} is no operation; accepted: insert, update, delete, truncate")]
    UnknownOperation {
        /// What stands there.
        given: String,
    },
    /// Not one of [`StreamKind::EACH`].
    #[error("{given:?} is no kind of event; accepted: {}", StreamKind::EACH.map(StreamKind::as_str).join(", "))]
    UnknownKind {
        /// What stands there.
        given: String,
    },
    /// Not one or two names.
    #[error("{given:?} is no table; accepted: schema.name, or name for schema public, quoted \"as.in\".\"SQL\" where need be")]
    NotATable {
        /// What stands there.
        given: String,
    },
    /// No column, operator and value.
    #[error("{given:?} is no condition; accepted: column.operator.value, such as status.eq.paid or amount.not.gt.100")]
    NotACondition {
        /// What stands there.
        given: String,
    },
    /// Not an operator.
    #[error("{given:?} is no operator; accepted: eq, neq, lt, lte, gt, gte, in, like, ilike, is, and not. before any")]
    UnknownOperator {
        /// What stands there.
        given: String,
    },
    /// `in` without its parentheses, or with nothing between them.
    #[error("in takes a list in parentheses, such as status.in.(paid,\"sent, late\")")]
    NotAList,
    /// `is` with something else than it knows.
    #[error("{given:?} is nothing that is can tell; accepted: null, not_null, true, false, unknown")]
    UnknownIs {
        /// What stands there.
        given: String,
    },
    /// A pattern that matching in linear time has no room for.
    #[error("a pattern may have {limit} characters, not counting %")]
    PatternTooLong {
        /// How many characters it may have.
        limit: usize,
    },
    /// A pattern that ends in the middle of an escape.
    #[error("a pattern must not end with the escape character \\")]
    PatternEndsInEscape,
    /// A quote or a parenthesis without its other half.
    #[error("a quote or parenthesis is not closed in {given:?}; a value that holds one, or a comma, stands in double quotes")]
    NotClosed {
        /// What stands there.
        given: String,
    },
    /// No column and value.
    #[error("{given:?} is no key; accepted: a column of the key and its value, such as id=7")]
    NotAKey {
        /// What stands there.
        given: String,
    },
    /// An empty one, which stands everywhere.
    #[error("give the text to look for")]
    NoText,
    /// More conditions than are evaluated.
    #[error("at most {limit} conditions are accepted, each value of an in list counted")]
    TooManyConditions {
        /// How many are.
        limit: usize,
    },
    /// Longer than is read.
    #[error("at most {limit} bytes are accepted, all parameters of the filter together")]
    TooLong {
        /// How many are.
        limit: usize,
    },
}

/// What was given, cut to a readable length.
pub(super) fn shown(given: &str) -> String {
    const LIMIT: usize = 60;
    match given.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", given.get(..end).unwrap_or_default()),
        None => given.to_owned(),
    }
}
