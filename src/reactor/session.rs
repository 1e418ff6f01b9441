//! The seam between the loop and what connections are for: the loop calls a `Session`, the session answers with effects.

use std::fmt;
use std::time::Duration;

use super::engine::Engine;
use super::output::Output;
use super::time::Tick;
use super::transport::Transport;
use crate::id::ConnKey;
use crate::websocket::close::CloseCode;
use crate::websocket::protocol::Input;

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initiator {
    /// The peer said so.
    Peer,
    /// This server did.
    Server,
    /// TCP or TLS ended without a word.
    Transport,
}

impl fmt::Display for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Peer => "the peer",
            Self::Server => "the server",
            Self::Transport => "the transport",
        })
    }
}

/// Why a connection ended. The log, the metrics and the back end all read this one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseReason {
    /// Who ended it.
    pub initiator: Initiator,
    /// The close code of a WebSocket; `NO_STATUS` for plain HTTP.
    pub code: CloseCode,
    /// A plain sentence, for people.
    pub detail: &'static str,
}

impl CloseReason {
    /// The peer reset the connection, or it broke.
    pub const RESET: Self = Self::transport("the connection was reset");
    /// The send queue passed its hard limit, or its soft limit for too long.
    pub const SLOW_CONSUMER: Self = Self {
        initiator: Initiator::Server,
        code: CloseCode::TRY_AGAIN_LATER,
        detail: "the peer reads too slowly",
    };

    /// All send queues together passed their limit, and this one is long.
    pub const SEND_QUEUES_FULL: Self = Self {
        initiator: Initiator::Server,
        code: CloseCode::TRY_AGAIN_LATER,
        detail: "the send queues of the server are full, and the peer reads slowly",
    };

    /// TCP or TLS ended without a Close frame.
    pub const fn transport(detail: &'static str) -> Self {
        Self {
            initiator: Initiator::Transport,
            code: CloseCode::ABNORMAL,
            detail,
        }
    }

    /// This server ends it.
    pub const fn server(code: CloseCode, detail: &'static str) -> Self {
        Self {
            initiator: Initiator::Server,
            code,
            detail,
        }
    }

    /// The peer ended it.
    pub const fn peer(code: CloseCode, detail: &'static str) -> Self {
        Self {
            initiator: Initiator::Peer,
            code,
            detail,
        }
    }
}

/// What a session wants done with its connection once the call is over.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Control {
    /// Whether anything is wanted: a message usually asks for nothing.
    pub(super) is_asked: bool,
    /// `Some(None)` takes the deadline away.
    pub(super) deadline: Option<Option<Tick>>,
    pub(super) close: Option<CloseReason>,
    pub(super) is_peer_done: bool,
    pub(super) abort: bool,
    /// Whether input is wanted from now on.
    pub(super) wants_input: Option<bool>,
    /// The worker that is to have the connection.
    pub(super) hand_over: Option<usize>,
}

/// The surroundings of one call. Nothing acts inside it: what is said here happens when the call is over.
#[derive(Debug)]
pub struct Context<'e, S: Session> {
    /// The connection.
    pub key: ConnKey,
    /// What the sessions of this worker share.
    pub shard: &'e mut S::Shard,
    /// What to send.
    pub out: &'e mut Output,
    /// The time of this turn.
    pub now: Tick,
    /// When the peer was last heard, or last took some of what waited for it.
    pub last_activity: Tick,
    pub(super) control: &'e mut Control,
}

impl<S: Session> Context<'_, S> {
    /// Asks for `on_deadline` after `duration`, in place of what was asked before.
    pub fn set_deadline(&mut self, duration: Duration) {
        self.set_deadline_at(self.now.after(duration));
    }

    /// Asks for `on_deadline` at `tick`, in place of what was asked before.
    pub fn set_deadline_at(&mut self, tick: Tick) {
        self.control.deadline = Some(Some(tick));
        self.control.is_asked = true;
    }

    /// Asks for no `on_deadline`.
    pub fn clear_deadline(&mut self) {
        self.control.deadline = Some(None);
        self.control.is_asked = true;
    }

    /// Asks for no input, until it is asked for again: what the peer sends waits in the kernel, and its end is not noticed.
    /// To be taken back by a deadline of the session's own.
    pub fn pause_input(&mut self) {
        self.control.wants_input = Some(false);
        self.control.is_asked = true;
    }

    /// Asks for input again, and first of all for what had not been consumed.
    pub fn resume_input(&mut self) {
        self.control.wants_input = Some(true);
        self.control.is_asked = true;
    }

    /// Hands the connection over to another worker once this turn is over, with all that waits in either direction.
    pub fn hand_over(&mut self, worker: usize) {
        self.control.hand_over = Some(worker);
        self.control.is_asked = true;
    }

    /// Ends the connection in good order: what was said is sent, then `shutdown(Write)`, and what the peer still sends is
    /// read and dropped until it ends or the close time is over. The first reason counts.
    pub fn close(&mut self, reason: CloseReason) {
        self.control.close.get_or_insert(reason);
        self.control.is_asked = true;
    }

    /// Ends the connection in good order where the peer has announced that it sends nothing more: as [`close`](Self::close),
    /// but it is not waited for. What it sends nevertheless may be answered by a reset.
    pub fn finish(&mut self, reason: CloseReason) {
        self.close(reason);
        self.control.is_peer_done = true;
    }

    /// Drops the connection as it is.
    pub fn abort(&mut self, reason: CloseReason) {
        self.close(reason);
        self.control.abort = true;
    }
}

/// What a connection is for. Every method is called by the worker that owns the connection, one at a time.
///
/// Order of calls: `on_open` once; `on_input`, `on_space_filled`, `on_drained`, `on_deadline`, `on_drain` any number of times; `on_end` at most once;
/// `on_close` exactly once, after which only `released` follows.
pub trait Session: Sized + fmt::Debug {
    /// What the sessions of one worker share.
    type Shard: fmt::Debug;
    /// What other threads tell the worker.
    type Mail: Send + fmt::Debug;

    /// The connection has been accepted.
    fn on_open(&mut self, cx: &mut Context<'_, Self>);

    /// Bytes have arrived. The session consumes what it can; what it leaves is offered again once the send queue has drained.
    fn on_input(&mut self, input: &mut Input<'_>, cx: &mut Context<'_, Self>);

    /// Where the session wants the next bytes read to, past the worker's buffer: the room of a large message that has begun.
    /// What is read there is told by `on_space_filled`, and by nothing else.
    fn read_space<'s>(&'s mut self, shard: &'s mut Self::Shard) -> Option<&'s mut [u8]> {
        let _ = shard;
        None
    }

    /// So many bytes, at least one, lie at the front of the `read_space` that was asked for just before.
    fn on_space_filled(&mut self, count: usize, cx: &mut Context<'_, Self>) {
        let _ = (count, cx);
    }

    /// The peer has ended its direction; no more input comes.
    fn on_end(&mut self, cx: &mut Context<'_, Self>);

    /// The deadline that was asked for has come.
    fn on_deadline(&mut self, cx: &mut Context<'_, Self>);

    /// The send queue has become empty.
    fn on_drained(&mut self, cx: &mut Context<'_, Self>);

    /// The server is going away and it is this connection's turn.
    fn on_drain(&mut self, cx: &mut Context<'_, Self>);

    /// The connection is over for the session. A last word may be sent, where the transport still stands.
    fn on_close(&mut self, reason: CloseReason, cx: &mut Context<'_, Self>);

    /// The connection leaves this worker for another one, under another key: what this shard keeps of it is to be taken back. Gives
    /// input that the session has consumed and wants offered again there.
    fn on_detach(&mut self, key: ConnKey, shard: &mut Self::Shard) -> Vec<u8> {
        let _ = (key, shard);
        Vec::new()
    }

    /// The connection has come from another worker.
    fn on_attach(&mut self, key: ConnKey, shard: &mut Self::Shard) {
        let _ = (key, shard);
    }

    /// The descriptor has been closed.
    fn released(self, shard: &mut Self::Shard);

    /// Mail for the worker.
    fn on_mail<T: Transport>(engine: &mut Engine<Self, T>, mail: Self::Mail);

    /// Everything of this turn has been heard; what goes out to many goes now.
    fn on_turn_end<T: Transport>(engine: &mut Engine<Self, T>);

    /// Whether something has come up since `on_turn_end`, or was left by it, that the next turn has to come for at once.
    fn wants_turn(shard: &Self::Shard) -> bool {
        let _ = shard;
        false
    }

    /// The loop ends: every connection has gone, and nobody comes any more.
    fn on_stop<T: Transport>(engine: &mut Engine<Self, T>) {
        let _ = engine;
    }

    /// A buffer that the session sent as its own has been written.
    fn recycle(shard: &mut Self::Shard, buffer: Vec<u8>);
}
