//! `Sec-WebSocket-Extensions`: parsing (RFC 6455 section 9.1) and the negotiation of permessage-deflate (RFC 7692
//! section 7).

/// What both sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflateParams {
    /// The server resets its compressor after each message.
    pub server_no_context_takeover: bool,
    /// The client resets its compressor after each message.
    pub client_no_context_takeover: bool,
    /// The server's window, 8 to 15 bits.
    pub server_max_window_bits: u8,
    /// The client's window, 8 to 15 bits.
    pub client_max_window_bits: u8,
}

/// What this server is willing to agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflatePolicy {
    /// Whether contexts may be kept between messages; where false both `no_context_takeover` are answered.
    pub context_takeover: bool,
    /// Largest window of either side, 9 to 15.
    pub window_bits_max: u8,
}
