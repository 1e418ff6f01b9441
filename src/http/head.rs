//! The request head: found in linear time, parsed once, checked (RFC 9112 sections 2 to 6).

use memchr::memchr;

use super::body::BodyFraming;
use super::error::HttpError;
use super::fields::{self, Fields};
use super::{grammar, scanner, target};

pub use super::fields::HeadRoom;
pub use super::scanner::HeadScanner;

/// A request head, borrowed from the bytes that it was parsed from.
#[derive(Debug)]
pub struct RequestHead<'b> {
    /// As sent; methods are case-sensitive.
    pub method: &'b str,
    /// Origin-form (RFC 9112 section 3.2.1), or the path and query of an absolute-form target. `*` only with OPTIONS.
    /// Visible ASCII only.
    pub target: &'b str,
    authority: Option<&'b str>,
    minor_version: u8,
    fields: Fields<'b>,
}

impl<'b> RequestHead<'b> {
    /// Parses one whole head (of the length that the scanner gave). Its fields are kept in `room`.
    ///
    /// # Errors
    /// 400 where a MUST of RFC 9112 is broken, 431 over 64 headers, 505 for another major version.
    pub fn parse(head: &'b [u8], room: &'b mut HeadRoom<'b>) -> Result<Self, HttpError> {
        fields::check_line_ends(head)?;
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(head, &mut room.0) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(HttpError::BadRequest),
            Err(httparse::Error::Version) => return Err(version_refusal(head)),
            Err(error) => return Err(fields::refusal(error)),
        }
        let (Some(method), Some(target), Some(minor_version)) =
            (request.method, request.path, request.version)
        else {
            return Err(HttpError::BadRequest);
        };
        let target = target::parse(method, target)?;
        let head = Self {
            method,
            target: target.path_and_query,
            authority: target.authority,
            minor_version,
            fields: Fields(request.headers),
        };
        head.check_host()?;
        Ok(head)
    }

    /// The path without the query. Begins with `/`, or is `*` with OPTIONS. Not percent-decoded.
    pub fn path(&self) -> &'b str {
        match self.target.split_once('?') {
            // An absolute URI with a query and no path (RFC 9112 section 3.2.1: then `/` is meant).
            Some(("", _)) => "/",
            Some((path, _)) => path,
            None => self.target,
        }
    }

    /// What follows the `?`.
    pub fn query(&self) -> Option<&'b str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The host (and port) that the request is for: of an absolute-form target, else of `Host`. A valid authority, may
    /// be empty; `None` only in HTTP/1.0.
    pub fn host(&self) -> Option<&'b str> {
        self.authority
            .or_else(|| str::from_utf8(self.header("host")?).ok())
    }

    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub fn minor_version(&self) -> u8 {
        self.minor_version
    }

    /// The first value under `name` (any case), white space trimmed.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.fields.first(name)
    }

    /// All values under `name` (any case), in order.
    pub fn headers<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'b [u8]> + 's {
        self.fields.all(name)
    }

    /// Whether a comma-separated list header contains `token` (any case), e.g. `Connection: keep-alive, Upgrade`.
    pub fn list_contains(&self, name: &str, token: &str) -> bool {
        self.fields.list_contains(name, token)
    }

    /// Whether the connection persists after this exchange (RFC 9112 section 9.3).
    pub fn keep_alive(&self) -> bool {
        if self.list_contains("connection", "close") {
            return false;
        }
        self.minor_version >= 1 || self.list_contains("connection", "keep-alive")
    }

    /// How long the body is (RFC 9112 section 6.3).
    ///
    /// # Errors
    /// 400 for what smuggling is made of: TE with CL, several or unknown transfer codings, a repeated or signed length.
    pub fn body(&self) -> Result<BodyFraming, HttpError> {
        let coding = self
            .fields
            .only("transfer-encoding")
            .map_err(|_| HttpError::TransferEncoding)?;
        let length = self
            .fields
            .only("content-length")
            .map_err(|_| HttpError::ContentLength)?;
        match (coding, length) {
            (None, None) => Ok(BodyFraming::None),
            (None, Some(digits)) => grammar::decimal(digits)
                .map(BodyFraming::Length)
                .ok_or(HttpError::ContentLength),
            (Some(coding), None)
                if self.minor_version >= 1 && coding.eq_ignore_ascii_case(b"chunked") =>
            {
                Ok(BodyFraming::Chunked)
            }
            (Some(_), _) => Err(HttpError::TransferEncoding),
        }
    }

    /// Whether the peer waits for `100 Continue` ([`super::response::CONTINUE`]) before it sends the body (RFC 9110
    /// section 10.1.1). HTTP/1.0 knows no expectations.
    ///
    /// # Errors
    /// 417 for any other expectation.
    pub fn expects_continue(&self) -> Result<bool, HttpError> {
        if self.minor_version == 0 {
            return Ok(false);
        }
        let mut is_expected = false;
        for value in self.headers("expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(HttpError::Expectation);
            }
            is_expected = true;
        }
        Ok(is_expected)
    }

    /// RFC 9112 section 3.2: in HTTP/1.1 exactly one `Host`, and a valid one; in HTTP/1.0 it may be missing.
    fn check_host(&self) -> Result<(), HttpError> {
        match self.fields.only("host") {
            Ok(Some(value)) if target::is_authority(value) => Ok(()),
            Ok(None) if self.minor_version == 0 => Ok(()),
            Ok(_) | Err(_) => Err(HttpError::Host),
        }
    }
}

/// Tells another version of HTTP from what is no version at all.
fn version_refusal(head: &[u8]) -> HttpError {
    let mut rest = head;
    while let Some(tail) = rest.strip_prefix(b"\r\n") {
        rest = tail;
    }
    let line = &rest[..memchr(b'\r', rest).unwrap_or(rest.len())];
    scanner::check_request_line(line)
        .err()
        .unwrap_or(HttpError::BadRequest)
}

#[cfg(test)]
mod tests;
