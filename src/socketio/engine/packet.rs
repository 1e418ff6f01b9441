//! The packets of Engine.IO, in the two ways that they travel: as WebSocket messages and in payloads of long-polling.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The first byte of a text message, in both ways.
pub const MESSAGE: u8 = b'4';
/// The first byte of a binary message in a payload; base64 follows.
pub const BASE64: u8 = b'b';

/// What peers have to tell each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes; owned where they came in base64.
    Binary(Cow<'a, [u8]>),
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Answers the handshake; holds JSON.
    Open(&'a str),
    /// The session is over.
    Close,
    /// Asks for a pong with the same data: `probe`, or nothing.
    Ping(&'a str),
    /// Answers a ping.
    Pong(&'a str),
    /// What the session is for.
    Message(Message<'a>),
    /// The client has changed to this WebSocket.
    Upgrade,
    /// Nothing; ends a request that waits.
    Noop,
}

/// Why something is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketError {
    /// It has no type, or one that does not exist.
    Type,
    /// Not base64 (RFC 4648 section 4), padding included.
    Base64,
}

impl PacketError {
    /// One plain sentence that says why.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Type => "A packet has to begin with its type.",
            Self::Base64 => "A binary message is not valid base64.",
        }
    }
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for PacketError {}

impl<'a> Packet<'a> {
    /// Reads the text of a WebSocket message. What follows a type that has no data is left unread, as elsewhere.
    ///
    /// # Errors
    /// `Type`. Base64 is for payloads: a WebSocket has binary messages.
    pub fn decode_text(text: &'a str) -> Result<Self, PacketError> {
        let kind = text.as_bytes().first().ok_or(PacketError::Type)?;
        let data = text.get(1..).unwrap_or_default();
        Ok(match kind {
            b'0' => Self::Open(data),
            b'1' => Self::Close,
            b'2' => Self::Ping(data),
            b'3' => Self::Pong(data),
            &MESSAGE => Self::Message(Message::Text(data)),
            b'5' => Self::Upgrade,
            b'6' => Self::Noop,
            _ => return Err(PacketError::Type),
        })
    }

    /// Reads a packet of a payload.
    ///
    /// # Errors
    /// `Type` or `Base64`.
    pub fn decode_payload(text: &'a str) -> Result<Self, PacketError> {
        match text.strip_prefix(char::from(BASE64)) {
            Some(base64) => match BASE64_STANDARD.decode(base64) {
                Ok(bytes) => Ok(Self::Message(Message::Binary(Cow::Owned(bytes)))),
                Err(_) => Err(PacketError::Base64),
            },
            None => Self::decode_text(text),
        }
    }

    /// Appends the packet as it travels in a payload.
    pub fn put_payload(&self, out: &mut Vec<u8>) {
        let (kind, data) = match self {
            Self::Open(json) => (b'0', json),
            Self::Close => (b'1', &""),
            Self::Ping(data) => (b'2', data),
            Self::Pong(data) => (b'3', data),
            Self::Message(Message::Text(text)) => (MESSAGE, text),
            Self::Message(Message::Binary(bytes)) => return put_base64(bytes, out),
            Self::Upgrade => (b'5', &""),
            Self::Noop => (b'6', &""),
        };
        out.push(kind);
        out.extend_from_slice(data.as_bytes());
    }
}

/// Appends a binary message as it travels in a payload.
pub(super) fn put_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(BASE64);
    let start = out.len();
    // Four characters for each three bytes begun.
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let count = BASE64_STANDARD
        .encode_slice(bytes, &mut out[start..])
        .expect("room for all of it");
    out.truncate(start + count);
}
