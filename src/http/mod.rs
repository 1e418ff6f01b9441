//! HTTP/1.1 without I/O (RFC 9110, RFC 9112), over `httparse`: request head, body framing, response, limits.
//!
//! No socket, clock, randomness or log lives here: bytes in, values and bytes out.

pub mod body;
pub mod error;
mod fields;
pub mod forwarded;
pub(crate) mod grammar;
pub mod head;
pub mod response;
pub mod response_head;
pub mod scanner;
mod target;
