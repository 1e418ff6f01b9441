//! What the threads of a client tell its loop.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use mio::{Registry, Token, Waker};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::dial::{Failure, Link};

/// What happened elsewhere.
#[derive(Debug)]
pub(super) enum Event {
    Dialed(Result<Link, Failure>),
    /// Ctrl-C, or a signal that means the same.
    Interrupt,
    /// Nobody reads standard output any more.
    OutputBroken,
    /// All is written.
    OutputDone,
}

/// The way of one thread to the loop.
#[derive(Debug, Clone)]
pub(super) struct Events {
    sender: Sender<Event>,
    waker: Arc<Waker>,
}

impl Events {
    /// # Errors
    /// The poller's.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<(Self, Receiver<Event>)> {
        let (sender, receiver) = mpsc::channel();
        let waker = Arc::new(Waker::new(registry, token)?);
        Ok((Self { sender, waker }, receiver))
    }

    pub(super) fn send(&self, event: Event) {
        // Where the loop has ended nobody needs to know.
        let _ = self.sender.send(event);
        self.wake();
    }

    /// Has the loop look at what else it waits for.
    pub(super) fn wake(&self) {
        let _ = self.waker.wake();
    }

    /// Tells of signals from now on.
    ///
    /// # Errors
    /// The system gives no handler.
    pub(super) fn watch_signals(&self) -> io::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let events = self.clone();
        thread::spawn(move || {
            for _ in signals.forever() {
                events.send(Event::Interrupt);
            }
        });
        Ok(())
    }
}
