//! The event loop: connections in a slab, edge-triggered readiness, timers, send queues, mailbox; plain sockets, Unix sockets
//! and TLS. It knows bytes and sessions, no user, no room, no route.
//!
//! A turn: poll, merge readiness into each connection, serve the ready ones (read, let the session answer, write what it
//! said straight from where it lies), take in who is new, take mail, send what goes out to many, fire timers, bury the dead.

mod alarm;
mod connection;
mod engine;
mod intake;
mod mailbox;
mod memory;
mod meters;
mod output;
mod poller;
mod queue;
mod readiness;
mod session;
mod time;
mod tls;
mod transport;
mod turn;
mod wheel;

pub use connection::Detached;
pub use engine::{Engine, Limits};
pub use intake::{Intake, intake_token};
pub use mailbox::Mailbox;
pub use memory::{MemoryPeer, MemoryTransport};
pub use meters::LoopMeters;
pub use output::Output;
pub use poller::{Command, Reactor};
pub use queue::{Keep, Tag};
pub use readiness::Readiness;
pub use session::{CloseReason, Context, Initiator, Session};
pub use time::{Clock, Tick};
pub use tls::TlsStream;
pub use transport::{Received, Socket, Stream, Transport};
