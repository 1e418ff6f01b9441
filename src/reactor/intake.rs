//! Where new connections come from: descriptors that a worker's loop polls besides those of its connections, such as
//! listening sockets. What they are for is known higher up.

use std::fmt;
use std::io;
use std::ops::ControlFlow;

use mio::{Registry, Token};

use super::session::Session;
use super::time::Tick;
use super::transport::Stream;
use crate::id::ConnKey;

/// No connection has this place: tokens of it belong to the intake, and one of them to the waker.
pub(super) const INTAKE_INDEX: u32 = u32::MAX;

/// The token under which an intake registers its source number `source`, which is below `u32::MAX`.
pub fn intake_token(source: u32) -> Token {
    let key = ConnKey {
        index: INTAKE_INDEX,
        generation: source,
    };
    Token(key.to_word() as usize)
}

/// A source of new connections, driven by the loop of one worker.
///
/// Order of calls: `register` once; then in each turn `ready` for each edge, `woken` where the mailbox was, and `run` once `due`
/// has come. After the end of `run` it is dropped.
pub trait Intake<S: Session>: Send + fmt::Debug {
    /// Registers its sources under [`intake_token`].
    ///
    /// # Errors
    /// What the poller says.
    fn register(&mut self, registry: &Registry) -> io::Result<()>;

    /// An edge of source number `source`.
    fn ready(&mut self, source: u32);

    /// Somebody has woken the worker, perhaps for this.
    fn woken(&mut self, now: Tick);

    /// When `run` has something to do without another event; `now` where it has already.
    fn due(&self, now: Tick) -> Option<Tick>;

    /// Takes in what is there, so much that the worker's connections do not wait for long, and hands to `open` what this
    /// worker is to serve. Breaks when nothing will come any more.
    fn run(&mut self, now: Tick, open: &mut dyn FnMut(Stream, S)) -> ControlFlow<()>;
}
