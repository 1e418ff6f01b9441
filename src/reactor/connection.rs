//! One connection as the loop sees it: a transport, a session, and what waits in either direction. A plain value: it can be
//! taken out of one engine and put into another.

use super::queue::SendQueue;
use super::readiness::Readiness;
use super::time::Tick;

/// How far a connection is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The session is served.
    Open,
    /// The session is over; its last words are still to be written. Input is dropped.
    Closing,
    /// `shutdown(Write)` is done; input is dropped until the peer ends too.
    Lingering,
    /// Waits for the end of the turn.
    Dead,
}

/// Input that the session has not consumed.
#[derive(Debug, Default)]
pub(super) struct Unread {
    pub(super) bytes: Vec<u8>,
}

/// A connection. Fields that every message touches come first, the session's next to them.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Connection<S, T> {
    pub(super) transport: T,
    pub(super) generation: u32,
    pub(super) readiness: Readiness,
    pub(super) stage: Stage,
    /// Goes on in the next turn, without an event.
    pub(super) is_waiting: bool,
    /// A read gave the end of the stream.
    pub(super) is_read_ended: bool,
    /// The session wants no input for now.
    pub(super) is_paused: bool,
    /// What goes out to many waits in the queue for the end of the turn.
    pub(super) is_held: bool,
    pub(super) last_activity: Tick,
    pub(super) queue: Option<Box<SendQueue>>,
    pub(super) unread: Option<Box<Unread>>,
    pub(super) session: S,
    /// When the session, or the stage that follows it, wants to be looked at.
    pub(super) deadline: Option<Tick>,
    /// The one wheel entry that counts.
    pub(super) timer: Option<Tick>,
}

impl<S, T> Connection<S, T> {
    pub(super) fn new(transport: T, session: S, generation: u32, now: Tick) -> Self {
        Self {
            transport,
            generation,
            readiness: Readiness::fresh(),
            stage: Stage::Open,
            is_waiting: false,
            is_read_ended: false,
            is_paused: false,
            is_held: false,
            last_activity: now,
            queue: None,
            unread: None,
            session,
            deadline: None,
            timer: None,
        }
    }

    /// Bytes in the send queue.
    pub(super) fn backlog(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes())
    }

    /// The earliest point at which something is to be done without an event.
    pub(super) fn next_look(&self) -> Option<Tick> {
        let soft = self.queue.as_ref().and_then(|queue| queue.soft_until);
        match (self.deadline, soft) {
            (Some(deadline), Some(soft)) => Some(deadline.earlier(soft)),
            (deadline, soft) => deadline.or(soft),
        }
    }
}

/// A connection between two engines, with its unread bytes and what waits to be sent.
#[derive(Debug)]
pub struct Detached<S, T> {
    /// The byte stream, registered nowhere.
    pub transport: T,
    pub(super) connection: DetachedState<S>,
}

#[derive(Debug)]
pub(super) struct DetachedState<S> {
    pub(super) session: S,
    pub(super) queue: Option<Box<SendQueue>>,
    pub(super) unread: Option<Box<Unread>>,
    pub(super) is_paused: bool,
    /// Time left to the deadline.
    pub(super) deadline_in: Option<std::time::Duration>,
}
