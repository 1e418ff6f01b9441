//! What Socket.IO servers say to each other through Redis: the messages of `@socket.io/redis-adapter` 8 and of
//! `@socket.io/redis-emitter` 5, without I/O. Bytes that were published in, typed messages out, and back.
//!
//! # Channels
//! `KEY` is `socket.io` where nothing else was agreed on, `NSP` a namespace with its slash, `UID` the name of a node. All
//! of it is ordinary pub/sub. The sharded adapter of the same package, the one for Redis Streams and that of `python-socketio`
//! are protocols of their own, and not spoken here.
//!
//! | channel | what goes there | who listens |
//! |---|---|---|
//! | `KEY#NSP#` | broadcasts to everyone, or to several rooms | all nodes, by the pattern `KEY#NSP#*` |
//! | `KEY#NSP#ROOM#` | broadcasts to exactly one room | the same, and drop those of rooms that they have nobody in |
//! | `KEY-request#NSP#` | requests | all nodes |
//! | `KEY-response#NSP#` | responses | all nodes |
//! | `KEY-response#NSP#UID#` | responses to the requests of that node, from nodes with `publishOnSpecificResponseChannel` | that node |
//!
//! # Broadcasts
//! Always MessagePack: `[UID, {type, data, nsp}, {rooms, except, flags}]`. `type` is 2, an event, also where there is binary
//! data in it; `data` is name and arguments; without `nsp` it is `/`. No room means everyone, and a socket that is in
//! any of `except` gets nothing: so a socket that says something to the others is among `except`. It is in a room of
//! its own `sid`. Rooms may be numbers, which are another room than their digits for Node; here they are the same. `flags` may
//! have `volatile`, `compress`, `timeout` and `expectSingleResponse`. (What has `local` is not published, and `broadcast` is of
//! old nodes, and tells nothing.) The emitter calls itself `emitter`. A node takes no notice of what has its own `UID`.
//!
//! # Requests
//! JSON objects, which begin with `{`, and MessagePack where data of an event is in it. All have `type`; all but those of
//! the emitter `uid`. `opts` is `{rooms, except}` as above.
//!
//! | `type` | other fields | what is answered, beside `requestId` |
//! |---|---|---|
//! | 0 `SOCKETS`, of older nodes | `requestId`, `rooms` | `sockets`: their names |
//! | 1 `ALL_ROOMS` | `requestId` | `rooms`, those of the sockets' own names among them |
//! | 2 `REMOTE_JOIN` | `opts`, `rooms` | |
//! | 3 `REMOTE_LEAVE` | `opts`, `rooms` | |
//! | 4 `REMOTE_DISCONNECT` | `opts`, `close`: the session as well, not only the namespace | |
//! | 5 `REMOTE_FETCH` | `requestId`, `opts` | `sockets`: `{id, handshake, rooms, data}` of each |
//! | 6 `SERVER_SIDE_EMIT` | `data`: name and arguments; `requestId` where an answer is wanted | `type` 6 and `data`, always on `KEY-response#NSP#` |
//! | 7 `BROADCAST` | `requestId`, `packet`, `opts` with `flags`; MessagePack | 8 `BROADCAST_CLIENT_COUNT` with `clientCount` at once; then for each client that answers 9 `BROADCAST_ACK` with `packet`: the first argument of its answer, in MessagePack |
//!
//! 2, 3 and 4 of older nodes have `sid` (and `room`) instead of `opts`, and `requestId`: the node that has the socket answers
//! with `requestId` alone.
//!
//! Who asks counts the listeners of the channel of requests (`PUBSUB NUMSUB`), itself included, and waits for so many:
//! for 0, 1 and 5 itself counts as one that has answered, and for 8 it is one that answers. So a node that has nothing to tell
//! says so ([`Request::least_answer`]), or every question takes until its time-out, five seconds, and then fails. For 2, 3
//! and 4 nobody waits, and who sends one acts on it itself when it comes back.
//!
//! # What is refused
//! Whatever is no such message is an [`AdapterError`] and of no other consequence. Nothing is allocated by what is
//! announced; depth, lists, names and attachments are bounded (`ADAPTER_…_MAX` and `SOCKETIO_ATTACHMENTS_MAX` in
//! [`crate::limits`]). Fields that nobody knows are passed over.

mod broadcast;
mod channels;
mod date;
mod list;
mod msgpack;
mod request;
mod response;
mod value;

use std::fmt;

pub use broadcast::{Broadcast, Flags, Selection};
pub use channels::{Channel, Channels};
pub use request::{Ask, Request};
pub use response::{Answer, Response, Socket};
pub use value::{EventData, Json, ServerEvent, Value};

use super::json::JsonError;
use super::packet::PacketError;
use crate::limits::ADAPTER_MESSAGE_BYTES_MAX;

/// Why no notice is taken of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterError {
    /// More than [`ADAPTER_MESSAGE_BYTES_MAX`] bytes.
    TooLarge,
    /// Neither JSON nor MessagePack, whichever it should be, or more than that.
    Malformed,
    /// Nested deeper than [`crate::limits::JSON_DEPTH_MAX`].
    TooDeep,
    /// A field is missing, or is not what it should be.
    Field,
    /// The name of a room, a socket, a node or a request of more than [`crate::limits::ADAPTER_NAME_BYTES_MAX`] bytes.
    Name,
    /// A list of more than [`crate::limits::ADAPTER_LIST_MAX`].
    TooMany,
    /// A type of packet or request that nobody knows.
    Type,
    /// More than [`crate::limits::SOCKETIO_ATTACHMENTS_MAX`] attachments.
    TooManyAttachments,
    /// Something in the data looks like an attachment and is none.
    Placeholder,
    /// The data of an event that may not be one.
    Event,
}

impl AdapterError {
    /// One plain sentence that says why.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::TooLarge => "The message is too large.",
            Self::Malformed => "The message is malformed.",
            Self::TooDeep => "The message is nested too deep.",
            Self::Field => "A field is missing, or is not what it should be.",
            Self::Name => "A name is too long.",
            Self::TooMany => "A list is too long.",
            Self::Type => "The type is not known.",
            Self::TooManyAttachments => "There are too many attachments.",
            Self::Placeholder => "Each attachment needs exactly one placeholder.",
            Self::Event => "The data is not that of an event.",
        }
    }
}

impl fmt::Display for AdapterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for AdapterError {}

impl From<JsonError> for AdapterError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Malformed => Self::Malformed,
            JsonError::TooDeep => Self::TooDeep,
            JsonError::Placeholder => Self::Placeholder,
        }
    }
}

impl From<PacketError> for AdapterError {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Json => Self::Malformed,
            PacketError::TooDeep => Self::TooDeep,
            PacketError::Placeholder => Self::Placeholder,
            PacketError::TooManyAttachments => Self::TooManyAttachments,
            PacketError::Type
            | PacketError::Attachments
            | PacketError::Namespace
            | PacketError::Id
            | PacketError::Payload
            | PacketError::EventName => Self::Event,
        }
    }
}

/// Requests and responses are JSON where they begin so, else MessagePack.
const JSON_BEGINS: u8 = b'{';

/// Reads a request or a response, whichever it is made of.
fn decode<'a, F: serde::Deserialize<'a>, T>(
    bytes: &'a [u8],
    of_fields: fn(F) -> Result<T, AdapterError>,
    read: fn(&'a [u8]) -> Result<T, AdapterError>,
) -> Result<T, AdapterError> {
    check_size(bytes)?;
    if bytes.first() == Some(&JSON_BEGINS) {
        of_fields(fields_of(json_of(bytes)?)?)
    } else {
        read(bytes)
    }
}

fn check_size(bytes: &[u8]) -> Result<(), AdapterError> {
    if bytes.len() > ADAPTER_MESSAGE_BYTES_MAX {
        return Err(AdapterError::TooLarge);
    }
    Ok(())
}

/// The text of a JSON message, checked.
fn json_of(bytes: &[u8]) -> Result<&str, AdapterError> {
    let text = std::str::from_utf8(bytes).map_err(|_| AdapterError::Malformed)?;
    super::json::check(text, None)?;
    Ok(text)
}

/// A message of JSON that was checked: what is wrong now is a field.
fn fields_of<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, AdapterError> {
    serde_json::from_str(text).map_err(|_| AdapterError::Field)
}

#[cfg(test)]
mod tests;
