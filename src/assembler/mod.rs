//! The assembler: messages of the stream → whole committed transactions, in commit order.
//!
//! Floor 2, pure but for a file that the caller lends when memory is short. A message that belongs to a transaction is not decoded when
//! it comes: its bytes are put at the end of that transaction's log, and the log is read once, when the transaction commits. So streamed
//! blocks, prepared transactions and plain ones are the same thing, and nothing of a rolled-back (sub-)transaction is ever looked at.
//!
//! ```text
//!            B            I U D T R Y M O              C
//!   Idle ────────▶ Open ───────────────────▶ its log ────▶ Step::Transaction
//!     │   b                                            P
//!     ├──────────▶ Open ───────────────────▶ its log ────▶ prepared[gid] ──K──▶ Step::Transaction
//!     │                                                         └──────r──▶ dropped
//!     │   S                                            E
//!     ├──────────▶ Streaming(xid) ─────────▶ streamed[xid] ──▶ Idle
//!     │                                       │ c ──▶ Step::Transaction
//!     │                                       │ p ──▶ prepared[gid]
//!     │                                       └ A ──▶ dropped, or its sub-transaction marked
//!     └ M, not transactional: Step::Message at once, in any state
//! ```
//!
//! **Relations in a stream.** A `Relation` is not sent again after the transaction that it was streamed in has committed; nor is it sent
//! again in the same transaction when the sub-transaction that happened to carry it is rolled back (the server remembers what it sent per
//! top-level transaction, and forgets it only when DDL was undone, in which case it sends a new one). So `Relation` and `Type` messages
//! survive the rollback of their sub-transaction, and go only with the whole transaction.
//!
//! **Messages in a stream.** Of a transactional message the server only says the top-level transaction, also where it was written in a
//! sub-transaction that is rolled back later. Unless the message itself tells which that is ([`Says::Within`]), it is taken for that of the
//! change before it: so it is never dropped when it holds, and kept when it does not only where nothing else was done.
//!
//! **Memory** of all unfinished transactions together stays under a limit: beyond it the largest log moves to a file.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod log;
mod notes;
mod tally;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;

use rustc_hash::FxHashMap;

use self::log::{Log, Reader};
pub use self::notes::Note;
pub use self::tally::{Done, Tally};
use crate::lsn::{Lsn, Oid, Xid};
use crate::pgoutput::{self, Commit, Context, DecodeError, Logical, Message, Tag, Timestamp};

/// Makes a file to spill to; it should have no name any more, so that nothing is left whatever happens.
pub type CreateFile = Box<dyn FnMut() -> io::Result<File> + Send>;

/// What a message of this transaction, with this prefix and this content, says.
pub type Reads = Box<dyn Fn(Xid, &[u8], &[u8]) -> Says + Send>;

/// What a message says, as far as the assembler has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Nothing that is worth a note.
    Nothing,
    /// Something.
    Something,
    /// Something, and the sub-transaction that it was written in.
    Within(Xid),
}

/// Turns messages into transactions.
pub struct Assembler {
    state: State,
    streamed: FxHashMap<Xid, Log>,
    prepared: FxHashMap<Box<[u8]>, Prepared>,
    limit: usize,
    memory: usize,
    spilled: u64,
    create_file: CreateFile,
    spare: Log,
    noted: Noted,
    ended: Vec<(Xid, End)>,
}

/// Which messages are noted.
struct Noted {
    prefixes: &'static [&'static [u8]],
    reads: Reads,
}

/// What became of a transaction that was streamed while it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it holds.
    Committed,
    /// Nothing of it ever was.
    RolledBack,
}

/// A transaction that is streamed while it runs.
#[derive(Debug)]
pub struct Running<'a> {
    /// The top-level transaction.
    pub xid: Xid,
    /// What came of it so far.
    pub tally: &'a Tally,
    /// What was noted of it so far ([`Assembler::noting`]).
    pub notes: &'a [Note],
}

#[derive(Debug)]
enum State {
    Idle,
    /// Between Begin and Commit, or Begin Prepare and Prepare.
    Open {
        xid: Xid,
        log: Log,
    },
    /// Between Stream Start and Stream Stop.
    Streaming {
        xid: Xid,
    },
}

/// A transaction between PREPARE TRANSACTION and what becomes of it.
#[derive(Debug)]
struct Prepared {
    log: Log,
    context: Context,
}

/// What a message completed.
#[derive(Debug)]
pub enum Step<'a> {
    /// Nothing yet.
    Pending,
    /// A transaction was committed.
    Transaction(Transaction),
    /// A logical message that belongs to no transaction.
    Message(Logical<'a>),
    /// The stream stands here: a rollback or a prepare, which changes nothing yet.
    Reached(Lsn),
}

/// A message that cannot be: the stream is not to be trusted from here on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("a replication message cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// It can be read, but not here.
    #[error("the replication message {tag:?} came {place}, where it cannot be")]
    OutOfPlace {
        /// What it is.
        tag: Tag,
        /// Where it came.
        place: &'static str,
    },
    /// A row came of a table that was not described before.
    #[error("a row of table {oid} came before the table was described")]
    Undescribed {
        /// The table.
        oid: Oid,
    },
    /// The file that holds the part of a transaction that memory does not.
    #[error("the temporary file for a large transaction failed: {0}")]
    Spill(#[source] io::Error),
}

impl Assembler {
    /// An assembler that keeps at most about `limit` bytes of unfinished transactions in memory and spills beyond it.
    pub fn new(limit: usize, create_file: CreateFile) -> Self {
        Self {
            state: State::Idle,
            streamed: FxHashMap::default(),
            prepared: FxHashMap::default(),
            limit,
            memory: 0,
            spilled: 0,
            create_file,
            spare: Log::default(),
            noted: Noted { prefixes: &[], reads: Box::new(|_, _, _| Says::Nothing) },
            ended: Vec::new(),
        }
    }

    /// Has messages of these prefixes known when their transaction is complete, before it is read: [`Transaction::notes`]. Of these
    /// messages those that mean nothing are passed over, so that they do not crowd out the others.
    #[must_use]
    pub fn noting(self, prefixes: &'static [&'static [u8]], reads: Reads) -> Self {
        Self { noted: Noted { prefixes, reads }, ..self }
    }

    /// Bytes of unfinished transactions in memory.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// How often a log was moved to its file.
    pub fn spilled(&self) -> u64 {
        self.spilled
    }

    /// Whether no committed transaction has come in part: everything committed up to the last message was returned by [`Self::push`].
    /// (Streamed and prepared transactions come again from their beginning, should the stream be started anew before they commit.)
    pub fn is_between_transactions(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// The transactions that are streamed while they run.
    pub fn running(&self) -> impl Iterator<Item = Running<'_>> {
        self.streamed.iter().map(|(xid, log)| Running { xid: *xid, tally: &log.tally, notes: log.notes.as_slice() })
    }

    /// Whether there are any, or were since it was last asked which have ended.
    pub fn streams(&self) -> bool {
        !self.streamed.is_empty() || !self.ended.is_empty()
    }

    /// Those of them that ended since this was last asked.
    pub fn take_ended(&mut self) -> Vec<(Xid, End)> {
        std::mem::take(&mut self.ended)
    }

    /// Gives back a transaction that was read, so that its memory serves the next one.
    pub fn recycle(&mut self, transaction: Transaction) {
        self.spare = transaction.reader.into_log().recycle();
    }

    /// Whether a message of this length may move a log to its file, which may block for a moment.
    pub fn spills_with(&self, length: usize) -> bool {
        // What a log grows by is at most what its last segment doubles to.
        self.memory + 2 * length + log::SEGMENT > self.limit
    }

    /// Takes the next message of the stream, which the server says to be from `lsn`: of a change, where its record starts.
    pub fn push<'a>(&mut self, lsn: Lsn, bytes: &'a [u8]) -> Result<Step<'a>, Error> {
        let front = pgoutput::peek(bytes, self.context())?;
        match front.tag {
            Tag::Insert | Tag::Update | Tag::Delete | Tag::Truncate => {
                if let State::Streaming { xid } = &self.state {
                    self.streamed.entry(*xid).or_default().changes_at(lsn.0, front.xid);
                }
                self.keep(front.tag, lsn.0, front.xid, bytes)
            }
            // They outlive a rollback of the sub-transaction that they came in; see the module's text.
            Tag::Relation | Tag::Type | Tag::Origin => self.keep(front.tag, lsn.0, None, bytes),
            // Of a message the server says where its record ends.
            Tag::Logical => match pgoutput::decode(bytes, self.context())? {
                Message::Logical(message) if !message.transactional => Ok(Step::Message(message)),
                Message::Logical(message) => {
                    let place = message.lsn.0.saturating_sub(1);
                    let subxid = self.note(place, front.xid, &message);
                    self.keep(front.tag, place, subxid, bytes)
                }
                _ => self.keep(front.tag, lsn.0, front.xid, bytes),
            },
            _ => self.control(front.tag, pgoutput::decode(bytes, self.context())?),
        }
    }

    fn context(&self) -> Context {
        match self.state {
            State::Streaming { .. } => Context::InStream,
            State::Idle | State::Open { .. } => Context::Plain,
        }
    }

    /// Takes note of a message, if it is one to be noted, and says what sub-transaction it may yet be rolled back with.
    fn note(&mut self, place: u64, xid: Option<Xid>, message: &Logical<'_>) -> Option<Xid> {
        let (top, log) = match &mut self.state {
            State::Open { xid, log } => (*xid, log),
            State::Streaming { xid } => (*xid, self.streamed.entry(*xid).or_default()),
            State::Idle => return xid,
        };
        let content = message.content.whole();
        let prefix = self.noted.prefixes.iter().find(|prefix| **prefix == message.prefix.0);
        let says = prefix.map(|prefix| content.map_or(Says::Something, |content| (self.noted.reads)(top, prefix, content)));
        // Plain transactions are sent when it is known what of them holds.
        let subxid = xid.and_then(|_| match says {
            Some(Says::Within(subxid)) => Some(subxid),
            _ => log.written_before(place),
        });
        if let Some((prefix, says)) = prefix.zip(says) {
            log.notes.take(place, subxid.unwrap_or_default(), prefix, content, says != Says::Nothing);
        }
        subxid
    }

    /// Puts a message of the current transaction into its log.
    fn keep<'a>(&mut self, tag: Tag, place: u64, subxid: Option<Xid>, bytes: &[u8]) -> Result<Step<'a>, Error> {
        let log = match &mut self.state {
            State::Open { log, .. } => log,
            State::Streaming { xid } => {
                let log = self.streamed.entry(*xid).or_default();
                log.tally.add(tag, subxid.unwrap_or_default(), bytes);
                log
            }
            State::Idle => return Err(Error::OutOfPlace { tag, place: "outside of any transaction" }),
        };
        let before = log.memory();
        log.push(place, subxid, bytes);
        self.memory += log.memory() - before;
        if self.memory > self.limit {
            self.make_room()?;
        }
        Ok(Step::Pending)
    }

    /// Moves the largest log to its file.
    fn make_room(&mut self) -> Result<(), Error> {
        let open = match &mut self.state {
            State::Open { log, .. } => Some(log),
            State::Idle | State::Streaming { .. } => None,
        };
        let logs = self.streamed.values_mut().chain(self.prepared.values_mut().map(|prepared| &mut prepared.log)).chain(open);
        if let Some(largest) = logs.max_by_key(|log| log.memory()) {
            let freed = largest.memory();
            largest.spill(&mut self.create_file).map_err(Error::Spill)?;
            self.memory -= freed;
            self.spilled += 1;
        }
        Ok(())
    }

    fn control<'a>(&mut self, tag: Tag, message: Message<'a>) -> Result<Step<'a>, Error> {
        match (message, std::mem::replace(&mut self.state, State::Idle)) {
            (Message::Begin(begin), State::Idle) => {
                self.open(begin.xid);
                Ok(Step::Pending)
            }
            (Message::BeginPrepare(prepare), State::Idle) => {
                self.open(prepare.xid);
                Ok(Step::Pending)
            }
            (Message::Commit(commit), State::Open { xid, log }) => self.committed(xid, commit, log, Context::Plain),
            (Message::Prepare(prepare), State::Open { log, .. }) => {
                self.prepared.insert(prepare.gid.0.into(), Prepared { log, context: Context::Plain });
                Ok(Step::Reached(prepare.end_lsn))
            }
            (Message::StreamStart(start), State::Idle) => {
                self.state = State::Streaming { xid: start.xid };
                Ok(Step::Pending)
            }
            (Message::StreamStop, State::Streaming { .. }) => Ok(Step::Pending),
            (Message::StreamCommit(end), State::Idle) => {
                let log = self.streamed.remove(&end.xid).unwrap_or_default();
                self.ended.push((end.xid, End::Committed));
                self.committed(end.xid, end.commit, log, Context::InStream)
            }
            (Message::StreamPrepare(prepare), State::Idle) => {
                let log = self.streamed.remove(&prepare.xid).unwrap_or_default();
                self.prepared.insert(prepare.gid.0.into(), Prepared { log, context: Context::InStream });
                Ok(Step::Reached(prepare.end_lsn))
            }
            (Message::StreamAbort(abort), State::Idle) => {
                if abort.xid != abort.subxid {
                    if let Some(log) = self.streamed.get_mut(&abort.xid) {
                        log.roll_back(abort.subxid);
                    }
                } else if let Some(log) = self.streamed.remove(&abort.xid) {
                    self.memory -= log.memory();
                    self.ended.push((abort.xid, End::RolledBack));
                }
                Ok(Step::Pending)
            }
            (Message::CommitPrepared(end), State::Idle) => match self.prepared.remove(end.gid.0) {
                Some(prepared) => self.committed(end.xid, end.commit, prepared.log, prepared.context),
                // Prepared before this stream began, and sent to nobody: its changes are in the baselines taken since.
                None => Ok(Step::Reached(end.commit.end_lsn)),
            },
            (Message::RollbackPrepared(end), State::Idle) => {
                if let Some(prepared) = self.prepared.remove(end.gid.0) {
                    self.memory -= prepared.log.memory();
                }
                Ok(Step::Reached(end.rollback_end_lsn))
            }
            (_, State::Idle) => Err(Error::OutOfPlace { tag, place: "outside of any transaction" }),
            (_, State::Open { .. }) => Err(Error::OutOfPlace { tag, place: "inside of a transaction" }),
            (_, State::Streaming { .. }) => Err(Error::OutOfPlace { tag, place: "inside of a streamed block" }),
        }
    }
    fn open(&mut self, xid: Xid) {
        let log = std::mem::take(&mut self.spare);
        self.memory += log.memory();
        self.state = State::Open { xid, log };
    }

    fn committed<'a>(&mut self, xid: Xid, commit: Commit, log: Log, context: Context) -> Result<Step<'a>, Error> {
        self.memory -= log.memory();
        let Commit { commit_lsn, end_lsn, time } = commit;
        let reader = log.into_reader().map_err(Error::Spill)?;
        Ok(Step::Transaction(Transaction { xid, commit_lsn, end_lsn, time, context, reader }))
    }
}

/// A committed transaction: what happened, in order, read once with [`Transaction::next`].
#[derive(Debug)]
pub struct Transaction {
    /// The top-level transaction.
    pub xid: Xid,
    /// Where its commit record starts: its place among all transactions.
    pub commit_lsn: Lsn,
    /// Where its commit record ends: the position to acknowledge once it is dealt with.
    pub end_lsn: Lsn,
    /// When it was committed, by the server's clock.
    pub time: Timestamp,
    context: Context,
    reader: Reader,
}

impl Transaction {
    /// Its next Insert, Update, Delete, Truncate, Relation, Type, Origin or transactional Logical message; `None` at its end.
    ///
    /// Before it, its place in the log: where the record of a change starts, but of a message, of which the server says the end, the
    /// byte before that. The server merges sub-transactions by what it says, and so may send a change before the message that it
    /// directly follows: by their places they are in order.
    #[allow(clippy::should_implement_trait)] // it lends: the message borrows from the transaction
    pub fn next(&mut self) -> Result<Option<(u64, Message<'_>)>, Error> {
        let context = self.context;
        loop {
            if !self.reader.advance().map_err(Error::Spill)? {
                return Ok(None);
            }
            if !self.reader.is_rolled_back() {
                break;
            }
        }
        Ok(Some((self.reader.place(), pgoutput::decode(self.reader.message(), context)?)))
    }

    /// What was noted of it ([`Assembler::noting`]) and not rolled back, in order.
    pub fn notes(&self) -> &[Note] {
        self.reader.notes()
    }

    /// Whether these are all messages of this prefix that the transaction has and that mean something. Not if they are many, or large.
    pub fn has_all_notes(&self, prefix: &[u8]) -> bool {
        self.reader.has_all_notes(prefix)
    }

    /// Whether [`Self::next`] will read a part of it from a file, which may block for a moment.
    pub fn reads_file_next(&self) -> bool {
        self.reader.reads_file_next()
    }
}

impl std::fmt::Debug for Assembler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { streamed, prepared, memory, spilled, .. } = self;
        let (streamed, prepared) = (streamed.len(), prepared.len());
        write!(f, "Assembler {{ streamed: {streamed}, prepared: {prepared}, memory: {memory}, spilled: {spilled} }}")
    }
}
