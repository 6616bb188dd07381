//! Bytes → [`Message`]: one function a kind, each reading the fields in the order of the format.
//!
//! What every row passes through is `#[inline]`, here and in the cursor: it halves the time of a small row (`benches/codec.rs`).

use super::cursor::Cursor;
use super::error::{DecodeError, DecodeErrorKind};
use super::message::{
    Begin, Columns, Commit, CommitPrepared, Content, Delete, Insert, Logical, Message, Oids, Old, Origin, Prepare, Relation,
    ReplicaIdentity, RollbackPrepared, StreamAbort, StreamCommit, StreamStart, Truncate, Type, Update,
};
use super::tag::{Context, Peek, Tag, peek};
use super::tuple::{CUT, Tuple};
use crate::lsn::Xid;

type Result<T> = std::result::Result<T, DecodeError>;

/// The message that `bytes` hold, borrowed from them, checked to the last byte.
pub fn decode(bytes: &[u8], context: Context) -> Result<Message<'_>> {
    let front = peek(bytes, context)?;
    let mut cursor = Cursor::behind(&front, bytes);
    let message = fields(front, &mut cursor)?;
    cursor.end()?;
    Ok(message)
}

#[inline]
fn fields<'a>(Peek { tag, xid }: Peek, cursor: &mut Cursor<'a>) -> Result<Message<'a>> {
    Ok(match tag {
        Tag::Begin => Message::Begin(begin(cursor)?),
        Tag::Commit => Message::Commit(commit(cursor)?),
        Tag::Origin => Message::Origin(Origin { lsn: cursor.lsn("lsn")?, name: cursor.text("name")? }),
        Tag::Logical => Message::Logical(logical(xid, cursor)?),
        Tag::Relation => Message::Relation(relation(xid, cursor)?),
        Tag::Type => {
            Message::Type(Type { xid, oid: cursor.oid("oid")?, schema: cursor.text("schema")?, name: cursor.text("name")? })
        }
        Tag::Insert => Message::Insert(insert(xid, cursor)?),
        Tag::Update => Message::Update(update(xid, cursor)?),
        Tag::Delete => Message::Delete(delete(xid, cursor)?),
        Tag::Truncate => Message::Truncate(truncate(xid, cursor)?),
        Tag::StreamStart => Message::StreamStart(StreamStart { xid: cursor.xid("xid")?, first: cursor.flags("first", 1)? == 1 }),
        Tag::StreamStop => Message::StreamStop,
        Tag::StreamCommit => Message::StreamCommit(StreamCommit { xid: cursor.xid("xid")?, commit: commit(cursor)? }),
        Tag::StreamAbort => Message::StreamAbort(stream_abort(cursor)?),
        Tag::BeginPrepare => Message::BeginPrepare(prepare(cursor)?),
        Tag::Prepare => Message::Prepare(flagless(prepare, cursor)?),
        Tag::CommitPrepared => {
            Message::CommitPrepared(CommitPrepared { commit: commit(cursor)?, xid: cursor.xid("xid")?, gid: cursor.text("gid")? })
        }
        Tag::RollbackPrepared => Message::RollbackPrepared(flagless(rollback_prepared, cursor)?),
        Tag::StreamPrepare => Message::StreamPrepare(flagless(prepare, cursor)?),
    })
}

fn begin(cursor: &mut Cursor<'_>) -> Result<Begin> {
    Ok(Begin { final_lsn: cursor.lsn("final_lsn")?, time: cursor.timestamp("time")?, xid: cursor.xid("xid")? })
}

fn commit(cursor: &mut Cursor<'_>) -> Result<Commit> {
    cursor.flags("flags", 0)?;
    Ok(Commit { commit_lsn: cursor.lsn("commit_lsn")?, end_lsn: cursor.lsn("end_lsn")?, time: cursor.timestamp("time")? })
}

/// A message whose byte of flags has no meaning yet: PostgreSQL sends zero there.
fn flagless<'a, T>(read: impl FnOnce(&mut Cursor<'a>) -> Result<T>, cursor: &mut Cursor<'a>) -> Result<T> {
    cursor.flags("flags", 0)?;
    read(cursor)
}

fn prepare<'a>(cursor: &mut Cursor<'a>) -> Result<Prepare<'a>> {
    Ok(Prepare {
        prepare_lsn: cursor.lsn("prepare_lsn")?,
        end_lsn: cursor.lsn("end_lsn")?,
        time: cursor.timestamp("time")?,
        xid: cursor.xid("xid")?,
        gid: cursor.text("gid")?,
    })
}

fn rollback_prepared<'a>(cursor: &mut Cursor<'a>) -> Result<RollbackPrepared<'a>> {
    Ok(RollbackPrepared {
        prepare_end_lsn: cursor.lsn("prepare_end_lsn")?,
        rollback_end_lsn: cursor.lsn("rollback_end_lsn")?,
        prepare_time: cursor.timestamp("prepare_time")?,
        rollback_time: cursor.timestamp("rollback_time")?,
        xid: cursor.xid("xid")?,
        gid: cursor.text("gid")?,
    })
}

/// Only protocol version 4 with `streaming 'parallel'` says where and when; nothing but the length tells.
fn stream_abort(cursor: &mut Cursor<'_>) -> Result<StreamAbort> {
    let (xid, subxid) = (cursor.xid("xid")?, cursor.xid("subxid")?);
    let at = match cursor.left() {
        [] => None,
        _ => Some((cursor.lsn("abort_lsn")?, cursor.timestamp("abort_time")?)),
    };
    Ok(StreamAbort { xid, subxid, at })
}

fn logical<'a>(xid: Option<Xid>, cursor: &mut Cursor<'a>) -> Result<Logical<'a>> {
    let flags = cursor.flags("flags", Logical::TRANSACTIONAL | Logical::CUT)?;
    let (lsn, prefix) = (cursor.lsn("lsn")?, cursor.text("prefix")?);
    let content = if flags & Logical::CUT == 0 {
        let length = cursor.length("content length")?;
        Content::Whole(cursor.bytes("content", length)?)
    } else {
        Content::Cut { prefix: cursor.length("prefix length")?, content: cursor.length("content length")? }
    };
    Ok(Logical { xid, transactional: flags & Logical::TRANSACTIONAL != 0, lsn, prefix, content })
}

fn relation<'a>(xid: Option<Xid>, cursor: &mut Cursor<'a>) -> Result<Relation<'a>> {
    Ok(Relation {
        xid,
        oid: cursor.oid("oid")?,
        schema: cursor.text("schema")?,
        name: cursor.text("name")?,
        identity: identity(cursor)?,
        columns: columns(cursor)?,
    })
}

fn identity(cursor: &mut Cursor<'_>) -> Result<ReplicaIdentity> {
    let start = cursor.clone();
    match cursor.u8("replica identity")? {
        b'd' => Ok(ReplicaIdentity::Default),
        b'n' => Ok(ReplicaIdentity::Nothing),
        b'f' => Ok(ReplicaIdentity::Full),
        b'i' => Ok(ReplicaIdentity::Index),
        other => Err(start.error("replica identity", DecodeErrorKind::UnknownTag(other))),
    }
}

fn columns<'a>(cursor: &mut Cursor<'a>) -> Result<Columns<'a>> {
    let count = cursor.u16("column count")?;
    let bytes = cursor.span(|cursor| {
        for _ in 0..count {
            cursor.flags("column flags", 1)?;
            cursor.text("column name")?;
            cursor.oid("column type")?;
            cursor.i32("column typmod")?;
        }
        Ok(())
    })?;
    Ok(Columns { count, bytes })
}

#[inline]
fn insert<'a>(xid: Option<Xid>, cursor: &mut Cursor<'a>) -> Result<Insert<'a>> {
    let oid = cursor.oid("oid")?;
    Ok(Insert { xid, oid, new: new(cursor)? })
}

#[inline]
fn update<'a>(xid: Option<Xid>, cursor: &mut Cursor<'a>) -> Result<Update<'a>> {
    let oid = cursor.oid("oid")?;
    let old = match cursor.left() {
        [b'N', ..] => None,
        _ => Some(old(cursor)?),
    };
    Ok(Update { xid, oid, old, new: new(cursor)? })
}

fn delete<'a>(xid: Option<Xid>, cursor: &mut Cursor<'a>) -> Result<Delete<'a>> {
    Ok(Delete { xid, oid: cursor.oid("oid")?, old: old(cursor)? })
}

#[inline]
fn new<'a>(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>> {
    let start = cursor.clone();
    match cursor.u8("new tuple")? {
        b'N' => tuple(cursor),
        other => Err(start.error("new tuple", DecodeErrorKind::UnknownTag(other))),
    }
}

fn old<'a>(cursor: &mut Cursor<'a>) -> Result<Old<'a>> {
    let start = cursor.clone();
    match cursor.u8("old tuple")? {
        b'K' => tuple(cursor).map(Old::Key),
        b'O' => tuple(cursor).map(Old::Full),
        other => Err(start.error("old tuple", DecodeErrorKind::UnknownTag(other))),
    }
}

#[inline]
fn tuple<'a>(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>> {
    let count = cursor.u16("column count")?;
    let bytes = cursor.span(|cursor| {
        for _ in 0..count {
            value(cursor)?;
        }
        Ok(())
    })?;
    Ok(Tuple { count, bytes })
}

#[inline]
fn value(cursor: &mut Cursor<'_>) -> Result<()> {
    let start = cursor.clone();
    match cursor.u8("column")? {
        b'n' | b'u' => {}
        b't' | b'b' => {
            let length = cursor.length("column length")?;
            cursor.bytes("column value", length)?;
        }
        CUT => {
            cursor.length("column length")?;
        }
        other => return Err(start.error("column", DecodeErrorKind::UnknownTag(other))),
    }
    Ok(())
}

fn truncate<'a>(xid: Option<Xid>, cursor: &mut Cursor<'a>) -> Result<Truncate<'a>> {
    const CASCADE: u8 = 1;
    const RESTART_IDENTITY: u8 = 2;
    let count = cursor.length("table count")?;
    let options = cursor.flags("options", CASCADE | RESTART_IDENTITY)?;
    let oids = cursor.span(|cursor| (0..count).try_for_each(|_| cursor.oid("oid").map(drop)))?;
    Ok(Truncate { xid, cascade: options & CASCADE != 0, restart_identity: options & RESTART_IDENTITY != 0, oids: Oids(oids) })
}
