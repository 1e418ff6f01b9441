//! The opening handshake (RFC 6455 section 4), server and client side. The one place that writes a 101.
//!
//! No socket, clock or randomness: the client's key comes from its caller.

mod client;
mod server;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

pub use super::extension::{DeflateOffer, DeflateParams, DeflatePolicy};
pub use client::{ClientRequest, Established, InvalidRequest, ResponseError};
pub use server::{Accepted, HandshakeError, accept, is_upgrade, offered_subprotocols};

/// What the key is hashed with (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes of a key before base64 (RFC 6455 section 4.1, number 7).
const KEY_BYTES: usize = 16;

/// A `Sec-WebSocket-Key` in base64.
type KeyText = [u8; 24];

/// A `Sec-WebSocket-Accept` value: 20 bytes of SHA-1 in base64.
type AcceptText = [u8; 28];

/// RFC 6455 section 4.2.2, number 5.4. No heap.
fn accept_value(key: &KeyText) -> AcceptText {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut text = [0; 28];
    encode(&digest, &mut text);
    text
}

/// Fills `text`, which has exactly the length that `bytes` take in base64.
fn encode(bytes: &[u8], text: &mut [u8]) {
    let written = STANDARD
        .encode_slice(bytes, text)
        .expect("room for exactly this");
    debug_assert_eq!(written, text.len());
}

/// The key, where it is the canonical base64 of 16 bytes (RFC 6455 section 4.2.1, number 5).
fn valid_key(text: &[u8]) -> Option<KeyText> {
    let text: KeyText = text.try_into().ok()?;
    // Room for the longest that 24 characters can mean.
    let mut bytes = [0; 18];
    let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
    (length == KEY_BYTES).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 section 1.3.
    #[test]
    fn the_example_of_the_rfc() {
        let key = valid_key(b"dGhlIHNhbXBsZSBub25jZQ==").expect("valid");
        assert_eq!(&accept_value(&key), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_canonical_base64_of_16_bytes() {
        for bad in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBsZSBub25jZR==",
            "dGhlIHNhbXBsZSBub25jZWU=",
            "dGhlIHNhbXBsZSBub25jZWVl",
            "dGhlIHNhbXBsZSBub25j Q==",
            "dGhlIHNhbXBsZSBub25jZ-==",
            "=GhlIHNhbXBsZSBub25jZQ==",
        ] {
            assert_eq!(valid_key(bad.as_bytes()), None, "{bad}");
        }
    }
}
