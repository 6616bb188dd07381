//! Decoder and encoder against each other, over any message that the format can carry and over bytes that it cannot.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::encode::{ColumnsBuf, OidsBuf, TupleBuf};
use super::*;
use crate::lsn::{Lsn, Oid, Xid};

/// Fields enough for a message of any kind.
#[derive(Clone, Debug)]
struct Parts {
    tag: Tag,
    context: Context,
    flags: [bool; 2],
    xids: [u32; 2],
    oid: u32,
    lsns: [u64; 2],
    times: [i64; 2],
    names: [Vec<u8>; 2],
    content: Vec<u8>,
    identity: ReplicaIdentity,
    columns: ColumnsBuf,
    oids: OidsBuf,
    old: Option<TupleBuf>,
    new: TupleBuf,
}

impl Parts {
    fn message(&self) -> Message<'_> {
        let [flag, other_flag] = self.flags;
        let [xid, subxid] = self.xids.map(Xid);
        let in_stream = (self.context == Context::InStream).then_some(subxid);
        let oid = Oid(self.oid);
        let [lsn, end_lsn] = self.lsns.map(Lsn);
        let [time, later] = self.times.map(Timestamp);
        let [schema, name] = self.names.each_ref().map(|name| Text(name));
        let commit = Commit { commit_lsn: lsn, end_lsn, time };
        let prepare = Prepare { prepare_lsn: lsn, end_lsn, time, xid, gid: name };
        let new = self.new.as_tuple();
        let old = |tuple| if flag { Old::Key(tuple) } else { Old::Full(tuple) };
        match self.tag {
            Tag::Begin => Message::Begin(Begin { final_lsn: lsn, time, xid }),
            Tag::Commit => Message::Commit(commit),
            Tag::Origin => Message::Origin(Origin { lsn, name }),
            Tag::Logical => {
                let content = match other_flag {
                    true => Content::Cut { prefix: self.names[0].len(), content: self.content.len() },
                    false => Content::Whole(&self.content),
                };
                Message::Logical(Logical { xid: in_stream, transactional: flag, lsn, prefix: name, content })
            }
            Tag::Relation => Message::Relation(Relation {
                xid: in_stream,
                oid,
                schema,
                name,
                identity: self.identity,
                columns: self.columns.as_columns(),
            }),
            Tag::Type => Message::Type(Type { xid: in_stream, oid, schema, name }),
            Tag::Insert => Message::Insert(Insert { xid: in_stream, oid, new }),
            Tag::Update => {
                let old = self.old.as_ref().map(|tuple| old(tuple.as_tuple()));
                Message::Update(Update { xid: in_stream, oid, old, new })
            }
            Tag::Delete => Message::Delete(Delete { xid: in_stream, oid, old: old(new) }),
            Tag::Truncate => Message::Truncate(Truncate {
                xid: in_stream,
                cascade: flag,
                restart_identity: other_flag,
                oids: self.oids.as_oids(),
            }),
            Tag::StreamStart => Message::StreamStart(StreamStart { xid, first: flag }),
            Tag::StreamStop => Message::StreamStop,
            Tag::StreamCommit => Message::StreamCommit(StreamCommit { xid, commit }),
            Tag::StreamAbort => Message::StreamAbort(StreamAbort { xid, subxid, at: flag.then_some((lsn, time)) }),
            Tag::BeginPrepare => Message::BeginPrepare(prepare),
            Tag::Prepare => Message::Prepare(prepare),
            Tag::CommitPrepared => Message::CommitPrepared(CommitPrepared { commit, xid, gid: name }),
            Tag::RollbackPrepared => Message::RollbackPrepared(RollbackPrepared {
                prepare_end_lsn: lsn,
                rollback_end_lsn: end_lsn,
                prepare_time: time,
                rollback_time: later,
                xid,
                gid: name,
            }),
            Tag::StreamPrepare => Message::StreamPrepare(prepare),
        }
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..8)
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=u8::MAX, 0..8)
}

fn tuple() -> impl Strategy<Value = TupleBuf> {
    vec((0..5, bytes()), 0..6).prop_map(|values| {
        let values = values.iter().map(|(kind, bytes)| match kind {
            0 => Value::Null,
            1 => Value::Unchanged,
            2 => Value::Text(bytes),
            3 => Value::Cut(bytes.len()),
            _ => Value::Binary(bytes),
        });
        values.collect()
    })
}

fn columns() -> impl Strategy<Value = ColumnsBuf> {
    vec((any::<bool>(), name(), any::<u32>(), any::<i32>()), 0..6).prop_map(|columns| {
        let columns = columns.iter().map(|(key, name, type_oid, typmod)| Column {
            key: *key,
            name: Text(name),
            type_oid: Oid(*type_oid),
            typmod: *typmod,
        });
        columns.collect()
    })
}

fn oids() -> impl Strategy<Value = OidsBuf> {
    vec(any::<u32>(), 0..6).prop_map(|oids| oids.into_iter().map(Oid).collect())
}

prop_compose! {
    fn parts()(
        (tag, context, identity) in (
            select(Tag::ALL.to_vec()),
            select(vec![Context::Plain, Context::InStream]),
            select(vec![ReplicaIdentity::Default, ReplicaIdentity::Nothing, ReplicaIdentity::Full, ReplicaIdentity::Index]),
        ),
        (flags, xids, oid, lsns, times) in any::<([bool; 2], [u32; 2], u32, [u64; 2], [i64; 2])>(),
        names in [name(), name()],
        content in bytes(),
        (columns, oids, old, new) in (columns(), oids(), option::of(tuple()), tuple()),
    ) -> Parts {
        Parts { tag, context, flags, xids, oid, lsns, times, names, content, identity, columns, oids, old, new }
    }
}

/// What is accepted is one message in one way: it encodes to the bytes that it came from.
fn check_canonical(bytes: &[u8], context: Context) -> Result<(), TestCaseError> {
    match decode(bytes, context) {
        Ok(message) => prop_assert_eq!(encode(&message), bytes),
        Err(error) => prop_assert!(error.offset <= bytes.len(), "{}", error),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_message_encodes_and_decodes_to_itself(parts in parts()) {
        let message = parts.message();
        let bytes = encode(&message);
        prop_assert_eq!(decode(&bytes, parts.context), Ok(message));
    }

    #[test]
    fn peek_agrees_with_decode(parts in parts()) {
        let bytes = encode(&parts.message());
        let xid = (parts.context == Context::InStream && parts.tag.carries_xid()).then_some(Xid(parts.xids[1]));
        prop_assert_eq!(peek(&bytes, parts.context), Ok(Peek { tag: parts.tag, xid }));
    }

    #[test]
    fn no_part_of_a_message_is_a_message(parts in parts()) {
        let bytes = encode(&parts.message());
        for end in 0..bytes.len() {
            // The two forms of this one message differ in nothing but their length.
            if parts.tag == Tag::StreamAbort && end == 9 {
                continue;
            }
            prop_assert!(decode(&bytes[..end], parts.context).is_err(), "the first {} of {} bytes", end, bytes.len());
        }
    }

    #[test]
    fn no_message_with_a_byte_more_is_a_message(parts in parts(), more: u8) {
        let mut bytes = encode(&parts.message());
        bytes.push(more);
        prop_assert!(decode(&bytes, parts.context).is_err());
    }

    #[test]
    fn a_changed_byte_is_refused_or_means_another_message(parts in parts(), place: prop::sample::Index, byte: u8) {
        let mut bytes = encode(&parts.message());
        *place.get_mut(&mut bytes) = byte;
        check_canonical(&bytes, parts.context)?;
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(
        tag in select(Tag::ALL.to_vec()), rest in vec(any::<u8>(), 0..64), context in select(vec![Context::Plain, Context::InStream]),
    ) {
        check_canonical(&rest, context)?;
        check_canonical(&[&[tag.byte()], &rest[..]].concat(), context)?;
    }
}

#[test]
fn every_tag_is_its_byte_and_no_other_byte_is_a_tag() {
    let known: Vec<Tag> = (0..=u8::MAX).filter_map(Tag::from_byte).collect();
    assert_eq!(known.len(), Tag::ALL.len());
    for tag in Tag::ALL {
        assert_eq!(Tag::from_byte(tag.byte()), Some(tag));
    }
}

#[test]
fn an_error_names_the_message_the_field_the_place_and_the_reason() {
    let commit = |flags: u8| [&b"C"[..], &[flags], &[0; 24]].concat();
    let insert = |tuple: &[u8]| [&b"I\0\0\x40\x01"[..], tuple].concat();
    let cases: [(&[u8], &str); 14] = [
        (b"", "unknown message, tag at byte 0: the message ends too early"),
        (b"x", "unknown message, tag at byte 0: unknown tag 'x'"),
        (b"E\0\0", "StreamStop message, end at byte 1: 2 bytes too many"),
        (b"S\0\0\0\x07\x02", "StreamStart message, first at byte 5: unknown flags 0x02"),
        (&commit(1), "Commit message, flags at byte 1: unknown flags 0x01"),
        (b"O\0\0\0\0\0\0\0\0name", "Origin message, name at byte 9: the string has no end"),
        (&insert(b"K\0\0"), "Insert message, new tuple at byte 5: unknown tag 'K'"),
        (&insert(b"N\0\x01z"), "Insert message, column at byte 8: unknown tag 'z'"),
        (&insert(b"N\0\x01t\xff\xff\xff\xfe"), "Insert message, column length at byte 9: the length -2 is negative"),
        (&insert(b"N\0\x01t\0\0\0\x04abc"), "Insert message, column value at byte 13: the message ends too early"),
        (b"D\0\0\x40\x01N\0\0", "Delete message, old tuple at byte 5: unknown tag 'N'"),
        (b"R\0\0\x40\x01public\0t\0x\0\0", "Relation message, replica identity at byte 14: unknown tag 'x'"),
        (b"T\x80\0\0\0\0", "Truncate message, table count at byte 1: the length -2147483648 is negative"),
        (b"T\0\0\0\x01\x04\0\0\x40\x01", "Truncate message, options at byte 5: unknown flags 0x04"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(decode(bytes, Context::Plain).unwrap_err().to_string(), expected);
    }
}

fn message() -> impl Strategy<Value = (Vec<u8>, Context)> {
    prop_oneof![
        8 => parts().prop_map(|parts| (encode(&parts.message()), parts.context)),
        // With a mistake somewhere.
        4 => (parts(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(parts, at, byte)| {
            let mut bytes = encode(&parts.message());
            let at = at.index(bytes.len());
            bytes[at] = byte;
            (bytes, parts.context)
        }),
        1 => (vec(any::<u8>(), 0..40), select(vec![Context::Plain, Context::InStream])),
    ]
}

/// The message as it is kept when it comes in pieces, which end at `ends`.
fn shortened(bytes: &[u8], context: Context, limit: usize, ends: &[prop::sample::Index]) -> BytesMut {
    let mut ends: Vec<usize> = ends.iter().map(|end| end.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
    ends.sort_unstable();
    let mut shortener = Shortener::new(context, ValueLimit(limit), bytes.len());
    let mut out = BytesMut::from(&b"what came before"[..]);
    let before = out.len();
    for piece in ends.windows(2) {
        shortener.push(&bytes[piece[0]..piece[1]], &mut out);
    }
    out.split_off(before)
}

/// What is left of a row: each value that is longer than `limit`, or for which the row has no room any more, is cut.
fn cut(tuple: Tuple<'_>, limit: usize, room: &mut usize) -> TupleBuf {
    let cut = |value| match value {
        Value::Text(bytes) | Value::Binary(bytes) if bytes.len() <= limit.min(ValueLimit::SMALL) => value,
        Value::Text(bytes) | Value::Binary(bytes) if bytes.len() <= limit.min(*room) => {
            *room -= bytes.len();
            value
        }
        Value::Text(bytes) | Value::Binary(bytes) => Value::Cut(bytes.len()),
        short => short,
    };
    tuple.iter().map(cut).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Against the decoder: what is shortened in pieces is what the decoder reads, with the long values cut.
    #[test]
    fn a_message_in_pieces_loses_its_long_values_and_nothing_else(
        (bytes, context) in message(),
        limit in 0usize..10,
        ends in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let shortened = shortened(&bytes, context, limit, &ends);
        let Ok(message) = decode(&bytes, context) else {
            prop_assert!(decode(&shortened, context).is_err(), "{:?}", shortened);
            return Ok(());
        };
        let mut room = limit * ValueLimit::ROW;
        let old_row = |old| match old {
            Old::Key(row) | Old::Full(row) => row,
        };
        let (old, new) = match message {
            Message::Insert(Insert { new, .. }) => (None, Some(new)),
            Message::Update(Update { old, new, .. }) => (old.map(old_row), Some(new)),
            Message::Delete(Delete { old, .. }) => (Some(old_row(old)), None),
            _ => (None, None),
        };
        let old = old.map(|row| cut(row, limit, &mut room)).unwrap_or_default();
        let new = new.map(|row| cut(row, limit, &mut room)).unwrap_or_default();
        let (old_tuple, new) = (old.as_tuple(), new.as_tuple());
        let with = |old| match old {
            Old::Key(_) => Old::Key(old_tuple),
            Old::Full(_) => Old::Full(old_tuple),
        };
        let expected = match message {
            Message::Insert(insert) => Message::Insert(Insert { new, ..insert }),
            Message::Update(update) => Message::Update(Update { old: update.old.map(with), new, ..update }),
            Message::Delete(delete) => Message::Delete(Delete { old: with(delete.old), ..delete }),
            Message::Logical(Logical { prefix: Text(prefix), content: Content::Whole(content), .. })
                if prefix.len().max(content.len()) > limit =>
            {
                let Message::Logical(message) = message else { unreachable!() };
                let prefix_kept = Text(&prefix[..prefix.len().min(limit)]);
                let content = Content::Cut { prefix: prefix.len(), content: content.len() };
                Message::Logical(Logical { prefix: prefix_kept, content, ..message })
            }
            Message::Logical(message) => {
                let prefix = Text(&message.prefix.0[..message.prefix.0.len().min(limit)]);
                Message::Logical(Logical { prefix, ..message })
            }
            whole => whole,
        };
        prop_assert_eq!(decode(&shortened, context), Ok(expected));
    }
}

#[test]
fn what_is_kept_of_a_row_is_bounded_and_its_small_values_are_among_it() {
    let large = vec![b'x'; 1 << 20];
    let values = [Value::Text(&large); 8].into_iter().chain([Value::Text(b"42")]);
    let row: TupleBuf = values.collect();
    let bytes = encode(&Message::Insert(Insert { xid: None, oid: Oid(1), new: row.as_tuple() }));
    let shortened = shortened(&bytes, Context::Plain, 1 << 20, &[]);
    let Ok(Message::Insert(insert)) = decode(&shortened, Context::Plain) else { panic!("no insert") };
    let kept: Vec<_> = insert.new.iter().map(|value| matches!(value, Value::Text(_))).collect();
    assert_eq!(kept, [true, true, true, true, false, false, false, false, true]);
}

#[test]
fn a_count_is_never_trusted_before_its_bytes_are_there() {
    // 2³¹ - 1 tables, or 65,535 columns, in a message of a few bytes: an error at once, with nothing reserved for them.
    for bytes in [&b"T\x7f\xff\xff\xff\0"[..], b"I\0\0\x40\x01N\xff\xff", b"R\0\0\x40\x01\0t\0d\xff\xff"] {
        let error = decode(bytes, Context::Plain).unwrap_err();
        assert_eq!((error.kind, error.offset), (DecodeErrorKind::UnexpectedEnd, bytes.len()));
    }
}
