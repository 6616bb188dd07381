//! What goes out to a client in one write.

use bytes::Bytes;

use crate::history;
use crate::lsn::EventId;

/// JSON objects, in order: those of the history in place, others of their own. It keeps blocks of the history alive: to be dropped before
/// anything is waited for.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pieces: Vec<Piece>,
    objects: usize,
    bytes: usize,
}

#[derive(Debug)]
enum Piece {
    Object(Bytes),
    Events(history::Batch),
}

impl Batch {
    pub(super) fn push(&mut self, json: Bytes) {
        self.objects += 1;
        self.bytes += json.len();
        self.pieces.push(Piece::Object(json));
    }

    pub(super) fn push_events(&mut self, events: history::Batch) {
        self.objects += events.len();
        self.bytes += events.bytes();
        self.pieces.push(Piece::Events(events));
    }

    /// How many objects there are.
    pub(super) fn len(&self) -> usize {
        self.objects
    }

    pub(super) fn is_empty(&self) -> bool {
        self.objects == 0
    }

    /// Bytes of JSON.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Each object.
    pub(super) fn iter(&self) -> impl Iterator<Item = Object<'_>> {
        self.pieces.iter().flat_map(|piece| {
            let (object, events) = match piece {
                Piece::Object(json) => (Some(json), None),
                Piece::Events(events) => (None, Some(events)),
            };
            let events = events.into_iter().flat_map(history::Batch::iter).map(Object::Event);
            object.into_iter().map(Object::Other).chain(events)
        })
    }
}

/// One object of a [`Batch`].
#[derive(Clone, Copy)]
pub(super) enum Object<'a> {
    /// An event of the history.
    Event(history::Event<'a>),
    /// Anything else.
    Other(&'a Bytes),
}

impl<'a> Object<'a> {
    /// Its JSON.
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Event(event) => event.bytes(),
            Self::Other(json) => json,
        }
    }

    /// The same without a copy: that of an event keeps its block alive.
    pub(super) fn share(self) -> Bytes {
        match self {
            Self::Event(event) => event.json(),
            Self::Other(json) => json.clone(),
        }
    }

    /// If it is an event, its identity.
    pub(super) fn id(self) -> Option<EventId> {
        match self {
            Self::Event(event) => Some(event.id()),
            Self::Other(_) => None,
        }
    }
}

impl From<Bytes> for Batch {
    fn from(json: Bytes) -> Self {
        let mut batch = Self::default();
        batch.push(json);
        batch
    }
}
