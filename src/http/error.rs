//! Why a request is refused before anyone looked at what it asks for.

/// A request that cannot be answered with more than its refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpError {
    /// The head is not HTTP/1.x (RFC 9112).
    BadRequest,
}

impl HttpError {
    /// The status code to answer with.
    pub fn status(self) -> u16 {
        todo!()
    }

    /// One plain sentence that says why.
    pub fn sentence(self) -> &'static str {
        todo!()
    }
}
