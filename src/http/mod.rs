//! HTTP/1.1 without I/O (RFC 9110, RFC 9112), over `httparse`: request head, body framing, response, limits.
//!
//! No socket, clock, randomness or log lives here: bytes in, values and bytes out.

pub mod body;
pub mod error;
pub mod forwarded;
pub mod head;
pub mod response;
