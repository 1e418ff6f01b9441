//! Message body framing: Content-Length and chunked (RFC 9112 sections 6 and 7).

use super::error::HttpError;

/// How a request's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    /// No body.
    None,
    /// This many bytes.
    Length(u64),
    /// The chunked coding.
    Chunked,
}

/// Takes a body out of a byte stream, piece by piece.
#[derive(Debug)]
pub struct BodyDecoder {}

impl BodyDecoder {
    /// A decoder that refuses a body of more than `bytes_max`.
    ///
    /// # Errors
    /// 413 at once where the announced length is over the limit.
    pub fn new(_framing: BodyFraming, _bytes_max: u64) -> Result<Self, HttpError> {
        todo!()
    }

    /// Consumes from the front of `input`, appends content to `content`; gives how many bytes it used and
    /// whether the body is complete.
    ///
    /// # Errors
    /// 400 for a broken chunk, 413 over the limit.
    pub fn receive(
        &mut self,
        _input: &[u8],
        _content: &mut Vec<u8>,
    ) -> Result<(usize, bool), HttpError> {
        todo!()
    }
}
