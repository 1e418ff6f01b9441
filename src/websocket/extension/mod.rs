//! `Sec-WebSocket-Extensions`: parsing (RFC 6455 section 9.1) and the negotiation of permessage-deflate (RFC 7692
//! section 7).
//!
//! What a peer wrote is only ever compared: what is answered is written from [`DeflateParams`].

mod answer;
mod grammar;
mod offer;
mod parameters;

pub use answer::DeflateOffer;
pub(super) use offer::{DeflateAnswer, negotiate};

/// The one extension that this server knows.
const PERMESSAGE_DEFLATE: &[u8] = b"permessage-deflate";

/// The largest LZ77 window, and the one that holds where nothing is said (RFC 7692 section 7.1.2).
pub const WINDOW_BITS_MAX: u8 = 15;
/// The smallest window that zlib can compress raw deflate with: of 8 bits it makes 9.
pub const WINDOW_BITS_MIN: u8 = 9;

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
    /// Largest window of either side, 9 to 15. A client that does not offer `client_max_window_bits` cannot be
    /// limited and keeps 15.
    pub window_bits_max: u8,
}

/// A `Sec-WebSocket-Extensions` value that breaks the grammar of RFC 6455 section 9.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;
