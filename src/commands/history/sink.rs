//! Where an export goes, in the form that was asked for.
//!
//! NDJSON is the events exactly as the stream tells them, a line each. CSV has a line for each change, and objects in it as JSON text; it has
//! no word for a gap, which is said beside it.

use std::borrow::Cow;
use std::io::{self, Write};

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::notice;
use crate::event::{Gap, Kind, Operation};

/// The columns of CSV.
const COLUMNS: [&str; 10] = ["id", "time", "xid", "op", "schema", "table", "key", "old", "new", "actor"];

/// How an export looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    Ndjson,
    Csv,
}

/// Takes events in their order.
pub(super) enum Sink<W: Write> {
    Ndjson(W),
    Csv(Box<csv::Writer<W>>),
}

/// What CSV tells of a change.
#[derive(Deserialize)]
struct Change<'a> {
    id: &'a str,
    op: Operation,
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow)]
    tx: Transaction<'a>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    old: Option<&'a RawValue>,
    #[serde(borrow)]
    new: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Transaction<'a> {
    xid: u32,
    time: &'a str,
    #[serde(borrow)]
    actor: Option<&'a RawValue>,
}

impl<W: Write> Sink<W> {
    /// What was asked for, into `out`, which is to be buffered.
    pub(super) fn new(form: Form, out: W) -> io::Result<Self> {
        match form {
            Form::Ndjson => Ok(Self::Ndjson(out)),
            Form::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(COLUMNS)?;
                Ok(Self::Csv(Box::new(csv)))
            }
        }
    }

    /// An event, whose JSON this is.
    pub(super) fn event(&mut self, kind: Kind, json: &[u8]) -> io::Result<()> {
        match self {
            Self::Ndjson(out) => {
                out.write_all(json)?;
                out.write_all(b"\n")
            }
            Self::Csv(csv) if kind == Kind::Change => {
                let shape = |error| io::Error::other(format!("an event is not of the promised shape: {error}"));
                let Change { id, op, schema, table, tx, key, old, new } = serde_json::from_slice(json).map_err(shape)?;
                let Transaction { xid, time, actor } = tx;
                let xid = xid.to_string();
                let object = |value: Option<&'_ RawValue>| value.map_or("", RawValue::get).to_owned();
                let [key, old, new, actor] = [key, old, new, actor].map(object);
                csv.write_record([id, time, &xid, op.as_str(), &schema, &table, &key, &old, &new, &actor])?;
                Ok(())
            }
            Self::Csv(_) => {
                if kind == Kind::Gap {
                    notice(format_args!("here is a gap, of which CSV cannot tell: {}", String::from_utf8_lossy(json)));
                }
                Ok(())
            }
        }
    }

    /// A gap that is none of the recorded events.
    pub(super) fn gap(&mut self, gap: &Gap) -> io::Result<()> {
        self.event(Kind::Gap, &gap.json())
    }

    /// All is on its way.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Ndjson(mut out) => out.flush(),
            Self::Csv(mut csv) => csv.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(events: &[(Kind, &str)]) -> String {
        let mut out = Vec::new();
        let mut sink = Sink::new(Form::Csv, &mut out).unwrap();
        events.iter().for_each(|(kind, json)| sink.event(*kind, json.as_bytes()).unwrap());
        sink.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn csv_has_a_line_for_each_change_and_its_objects_as_they_were() {
        let change = r#"{"type":"change","id":"k3.0-1.4","op":"update","schema":"public","table":"a,\"b","oid":7,"tx":{"id":"k3-0-1","xid":771,"lsn":"0/1","time":"2026-11-22T14:02:11.204113Z","ordinal":4,"actor":{"session_user":"ann"}},"key":{"id":7},"old":null,"new":{"id":7,"n":1.10,"text":"two\nlines"},"old_complete":false,"unchanged":[],"count":21}"#;
        let commit = r#"{"type":"commit","id":"k3.0-1.5"}"#;
        let text = csv(&[(Kind::Change, change), (Kind::Commit, commit)]);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("id,time,xid,op,schema,table,key,old,new,actor"));
        let line = r#"k3.0-1.4,2026-11-22T14:02:11.204113Z,771,update,public,"a,""b","{""id"":7}",,"{""id"":7,""n"":1.10,""text"":""two\nlines""}","{""session_user"":""ann""}""#;
        assert_eq!((lines.next(), lines.next()), (Some(line), None));
    }

    #[test]
    fn ndjson_is_what_the_stream_tells() {
        let mut out = Vec::new();
        let mut sink = Sink::new(Form::Ndjson, &mut out).unwrap();
        let (to, reason) = ("k3.0-9.1".parse().unwrap(), crate::event::GapReason::Damaged);
        sink.event(Kind::Commit, br#"{"any":"thing"}"#).unwrap();
        sink.gap(&Gap { from: None, to, reason }).unwrap();
        sink.finish().unwrap();
        let gap = r#"{"type":"gap","from":null,"to":"k3.0-9.1","reason":"damaged"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{{\"any\":\"thing\"}}\n{gap}\n"));
    }
}
