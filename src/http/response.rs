//! Responses: one status line, few headers, a body (RFC 9112 section 4).

/// A response that is complete in memory.
#[derive(Debug, Clone, Default)]
pub struct Response<'a> {
    /// Status code.
    pub status: u16,
    /// `Content-Type`; none where empty.
    pub content_type: &'a str,
    /// Further headers, trusted: never a value that a peer sent.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; `Content-Length` is always sent, except with 101 and 204 and 304.
    pub body: &'a [u8],
    /// Announces `Connection: close` where false.
    pub keep_alive: bool,
    /// Answers a HEAD: length of the body without the body.
    pub head_only: bool,
    /// IMF-fixdate for `Date`; left out where empty.
    pub date: &'a str,
}

impl Response<'_> {
    /// Appends the response to `out`.
    pub fn write(&self, _out: &mut Vec<u8>) {
        todo!()
    }
}

/// The reason phrase of a status code.
pub fn reason(_status: u16) -> &'static str {
    todo!()
}
