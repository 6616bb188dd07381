//! Standard output, written by a thread of its own: a reader who pauses must not keep the process from ending when it is told to.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::TailError;

/// Lines that may wait to be written; beyond that, nothing more is read from the server.
const WAITING: usize = 64;
/// How often it is looked whether somebody still reads.
const GLANCE: Duration = Duration::from_millis(500);

/// Writes lines in their order.
pub(super) struct Printer {
    lines: mpsc::Sender<String>,
    /// How the thread ended.
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Printer {
    pub(super) fn start(out: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = mpsc::channel(WAITING);
        let (end, ended) = oneshot::channel();
        // It ends with the sender; nobody joins it, since it may be stuck in a write.
        thread::spawn(move || end.send(write(BufWriter::new(out), waiting)));
        Self { lines, ended }
    }

    /// Hands lines over, and tells whether there is still somebody who reads.
    pub(super) async fn print(&mut self, lines: String) -> Result<bool, TailError> {
        match self.lines.send(lines).await {
            Ok(()) => Ok(true),
            Err(_) => outcome((&mut self.ended).await).map(|()| false),
        }
    }

    /// Waits until all is written.
    pub(super) async fn finish(self) -> Result<(), TailError> {
        drop(self.lines);
        outcome(self.ended.await)
    }
}

fn write(mut out: impl Write, mut waiting: mpsc::Receiver<String>) -> io::Result<()> {
    while let Some(lines) = waiting.blocking_recv() {
        out.write_all(lines.as_bytes())?;
        out.write_all(b"\n")?;
        if waiting.is_empty() {
            out.flush()?;
        }
    }
    out.flush()
}

/// Waits until nobody reads any more. On a quiet database the next write, which would tell, may be hours away.
pub(super) async fn unread(out: impl AsFd) {
    loop {
        // It waits for nothing, so it does not block. Files and terminals are always read.
        let mut asked = [PollFd::new(out.as_fd(), PollFlags::empty())];
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
        if poll(&mut asked, PollTimeout::ZERO).is_ok() && asked[0].revents().is_some_and(|events| events.intersects(gone)) {
            return;
        }
        sleep(GLANCE).await;
    }
}

/// A pipe that was closed at its other end (`pgvigil tail | head`) is a good end.
fn outcome(ended: Result<io::Result<()>, oneshot::error::RecvError>) -> Result<(), TailError> {
    match ended {
        Ok(Err(error)) if error.kind() != ErrorKind::BrokenPipe => Err(TailError::Output(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then fails.
    struct Limited(usize, ErrorKind);

    impl Write for Limited {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.min(bytes.len()) {
                0 => Err(self.1.into()),
                taken => {
                    self.0 -= taken;
                    Ok(taken)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn print_until_closed(kind: ErrorKind) -> Result<(), TailError> {
        let mut printer = Printer::start(Limited(100, kind));
        while printer.print("twelve bytes".into()).await? {}
        Ok(())
    }

    #[tokio::test]
    async fn a_closed_pipe_is_a_good_end_and_a_full_disk_is_not() {
        assert!(print_until_closed(ErrorKind::BrokenPipe).await.is_ok());
        let error = print_until_closed(ErrorKind::StorageFull).await.unwrap_err();
        assert!(matches!(error, TailError::Output(error) if error.kind() == ErrorKind::StorageFull));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_who_leaves_is_noticed_without_a_write() {
        let (reader, writer) = std::io::pipe().unwrap();
        assert!(tokio::time::timeout(5 * GLANCE, unread(&writer)).await.is_err());
        drop(reader);
        assert!(tokio::time::timeout(5 * GLANCE, unread(&writer)).await.is_ok());
    }

    #[tokio::test]
    async fn all_is_written_before_it_is_finished() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut printer = Printer::start(writer);
        for line in ["a", "b\nc"] {
            assert!(printer.print(line.into()).await.unwrap());
        }
        printer.finish().await.unwrap();
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "a\nb\nc\n");
    }
}
