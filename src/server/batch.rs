//! What goes out to a client in one write.

use bytes::Bytes;

use crate::history;

/// JSON objects, in order: those of the history in place, others of their own. It keeps blocks of the history alive: to be written, then
/// dropped.
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

    /// Each object's JSON, with the event that it is, if it is one.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Option<history::Event<'_>>, &[u8])> {
        self.pieces.iter().flat_map(|piece| {
            let (object, events) = match piece {
                Piece::Object(json) => (Some(json), None),
                Piece::Events(events) => (None, Some(events)),
            };
            let events = events.into_iter().flat_map(history::Batch::iter).map(|event| (Some(event), event.bytes()));
            object.into_iter().map(|json| (None, &**json)).chain(events)
        })
    }
}

impl From<Bytes> for Batch {
    fn from(json: Bytes) -> Self {
        let mut batch = Self::default();
        batch.push(json);
        batch
    }
}
