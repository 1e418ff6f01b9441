//! The request head: found in linear time, parsed once, checked (RFC 9112 sections 2 to 6).

use super::body::BodyFraming;
use super::error::HttpError;

/// Finds the end of a request head that arrives in pieces. Work is linear in the bytes, whatever the pieces.
#[derive(Debug, Default, Clone)]
pub struct HeadScanner {}

impl HeadScanner {
    /// Looks at `bytes`, which begins with what earlier calls saw (after the same start) and may have grown.
    /// Gives the length of the head including its empty line, or `None` where more is needed.
    ///
    /// # Errors
    /// 431 as soon as the head is longer than 8 KiB; 400 for what can no longer become a head.
    pub fn scan(&mut self, _bytes: &[u8]) -> Result<Option<usize>, HttpError> {
        todo!()
    }
}

/// A request head, borrowed from the bytes that it was parsed from.
#[derive(Debug)]
pub struct RequestHead<'b> {
    /// As sent; methods are case-sensitive.
    pub method: &'b str,
    /// Origin-form (RFC 9112 section 3.2.1), or the path and query of an absolute-form target.
    pub target: &'b str,
}

impl<'b> RequestHead<'b> {
    /// Parses one whole head (of the length that the scanner gave).
    ///
    /// # Errors
    /// 400 where a MUST of RFC 9112 is broken, 431 over 64 headers, 505 for another major version.
    pub fn parse(_head: &'b [u8]) -> Result<Self, HttpError> {
        todo!()
    }

    /// The path without the query.
    pub fn path(&self) -> &'b str {
        todo!()
    }

    /// What follows the `?`.
    pub fn query(&self) -> Option<&'b str> {
        todo!()
    }

    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub fn minor_version(&self) -> u8 {
        todo!()
    }

    /// The first value under `name` (any case), white space trimmed.
    pub fn header(&self, _name: &str) -> Option<&'b [u8]> {
        todo!()
    }

    /// All values under `name` (any case), in order.
    pub fn headers<'s>(&'s self, _name: &'s str) -> impl Iterator<Item = &'b [u8]> + 's {
        std::iter::empty()
    }

    /// Whether a comma-separated list header contains `token` (any case), e.g. `Connection: keep-alive, Upgrade`.
    pub fn list_contains(&self, _name: &str, _token: &str) -> bool {
        todo!()
    }

    /// Whether the connection persists after this exchange (RFC 9112 section 9.3).
    pub fn keep_alive(&self) -> bool {
        todo!()
    }

    /// How long the body is (RFC 9112 section 6.3).
    ///
    /// # Errors
    /// 400 for what smuggling is made of: TE with CL, several or unknown transfer codings, differing or signed lengths.
    pub fn body(&self) -> Result<BodyFraming, HttpError> {
        todo!()
    }
}
