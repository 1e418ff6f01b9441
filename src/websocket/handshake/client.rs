//! The client's side: RFC 6455 section 4.1.

use std::fmt;

use crate::http::error::HttpError;
use crate::http::grammar;
use crate::http::head::HeadRoom;
use crate::http::response_head::ResponseHead;

use super::super::extension::{DeflateOffer, DeflateParams};
use super::{AcceptText, KEY_BYTES, KeyText, accept_value, encode};

/// What a client asks for. [`ClientRequest::write`] gives the request; the head of the response, whose end
/// [`crate::http::scanner::HeadScanner::response`] finds, goes to [`ClientRequest::verify`] of the same value.
#[derive(Debug, Clone)]
pub struct ClientRequest<'a> {
    /// Host, and port where it is not the scheme's default (number 4 of section 4.1).
    pub host: &'a str,
    /// Path and query, begins with `/`.
    pub target: &'a str,
    /// Random, new for each handshake (number 7).
    pub key: [u8; 16],
    /// `Origin`, for those who play a browser.
    pub origin: Option<&'a str>,
    /// Subprotocols asked for, in order of preference.
    pub subprotocols: &'a [&'a str],
    /// Compression offered.
    pub deflate: Option<DeflateOffer>,
    /// Further headers.
    pub headers: &'a [(&'a str, &'a str)],
}

/// What both sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Established<'a> {
    /// The agreed compression.
    pub deflate: Option<DeflateParams>,
    /// The subprotocol that the server chose, one of those asked for.
    pub subprotocol: Option<&'a str>,
}

/// Which part of a request cannot be sent: it has bytes that would break the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidRequest {
    /// The host is empty or has other bytes than an authority has.
    Host,
    /// The target does not begin with `/` or has other bytes than visible ASCII.
    Target,
    /// A header's name is no token, or the value of one (`Origin` too) has control bytes.
    Header,
    /// A subprotocol is no token.
    Subprotocol,
}

/// Why a response does not open the connection, which must be dropped then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseError {
    /// No HTTP/1.x response.
    Head(HttpError),
    /// HTTP/1.0.
    HttpVersion,
    /// Another status than 101; the body may say why.
    Status(u16),
    /// No `Upgrade: websocket` (number 2 of the client's checks).
    Upgrade,
    /// No `Connection: Upgrade` (number 3).
    Connection,
    /// `Sec-WebSocket-Accept` is missing, repeated or not the one to our key (number 4).
    Accept,
    /// Extensions that are no answer to the offer (number 5).
    Extensions,
    /// A subprotocol that was not asked for, or several (number 6).
    Subprotocol,
}

impl<'a> ClientRequest<'a> {
    /// Appends the request to `out`.
    ///
    /// # Errors
    /// The part that would break the head; then nothing was appended.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), InvalidRequest> {
        self.check()?;
        for part in ["GET ", self.target, " HTTP/1.1\r\nHost: ", self.host] {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(
            b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
        );
        out.extend_from_slice(&self.key_text());
        if let Some(origin) = self.origin {
            out.extend_from_slice(b"\r\nOrigin: ");
            out.extend_from_slice(origin.as_bytes());
        }
        for (index, subprotocol) in self.subprotocols.iter().enumerate() {
            let before: &[u8] = if index == 0 {
                b"\r\nSec-WebSocket-Protocol: "
            } else {
                b", "
            };
            out.extend_from_slice(before);
            out.extend_from_slice(subprotocol.as_bytes());
        }
        if let Some(offer) = self.deflate {
            out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
            offer.write(out);
        }
        for (name, value) in self.headers {
            for part in ["\r\n", name, ": ", value] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n\r\n");
        Ok(())
    }

    /// Checks the whole head of the response.
    ///
    /// # Errors
    /// The first of the client's checks of section 4.1 that fails.
    pub fn verify(&self, head: &[u8]) -> Result<Established<'a>, ResponseError> {
        let mut room = HeadRoom::new();
        let head = ResponseHead::parse(head, &mut room).map_err(ResponseError::Head)?;
        if head.status != 101 {
            return Err(ResponseError::Status(head.status));
        }
        if head.minor_version() < 1 {
            return Err(ResponseError::HttpVersion);
        }
        if !head.list_contains("upgrade", "websocket") {
            return Err(ResponseError::Upgrade);
        }
        if !head.list_contains("connection", "upgrade") {
            return Err(ResponseError::Connection);
        }
        let expected: AcceptText = accept_value(&self.key_text());
        let mut accepts = head.headers("sec-websocket-accept");
        if accepts.next() != Some(&expected[..]) || accepts.next().is_some() {
            return Err(ResponseError::Accept);
        }
        let extensions = head.headers("sec-websocket-extensions");
        let deflate = DeflateOffer::verify(self.deflate.as_ref(), extensions)
            .map_err(|_| ResponseError::Extensions)?;
        Ok(Established {
            deflate,
            subprotocol: self.chosen_subprotocol(&head)?,
        })
    }

    fn chosen_subprotocol(
        &self,
        head: &ResponseHead<'_>,
    ) -> Result<Option<&'a str>, ResponseError> {
        let mut chosen = head.headers("sec-websocket-protocol");
        let Some(name) = chosen.next() else {
            return Ok(None);
        };
        let asked = self
            .subprotocols
            .iter()
            .find(|asked| asked.as_bytes() == name);
        match (asked, chosen.next()) {
            (Some(asked), None) => Ok(Some(asked)),
            _ => Err(ResponseError::Subprotocol),
        }
    }

    fn key_text(&self) -> KeyText {
        let key: &[u8; KEY_BYTES] = &self.key;
        let mut text = [0; 24];
        encode(key, &mut text);
        text
    }

    fn check(&self) -> Result<(), InvalidRequest> {
        let is_visible = |text: &str| text.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
        if self.host.is_empty() || !is_visible(self.host) {
            return Err(InvalidRequest::Host);
        }
        if !self.target.starts_with('/') || !is_visible(self.target) || self.target.contains('#') {
            return Err(InvalidRequest::Target);
        }
        let is_header = |(name, value): &(&str, &str)| {
            grammar::is_token(name.as_bytes()) && grammar::is_field_content(value.as_bytes())
        };
        let origin = self.origin.map(|origin| ("Origin", origin));
        if !self.headers.iter().chain(origin.as_ref()).all(is_header) {
            return Err(InvalidRequest::Header);
        }
        if !self
            .subprotocols
            .iter()
            .all(|name| grammar::is_token(name.as_bytes()))
        {
            return Err(InvalidRequest::Subprotocol);
        }
        Ok(())
    }
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the host has bytes that no host has",
            Self::Target => {
                "the path must begin with / and be visible ASCII, others percent-encoded"
            }
            Self::Header => "a header has a name that is no token or a value with control bytes",
            Self::Subprotocol => "a subprotocol is no token",
        })
    }
}

impl std::error::Error for InvalidRequest {}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head(HttpError::HeadTooLarge | HttpError::TooManyHeaders) => {
                "the head of the server's answer is too large"
            }
            Self::Head(_) => "the server's answer is no HTTP/1.1",
            Self::HttpVersion => "the server answered in HTTP/1.0",
            Self::Status(status) => {
                let reason = crate::http::response::reason(*status);
                return write!(f, "the server answered {status} {reason}");
            }
            Self::Upgrade => "the server's answer has no Upgrade: websocket",
            Self::Connection => "the server's answer has no Connection: Upgrade",
            Self::Accept => "the server's Sec-WebSocket-Accept is not the one to our key",
            Self::Extensions => "the server answered extensions that were not offered so",
            Self::Subprotocol => "the server chose a subprotocol that was not asked for",
        })
    }
}

impl std::error::Error for ResponseError {}

#[cfg(test)]
mod tests;
