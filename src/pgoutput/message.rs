//! The messages of `pgoutput`, one struct each, borrowed from the bytes they were read from.
//!
//! Format: <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>, protocol versions 1 to 4.
//! Between Stream Start and Stream Stop every message that belongs to a transaction carries, in front of its fields, the id of the
//! *sub*-transaction it was written by: that is `xid: Some(..)`; outside of a stream block it is `None`.

use super::tuple::Tuple;
use crate::lsn::{Lsn, Oid, Xid};

/// Microseconds since 2000-01-01 00:00:00 UTC, as PostgreSQL counts `timestamptz`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Timestamp(pub i64);

/// Text as the server sent it: in the *server's* encoding (the session asks for no conversion), so it may not be UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Text<'a>(pub &'a [u8]);

/// One `pgoutput` message. The letter is its tag on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// `B`
    Begin(Begin),
    /// `C`
    Commit(Commit),
    /// `O`
    Origin(Origin<'a>),
    /// `M`
    Logical(Logical<'a>),
    /// `R`
    Relation(Relation<'a>),
    /// `Y`
    Type(Type<'a>),
    /// `I`
    Insert(Insert<'a>),
    /// `U`
    Update(Update<'a>),
    /// `D`
    Delete(Delete<'a>),
    /// `T`
    Truncate(Truncate<'a>),
    /// `S`
    StreamStart(StreamStart),
    /// `E`
    StreamStop,
    /// `c`
    StreamCommit(StreamCommit),
    /// `A`
    StreamAbort(StreamAbort),
    /// `b`
    BeginPrepare(Prepare<'a>),
    /// `P`
    Prepare(Prepare<'a>),
    /// `K`
    CommitPrepared(CommitPrepared<'a>),
    /// `r`
    RollbackPrepared(RollbackPrepared<'a>),
    /// `p`
    StreamPrepare(Prepare<'a>),
}

/// A transaction begins; its changes follow, up to [`Commit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Where the commit record stands: the `commit_lsn` of the Commit to come.
    pub final_lsn: Lsn,
    /// When it was committed, by the server's clock.
    pub time: Timestamp,
    /// The top-level transaction.
    pub xid: Xid,
}

/// The transaction is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Where the commit record starts.
    pub commit_lsn: Lsn,
    /// Where it ends: the position to acknowledge and to start from again.
    pub end_lsn: Lsn,
    /// When it was committed, by the server's clock.
    pub time: Timestamp,
}

/// The transaction was replicated here from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The commit's position at the origin.
    pub lsn: Lsn,
    /// Name of the replication origin.
    pub name: Text<'a>,
}

/// `pg_logical_emit_message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logical<'a> {
    /// Sub-transaction, within a stream block. A message that is not transactional never stands within one.
    pub xid: Option<Xid>,
    /// Part of a transaction, or sent at once and for good.
    pub transactional: bool,
    /// Where the message stands in the log.
    pub lsn: Lsn,
    /// What kind of message it is.
    pub prefix: Text<'a>,
    /// What it says.
    pub content: Content<'a>,
}

/// What a logical message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Its bytes, exactly as given: any encoding or none.
    Whole(&'a [u8]),
    /// Left out on its way here, since it or the prefix is too long ([`Shortener`](super::Shortener)). No server sends it.
    Cut {
        /// Bytes of the whole prefix; only its beginning may be there.
        prefix: usize,
        /// Bytes of the content.
        content: usize,
    },
}

impl<'a> Content<'a> {
    /// Its bytes, if they are here.
    pub fn whole(self) -> Option<&'a [u8]> {
        match self {
            Content::Whole(bytes) => Some(bytes),
            Content::Cut { .. } => None,
        }
    }
}

impl Logical<'_> {
    /// The flag of a transactional message.
    pub(super) const TRANSACTIONAL: u8 = 1;
    /// The flag of [`Content::Cut`]: behind the prefix stand two lengths, and nothing else.
    pub(super) const CUT: u8 = 1 << 7;
}

/// A table as it is from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// Sub-transaction, within a stream block.
    pub xid: Option<Xid>,
    /// The table; it stays the same when it is renamed.
    pub oid: Oid,
    /// Schema; empty on the wire for `pg_catalog`, and given so here too.
    pub schema: Text<'a>,
    /// Name.
    pub name: Text<'a>,
    /// What old rows carry.
    pub identity: ReplicaIdentity,
    /// The published columns, in order.
    pub columns: Columns<'a>,
}

/// `REPLICA IDENTITY` of a table: what an UPDATE or a DELETE says about the old row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplicaIdentity {
    /// The primary key (`d`).
    Default,
    /// Nothing (`n`).
    Nothing,
    /// The whole row (`f`).
    Full,
    /// The columns of an index (`i`).
    Index,
}

/// The columns of a [`Relation`], read again from its checked bytes by [`Columns::iter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns<'a> {
    pub(super) count: u16,
    pub(super) bytes: &'a [u8],
}

/// A column of a [`Relation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Part of the replica identity.
    pub key: bool,
    /// Name.
    pub name: Text<'a>,
    /// Type.
    pub type_oid: Oid,
    /// Type modifier, -1 for none.
    pub typmod: i32,
}

/// A type that is not built in, named before the relation that uses it. A domain shows its base type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type<'a> {
    /// Sub-transaction, within a stream block.
    pub xid: Option<Xid>,
    /// The type.
    pub oid: Oid,
    /// Schema; empty on the wire for `pg_catalog`.
    pub schema: Text<'a>,
    /// Name.
    pub name: Text<'a>,
}

/// A row was inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert<'a> {
    /// Sub-transaction, within a stream block.
    pub xid: Option<Xid>,
    /// The table.
    pub oid: Oid,
    /// The row.
    pub new: Tuple<'a>,
}

/// A row was updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// Sub-transaction, within a stream block.
    pub xid: Option<Xid>,
    /// The table.
    pub oid: Oid,
    /// What is known of the old row; absent when the key did not change and the identity is not FULL.
    pub old: Option<Old<'a>>,
    /// The row as it is now.
    pub new: Tuple<'a>,
}

/// A row was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// Sub-transaction, within a stream block.
    pub xid: Option<Xid>,
    /// The table.
    pub oid: Oid,
    /// What is known of the row.
    pub old: Old<'a>,
}

/// What an UPDATE or a DELETE says about the row as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Old<'a> {
    /// `K`: the columns of the replica identity; every other column reads as null and means "not known".
    Key(Tuple<'a>),
    /// `O`: the whole row.
    Full(Tuple<'a>),
}

/// Tables were emptied: all that one statement reached, cascades included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncate<'a> {
    /// Sub-transaction, within a stream block.
    pub xid: Option<Xid>,
    /// `CASCADE` was given.
    pub cascade: bool,
    /// `RESTART IDENTITY` was given.
    pub restart_identity: bool,
    /// The tables: leaves of partitioned ones.
    pub oids: Oids<'a>,
}

/// A checked list of oids, read by [`Oids::iter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oids<'a>(pub(super) &'a [u8]);

/// A block of a running transaction's changes begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStart {
    /// The top-level transaction.
    pub xid: Xid,
    /// The first block of it.
    pub first: bool,
}

/// A streamed transaction was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamCommit {
    /// The top-level transaction.
    pub xid: Xid,
    /// Its commit.
    pub commit: Commit,
}

/// A streamed transaction, or a sub-transaction of it, was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAbort {
    /// The top-level transaction.
    pub xid: Xid,
    /// What was rolled back; the same as `xid` when all of it was.
    pub subxid: Xid,
    /// Where and when, which only protocol version 4 with `streaming 'parallel'` says.
    pub at: Option<(Lsn, Timestamp)>,
}

/// A transaction is prepared (`P`, `p`), or its changes up to that follow (`b`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepare<'a> {
    /// Where the prepare record starts.
    pub prepare_lsn: Lsn,
    /// Where it ends.
    pub end_lsn: Lsn,
    /// When it was prepared, by the server's clock.
    pub time: Timestamp,
    /// The top-level transaction.
    pub xid: Xid,
    /// The name given in `PREPARE TRANSACTION`.
    pub gid: Text<'a>,
}

/// A prepared transaction was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitPrepared<'a> {
    /// Its commit.
    pub commit: Commit,
    /// The top-level transaction.
    pub xid: Xid,
    /// Its name.
    pub gid: Text<'a>,
}

/// A prepared transaction was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollbackPrepared<'a> {
    /// Where the prepare record ended.
    pub prepare_end_lsn: Lsn,
    /// Where the rollback record ends.
    pub rollback_end_lsn: Lsn,
    /// When it was prepared.
    pub prepare_time: Timestamp,
    /// When it was rolled back.
    pub rollback_time: Timestamp,
    /// The top-level transaction.
    pub xid: Xid,
    /// Its name.
    pub gid: Text<'a>,
}

impl<'a> Old<'a> {
    /// The columns, known or not.
    pub fn tuple(self) -> Tuple<'a> {
        match self {
            Old::Key(tuple) | Old::Full(tuple) => tuple,
        }
    }
}

impl<'a> Columns<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each column, in order.
    pub fn iter(&self) -> impl Iterator<Item = Column<'a>> + use<'a> {
        let mut left = self.bytes;
        std::iter::from_fn(move || {
            let (key, rest) = left.split_first()?;
            let end = memchr::memchr(0, rest)?;
            let (name, rest) = (rest.get(..end)?, rest.get(end + 1..)?);
            let (type_oid, rest) = rest.split_first_chunk::<4>()?;
            let (typmod, rest) = rest.split_first_chunk::<4>()?;
            left = rest;
            Some(Column {
                key: *key & 1 == 1,
                name: Text(name),
                type_oid: Oid(u32::from_be_bytes(*type_oid)),
                typmod: i32::from_be_bytes(*typmod),
            })
        })
    }
}

impl<'a> Oids<'a> {
    /// Each oid, in order.
    pub fn iter(&self) -> impl Iterator<Item = Oid> + use<'a> {
        self.0.chunks_exact(4).filter_map(|chunk| Some(Oid(u32::from_be_bytes(chunk.try_into().ok()?))))
    }
}
