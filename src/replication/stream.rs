//! The reading half of a running stream.

use std::io;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use futures_util::FutureExt;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout, timeout_at};

use super::clock::ServerClock;
use super::error::{Doing, Error};
use super::long::LongFrame;
use super::options::StartOptions;
use super::pacing::Pacing;
use super::status::{self, Progress};
use crate::connection::{ChannelError, ServerError, Transport};
use crate::lsn::Lsn;
use crate::pgoutput::{Context, ValueLimit};
use crate::wire::{CopyData, Header, MAX_STREAM_FRAME, decode_copy_data, tag};

/// Bytes read at most before they are handed out, but for a frame that is longer.
const CHUNK: usize = 256 * 1024;
/// A server that answers nothing for so long, though it is asked each second, is gone: as with PostgreSQL's `wal_receiver_timeout`.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a server may take to end the stream; a large transaction on its way is not interrupted.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// A running stream. When it is dropped the connection is closed, and a temporary slot is gone.
pub struct Stream {
    half: ReadHalf<Transport>,
    buffer: BytesMut,
    /// The part of the buffer that has been handed out.
    taken: usize,
    /// A frame longer than this is shortened: in any other no value can be longer.
    max_value: ValueLimit,
    /// Such a frame, while it comes.
    long: Option<LongFrame>,
    /// Up to here the buffer holds a frame that was shortened.
    shortened: usize,
    /// Where the next message stands.
    context: Context,
    pacing: Pacing,
    /// When something was last read.
    heard: tokio::time::Instant,
    clock: ServerClock,
    progress: Progress,
    publication: String,
    status: StatusTask,
}

/// What the server sent.
#[derive(Debug)]
pub enum Frame<'a> {
    /// One message of `pgoutput`.
    Data {
        /// Where it stands in the log; `0/0` for messages that stand nowhere, such as Relation.
        start: Lsn,
        /// The end of the log that the server had sent by then.
        end: Lsn,
        /// The message.
        payload: &'a [u8],
    },
    /// The server lives, and has sent everything up to here that concerns us.
    Keepalive {
        /// The position up to which everything was sent.
        wal_end: Lsn,
        /// When it was sent, by our clock: what was held up on its way is no news. Right but for the shortest delay of the connection.
        sent: Instant,
    },
    /// The server remarks upon something.
    Notice(Notice),
}

/// A remark of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice(ServerError);

impl Notice {
    /// SQLSTATE.
    pub fn code(&self) -> &str {
        self.0.code.code()
    }

    /// In the server's own language.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// PostgreSQL 18 has lost the publication. It goes on as if nothing had happened, and leaves out every change.
    pub fn publication_missing(&self) -> bool {
        self.code() == "55000" && self.0.routine == "LoadPublications"
    }
}

/// Ends the status task with the stream.
struct StatusTask {
    task: JoinHandle<io::Result<WriteHalf<Transport>>>,
    finish: Option<oneshot::Sender<()>>,
}

impl Drop for StatusTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stream {
    pub(super) fn begin(transport: Transport, unread: BytesMut, from: Lsn, options: StartOptions) -> (Stream, Progress) {
        let pacing = if transport.local { Pacing::blocking() } else { Pacing::catching_up() };
        let (half, writing_half) = tokio::io::split(transport);
        // The server takes no notice of the position 0/0.
        let acknowledged = if options.acknowledge_later { Lsn::ZERO } else { from };
        let progress = Progress::at(from, acknowledged);
        let (finish, finished) = oneshot::channel();
        let task = tokio::spawn(status::run(writing_half, progress.clone(), finished));
        let StartOptions { publication, max_value, .. } = options;
        let stream = Stream {
            half,
            buffer: unread,
            taken: 0,
            max_value,
            long: None,
            shortened: 0,
            context: Context::Plain,
            pacing,
            heard: tokio::time::Instant::now(),
            clock: ServerClock::new(Instant::now()),
            progress: progress.clone(),
            publication,
            status: StatusTask { task, finish: Some(finish) },
        };
        (stream, progress)
    }

    /// Waits until at least one whole frame is buffered. Cancel-safe.
    pub async fn fill(&mut self) -> Result<(), Error> {
        self.discard_taken();
        loop {
            let missing = match &mut self.long {
                Some(long) => match long.take(&mut self.buffer) {
                    Some(frame) => {
                        self.put_in_front(frame);
                        return Ok(());
                    }
                    None => 0,
                },
                None => match Header::peek(&self.buffer, MAX_STREAM_FRAME)? {
                    Some(header) if self.is_long(header) && self.shortened == 0 => {
                        self.long = Some(LongFrame::begin(header, self.context, self.max_value));
                        continue;
                    }
                    Some(header) if self.buffer.len() >= header.length => return Ok(()),
                    Some(header) => header.length - self.buffer.len(),
                    None => 0,
                },
            };
            self.buffer.reserve(missing.max(CHUNK.saturating_sub(self.buffer.len())));
            self.read().await?;
        }
    }

    /// Reads what there is, once it is due; waits for something when there is nothing.
    async fn read(&mut self) -> Result<(), Error> {
        let mut first = None;
        if let Some(due) = self.pacing.nap_until() {
            sleep_until(due.into()).await;
            first = self.half.read_buf(&mut self.buffer).now_or_never();
            if first.is_none() {
                self.pacing.nothing();
            }
        }
        let first = match first {
            Some(read) => read,
            // After a long pause of the reader what has come meanwhile still counts: it is looked at before the clock.
            None => match timeout_at(self.heard + SILENCE, self.half.read_buf(&mut self.buffer)).await {
                Ok(read) => read,
                Err(_) => return Err(Error::Silent { waited: SILENCE }),
            },
        };
        if first.map_err(broken)? == 0 {
            return Err(Error::Channel(ChannelError::Closed));
        }
        self.heard = tokio::time::Instant::now();
        let drained = loop {
            if self.buffer.len() == self.buffer.capacity() {
                break false;
            }
            match self.half.read_buf(&mut self.buffer).now_or_never() {
                None => break true,
                // The end: the next read comes upon it again, after what came before it has been handed out.
                Some(Ok(0)) => break false,
                Some(read) => drop(read.map_err(broken)?),
            }
        };
        self.pacing.read(Instant::now(), drained);
        Ok(())
    }

    /// The next frame, borrowed from the buffer; `None` when no whole one is left: then [`fill`](Self::fill).
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Error> {
        loop {
            let begin = self.taken;
            let Some(header) = Header::peek(&self.buffer[begin..], MAX_STREAM_FRAME)? else { return Ok(None) };
            if self.buffer.len() - begin < header.length || self.is_long(header) && begin >= self.shortened {
                return Ok(None);
            }
            self.taken += header.length;
            if header.tag != tag::COPY_DATA {
                match self.other_message(begin)? {
                    Some(notice) => return Ok(Some(Frame::Notice(notice))),
                    None => continue,
                }
            }
            let body = &self.buffer[begin + Header::LENGTH..self.taken];
            return Ok(Some(match decode_copy_data(body)? {
                CopyData::XLogData { start, end, time: _, payload } => {
                    self.progress.received(start);
                    self.context = self.context.after(payload);
                    Frame::Data { start, end, payload }
                }
                CopyData::Keepalive { wal_end, time, reply_requested } => {
                    self.progress.received(wal_end);
                    if reply_requested {
                        self.progress.reply();
                    }
                    Frame::Keepalive { wal_end, sent: self.clock.sent(time, Instant::now()) }
                }
            }));
        }
    }

    /// Ends the stream in good order: what was acknowledged is told, and the server has taken it in. What still arrives is dropped.
    pub async fn end(mut self) -> Result<(), Error> {
        timeout(END_PATIENCE, async {
            if let Some(finish) = self.status.finish.take() {
                // It fails when the task has ended already, since the connection is broken: the next line tells.
                finish.send(()).ok();
            }
            let ended = (&mut self.status.task).await.map_err(|error| broken(io::Error::other(error)))?;
            let mut writing_half = ended.map_err(broken)?;
            loop {
                match self.next_frame() {
                    Ok(Some(_)) => {}
                    Ok(None) => self.fill().await?,
                    // CopyDone, or already CommandComplete: nothing of the stream comes after that.
                    Err(Error::Ended) => break,
                    Err(error) => return Err(error),
                }
            }
            let mut message = BytesMut::new();
            frontend::terminate(&mut message);
            writing_half.write_all(&message).await.map_err(broken)?;
            writing_half.shutdown().await.map_err(broken)
        })
        .await
        .unwrap_or_else(|_| Err(broken(io::ErrorKind::TimedOut.into())))
    }

    /// A message that is not part of the stream: a notice, or one that means nothing here, or the end.
    fn other_message(&mut self, begin: usize) -> Result<Option<Notice>, Error> {
        let message = Message::parse(&mut BytesMut::from(&self.buffer[begin..self.taken]));
        match message.map_err(|error| Error::Channel(ChannelError::Malformed(error.to_string())))? {
            Some(Message::NoticeResponse(body)) => Ok(Some(Notice((&body).into()))),
            Some(Message::ErrorResponse(body)) => {
                let doing = Doing::Stream { publication: self.publication.clone() };
                Err(Error::Server { doing, error: Box::new((&body).into()) })
            }
            // A server that shuts down says CommandComplete alone.
            Some(Message::CopyDone | Message::CommandComplete(_)) => Err(Error::Ended),
            Some(Message::ParameterStatus(_)) => Ok(None),
            _ => Err(Error::Channel(ChannelError::Unexpected { expected: "a frame of the stream" })),
        }
    }

    /// Whether a frame may hold a value that is too long.
    fn is_long(&self, header: Header) -> bool {
        header.length > self.max_value.0 && header.tag == tag::COPY_DATA
    }

    /// A frame that was long is next, as any other.
    fn put_in_front(&mut self, mut frame: BytesMut) {
        (self.long, self.shortened) = (None, frame.len());
        frame.extend_from_slice(&self.buffer);
        self.buffer = frame;
    }

    fn discard_taken(&mut self) {
        self.buffer.advance(self.taken);
        self.shortened = self.shortened.saturating_sub(self.taken);
        self.taken = 0;
        // What a long frame needed is given back.
        if self.buffer.capacity() > 4 * CHUNK && self.buffer.len() < CHUNK {
            let mut smaller = BytesMut::with_capacity(CHUNK);
            smaller.extend_from_slice(&self.buffer);
            self.buffer = smaller;
        }
    }
}

fn broken(error: io::Error) -> Error {
    Error::Channel(ChannelError::Io(error))
}
