//! Socket.IO above a session: the namespaces that a client is in, what it says there, and the acknowledgements that are owed.

mod acks;
mod assembly;
mod sockets;

#[cfg(test)]
mod tests;

pub use acks::Expired;
pub use assembly::Assembled;
pub use sockets::{Config, Incoming, Sockets, Violation};
