//! The header fields of one head, request or response, borrowed from its bytes.

use std::fmt;
use std::mem::MaybeUninit;

use crate::limits::HEADERS_MAX;

use super::error::HttpError;
use super::grammar;

/// Room for the fields of one head, on the stack of whoever parses it. Only what is filled is ever touched.
pub struct HeadRoom<'b>(pub(super) [MaybeUninit<httparse::Header<'b>>; HEADERS_MAX]);

impl HeadRoom<'_> {
    /// Room for one head, once.
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; HEADERS_MAX])
    }
}

impl Default for HeadRoom<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HeadRoom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadRoom")
    }
}

/// Parsed header fields, in order, in a room of the caller's.
#[derive(Debug)]
pub(super) struct Fields<'b>(pub(super) &'b [httparse::Header<'b>]);

impl<'b> Fields<'b> {
    pub(super) fn first(&self, name: &str) -> Option<&'b [u8]> {
        self.all(name).next()
    }

    pub(super) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'b [u8]> + use<'s, 'b> {
        self.0
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
        let token = token.as_bytes();
        // The list of one element is the usual one, and no list has to be taken apart for it.
        self.all(name).any(|list| {
            list.eq_ignore_ascii_case(token)
                || grammar::elements(list).any(|element| element.eq_ignore_ascii_case(token))
        })
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
