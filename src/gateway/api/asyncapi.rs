//! What the server says of the gateway protocol (AsyncAPI 3.1).

/// The document, as it is answered.
pub(super) const DOCUMENT: &[u8] = include_bytes!("asyncapi.json");
