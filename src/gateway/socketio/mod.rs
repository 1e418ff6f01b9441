//! Engine.IO sessions and the Socket.IO clients in them: what requests and WebSockets bring to a session, what it does with users and
//! rooms, and how what it says finds a connection. `docs/socketio.md` describes it.
//!
//! A session is no connection: it lives at its worker from the request that opens it until it ends, and connections come
//! and go. Requests that arrive at another worker are handed over, with their connections, to the one that the session's name
//! tells. In the hub, in questions and in the API a session goes by a key like a connection's: see [`is_session`].
//!
//! Nothing here writes to a connection within another one's turn: what a session wants done is noted, and done at the end of
//! the turn by [`pump()`].

mod asking;
mod behind;
mod conformance;
mod connect;
mod deflated;
mod deliver;
mod messages;
mod neighbours;
mod post;
mod pump;
mod questions;
mod recovery;
mod reply;
mod session;
mod sessions;
mod sid;

pub(super) use asking::ask;
pub(super) use behind::{Backing, Emitted, Entering, on_admitted, on_answered};
pub(super) use deliver::{deliver, deliver_lossy, frame_of};
pub(super) use messages::Outbox;
pub(super) use neighbours::{Errand, run};
pub use neighbours::{Neighbours, NeighboursConfig};
pub(super) use post::PostState;
pub(super) use pump::{described, finish, obey, pump, stop, tell};
pub(super) use questions::Questions;
pub(super) use recovery::{Desk, Mark, Outcome, Told, keep, mark, told};
pub use recovery::{Order as RecoveryOrder, Recovery, RecoveryConfig, serve_recovery};
pub(super) use session::{Carrier, Full, Opening, Place, Session};
pub(super) use sessions::{Sessions, is_session};
pub(super) use sid::{Names, route};

use std::sync::Arc;

use crate::socketio::engine;
use crate::socketio::socket;

/// What the settings say of Socket.IO.
#[derive(Debug, Clone, Default)]
pub struct SocketIoConfig {
    /// Times and limits of sessions.
    pub engine: engine::Config,
    /// Those of the clients in them.
    pub sockets: socket::Config,
    /// Namespaces besides the main one.
    pub namespaces: Arc<[String]>,
    /// Bytes that may wait for all peers of the process together; 0 for any number.
    pub queues_bytes_max: usize,
    /// Whether events are answered as the protocol's test suite wants it.
    pub is_conformance: bool,
}

impl SocketIoConfig {
    /// The namespaces that clients may be in besides the main one.
    pub fn further_namespaces(&self) -> impl Iterator<Item = &str> {
        let suite = self.is_conformance.then_some(conformance::NAMESPACE);
        self.namespaces.iter().map(String::as_str).chain(suite)
    }
}
