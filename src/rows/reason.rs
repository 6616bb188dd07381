//! Why a table's rows are not kept.

use bytesize::ByteSize;

/// Its text is for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Nothing names a row.
    #[error("its rows cannot be told apart: it has no key that is published")]
    NoKey,
    /// The text of a column changes without the row, and nothing tells of it.
    #[error("the text of its column {column:?} hangs on other things, such as names, of which nothing tells when they change")]
    Untold {
        /// Which.
        column: String,
    },
    /// It is larger than a single table may be.
    #[error("its rows take more than {} (--row-cache-table)", .limit.display().iec())]
    Table {
        /// What it may take.
        limit: ByteSize,
    },
    /// There was no room for more.
    #[error("the rows of all tables together take more than {} (--row-cache)", .limit.display().iec())]
    Total {
        /// What they may take.
        limit: ByteSize,
    },
    /// An ALTER TABLE would go unseen until it is too late.
    #[error(
        "nothing in the stream tells of DDL, so it is never certain that a row is still as it was; `pgvigil setup` changes that"
    )]
    DdlUntold,
    /// Nothing is streamed at present.
    #[error("what is committed now is not streamed; see the state's reason")]
    Unstreamed,
    /// Reading them took too long.
    #[error("reading its rows took too long")]
    Slow,
    /// The server cannot give one of them. What it says may tell a value, so only the code is kept.
    #[error("the server cannot give all of its rows (SQLSTATE {code})")]
    Unreadable {
        /// SQLSTATE.
        code: String,
    },
}
