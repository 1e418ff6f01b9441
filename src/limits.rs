//! Limits that no setting changes, unit last.

/// Bytes of an HTTP request head, its empty line included; beyond it 431.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Header fields of an HTTP request; beyond it 431.
pub const HEADERS_MAX: usize = 64;
/// Bytes of a request method; beyond it the first line is no HTTP. The longest registered one has 17.
pub const METHOD_BYTES_MAX: usize = 32;
/// Empty lines in front of a request line (RFC 9112 section 2.2); beyond it 400.
pub const LEADING_EMPTY_LINES_MAX: usize = 4;
/// Bytes of all chunk extensions of one body; beyond it 400.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 1024;
/// Bytes of the trailer section of one body; beyond it 431.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;
/// Subprotocols that one handshake may offer; beyond it 400. Bounds the search for repeated ones.
pub const SUBPROTOCOLS_OFFERED_MAX: usize = 32;
/// Payload bytes of a control frame (RFC 6455 section 5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;
/// Frames of one message; beyond it 1008. Autobahn's 9.5.1 sends 65,536.
pub const FRAMES_PER_MESSAGE_MAX: u32 = 131_072;
/// Empty non-final frames of one message; beyond it 1008.
pub const EMPTY_FRAMES_PER_MESSAGE_MAX: u32 = 1_024;
