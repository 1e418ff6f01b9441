//! What the API says of itself (OpenAPI 3.1).

/// The document, as it is answered.
pub(super) const DOCUMENT: &[u8] = include_bytes!("openapi.json");
