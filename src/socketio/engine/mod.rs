//! Engine.IO, revision 4: packets, payloads of long-polling, the handshake, and the session.

pub mod handshake;
pub mod packet;
pub mod payload;
mod queue;
mod session;

#[cfg(test)]
mod tests;

pub use queue::{Frame, Frames};
pub use session::{Config, End, Incoming, Output, SendError, Session, WebSocketId};
