//! The thread that writes: to a prompt that stays below what comes, or to standard output and standard error. It may be slow;
//! what waits for it is counted, so that the server is not read meanwhile.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::events::{Event, Events};
use super::prompt::Above;
use super::render::Stream;

/// Bytes that may wait for the terminal, or for who reads the pipe, before the server is not read any more.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Bytes written at once.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Where lines are written.
pub(super) enum Sink {
    /// Above the prompt, whatever stream they are for.
    Prompt(Above),
    Streams,
}

type Piece = (Stream, Vec<u8>);

/// The way to the thread that writes.
#[derive(Debug)]
pub(super) struct Output {
    pieces: Sender<Piece>,
    waiting: Arc<AtomicUsize>,
}

impl Output {
    /// Starts the thread. It tells of room, of readers that went away, and at last that it is done.
    pub(super) fn start(sink: Sink, events: Events) -> Self {
        let (pieces, received) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            sink,
            waiting: waiting.clone(),
            events,
        };
        thread::spawn(move || writer.run(&received));
        Self { pieces, waiting }
    }

    pub(super) fn write(&self, stream: Stream, bytes: Vec<u8>) {
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        // The thread ends after us.
        let _ = self.pieces.send((stream, bytes));
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < WAITING_BYTES_MAX
    }
}

struct Writer {
    sink: Sink,
    waiting: Arc<AtomicUsize>,
    events: Events,
}

impl Writer {
    fn run(mut self, pieces: &Receiver<Piece>) {
        let mut is_broken = false;
        let mut next = pieces.recv().ok();
        while let Some((stream, mut bytes)) = next.take() {
            next = pieces.try_recv().ok();
            while let Some((_, more)) = next.take_if(|(other, _)| *other == stream) {
                bytes.extend_from_slice(&more);
                if bytes.len() >= WRITE_BYTES_MAX {
                    break;
                }
                next = pieces.try_recv().ok();
            }
            let count = bytes.len();
            if !is_broken && self.write(stream, bytes).is_err() && stream == Stream::Out {
                is_broken = true;
                self.events.send(Event::OutputBroken);
            }
            let before = self.waiting.fetch_sub(count, Ordering::Relaxed);
            if before >= WAITING_BYTES_MAX && before - count < WAITING_BYTES_MAX {
                self.events.wake();
            }
            next = next.or_else(|| pieces.recv().ok());
        }
        if let Sink::Prompt(above) = self.sink {
            above.end();
        }
        self.events.send(Event::OutputDone);
    }

    fn write(&mut self, stream: Stream, bytes: Vec<u8>) -> io::Result<()> {
        match (&mut self.sink, stream) {
            (Sink::Prompt(above), _) => {
                above.print(String::from_utf8(bytes).map_err(io::Error::other)?)
            }
            (Sink::Streams, Stream::Out) => {
                let mut out = io::stdout().lock();
                out.write_all(&bytes)?;
                out.flush()
            }
            (Sink::Streams, Stream::Error) => io::stderr().write_all(&bytes),
        }
    }
}
