//! The server's side: RFC 6455 section 4.2.

use std::borrow::Cow;
use std::fmt;

use crate::http::body::BodyFraming;
use crate::http::grammar;
use crate::http::head::RequestHead;
use crate::limits::SUBPROTOCOLS_OFFERED_MAX;

use super::super::extension::{DeflateAnswer, DeflateParams, DeflatePolicy, negotiate};
use super::{AcceptText, KeyText, accept_value, valid_key};

/// Why a handshake is refused. Its answer carries `Connection: close`, and what the peer sent behind its head is
/// discarded: a proxy in between may believe that the upgrade went through, and tunnel on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeError {
    /// Another method than GET: 405 with `Allow: GET`.
    Method,
    /// HTTP/1.0.
    HttpVersion,
    /// `Host` is empty.
    Host,
    /// No `Upgrade: websocket`: 426.
    Upgrade,
    /// No `Connection: Upgrade`.
    Connection,
    /// `Sec-WebSocket-Version` is missing or not 13: 426 with the version that is spoken.
    Version,
    /// `Sec-WebSocket-Version` is there several times.
    VersionRepeated,
    /// `Sec-WebSocket-Key` is missing, repeated, or not the base64 of 16 bytes.
    Key,
    /// A request with a body, or with one whose end cannot be told.
    Body,
    /// `Sec-WebSocket-Protocol` is no list of different tokens, or a very long one.
    Subprotocol,
    /// `Sec-WebSocket-Extensions` breaks the grammar of RFC 6455 section 9.1.
    Extensions,
}

impl HandshakeError {
    /// 400, 405 or 426.
    pub fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::Upgrade | Self::Version => 426,
            Self::HttpVersion
            | Self::Host
            | Self::Connection
            | Self::VersionRepeated
            | Self::Key
            | Self::Body
            | Self::Subprotocol
            | Self::Extensions => 400,
        }
    }

    /// One plain sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Method => "A WebSocket handshake is a GET.",
            Self::HttpVersion => "A WebSocket handshake needs HTTP/1.1.",
            Self::Host => "A WebSocket handshake needs a Host that is not empty.",
            Self::Upgrade => "This path speaks WebSocket: send Upgrade: websocket.",
            Self::Connection => "A WebSocket handshake needs Connection: Upgrade.",
            Self::Version => "The only WebSocket version spoken here is 13.",
            Self::VersionRepeated => "Sec-WebSocket-Version must stand there once.",
            Self::Key => "A WebSocket handshake needs one Sec-WebSocket-Key of 16 bytes in base64.",
            Self::Body => "A WebSocket handshake has no body.",
            Self::Subprotocol => "Sec-WebSocket-Protocol must be a list of different tokens.",
            Self::Extensions => "Sec-WebSocket-Extensions is malformed.",
        }
    }

    /// What the answer must carry besides (RFC 9110 sections 15.5.6 and 15.5.22, RFC 6455 section 4.4).
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self.status() {
            405 => &[("Allow", "GET")],
            426 => &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
            _ => &[],
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for HandshakeError {}

/// An upgrade that will be answered with 101.
#[derive(Debug)]
pub struct Accepted<'o> {
    /// The agreed compression.
    pub deflate: Option<DeflateParams>,
    /// The chosen subprotocol, one of those configured, or one that somebody else is to answer for ([`Self::agree_on`]): never just
    /// bytes of the peer.
    pub subprotocol: Option<Cow<'o, str>>,
    accept_value: AcceptText,
    server_window_offered: bool,
}

/// Whether the request wants a WebSocket at all (has `Upgrade: websocket`, any spelling).
pub fn is_upgrade(head: &RequestHead<'_>) -> bool {
    head.list_contains("upgrade", "websocket")
}

/// Checks every MUST of section 4.2.1 and agrees on subprotocol and extensions.
///
/// `subprotocols` are in the server's order of preference, and tokens. Where the client asks for none of them the
/// connection goes on without.
///
/// # Errors
/// The first rule that is broken.
pub fn accept<'o>(
    head: &RequestHead<'_>,
    subprotocols: &'o [String],
    deflate: Option<DeflatePolicy>,
) -> Result<Accepted<'o>, HandshakeError> {
    let key = check_request(head)?;
    let subprotocol = choose_subprotocol(head, subprotocols)?;
    let answer = negotiate(head.headers("sec-websocket-extensions"), deflate)
        .map_err(|_| HandshakeError::Extensions)?;
    Ok(Accepted {
        deflate: answer.map(|answer| answer.params),
        subprotocol: subprotocol.map(Cow::Borrowed),
        accept_value: accept_value(&key),
        server_window_offered: answer.is_some_and(|answer| answer.server_window_offered),
    })
}

/// The subprotocols that the client asks for, the dearest first. In a handshake that was accepted they are tokens, all different.
pub fn offered_subprotocols<'h>(head: &'h RequestHead<'_>) -> impl Iterator<Item = &'h str> {
    let values = head.headers("sec-websocket-protocol");
    let elements = values.flat_map(grammar::elements);
    elements.filter_map(|offered| std::str::from_utf8(offered).ok())
}

impl Accepted<'_> {
    /// The same, without the settings that it was made by.
    pub fn into_owned(self) -> Accepted<'static> {
        Accepted {
            deflate: self.deflate,
            subprotocol: self.subprotocol.map(|name| Cow::Owned(name.into_owned())),
            accept_value: self.accept_value,
            server_window_offered: self.server_window_offered,
        }
    }

    /// Agrees on this one in place of what was chosen; it has to be one of those that the client has offered.
    pub fn agree_on(&mut self, subprotocol: &str) {
        debug_assert!(grammar::is_token(subprotocol.as_bytes()));
        self.subprotocol = Some(Cow::Owned(subprotocol.to_owned()));
    }

    /// Appends the 101 response to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\n\
              Upgrade: websocket\r\n\
              Connection: Upgrade\r\n\
              Sec-WebSocket-Accept: ",
        );
        out.extend_from_slice(&self.accept_value);
        if let Some(subprotocol) = &self.subprotocol {
            debug_assert!(grammar::is_token(subprotocol.as_bytes()));
            out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            out.extend_from_slice(subprotocol.as_bytes());
        }
        if let Some(params) = self.deflate {
            out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
            let server_window_offered = self.server_window_offered;
            DeflateAnswer {
                params,
                server_window_offered,
            }
            .write(out);
        }
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// Section 4.2.1, numbers 1 to 6; gives the key.
fn check_request(head: &RequestHead<'_>) -> Result<KeyText, HandshakeError> {
    // Number 1.
    if head.method != "GET" {
        return Err(HandshakeError::Method);
    }
    if head.minor_version() < 1 {
        return Err(HandshakeError::HttpVersion);
    }
    // Number 2; that there is exactly one was checked with the head.
    if head.host().is_none_or(str::is_empty) {
        return Err(HandshakeError::Host);
    }
    // Number 3.
    if !is_upgrade(head) {
        return Err(HandshakeError::Upgrade);
    }
    // Number 4.
    if !head.list_contains("connection", "upgrade") {
        return Err(HandshakeError::Connection);
    }
    // Number 6, before the key: another version may have another kind of key.
    match only(head, "sec-websocket-version") {
        Ok(b"13") => {}
        Ok(_) | Err(Count::None) => return Err(HandshakeError::Version),
        Err(Count::Several) => return Err(HandshakeError::VersionRepeated),
    }
    // The bytes behind the head are frames already: a body would make two readings of them.
    match head.body() {
        Ok(BodyFraming::None | BodyFraming::Length(0)) => {}
        Ok(BodyFraming::Length(_) | BodyFraming::Chunked) | Err(_) => {
            return Err(HandshakeError::Body);
        }
    }
    // Number 5.
    only(head, "sec-websocket-key")
        .ok()
        .and_then(valid_key)
        .ok_or(HandshakeError::Key)
}

/// How often a field is there that must be there once.
enum Count {
    None,
    Several,
}

fn only<'b>(head: &RequestHead<'b>, name: &str) -> Result<&'b [u8], Count> {
    let mut values = head.headers(name);
    let first = values.next().ok_or(Count::None)?;
    match values.next() {
        None => Ok(first),
        Some(_) => Err(Count::Several),
    }
}

/// The first of ours that the client asks for. What it asks for must be tokens, all different (section 4.1, number
/// 10), over all header lines (section 11.3.4).
fn choose_subprotocol<'o>(
    head: &RequestHead<'_>,
    ours: &'o [String],
) -> Result<Option<&'o str>, HandshakeError> {
    let mut room = [&b""[..]; SUBPROTOCOLS_OFFERED_MAX];
    let mut count = 0;
    let mut is_present = false;
    for value in head.headers("sec-websocket-protocol") {
        is_present = true;
        for offered in grammar::elements(value) {
            let is_new = !room[..count].contains(&offered);
            if count == room.len() || !is_new || !grammar::is_token(offered) {
                return Err(HandshakeError::Subprotocol);
            }
            room[count] = offered;
            count += 1;
        }
    }
    let offered = &room[..count];
    if is_present && offered.is_empty() {
        return Err(HandshakeError::Subprotocol);
    }
    Ok(ours
        .iter()
        .map(String::as_str)
        .find(|name| offered.contains(&name.as_bytes())))
}

#[cfg(test)]
mod tests;
