//! Limits that no setting changes, unit last.

/// Bytes of an HTTP request head, its empty line included; beyond it 431.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Header fields of an HTTP request; beyond it 431.
pub const HEADERS_MAX: usize = 64;
/// Payload bytes of a control frame (RFC 6455 section 5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;
/// Frames of one message; beyond it 1008. Autobahn's 9.5.1 sends 65,536.
pub const FRAMES_PER_MESSAGE_MAX: u32 = 131_072;
/// Empty non-final frames of one message; beyond it 1008.
pub const EMPTY_FRAMES_PER_MESSAGE_MAX: u32 = 1_024;
