//! What comes from Redis, against what nodes say.

use tidegate::broker::redis::bundle;
use tidegate::gateway::envelope::{Content, Envelope};
use tidegate::websocket::protocol::MessageKind;

/// The data is a message of Redis.
pub fn check(data: &[u8]) {
    let mut again = Vec::new();
    for bytes in bundle::envelopes(data) {
        bundle::push(&mut again, bytes);
        if let Some(envelope) = Envelope::decode(bytes) {
            check_envelope(bytes, &envelope);
        }
    }
    assert!(data.starts_with(&again), "nothing is made up");
}

fn check_envelope(bytes: &[u8], envelope: &Envelope<'_>) {
    let encoded = envelope.encode();
    assert!(bytes.starts_with(&encoded), "what is behind it is left");
    assert_eq!(Envelope::decode(&encoded).as_ref(), Some(envelope));
    if let Content::Publication {
        kind: MessageKind::Text,
        payload,
        ..
    } = envelope.content
    {
        assert!(std::str::from_utf8(payload).is_ok(), "clients get UTF-8");
    }
}
