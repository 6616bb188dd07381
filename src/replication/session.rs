//! A walsender session that does not stream yet.

use std::time::Duration;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::escape::escape_identifier;
use postgres_protocol::message::backend::{DataRowBody, Message};
use postgres_protocol::message::frontend;
use tokio::time::timeout;

use super::error::{Doing, Error};
use super::options::{SlotOptions, StartOptions};
use super::status::Progress;
use super::stream::Stream;
use crate::connection::{BackendKey, Channel, ChannelError, Incoming, Peer, Session, Target};
use crate::lsn::Lsn;

/// What every session is started with. The text of values depends on these, and they win over `ALTER DATABASE … SET` and
/// `ALTER ROLE … SET`; so do the timeouts, any of which would end the session, and with it a temporary slot.
const SETTINGS: [(&str, &str); 10] = [
    // A session in a database, for logical decoding.
    ("replication", "database"),
    // No conversion: one untranslatable byte would end the stream, again and again.
    ("client_encoding", "SQL_ASCII"),
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "3"),
    ("timezone", "UTC"),
    ("bytea_output", "hex"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_session_timeout", "0"),
];

/// Bounds what the server gathers of a transaction before it sends it, to 4 MB.
const EARLY: &str = "SELECT pg_catalog.set_config(name, least(setting::int8, 4096)::text, false) \
                     FROM pg_catalog.pg_settings WHERE name = 'logical_decoding_work_mem'";

/// How long a server may take to cancel what it is asked to cancel.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// A replication session of one database, idle: it takes commands.
pub struct Replication {
    session: Session,
    target: Target,
}

/// The answer to `IDENTIFY_SYSTEM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Names the cluster: the same on all its replicas and copies, and no number that JavaScript could hold.
    pub system_identifier: String,
    /// The timeline that it is on; another one after a failover.
    pub timeline: u32,
    /// The end of the log that is flushed.
    pub flushed: Lsn,
    /// The database of the session.
    pub database: String,
}

/// A slot that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedSlot {
    /// Its name.
    pub name: String,
    /// Every transaction that commits after this position is in the stream, whole.
    pub consistent_point: Lsn,
}

impl Replication {
    /// Connects and logs in.
    pub async fn connect(target: &Target, application_name: &str) -> Result<Self, Error> {
        let session = target.open(application_name, &SETTINGS).await?;
        Ok(Replication { session, target: target.clone() })
    }

    /// Which server and database this is.
    pub async fn identify(&mut self) -> Result<System, Error> {
        let answer = self.command("IDENTIFY_SYSTEM", || Doing::Identify).await?;
        let system = match answer.as_slice() {
            [Some(system_identifier), Some(timeline), Some(flushed), Some(database)] => (|| {
                let (timeline, flushed) = (timeline.parse().ok()?, flushed.parse().ok()?);
                Some(System { system_identifier: system_identifier.clone(), timeline, flushed, database: database.clone() })
            })(),
            _ => None,
        };
        system.ok_or(Error::Channel(ChannelError::Unexpected { expected: "the identity of the system" }))
    }

    /// Where the timelines ended that the server was on before `timeline`: each with the position at which it was left for the next.
    pub async fn timeline_history(&mut self, timeline: u32) -> Result<Vec<(u32, Lsn)>, Error> {
        if timeline < 2 {
            return Ok(Vec::new());
        }
        let answer = self.command(&format!("TIMELINE_HISTORY {timeline}"), || Doing::Identify).await?;
        let [_, Some(history), ..] = answer.as_slice() else {
            return Err(Error::Channel(ChannelError::Unexpected { expected: "the history of a timeline" }));
        };
        // "1\t0/3000148\tno recovery target specified", a line each; others are comments.
        let ended = |line: &str| {
            let mut fields = line.split_ascii_whitespace();
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        Ok(history.lines().filter_map(ended).collect())
    }

    /// Drops a slot that nobody uses.
    pub async fn drop_slot(&mut self, name: &str) -> Result<(), Error> {
        let command = format!("DROP_REPLICATION_SLOT {}", escape_identifier(name));
        self.command(&command, || Doing::DropSlot(name.to_owned())).await.map(drop)
    }

    /// Has standbys keep a slot that nobody uses, from now on. From PostgreSQL 17 on.
    pub async fn keep_on_standbys(&mut self, name: &str) -> Result<(), Error> {
        let command = format!("ALTER_REPLICATION_SLOT {} (FAILOVER true)", escape_identifier(name));
        self.command(&command, || Doing::AlterSlot(name.to_owned())).await.map(drop)
    }

    /// Has transactions of more than 4 MB sent while they run, unless the server sends them even earlier.
    ///
    /// It would otherwise gather 64 MB of changes first (`logical_decoding_work_mem`), hundreds of thousands of rows.
    pub async fn send_early(&mut self) -> Result<(), Error> {
        match self.command(EARLY, || Doing::SendEarly).await {
            // It is a matter of when, not of what.
            Err(Error::Server { error, .. }) => tracing::info!(%error, "large transactions are sent as late as the server likes"),
            answered => drop(answered?),
        }
        Ok(())
    }

    /// A parameter of the session as the server reports it, such as `server_version` or `server_encoding`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.session.parameters.get(name).map(String::as_str)
    }

    /// The server's major version; 0 when it does not say.
    pub fn server_major(&self) -> u32 {
        let version = self.parameter("server_version").unwrap_or_default();
        let digits = version.find(|c: char| !c.is_ascii_digit()).map_or(version, |end| &version[..end]);
        digits.parse().unwrap_or_default()
    }

    /// Host (or socket folder) and port of the server that answered.
    pub fn peer(&self) -> (String, u16) {
        let address = &self.session.peer.address;
        (address.host.clone(), address.port)
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.session.peer.encrypted
    }

    /// The server's process for this session.
    pub fn pid(&self) -> i32 {
        self.session.key.pid
    }

    /// Creates a slot for `pgoutput`. This waits for every transaction that is running, for at most `wait`.
    ///
    /// A server that waits does not notice when its client goes away. So whenever this gives up, by time-out or because it is
    /// dropped, the server is asked to give up too. A session in which it was dropped is of no more use.
    pub async fn create_slot(&mut self, name: &str, options: SlotOptions, wait: Duration) -> Result<CreatedSlot, Error> {
        let doing = || Doing::CreateSlot(name.to_owned());
        let mut waiting = Waiting { target: &self.target, peer: &self.session.peer, key: Some(self.session.key) };
        let channel = &mut self.session.channel;
        send(channel, &options.create(name)).await.map_err(Error::while_doing(doing))?;
        let answered = match timeout(wait, answer(channel)).await {
            Ok(answered) => answered,
            // It may have been ready at the last moment: then it is here to be used.
            Err(_) => waiting.give_up(channel).await.ok_or(Error::SlotTimeout { slot: name.to_owned(), waited: wait })?,
        };
        waiting.key = None;
        // slot_name, consistent_point, snapshot_name, output_plugin
        let created = match answered.map_err(Error::while_doing(doing))?.as_slice() {
            [Some(name), Some(point), ..] => {
                point.parse().ok().map(|consistent_point| CreatedSlot { name: name.clone(), consistent_point })
            }
            _ => None,
        };
        created.ok_or(Error::Channel(ChannelError::Unexpected { expected: "a created slot" }))
    }

    /// Starts streaming from a slot. `from` may not lie before what the slot has confirmed: the server moves it up.
    pub async fn start(mut self, slot: &str, from: Lsn, options: StartOptions) -> Result<(Stream, Progress), Error> {
        let command = options.start(slot, from, self.server_major());
        let doing = || Doing::Start { slot: slot.to_owned(), publication: options.publication.clone() };
        send(&mut self.session.channel, &command).await.map_err(Error::while_doing(doing))?;
        loop {
            match self.session.channel.read().await.map_err(Error::Channel)? {
                Incoming::CopyBoth => break,
                Incoming::Message(Message::ErrorResponse(body)) => {
                    return Err(Error::Server { doing: doing(), error: Box::new((&body).into()) });
                }
                Incoming::Message(Message::NoticeResponse(_) | Message::ParameterStatus(_)) => {}
                Incoming::Message(_) => return Err(Error::Channel(ChannelError::Unexpected { expected: "a stream" })),
            }
        }
        let (transport, unread) = self.session.channel.into_parts();
        Ok(Stream::begin(transport, unread, from, options))
    }

    async fn command(&mut self, command: &str, doing: impl Fn() -> Doing) -> Result<Vec<Option<String>>, Error> {
        send(&mut self.session.channel, command).await.map_err(Error::while_doing(&doing))?;
        answer(&mut self.session.channel).await.map_err(Error::while_doing(&doing))
    }
}

/// A command that the server may wait in for long; cancelled when this is dropped before the key is taken.
struct Waiting<'a> {
    target: &'a Target,
    peer: &'a Peer,
    key: Option<BackendKey>,
}

impl Waiting<'_> {
    /// Cancels the command; gives the answer if it came all the same.
    async fn give_up(&mut self, channel: &mut Channel) -> Option<Result<Vec<Option<String>>, ChannelError>> {
        self.target.cancel(self.peer, self.key.take()?).await.ok()?;
        let answered = timeout(CANCEL_PATIENCE, answer(channel)).await.ok()?;
        Some(answered).filter(|answered| answered.is_ok())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let (Some(key), Ok(runtime)) = (self.key.take(), tokio::runtime::Handle::try_current()) {
            let (target, peer) = (self.target.clone(), self.peer.clone());
            runtime.spawn(async move { target.cancel(&peer, key).await });
        }
    }
}

async fn send(channel: &mut Channel, command: &str) -> Result<(), ChannelError> {
    let mut message = BytesMut::new();
    frontend::query(command, &mut message)?;
    channel.write(&message).await
}

/// The last row of the answer to a command, once the server is ready for the next.
async fn answer(channel: &mut Channel) -> Result<Vec<Option<String>>, ChannelError> {
    let (mut row, mut failure) = (Vec::new(), None);
    loop {
        match channel.read().await? {
            Incoming::Message(Message::DataRow(body)) => row = columns(&body)?,
            Incoming::Message(Message::ErrorResponse(body)) => failure = Some(ChannelError::server(&body)),
            Incoming::Message(Message::ReadyForQuery(_)) => return failure.map_or(Ok(row), Err),
            Incoming::Message(_) => {}
            Incoming::CopyBoth => return Err(ChannelError::Unexpected { expected: "an answer" }),
        }
    }
}

fn columns(body: &DataRowBody) -> Result<Vec<Option<String>>, ChannelError> {
    let text = |range: Option<std::ops::Range<usize>>| {
        Ok(range.and_then(|range| body.buffer().get(range)).map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    };
    body.ranges().map(text).collect().map_err(|error| ChannelError::Malformed(error.to_string()))
}
