//! Why a request is refused before anyone looked at what it asks for.

use std::fmt;

/// A request that cannot be answered with more than its refusal. The connection ends after it: what follows in the
/// stream cannot be told apart any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpError {
    /// The head is not HTTP/1.x (RFC 9112).
    BadRequest,
    /// A line is not ended by CR LF, or a CR stands alone (RFC 9112 section 2.2).
    LineEnd,
    /// A request target that is neither a path, nor an absolute URI, nor `*` of OPTIONS (RFC 9112 section 3.2).
    Target,
    /// A header field that breaks RFC 9112 section 5: name, white space before the colon, folding, control bytes.
    Field,
    /// `Host` is missing, repeated or no authority (RFC 9112 section 3.2).
    Host,
    /// `Content-Length` is repeated or no plain decimal number (RFC 9110 section 8.6).
    ContentLength,
    /// `Transfer-Encoding` is anything but `chunked`, once, in HTTP/1.1, without `Content-Length` (RFC 9112
    /// section 6.1).
    TransferEncoding,
    /// A chunk or the trailer section breaks RFC 9112 section 7.1.
    Chunk,
    /// More than [`crate::limits::HEAD_BYTES_MAX`] bytes of head, or too many of trailers.
    HeadTooLarge,
    /// More than [`crate::limits::HEADERS_MAX`] header fields.
    TooManyHeaders,
    /// The body is longer than its reader allows.
    BodyTooLarge,
    /// `Expect` asks for something else than `100-continue` (RFC 9110 section 10.1.1).
    Expectation,
    /// HTTP, but neither 1.0 nor 1.1.
    Version,
}

impl HttpError {
    /// The status code to answer with.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest
            | Self::LineEnd
            | Self::Target
            | Self::Field
            | Self::Host
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::Chunk => 400,
            Self::BodyTooLarge => 413,
            Self::Expectation => 417,
            Self::HeadTooLarge | Self::TooManyHeaders => 431,
            Self::Version => 505,
        }
    }

    /// One plain sentence that says why.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::BadRequest => "The request does not begin with a valid HTTP/1.1 request line.",
            Self::LineEnd => "Every line of the request must end with CR LF.",
            Self::Target => "The request target must be a path.",
            Self::Field => "A header field is malformed.",
            Self::Host => "The request needs exactly one valid Host header field.",
            Self::ContentLength => "Content-Length must be one plain decimal number.",
            Self::TransferEncoding => {
                "Transfer-Encoding must be \"chunked\" alone, in HTTP/1.1, without Content-Length."
            }
            Self::Chunk => "The chunked body is malformed.",
            Self::HeadTooLarge => "The request head is larger than 8 KiB.",
            Self::TooManyHeaders => "The request has more than 64 header fields.",
            Self::BodyTooLarge => "The request body is too large.",
            Self::Expectation => "The only expectation that can be met is 100-continue.",
            Self::Version => "The only HTTP versions spoken here are 1.0 and 1.1.",
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for HttpError {}
