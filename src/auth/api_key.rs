//! The key of a back end: compared in constant time, never shown.

use std::fmt;

use subtle::ConstantTimeEq;

/// Bytes of a key at least: what is shorter can be guessed.
pub const API_KEY_BYTES_MIN: usize = 8;

/// The key that the API asks for.
#[derive(Clone)]
pub struct ApiKey(Box<[u8]>);

impl ApiKey {
    /// A key.
    pub fn new(key: &str) -> Self {
        Self(key.as_bytes().into())
    }

    /// Whether `given` is the key. How long that takes tells its length, and nothing else.
    pub fn is(&self, given: &[u8]) -> bool {
        self.0.ct_eq(given).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_itself_and_shows_nothing() {
        let key = ApiKey::new("correct horse");
        assert!(key.is(b"correct horse"));
        for other in [
            &b""[..],
            b"correct hors",
            b"correct horsf",
            b"correct horse ",
        ] {
            assert!(!key.is(other));
        }
        assert!(!format!("{key:?}").contains("horse"));
    }
}
