//! Who did a transaction: read from what the triggers of `setup` tell in the stream, and from what applications say of themselves.
//!
//! | prefix | from | content |
//! |---|---|---|
//! | `pgvigil.actor` | `sql/setup/attribution.sql` | who is connected, and the statement |
//! | `pgvigil.ddl` | `sql/setup/ddl_messages.sql` | the same, of a statement that altered something |
//! | `pgvigil.annotation`, `sequin:transaction_annotations.set`, `_bemi` | an application | any JSON object |
//! | `sequin:transaction_annotations.clear` | an application | from here on there is none |
//!
//! **Which changes.** A trigger fires behind its statement, so its message is about the changes between the message before it and
//! itself, and the last one also about all that follow. What is done again by the same is not told again: up to where that went, the next
//! message says. What is told of DDL is about that DDL, and stands for the rest only where no trigger tells. An annotation is about what
//! follows it, and the first one about all before it too.
//! The statement is only told of operations that fire the triggers: by which others were done is not known, and by whom as far as
//! all who were told of in the transaction are the same. Where
//! messages were too many to be kept, nobody is known between the first and the last that were left out.
//!
//! **Whoever may write a message can lie about itself**, and [`Source`] says what a name rests on. So nothing here decides anything: a
//! message that is not as it should be is no actor but still a `message` event, and takes no other's place ([`is_said`]); one that names
//! another transaction is not of a trigger; and what is copied into every change is cut short.

#[cfg(test)]
mod tests;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::block::{Operation, Operations};
use super::ddl::DdlMessage;
use crate::encoding::Encoding;
use crate::lsn::Xid;
use told::{Told, annotation};

const TRIGGER: &[u8] = b"pgvigil.actor";
const ANNOTATIONS: [&[u8]; 3] = [b"pgvigil.annotation", b"sequin:transaction_annotations.set", b"_bemi"];
const CLEAR: &[u8] = b"sequin:transaction_annotations.clear";

/// Prefixes of the messages that say who does a transaction.
pub const PREFIXES: &[&[u8]] = &[TRIGGER, DdlMessage::PREFIX, ANNOTATIONS[0], ANNOTATIONS[1], ANNOTATIONS[2], CLEAR];

/// Bytes of an annotation that every change of the transaction carries; a larger one is on the commit alone.
const ANNOTATION_OF_A_CHANGE: usize = 512;
/// Characters of the statement that every change carries; the commit has all that was told.
const QUERY_OF_A_CHANGE: usize = 160;

/// What the name of an actor rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Told by the triggers of `setup`.
    Trigger,
    /// Told by the application, of itself.
    Annotation,
    /// Seen in `pg_stat_activity`, of a transaction that still runs and that nothing in the stream tells of.
    Activity,
}

/// Who did something, as far as it was told.
#[derive(Clone, Debug, Serialize)]
pub struct Actor {
    /// Who logged in.
    pub session_user: Option<String>,
    /// The role that it had taken on.
    pub current_user: Option<String>,
    /// What the client calls itself.
    pub application_name: Option<String>,
    /// Where it connected from; none on a Unix socket.
    pub client_addr: Option<String>,
    /// The server's process for it.
    pub pid: Option<u32>,
    /// The statement, as far as it was told.
    pub query: Option<String>,
    /// What all this rests on.
    pub source: Source,
    /// What the application says of itself: a JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<Box<RawValue>>,
}

/// The names that an actor is found by, with `actor=`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names(Box<[Box<str>]>);

impl Names {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    /// Bytes on the heap.
    pub(super) fn size(&self) -> usize {
        size_of_val(&*self.0) + self.iter().map(str::len).sum::<usize>()
    }
}

/// Which of a block's actors ([`Block::actors`](super::Block::actors)), counted from 1.
pub type ActorIndex = NonZero<u16>;

/// Who did each part of a transaction.
#[derive(Debug, Default)]
pub struct Attribution {
    /// Each with the place of its last message. Nobody may be known of one.
    stretches: Box<[(u64, Option<Stretch>)]>,
    /// The names of all.
    names: Option<Arc<Names>>,
}

/// A part of a transaction that one actor did, ready to be written.
#[derive(Debug)]
pub(super) struct Stretch {
    actor: Actor,
    /// Operations whose statement is known.
    operations: Operations,
    /// `,"actor":{…}` of an event, with its statement, without it, and with no names but those that all have who were told of.
    with_query: Vec<u8>,
    without_query: Vec<u8>,
    shared: Vec<u8>,
    names: Arc<Names>,
}

/// What a message says.
enum Said {
    /// Who changes rows; `None`, as one without names: nobody knows.
    Who(Option<Told>),
    /// Who altered something.
    Altered(Told),
    /// What the application says of itself; `None`: nothing, from here on.
    Itself(Option<Box<RawValue>>),
}

impl Said {
    /// What a message of one of [`PREFIXES`] says of `xid`, if anything. What is left out could have said anything.
    fn read(xid: Xid, prefix: &[u8], content: Option<&[u8]>, encoding: &Encoding) -> Option<Self> {
        let of_this = |told: Option<Told>| told.filter(|told| told.is_of(xid));
        match (prefix, content) {
            (TRIGGER | DdlMessage::PREFIX, None) => Some(Said::Who(None)),
            (CLEAR, _) | (_, None) => Some(Said::Itself(None)),
            (TRIGGER, Some(content)) => Some(Said::Who(Some(of_this(Told::of_trigger(&encoding.decode(content).0))?))),
            (DdlMessage::PREFIX, Some(content)) => Some(Said::Altered(of_this(Told::of_ddl(content))?)),
            (_, Some(content)) => Some(Said::Itself(Some(annotation(&encoding.decode(content).0)?))),
        }
    }
}

/// Whether a message of one of [`PREFIXES`] is what these should be, and of the transaction `xid`.
pub fn is_said(xid: Xid, prefix: &[u8], content: &[u8], encoding: &Encoding) -> bool {
    let is_ddl = prefix == DdlMessage::PREFIX && DdlMessage::parse(content).is_some();
    is_ddl || Said::read(xid, prefix, Some(content), encoding).is_some()
}

/// What messages say, by their places.
type Placed<T> = BTreeMap<u64, Option<T>>;

/// What the messages that were not sent would have said: of whoever went on behind their message.
fn unsent(told: &Placed<Told>) -> Placed<Told> {
    let unsent = told.iter().filter_map(|(at, next)| {
        // A change is placed by its start, so none of theirs is where the log stood.
        let last = next.as_ref()?.until?.0.checked_sub(1)?;
        let (_, before) = told.range(..at).next_back()?;
        (last < *at).then(|| (last, before.clone()))
    });
    unsent.collect()
}

impl Attribution {
    /// Of a transaction, from its messages of [`PREFIXES`]: the places of the first and the last that say the same, the prefix, and the
    /// content of each; `None` of those that were left out.
    pub fn read<'a>(
        xid: Xid,
        messages: impl Iterator<Item = (RangeInclusive<u64>, &'a [u8], Option<&'a [u8]>)>,
        encoding: &Encoding,
    ) -> Self {
        let (mut told, mut altered, mut annotations) = (Placed::new(), Placed::new(), Placed::new());
        for (places, prefix, content) in messages {
            let places = [*places.start(), *places.end()];
            match Said::read(xid, prefix, content, encoding) {
                Some(Said::Who(who)) => told.extend(places.map(|at| (at, who.clone()))),
                Some(Said::Altered(who)) => altered.extend(places.map(|at| (at, Some(who.clone())))),
                Some(Said::Itself(annotation)) => annotations.extend(places.map(|at| (at, annotation.clone()))),
                None => {}
            }
        }
        // As with most transactions.
        if told.is_empty() && altered.is_empty() && annotations.is_empty() {
            return Self::default();
        }
        told.extend(unsent(&told));
        Self::join(&told, &altered, &annotations)
    }

    fn join(told: &Placed<Told>, altered: &Placed<Told>, annotations: &Placed<Box<RawValue>>) -> Self {
        // What follows the last message is by whom it tells of, as is what comes before it.
        let tellers = if told.is_empty() { altered } else { told };
        let places = tellers.keys().rev().skip(1).chain(annotations.keys().skip(1)).copied();
        let ends: BTreeSet<u64> =
            places.chain(altered.keys().flat_map(|at| [at.saturating_sub(1), *at])).chain([u64::MAX]).collect();
        let all = told.values().chain(altered.values()).map(|who| who.as_ref().filter(|who| who.is_somebody()).cloned());
        let shared = all.reduce(|one, other| Some(one?.or(&other?))).flatten();
        let mut stretches = Vec::with_capacity(ends.len());
        let mut start = 0;
        for until in ends {
            let by = tellers.range(until..).next().or(tellers.last_key_value()).map(|(_, who)| who);
            let who = altered.get(&until).or(by).and_then(|who| who.as_ref().filter(|who| who.is_somebody()));
            let annotation = annotations.range(..=start).next_back().or(annotations.first_key_value());
            let annotation = annotation.and_then(|(_, annotation)| annotation.clone());
            stretches.push((until, Stretch::new(who, shared.as_ref(), annotation)));
            start = until;
        }
        let known: Vec<&Stretch> = stretches.iter().filter_map(|(_, stretch)| stretch.as_ref()).collect();
        let names = match &*known {
            [] => None,
            [only] => Some(Arc::clone(&only.names)),
            several => Some(Arc::new(Names::new(several.iter().flat_map(|stretch| stretch.names.0.iter().cloned())))),
        };
        Self { stretches: stretches.into(), names }
    }

    /// Who did it, or, where that changed on the way, who did the first of it: the stretch `first`, or any where that is not known.
    pub fn actor(&self, first: Option<usize>) -> Option<&Actor> {
        let known = |(_, stretch): &'_ (u64, Option<Stretch>)| stretch.is_some();
        let any = || self.stretches.iter().position(known);
        Some(&self.stretch(first.or_else(any)?)?.actor)
    }

    /// The names of all who did a part of it; `None` if nobody is known.
    pub(super) fn names(&self) -> Option<&Arc<Names>> {
        self.names.as_ref()
    }

    /// Which stretch the message at `place` belongs to.
    #[inline]
    pub(super) fn stretch_at(&self, place: u64) -> usize {
        self.stretches.partition_point(|(until, _)| *until < place)
    }

    #[inline]
    pub(super) fn stretch(&self, index: usize) -> Option<&Stretch> {
        self.stretches.get(index)?.1.as_ref()
    }
}

impl Stretch {
    fn new(told: Option<&Told>, shared: Option<&Told>, annotation: Option<Box<RawValue>>) -> Option<Self> {
        let source = if told.is_some() { Source::Trigger } else { Source::Annotation };
        if told.is_none() && annotation.is_none() {
            return None;
        }
        let by = |told: Option<&Told>, query: Option<String>, annotation: Option<Box<RawValue>>| {
            let text = |field: fn(&Told) -> &Option<String>| told.and_then(|told| field(told).clone());
            Actor {
                session_user: text(|told| &told.session_user),
                current_user: text(|told| &told.current_user),
                application_name: text(|told| &told.application_name),
                client_addr: told.and_then(|told| Some(told.client_addr?.to_string())),
                pid: told.and_then(|told| told.pid),
                query,
                source,
                annotation,
            }
        };
        let query = told.and_then(|told| told.query.clone());
        let brief = |told, query: Option<String>| {
            let annotation = annotation.clone().filter(|annotation| annotation.get().len() <= ANNOTATION_OF_A_CHANGE);
            let mut json = b",\"actor\":".to_vec();
            json.extend(serde_json::to_vec(&by(told, query, annotation)).unwrap_or_default());
            json
        };
        let (with_query, without_query) = (brief(told, query.as_deref().map(cut)), brief(told, None));
        let shared = brief(told.and(shared), None);
        let actor = by(told, query, annotation);
        let names = Arc::new(Names::of(&actor));
        let operations = told.map_or_else(Operations::default, |told| told.operations);
        Some(Stretch { actor, operations, with_query, without_query, shared, names })
    }

    /// Its actor in the JSON of an event, behind a comma. Of a change the statement is known, and who did it for certain, if its operation
    /// fires the triggers.
    #[inline]
    pub(super) fn json(&self, operation: Option<Operation>) -> &[u8] {
        match operation {
            Some(operation) if self.operations.contains(operation) => &self.with_query,
            Some(_) => &self.shared,
            None => &self.without_query,
        }
    }

    pub(super) fn names(&self) -> &Arc<Names> {
        &self.names
    }
}

impl Names {
    pub(super) fn new(names: impl Iterator<Item = Box<str>>) -> Self {
        let mut names: Vec<Box<str>> = names.filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        Self(names.into())
    }

    /// Of an annotation, every text that is a value of the object itself.
    fn of(actor: &Actor) -> Self {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Value {
            Text(Box<str>),
            Other(serde::de::IgnoredAny),
        }
        let Actor { session_user, current_user, application_name, client_addr, annotation, .. } = actor;
        let said: BTreeMap<String, Value> =
            annotation.as_ref().and_then(|annotation| serde_json::from_str(annotation.get()).ok()).unwrap_or_default();
        let said = said.into_values().filter_map(|value| match value {
            Value::Text(text) => Some(text),
            Value::Other(_) => None,
        });
        let told = [session_user, current_user, application_name, client_addr].into_iter().flatten();
        Names::new(told.map(|name| name.as_str().into()).chain(said))
    }
}

/// The start of a statement.
fn cut(query: &str) -> String {
    match query.char_indices().nth(QUERY_OF_A_CHANGE) {
        Some((end, _)) => format!("{}…", query.get(..end).unwrap_or_default()),
        None => query.to_owned(),
    }
}
