//! [`Message`] → bytes: the exact inverse of [`decode`](super::decode).
//!
//! pgvigil itself sends no such message. Tests, the fuzz target and benchmarks do: they build a message from [`TupleBuf`],
//! [`ColumnsBuf`] and [`OidsBuf`], which own the bytes that a [`Tuple`], [`Columns`] or [`Oids`] borrows. Rows that are kept, and that no
//! message brought as they are, are built in the same way.

use super::message::{
    Begin, Column, Columns, Commit, CommitPrepared, Content, Delete, Insert, Logical, Message, Oids, Old, Origin, Prepare,
    Relation, ReplicaIdentity, StreamAbort, StreamCommit, StreamStart, Text, Timestamp, Truncate, Type, Update,
};
use super::tuple::{CUT, Row, Tuple, Value};
use crate::lsn::{Lsn, Oid, Xid};

/// The bytes of `message`.
///
/// # Panics
///
/// When the format cannot carry it: a NUL within a name, or content of 2 GiB and more.
pub fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![message.tag().byte()];
    let out = &mut bytes;
    match *message {
        Message::Begin(Begin { final_lsn, time, xid }) => out.lsn(final_lsn).time(time).xid(xid),
        Message::Commit(commit) => out.commit(commit),
        Message::Origin(Origin { lsn, name }) => out.lsn(lsn).text(name),
        Message::Logical(Logical { xid, transactional, lsn, prefix, content }) => {
            let flag = if transactional { Logical::TRANSACTIONAL } else { 0 };
            match content {
                Content::Whole(content) => out.subxid(xid).byte(flag).lsn(lsn).text(prefix).counted(content),
                Content::Cut { prefix: length, content } => {
                    out.subxid(xid).byte(flag | Logical::CUT).lsn(lsn).text(prefix).length(length).length(content)
                }
            }
        }
        Message::Relation(Relation { xid, oid, schema, name, identity, columns }) => {
            let identity = match identity {
                ReplicaIdentity::Default => b'd',
                ReplicaIdentity::Nothing => b'n',
                ReplicaIdentity::Full => b'f',
                ReplicaIdentity::Index => b'i',
            };
            let Columns { count, bytes } = columns;
            out.subxid(xid).oid(oid).text(schema).text(name).byte(identity).raw(&count.to_be_bytes()).raw(bytes)
        }
        Message::Type(Type { xid, oid, schema, name }) => out.subxid(xid).oid(oid).text(schema).text(name),
        Message::Insert(Insert { xid, oid, new }) => out.subxid(xid).oid(oid).tuple(b'N', new),
        Message::Update(Update { xid, oid, old: None, new }) => out.subxid(xid).oid(oid).tuple(b'N', new),
        Message::Update(Update { xid, oid, old: Some(old), new }) => out.subxid(xid).oid(oid).old(old).tuple(b'N', new),
        Message::Delete(Delete { xid, oid, old }) => out.subxid(xid).oid(oid).old(old),
        Message::Truncate(Truncate { xid, cascade, restart_identity, oids: Oids(oids) }) => {
            let options = u8::from(cascade) | u8::from(restart_identity) << 1;
            out.subxid(xid).length(oids.len() / size_of::<Oid>()).byte(options).raw(oids)
        }
        Message::StreamStart(StreamStart { xid, first }) => out.xid(xid).byte(first.into()),
        Message::StreamStop => out,
        Message::StreamCommit(StreamCommit { xid, commit }) => out.xid(xid).commit(commit),
        Message::StreamAbort(StreamAbort { xid, subxid, at: None }) => out.xid(xid).xid(subxid),
        Message::StreamAbort(StreamAbort { xid, subxid, at: Some((lsn, time)) }) => out.xid(xid).xid(subxid).lsn(lsn).time(time),
        Message::BeginPrepare(prepare) => out.prepare(prepare),
        Message::Prepare(prepare) | Message::StreamPrepare(prepare) => out.byte(0).prepare(prepare),
        Message::CommitPrepared(CommitPrepared { commit, xid, gid }) => out.commit(commit).xid(xid).text(gid),
        Message::RollbackPrepared(rollback) => {
            out.byte(0).lsn(rollback.prepare_end_lsn).lsn(rollback.rollback_end_lsn);
            out.time(rollback.prepare_time).time(rollback.rollback_time).xid(rollback.xid).text(rollback.gid)
        }
    };
    bytes
}

/// The fields of a message, appended one after the other.
trait Fields {
    fn raw(&mut self, bytes: &[u8]) -> &mut Self;

    fn byte(&mut self, byte: u8) -> &mut Self {
        self.raw(&[byte])
    }

    fn length(&mut self, length: usize) -> &mut Self {
        let length = i32::try_from(length).unwrap_or_else(|_| panic!("{length} does not fit a length"));
        self.raw(&length.to_be_bytes())
    }

    fn counted(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len()).raw(bytes)
    }

    fn text(&mut self, Text(text): Text<'_>) -> &mut Self {
        assert!(!text.contains(&0), "a name ends at its first NUL");
        self.raw(text).byte(0)
    }

    fn xid(&mut self, Xid(xid): Xid) -> &mut Self {
        self.raw(&xid.to_be_bytes())
    }

    fn subxid(&mut self, xid: Option<Xid>) -> &mut Self {
        match xid {
            Some(xid) => self.xid(xid),
            None => self,
        }
    }

    fn oid(&mut self, Oid(oid): Oid) -> &mut Self {
        self.raw(&oid.to_be_bytes())
    }

    fn lsn(&mut self, Lsn(lsn): Lsn) -> &mut Self {
        self.raw(&lsn.to_be_bytes())
    }

    fn time(&mut self, Timestamp(time): Timestamp) -> &mut Self {
        self.raw(&time.to_be_bytes())
    }

    fn commit(&mut self, Commit { commit_lsn, end_lsn, time }: Commit) -> &mut Self {
        self.byte(0).lsn(commit_lsn).lsn(end_lsn).time(time)
    }

    fn prepare(&mut self, Prepare { prepare_lsn, end_lsn, time, xid, gid }: Prepare<'_>) -> &mut Self {
        self.lsn(prepare_lsn).lsn(end_lsn).time(time).xid(xid).text(gid)
    }

    fn tuple(&mut self, part: u8, Tuple { count, bytes }: Tuple<'_>) -> &mut Self {
        self.byte(part).raw(&count.to_be_bytes()).raw(bytes)
    }

    fn old(&mut self, old: Old<'_>) -> &mut Self {
        match old {
            Old::Key(tuple) => self.tuple(b'K', tuple),
            Old::Full(tuple) => self.tuple(b'O', tuple),
        }
    }
}

impl Fields for Vec<u8> {
    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.extend_from_slice(bytes);
        self
    }
}

fn one_more(count: u16) -> u16 {
    count.checked_add(1).unwrap_or_else(|| panic!("more than {count} columns"))
}

/// Owns the bytes of a [`Tuple`]; collect [`Value`]s into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TupleBuf {
    count: u16,
    bytes: Vec<u8>,
}

impl TupleBuf {
    /// The row.
    pub fn as_tuple(&self) -> Tuple<'_> {
        Tuple { count: self.count, bytes: &self.bytes }
    }
}

impl From<TupleBuf> for Row {
    fn from(TupleBuf { count, bytes }: TupleBuf) -> Self {
        Row { count, bytes: bytes.into() }
    }
}

/// # Panics
///
/// With more than 65,535 columns, or a value of 2 GiB and more.
impl<'v> FromIterator<Value<'v>> for TupleBuf {
    fn from_iter<I: IntoIterator<Item = Value<'v>>>(values: I) -> Self {
        let mut tuple = TupleBuf::default();
        for value in values {
            tuple.count = one_more(tuple.count);
            match value {
                Value::Null => tuple.bytes.byte(b'n'),
                Value::Unchanged => tuple.bytes.byte(b'u'),
                Value::Text(bytes) => tuple.bytes.byte(b't').counted(bytes),
                Value::Binary(bytes) => tuple.bytes.byte(b'b').counted(bytes),
                Value::Cut(length) => tuple.bytes.byte(CUT).length(length),
            };
        }
        tuple
    }
}

/// Owns the bytes of [`Columns`]; collect [`Column`]s into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnsBuf {
    count: u16,
    bytes: Vec<u8>,
}

impl ColumnsBuf {
    /// The columns.
    pub fn as_columns(&self) -> Columns<'_> {
        Columns { count: self.count, bytes: &self.bytes }
    }
}

/// # Panics
///
/// With more than 65,535 columns, or a NUL within a name.
impl<'c> FromIterator<Column<'c>> for ColumnsBuf {
    fn from_iter<I: IntoIterator<Item = Column<'c>>>(columns: I) -> Self {
        let mut buf = ColumnsBuf::default();
        for Column { key, name, type_oid, typmod } in columns {
            buf.count = one_more(buf.count);
            buf.bytes.byte(key.into()).text(name).oid(type_oid).raw(&typmod.to_be_bytes());
        }
        buf
    }
}

/// Owns the bytes of [`Oids`]; collect [`Oid`]s into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OidsBuf(Vec<u8>);

impl OidsBuf {
    /// The oids.
    pub fn as_oids(&self) -> Oids<'_> {
        Oids(&self.0)
    }
}

impl FromIterator<Oid> for OidsBuf {
    fn from_iter<I: IntoIterator<Item = Oid>>(oids: I) -> Self {
        let mut buf = OidsBuf::default();
        for oid in oids {
            buf.0.oid(oid);
        }
        buf
    }
}
