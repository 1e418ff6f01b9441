//! The opening handshake (RFC 6455 section 4), server and client side. The one place that writes a 101.

use super::extension::{DeflateParams, DeflatePolicy};
use crate::http::head::RequestHead;

/// Why a handshake is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeError {
    /// Another method than GET: 405 with `Allow: GET`. More variants follow.
    Method,
}

impl HandshakeError {
    /// 400, 405 or 426.
    pub fn status(self) -> u16 {
        todo!()
    }

    /// One plain sentence.
    pub fn sentence(self) -> &'static str {
        todo!()
    }
}

/// An upgrade that will be answered with 101.
#[derive(Debug)]
pub struct Accepted<'o> {
    /// The agreed compression.
    pub deflate: Option<DeflateParams>,
    /// The chosen subprotocol, one of those configured: never bytes of the peer.
    pub subprotocol: Option<&'o str>,
}

/// Whether the request wants a WebSocket at all (has `Upgrade: websocket`, any spelling).
pub fn is_upgrade(_head: &RequestHead<'_>) -> bool {
    todo!()
}

/// Checks every MUST of section 4.2.1 and agrees on subprotocol and extensions.
///
/// # Errors
/// The first rule that is broken.
pub fn accept<'o>(
    _head: &RequestHead<'_>,
    _subprotocols: &'o [String],
    _deflate: Option<DeflatePolicy>,
) -> Result<Accepted<'o>, HandshakeError> {
    todo!()
}

impl Accepted<'_> {
    /// Appends the 101 response to `out`.
    pub fn write(&self, _out: &mut Vec<u8>) {
        todo!()
    }
}
