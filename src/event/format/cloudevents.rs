//! CloudEvents 1.0 in structured JSON: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
//!
//! `data` is the stream's own object. Ids are those of the stream, so `source` and `id` together name the event through every replay.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::event::block::Operation;
use crate::event::received::Event;

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: Cow<'a, str>,
    source: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<&'a str>,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

pub(super) fn line(event: &Event<'_>, json: &str, database: &str) -> Result<Option<String>, serde_json::Error> {
    let (id, r#type, subject, tx) = match event {
        Event::Change(change) => {
            let subject = format!("{}.{}", change.schema, change.table);
            (Cow::Borrowed(change.id), change_type(change.op), Some(subject), Some(&change.tx))
        }
        Event::Commit(commit) => (commit.id.into(), "io.github.pgvigil.commit", None, Some(&commit.tx)),
        Event::Ddl(ddl) => (ddl.id.into(), "io.github.pgvigil.ddl", ddl.object.clone(), Some(&ddl.tx)),
        Event::Message(message) => {
            (message.id.into(), "io.github.pgvigil.message", Some(message.prefix.to_string()), message.tx.as_ref())
        }
        // A gap has no id of its own; it ends where it is told.
        Event::Gap(gap) => (format!("gap-{}", gap.to).into(), "io.github.pgvigil.gap", None, None),
        Event::Hello(_) | Event::Error(_) | Event::Other => return Ok(None),
    };
    let event = CloudEvent {
        specversion: "1.0",
        id,
        source: format!("/pgvigil/{}", percent_encoded(database)),
        r#type,
        // An empty subject is not allowed: a message may have an empty prefix.
        subject: subject.filter(|subject| !subject.is_empty()),
        time: tx.map(|tx| tx.time),
        datacontenttype: "application/json",
        data: serde_json::from_str(json)?,
    };
    serde_json::to_string(&event).map(Some)
}

fn change_type(operation: Operation) -> &'static str {
    match operation {
        Operation::Insert => "io.github.pgvigil.change.insert",
        Operation::Update => "io.github.pgvigil.change.update",
        Operation::Delete => "io.github.pgvigil.change.delete",
        Operation::Truncate => "io.github.pgvigil.change.truncate",
    }
}

/// `source` is a URI reference.
fn percent_encoded(segment: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    segment.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
