//! To many clients: events of about 300 bytes, made up as fast as the readers keep up with, over real WebSockets. The clients do nothing
//! but take the bytes in, so that what is measured is the server.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::BenchError;
use super::process::{cpu, resident_memory};
use super::subject::Subject;
use crate::event::{BlockBuilder, Kind, NewEvent};
use crate::history::Writer;
use crate::lsn::{Epoch, Lsn, Place};
use crate::pgoutput::Timestamp;
use crate::pipeline::{Counts, Status};

/// What it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fanout {
    pub(super) clients: u32,
    /// Received by all clients together.
    pub(super) events: u64,
    pub(super) wall: Duration,
    /// Of the server.
    pub(super) cpu: Option<Duration>,
    /// Of the server, for one idle client more, in bytes.
    pub(super) memory_per_client: Option<u64>,
}

/// An event's JSON: always as long.
const EVENT: usize = 300;
/// Events made up at a time, as one block.
const BLOCK: u64 = 256;

/// The status and the counts of a server of made-up events: the stream is held, and there is no table.
pub(super) fn nothing_known() -> (Status, Counts) {
    (Status::held(epoch()), Counts::none())
}

fn epoch() -> Epoch {
    Epoch::at_millis(1)
}

/// Begins the epoch of the made-up events.
pub(super) fn begin(writer: &mut Writer) {
    writer.begin_epoch(epoch(), Lsn(1), None);
}

/// Appends so many made-up events, no faster than the readers take them.
pub(super) async fn make_up(writer: &mut Writer, events: u64) {
    let mut builder = BlockBuilder::new(epoch());
    for number in 1..=events {
        let place = Place { commit_lsn: Lsn(1 + number), ordinal: 1 };
        let event = NewEvent { kind: Kind::Ddl, place, table: None, operation: None, actor: None, xid: None, time: Timestamp(0) };
        builder.push(event, |json| {
            let start = json.len();
            json.extend_from_slice(format!(r#"{{"type":"ddl","id":"{number:020}","sql":""#).as_bytes());
            json.resize(start + EVENT - 2, b'x');
            json.extend_from_slice(br#""}"#);
        });
        if number % BLOCK == 0 || number == events {
            let block = builder.finish();
            writer.make_room(&block).await;
            writer.append(block);
            tokio::task::consume_budget().await;
        }
    }
}

/// Sends to `clients` so that all of them together receive about `deliveries` events.
pub(super) async fn measure(clients: u32, deliveries: u32) -> Result<Fanout, BenchError> {
    let each = u64::from((deliveries / clients).max(100));
    let mut subject = Subject::start(None, None, None).await?;
    let empty = resident_memory(subject.pid);
    let mut connected = Vec::new();
    for _ in 0..clients {
        connected.push(greeted(&subject).await?);
    }
    let full = resident_memory(subject.pid);
    let cpu_before = cpu(subject.pid);
    let started = Instant::now();
    subject.order(&each.to_string()).await?;
    let mut readers = JoinSet::new();
    for client in connected {
        // A frame of 300 bytes has a header of 4.
        readers.spawn(take(client, each * (EVENT as u64 + 4)));
    }
    while let Some(taken) = readers.join_next().await {
        taken.map_err(|error| BenchError::Stream(error.to_string()))??;
    }
    let wall = started.elapsed();
    let cpu = cpu(subject.pid).zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    let memory_per_client = full.zip(empty).map(|(full, empty)| full.saturating_sub(empty) / u64::from(clients));
    subject.end().await?;
    Ok(Fanout { clients, events: each * u64::from(clients), wall, cpu, memory_per_client })
}

/// A client whose greeting has been read, to its last byte. It wants nothing but the made-up events: no status comes between.
async fn greeted(subject: &Subject) -> Result<TcpStream, BenchError> {
    let mut client = TcpStream::connect(subject.address).await?;
    let request = format!(
        "GET /api/v1/ws?kinds=ddl HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        subject.address
    );
    client.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(BenchError::Stream(String::from_utf8_lossy(&head).into_owned()));
    }
    // The greeting: one text frame.
    let (_, short) = (client.read_u8().await?, client.read_u8().await?);
    let length = if short == 126 { u64::from(client.read_u16().await?) } else { u64::from(short) };
    let mut greeting = vec![0; usize::try_from(length).unwrap_or(0)];
    client.read_exact(&mut greeting).await?;
    Ok(client)
}

async fn take(mut client: TcpStream, mut bytes: u64) -> Result<(), BenchError> {
    let mut buffer = vec![0; 64 << 10];
    while bytes > 0 {
        let read = client.read(&mut buffer).await? as u64;
        if read == 0 {
            return Err(BenchError::Subject("it closed the stream"));
        }
        bytes = bytes.saturating_sub(read);
    }
    Ok(())
}
