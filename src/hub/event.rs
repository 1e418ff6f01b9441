//! A message of the gateway protocol as Socket.IO has it: an event in the main namespace.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::socketio::engine::packet::MESSAGE;
use crate::socketio::packet::{MAIN_NAMESPACE, is_reserved, put_event};

/// What decides how a message is told. The rest of it goes along as it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'m> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'m, str>,
    #[serde(borrow)]
    event: Option<Cow<'m, str>>,
    #[serde(borrow, default, deserialize_with = "given")]
    data: Option<&'m RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    message: Option<&'m RawValue>,
    #[serde(borrow)]
    text: Option<&'m RawValue>,
    #[serde(borrow)]
    from_user_id: Option<&'m RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'m RawValue>,
}

/// A field that is there, also where it is `null`.
fn given<'de, D: Deserializer<'de>>(field: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(field).map(Some)
}

/// The text of the Engine.IO message that says what `message` does, in the main namespace. `None` where it is no message of the protocol.
pub fn event(message: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(message).ok()?;
    let mut out = vec![MESSAGE];
    put_event_of(MAIN_NAMESPACE, text, &mut out).then_some(out)
}

/// Appends the packet that says what `message` does: an event with its data; a chat text as `message` with who sent it; anything else
/// under its type. False, and nothing, where it is no message of the protocol.
pub fn put_event_of(namespace: &str, message: &str, out: &mut Vec<u8>) -> bool {
    let Ok(fields) = serde_json::from_str::<Fields<'_>>(message) else {
        return false;
    };
    let mut put = |event: &str, data: &str| put_event(namespace, None, event, data, None, out);
    match (&*fields.kind, &fields.event, fields.data) {
        ("message" | "broadcast", Some(event), Some(data)) if !is_reserved(event) => {
            put(event, data.get());
        }
        ("chat", ..) => put("message", &chat(&fields)),
        (kind, ..) => match fields.message {
            Some(message) if !is_reserved(kind) => put(kind, message.get()),
            _ if !is_reserved(kind) => put(kind, message),
            // Nobody can hear an event of that name: it comes as a whole.
            _ => put("message", message),
        },
    }
    true
}

/// `{"sender":…,"content":…,"timestamp":…}`.
fn chat(fields: &Fields<'_>) -> String {
    let or_null = |value: Option<&RawValue>| value.map_or("null", RawValue::get).to_owned();
    format!(
        "{{\"sender\":{},\"content\":{},\"timestamp\":{}}}",
        or_null(fields.from_user_id),
        or_null(fields.text),
        or_null(fields.timestamp)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_each_type_are_events() {
        for (message, expected) in [
            (
                r#"{"type":"message","room":"r","event":"news","data":{"a":[1]},"timestamp":"t"}"#,
                r#"42["news",{"a":[1]}]"#,
            ),
            (
                r#"{"type":"broadcast","event":"n\"","data":null,"timestamp":"t"}"#,
                r#"42["n\"",null]"#,
            ),
            (
                r#"{"type":"chat","fromUserId":"a","text":"hi","timestamp":"t"}"#,
                r#"42["message",{"sender":"a","content":"hi","timestamp":"t"}]"#,
            ),
            (
                r#"{"type":"alert","message":"fire","timestamp":"t"}"#,
                r#"42["alert","fire"]"#,
            ),
            (
                r#"{"type":"notification","fromUserId":"a","action":"x","data":1,"timestamp":"t"}"#,
                r#"42["notification",{"type":"notification","fromUserId":"a","action":"x","data":1,"timestamp":"t"}]"#,
            ),
            (r#"{"type":"alert","message":null}"#, r#"42["alert",null]"#),
            (r#"{"type":"gap"}"#, r#"42["gap",{"type":"gap"}]"#),
            (
                r#"{"type":"message","event":"disconnect","data":1}"#,
                r#"42["message",{"type":"message","event":"disconnect","data":1}]"#,
            ),
            (
                r#"{"type":"connect","message":1}"#,
                r#"42["message",{"type":"connect","message":1}]"#,
            ),
        ] {
            let event = event(message.as_bytes()).expect("an event");
            assert_eq!(String::from_utf8(event).expect("text"), expected);
        }
        for message in [&b"{}"[..], b"[]", b"{\"type\":1}", b"\xff", b"x"] {
            assert_eq!(event(message), None);
        }
    }
}
