//! The header fields of one head, request or response, borrowed from its bytes.

use crate::limits::HEADERS_MAX;

use super::error::HttpError;
use super::grammar;

/// Parsed header fields, in order. Fixed room, no heap.
#[derive(Debug)]
pub(super) struct Fields<'b> {
    room: [httparse::Header<'b>; HEADERS_MAX],
    count: usize,
}

impl<'b> Fields<'b> {
    pub(super) fn empty() -> Self {
        Self {
            room: [httparse::EMPTY_HEADER; HEADERS_MAX],
            count: 0,
        }
    }

    /// Where `httparse` writes.
    pub(super) fn room(&mut self) -> &mut [httparse::Header<'b>] {
        &mut self.room
    }

    /// The first `count` were written.
    pub(super) fn filled(&mut self, count: usize) {
        self.count = count;
    }

    pub(super) fn first(&self, name: &str) -> Option<&'b [u8]> {
        self.all(name).next()
    }

    pub(super) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'b [u8]> + use<'s, 'b> {
        self.room[..self.count]
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| grammar::trim(field.value))
    }

    /// The one value under `name`.
    ///
    /// # Errors
    /// Whether there are more than one.
    pub(super) fn only(&self, name: &str) -> Result<Option<&'b [u8]>, Repeated> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(Repeated),
        }
    }

    pub(super) fn list_contains(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(grammar::elements)
            .any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }
}

/// A header field that must stand alone is there several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeated;

/// `httparse` takes a bare LF for a line end; a proxy in front may not, and what two parsers see differently is what
/// smuggling is made of (RFC 9112 section 2.2 leaves the choice).
///
/// # Errors
/// `LineEnd` for a LF without its CR.
pub(super) fn check_line_ends(head: &[u8]) -> Result<(), HttpError> {
    let bare = memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r');
    if bare {
        Err(HttpError::LineEnd)
    } else {
        Ok(())
    }
}

/// What `httparse` found wrong with a head. `Version` is the caller's to tell apart first.
pub(super) fn refusal(error: httparse::Error) -> HttpError {
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue => HttpError::Field,
        httparse::Error::TooManyHeaders => HttpError::TooManyHeaders,
        httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token
        | httparse::Error::Version => HttpError::BadRequest,
    }
}
