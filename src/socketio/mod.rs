//! Engine.IO 4 and Socket.IO 5 without I/O: packets, payloads, handshakes and the two state machines of a session.
//!
//! [`engine`] is the lower layer: a session that long-polling requests and a WebSocket carry, its heartbeat and the change
//! from one to the other. [`packet`] and [`socket`] are the upper one: namespaces, events, acknowledgements and binary
//! attachments inside of Engine.IO messages. Neither knows the other: whoever owns a session hands the messages up and
//! what is said in answer down.
//!
//! [`adapter`] is what Socket.IO servers say to each other through Redis; [`recovery`] is how far a client has come that comes back.
//!
//! No socket, clock, randomness, thread or log lives here: requests, messages and `now` in, packets and events out. The
//! order of calls is told at [`engine::Session`] and [`socket::Sockets`]. What arrives is hostile until it is proven to be
//! well-formed: no announced number allocates, JSON is checked to a depth and handed on as it came.

pub mod adapter;
pub mod engine;
pub mod json;
mod moment;
pub mod packet;
pub mod recovery;
pub mod socket;

pub use moment::Moment;

#[cfg(test)]
mod tests;
