//! The packets of Socket.IO, revision 5: read from the text of an Engine.IO message, and written into one.
//!
//! Arguments are JSON that is checked and passed on as it came. Binary ones are attachments: messages that follow the packet, with
//! placeholders where they belong.

use std::borrow::Cow;
use std::fmt;

use super::json::{self, Elements, JsonError, Shape};
use crate::limits::{SOCKETIO_ATTACHMENTS_MAX, SOCKETIO_NAMESPACE_BYTES_MAX};

/// The namespace that a packet is for where it names none.
pub const MAIN_NAMESPACE: &str = "/";
/// The largest id of an acknowledgement: JavaScript keeps no larger integer exactly.
pub const ACK_ID_MAX: u64 = (1 << 53) - 1;
/// Names that no event may have: clients and servers emit these themselves.
const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Where it belongs.
    pub namespace: &'a str,
    /// What it is.
    pub body: Body<'a>,
}

/// What a packet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// Asks to be let into the namespace; says that one is.
    Connect {
        /// A JSON object.
        data: Option<&'a str>,
    },
    /// Leaves the namespace.
    Disconnect,
    /// An event.
    Event(Event<'a>),
    /// Answers an event.
    Ack(Ack<'a>),
    /// The namespace is closed to the client.
    ConnectError {
        /// A JSON object or string.
        data: &'a str,
    },
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// What its answer has to name; without it none is wanted.
    pub id: Option<u64>,
    /// Its name. One that was a number is its digits.
    pub name: Cow<'a, str>,
    /// Name and arguments: a JSON array.
    pub data: &'a str,
    /// The arguments as JSON, with commas between them and no brackets; empty where there are none.
    pub args: &'a str,
    /// How many binary attachments follow; `None` where the packet was not of the kind that has any. Placeholders of a packet
    /// with `None` are data like any other.
    pub attachments: Option<u8>,
}

/// The answer to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The id of the event.
    pub id: u64,
    /// The arguments, as of an event.
    pub args: &'a str,
    /// As of an event.
    pub attachments: Option<u8>,
}

/// Why a text is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketError {
    /// No type, or one that does not exist.
    Type,
    /// The number of attachments is no number.
    Attachments,
    /// More than [`SOCKETIO_ATTACHMENTS_MAX`] attachments.
    TooManyAttachments,
    /// A namespace of more than [`SOCKETIO_NAMESPACE_BYTES_MAX`] bytes.
    Namespace,
    /// The id is missing, or larger than [`ACK_ID_MAX`].
    Id,
    /// What should be JSON is none.
    Json,
    /// The JSON is nested deeper than [`crate::limits::JSON_DEPTH_MAX`].
    TooDeep,
    /// The placeholders do not fit the attachments.
    Placeholder,
    /// The JSON is not what packets of this type hold.
    Payload,
    /// The event has no name, or a reserved one.
    EventName,
}

impl PacketError {
    /// One plain sentence that says why.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Type => "A packet has to begin with its type.",
            Self::Attachments => "The number of attachments is malformed.",
            Self::TooManyAttachments => "The packet announces too many attachments.",
            Self::Namespace => "The name of the namespace is too long.",
            Self::Id => "The id is missing or too large.",
            Self::Json => "The packet does not hold valid JSON.",
            Self::TooDeep => "The JSON of the packet is nested too deep.",
            Self::Placeholder => "Each attachment needs exactly one placeholder.",
            Self::Payload => "The packet does not hold what its type asks for.",
            Self::EventName => "The event has no name, or a reserved one.",
        }
    }
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for PacketError {}

impl From<JsonError> for PacketError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Malformed => Self::Json,
            JsonError::TooDeep => Self::TooDeep,
            JsonError::Placeholder => Self::Placeholder,
        }
    }
}

impl<'a> Packet<'a> {
    /// Reads a packet: the text of an Engine.IO message.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn decode(text: &'a str) -> Result<Self, PacketError> {
        let &kind = text.as_bytes().first().ok_or(PacketError::Type)?;
        if !(b'0'..=b'6').contains(&kind) {
            return Err(PacketError::Type);
        }
        let (attachments, text) = match kind {
            b'5' | b'6' => {
                let (count, text) = take_attachments(&text[1..])?;
                (Some(count), text)
            }
            _ => (None, &text[1..]),
        };
        let (namespace, text) = take_namespace(text)?;
        let (id, data) = take_id(text)?;
        let body = match kind {
            b'0' => Body::Connect {
                data: connect_data(data)?,
            },
            b'1' if data.is_empty() => Body::Disconnect,
            b'1' => return Err(PacketError::Payload),
            b'2' | b'5' => Body::Event(event(id, data, attachments)?),
            b'3' | b'6' => {
                let elements = elements(data, attachments)?;
                Body::Ack(Ack {
                    id: id.ok_or(PacketError::Id)?,
                    args: &data[elements.all],
                    attachments,
                })
            }
            _ => match json::check(data, None)? {
                Shape::Object | Shape::String => Body::ConnectError { data },
                Shape::Array(_) | Shape::Other => return Err(PacketError::Payload),
            },
        };
        Ok(Self { namespace, body })
    }
}

/// The number of attachments, and what is behind its dash.
fn take_attachments(text: &str) -> Result<(u8, &str), PacketError> {
    let (digits, rest) = text.split_once('-').ok_or(PacketError::Attachments)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PacketError::Attachments);
    }
    match digits.parse() {
        Ok(count) if count <= SOCKETIO_ATTACHMENTS_MAX => Ok((count, rest)),
        _ => Err(PacketError::TooManyAttachments),
    }
}

/// The namespace, and what is behind its comma.
fn take_namespace(text: &str) -> Result<(&str, &str), PacketError> {
    if !text.starts_with('/') {
        return Ok((MAIN_NAMESPACE, text));
    }
    let (namespace, rest) = text.split_once(',').unwrap_or((text, ""));
    if namespace.len() > SOCKETIO_NAMESPACE_BYTES_MAX {
        return Err(PacketError::Namespace);
    }
    Ok((namespace, rest))
}

/// The id, and what is behind it.
fn take_id(text: &str) -> Result<(Option<u64>, &str), PacketError> {
    let end = text
        .bytes()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    if end == 0 {
        return Ok((None, text));
    }
    match text[..end].parse() {
        Ok(id) if id <= ACK_ID_MAX => Ok((Some(id), &text[end..])),
        _ => Err(PacketError::Id),
    }
}

fn connect_data(data: &str) -> Result<Option<&str>, PacketError> {
    if data.is_empty() {
        return Ok(None);
    }
    match json::check(data, None)? {
        Shape::Object => Ok(Some(data)),
        _ => Err(PacketError::Payload),
    }
}

/// The elements of the array that `data` has to be.
fn elements(data: &str, attachments: Option<u8>) -> Result<Elements, PacketError> {
    match json::check(data, attachments)? {
        Shape::Array(elements) => Ok(elements),
        _ => Err(PacketError::Payload),
    }
}

/// An event, of the JSON that a packet with `attachments` has.
pub(super) fn event(
    id: Option<u64>,
    data: &str,
    attachments: Option<u8>,
) -> Result<Event<'_>, PacketError> {
    let elements = elements(data, attachments)?;
    let first = &data[elements.first];
    let name = match first.as_bytes() {
        [b'"', name @ .., b'"'] if !name.contains(&b'\\') => {
            Cow::Borrowed(&first[1..first.len() - 1])
        }
        [b'"', ..] => match serde_json::from_str(first) {
            Ok(name) => Cow::Owned(name),
            // A lone surrogate is no text.
            Err(_) => return Err(PacketError::EventName),
        },
        [b'-' | b'0'..=b'9', ..] => Cow::Borrowed(first),
        _ => return Err(PacketError::EventName),
    };
    if is_reserved(&name) {
        return Err(PacketError::EventName);
    }
    Ok(Event {
        id,
        name,
        data,
        args: &data[elements.rest],
        attachments,
    })
}

/// Whether no event may have that name: clients and servers emit those themselves.
pub fn is_reserved(name: &str) -> bool {
    RESERVED_EVENTS.contains(&name)
}

/// Appends a packet that says that the client is in `namespace`, under the name `sid`; with `pid`, it may come back under that.
pub fn put_connect(namespace: &str, sid: &str, pid: Option<&str>, out: &mut Vec<u8>) {
    put_head(b'0', None, namespace, None, out);
    out.extend_from_slice(b"{\"sid\":");
    put_string(sid, out);
    if let Some(pid) = pid {
        out.extend_from_slice(b",\"pid\":");
        put_string(pid, out);
    }
    out.push(b'}');
}

/// Appends a packet that says that the client may not be in `namespace`, and why: `data` is JSON for programs.
pub fn put_connect_error(namespace: &str, message: &str, data: Option<&str>, out: &mut Vec<u8>) {
    put_head(b'4', None, namespace, None, out);
    out.extend_from_slice(b"{\"message\":");
    put_string(message, out);
    if let Some(data) = data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data.as_bytes());
    }
    out.push(b'}');
}

/// Appends a packet that says that the client is not in `namespace` any more.
pub fn put_disconnect(namespace: &str, out: &mut Vec<u8>) {
    put_head(b'1', None, namespace, None, out);
}

/// Appends an event. `args` and `attachments` are as in [`Event`], and the attachments have to follow.
pub fn put_event(
    namespace: &str,
    id: Option<u64>,
    name: &str,
    args: &str,
    attachments: Option<u8>,
    out: &mut Vec<u8>,
) {
    let kind = if attachments.is_some() { b'5' } else { b'2' };
    put_head(kind, attachments, namespace, id, out);
    out.push(b'[');
    put_string(name, out);
    if !args.is_empty() {
        out.push(b',');
        out.extend_from_slice(args.as_bytes());
    }
    out.push(b']');
}

/// Appends an event that wants no answer and has one argument, whose JSON is in pieces.
pub fn put_event_of(namespace: &str, name: &str, pieces: &[&str], out: &mut Vec<u8>) {
    put_head(b'2', None, namespace, None, out);
    out.push(b'[');
    put_string(name, out);
    out.push(b',');
    put_pieces(pieces, out);
    out.push(b']');
}

/// Appends an answer with one argument, whose JSON is in pieces, to the event `id`.
pub fn put_ack_of(namespace: &str, id: u64, pieces: &[&str], out: &mut Vec<u8>) {
    put_head(b'3', None, namespace, Some(id), out);
    out.push(b'[');
    put_pieces(pieces, out);
    out.push(b']');
}

/// Appends the answer to the event `id`. `args` and `attachments` are as in [`Ack`], and the attachments have to follow.
pub fn put_ack(namespace: &str, id: u64, args: &str, attachments: Option<u8>, out: &mut Vec<u8>) {
    let kind = if attachments.is_some() { b'6' } else { b'3' };
    put_head(kind, attachments, namespace, Some(id), out);
    out.push(b'[');
    out.extend_from_slice(args.as_bytes());
    out.push(b']');
}

/// Appends what stands in front of the JSON.
fn put_head(
    kind: u8,
    attachments: Option<u8>,
    namespace: &str,
    id: Option<u64>,
    out: &mut Vec<u8>,
) {
    let mut digits = itoa::Buffer::new();
    out.push(kind);
    if let Some(count) = attachments {
        out.extend_from_slice(digits.format(count).as_bytes());
        out.push(b'-');
    }
    if namespace != MAIN_NAMESPACE {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
    if let Some(id) = id {
        out.extend_from_slice(digits.format(id).as_bytes());
    }
}

fn put_pieces(pieces: &[&str], out: &mut Vec<u8>) {
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// Appends `text` as JSON.
fn put_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a text, into memory");
}

#[cfg(test)]
mod tests;
