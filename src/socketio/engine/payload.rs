//! Payloads of long-polling: packets joined by the record separator.

use std::fmt;

use super::packet::{Packet, PacketError};

/// Stands between two packets of a payload.
pub const SEPARATOR: u8 = 0x1e;

/// Why a body is no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadError {
    /// More bytes than a payload may have.
    TooLarge,
    /// Not UTF-8.
    Text,
}

impl PayloadError {
    /// The status of the answer to the POST that brought it.
    pub fn status(self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::Text => 400,
        }
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "The payload is too large.",
            Self::Text => "The payload is not valid UTF-8.",
        })
    }
}

impl std::error::Error for PayloadError {}

/// The packets of a payload, decoded one by one. After the first that is none, nothing follows.
#[derive(Debug, Clone)]
pub struct Packets<'a> {
    rest: Option<&'a str>,
}

impl<'a> Packets<'a> {
    /// Those of `body`, which may have `bytes_max` bytes: as they arrived, in UTF-8 and with base64 undecoded.
    ///
    /// # Errors
    /// `TooLarge` or `Text`.
    pub fn new(body: &'a [u8], bytes_max: usize) -> Result<Self, PayloadError> {
        if body.len() > bytes_max {
            return Err(PayloadError::TooLarge);
        }
        match simdutf8::basic::from_utf8(body) {
            Ok(text) => Ok(Self { rest: Some(text) }),
            Err(_) => Err(PayloadError::Text),
        }
    }
}

impl Packets<'_> {
    /// Bytes of the body that have not been looked at: as many from its end on make the rest of the packets. 0 where there are no more.
    pub fn rest_bytes(&self) -> usize {
        self.rest.map_or(0, str::len)
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.take()?;
        let packet = match memchr::memchr(SEPARATOR, text.as_bytes()) {
            Some(end) => {
                self.rest = Some(&text[end + 1..]);
                &text[..end]
            }
            None => text,
        };
        let decoded = Packet::decode_payload(packet);
        if decoded.is_err() {
            self.rest = None;
        }
        Some(decoded)
    }
}
