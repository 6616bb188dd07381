//! The messages themselves, read strictly.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::block::{Operation, Operations};
use crate::event::document;
use crate::lsn::{Lsn, Xid};

/// Bytes of a name. PostgreSQL's are shorter, in every encoding.
pub(super) const NAME: usize = 256;
/// Bytes of an annotation.
pub(super) const ANNOTATION: usize = 8 << 10;

/// What a trigger tells. Without names, that who does it is not told from here on.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Told {
    xid: String,
    pub(super) session_user: Option<String>,
    pub(super) current_user: Option<String>,
    pub(super) application_name: Option<String>,
    pub(super) client_addr: Option<IpAddr>,
    pub(super) pid: Option<u32>,
    pub(super) query: Option<String>,
    #[serde(default, deserialize_with = "operations")]
    pub(super) operations: Operations,
    /// Where the log stood when whom the message before tells of last changed rows, if that was behind it.
    #[serde(default, deserialize_with = "position")]
    pub(super) until: Option<Lsn>,
}

impl Told {
    pub(super) fn of_trigger(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok().filter(Self::is_plausible)
    }

    pub(super) fn of_ddl(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Ddl {
            actor: Told,
            sql: Option<String>,
        }
        let Ddl { actor, sql } = serde_json::from_slice(json).ok()?;
        Some(Told { query: sql, ..actor }).filter(Self::is_plausible)
    }

    /// A session has a user, or else nothing more is told of it; and no name is as long as a text can be.
    fn is_plausible(&self) -> bool {
        let Told { session_user, current_user, application_name, query, .. } = self;
        let names = [session_user, current_user, application_name];
        let is_session = session_user.is_some() && current_user.is_some();
        let is_nobody = names.into_iter().chain([query]).all(Option::is_none);
        (is_session || is_nobody) && names.into_iter().flatten().all(|name| name.len() <= NAME)
    }

    /// Whether it names anybody.
    pub(super) fn is_somebody(&self) -> bool {
        self.session_user.is_some()
    }

    /// What is known of a change that either this one made or that one.
    pub(super) fn or(&self, other: &Told) -> Told {
        let same = |name: fn(&Told) -> &Option<String>| name(self).clone().filter(|_| name(self) == name(other));
        Told {
            session_user: same(|told| &told.session_user),
            current_user: same(|told| &told.current_user),
            application_name: same(|told| &told.application_name),
            ..self.clone()
        }
    }

    /// Whether it is about this transaction; the server counts on beyond the 32 bits that are in the stream.
    pub(super) fn is_of(&self, xid: Xid) -> bool {
        self.xid.parse::<u64>().is_ok_and(|full| full & u64::from(u32::MAX) == u64::from(xid.0))
    }
}

/// Reads a list such as `delete,truncate`.
fn operations<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Operations, D::Error> {
    let text = String::deserialize(deserializer)?;
    let named = |operation: &Operation| text.split(',').any(|name| name == operation.as_str());
    Ok(Operations::EACH.into_iter().filter(named).collect())
}

/// Reads a position. Any session can set what it is made of, so what is none is as if it had not been said.
fn position<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Lsn>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| text.parse().ok()))
}

/// An application's own words, if they are a JSON object that every reader can read, and of a size.
pub(super) fn annotation(text: &str) -> Option<Box<RawValue>> {
    let text = text.trim();
    let mut json = Vec::new();
    let fits = text.starts_with('{') && text.len() <= ANNOTATION && document::embed(&mut json, text);
    let json = String::from_utf8(json).ok().filter(|_| fits)?;
    RawValue::from_string(json).ok()
}
