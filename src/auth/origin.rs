//! The origin check of the opening handshake (RFC 6454, RFC 6455 section 10.2).

/// Whose pages may open a connection. Empty allows any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OriginPolicy {}

impl OriginPolicy {
    /// Parses one entry after the other: exact origins (`https://example.com`), patterns (`https://*.example.com`,
    /// `*.example.com`).
    ///
    /// # Errors
    /// The entry that is neither, with what is wrong.
    pub fn parse<'a>(_entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        todo!()
    }

    /// Whether a handshake with this `Origin` header value (`None`: absent) is allowed.
    pub fn allows(&self, _origin: Option<&[u8]>) -> bool {
        todo!()
    }
}
