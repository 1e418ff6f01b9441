//! What clients say on the gateway protocol: one JSON object a message, taken apart without a copy.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::refusal::Refusal;
use crate::gateway::name::check_name;

/// Bytes of the `id` of a message, as it is written.
const ID_BYTES_MAX: usize = 256;

/// The fields of every type, unread. What is unknown is ignored, `null` is as good as absent.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'m> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'m RawValue>,
    #[serde(borrow)]
    id: Option<&'m RawValue>,
    #[serde(borrow)]
    token: Option<&'m RawValue>,
    #[serde(borrow)]
    user_id: Option<&'m RawValue>,
    #[serde(borrow)]
    target_user_id: Option<&'m RawValue>,
    #[serde(borrow)]
    action: Option<&'m RawValue>,
    #[serde(borrow)]
    text: Option<&'m RawValue>,
    #[serde(borrow)]
    room: Option<&'m RawValue>,
    #[serde(borrow)]
    event: Option<&'m RawValue>,
    #[serde(borrow)]
    data: Option<&'m RawValue>,
    #[serde(borrow)]
    echo: Option<&'m RawValue>,
}

/// The `id` of a message, as it was written: a string or a number.
pub(in crate::gateway) type Id<'m> = Option<&'m str>;

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Request<'m> {
    Register {
        user: Option<Cow<'m, str>>,
    },
    Auth {
        token: Cow<'m, str>,
    },
    Ping,
    Notification {
        user: Cow<'m, str>,
        action: Cow<'m, str>,
        /// JSON.
        data: &'m str,
    },
    Chat {
        user: Cow<'m, str>,
        text: Cow<'m, str>,
    },
    Join {
        room: Cow<'m, str>,
    },
    Leave {
        room: Cow<'m, str>,
    },
    Presence {
        room: Cow<'m, str>,
    },
    Publish {
        room: Cow<'m, str>,
        event: Cow<'m, str>,
        /// JSON.
        data: &'m str,
        echo: bool,
    },
    Broadcast {
        event: Cow<'m, str>,
        /// JSON.
        data: &'m str,
    },
    /// Of Socket.IO clients alone.
    SendMessage {
        user: Cow<'m, str>,
        /// JSON.
        content: &'m str,
    },
}

/// What `send_message` says.
#[derive(Default, Deserialize)]
struct Addressed<'m> {
    #[serde(borrow)]
    recipient: Option<&'m RawValue>,
    #[serde(borrow)]
    content: Option<&'m RawValue>,
}

/// Reads a message. The id is told also where the rest is refused, as far as it can be read.
pub(super) fn parse(
    message: &[u8],
    name_chars_max: usize,
) -> (Id<'_>, Result<Request<'_>, Refusal>) {
    let fields: Fields<'_> = match serde_json::from_slice(message) {
        Ok(fields) => fields,
        Err(error) => return (None, Err(Refusal::json(&error))),
    };
    match id(&fields) {
        Ok(id) => {
            let kind = text("type", fields.kind);
            (
                id,
                kind.and_then(|kind| request(&kind, &fields, name_chars_max)),
            )
        }
        Err(refusal) => (None, Err(refusal)),
    }
}

/// Reads an event of a Socket.IO client: its name is the type, its first argument, of which it needs no other, has the fields.
/// Where one field is enough, that argument may be its value.
pub(in crate::gateway) fn parse_event<'m>(
    kind: &str,
    args: &'m str,
    name_chars_max: usize,
) -> Result<Request<'m>, Refusal> {
    let mut reader = serde_json::Deserializer::from_str(args);
    let first = match args {
        // To say that there is nothing would cost an error.
        "" => None,
        _ => <&RawValue>::deserialize(&mut reader).ok(),
    };
    let is_text = first.is_some_and(|first| first.get().starts_with('"'));
    let object = first.filter(|first| first.get().starts_with('{'));
    let object = object.map(RawValue::get);
    if kind == "send_message" {
        let addressed = object.map_or_else(|| Ok(Addressed::default()), serde_json::from_str);
        let addressed = addressed.map_err(|error| Refusal::json(&error))?;
        let user = name("recipient", addressed.recipient, name_chars_max)?;
        let content = addressed.content.ok_or(Refusal::Missing("content"))?;
        return Ok(if content.get().starts_with('"') {
            let text = text("content", addressed.content)?;
            Request::Chat { user, text }
        } else {
            let content = content.get();
            Request::SendMessage { user, content }
        });
    }
    let mut fields = object.map_or_else(|| Ok(Fields::default()), serde_json::from_str);
    if let (Ok(fields), true) = (&mut fields, is_text) {
        (fields.user_id, fields.room, fields.token) = (first, first, first);
    }
    let fields = fields.map_err(|error| Refusal::json(&error))?;
    request(kind, &fields, name_chars_max)
}

/// Whether an event of that name is one of the gateway's own.
pub(in crate::gateway) fn is_own_event(kind: &str) -> bool {
    let bare = request(kind, &Fields::default(), 0);
    kind == "send_message" || !matches!(bare, Err(Refusal::UnknownType))
}

fn id<'m>(fields: &Fields<'m>) -> Result<Id<'m>, Refusal> {
    let Some(id) = fields.id.map(RawValue::get) else {
        return Ok(None);
    };
    let is_scalar =
        id.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit());
    if !is_scalar || id.len() > ID_BYTES_MAX {
        return Err(Refusal::Id);
    }
    Ok(Some(id))
}

fn request<'m>(
    kind: &str,
    fields: &Fields<'m>,
    name_chars_max: usize,
) -> Result<Request<'m>, Refusal> {
    let name = |field, value| name(field, value, name_chars_max);
    let data = fields.data.map_or("null", RawValue::get);
    Ok(match kind {
        "register" => Request::Register {
            user: match fields.user_id {
                Some(_) => Some(name("userId", fields.user_id)?),
                None => None,
            },
        },
        "auth" => Request::Auth {
            token: text("token", fields.token)?,
        },
        "ping" => Request::Ping,
        "notification" => Request::Notification {
            user: name("targetUserId", fields.target_user_id)?,
            action: name("action", fields.action)?,
            data,
        },
        "chat" => Request::Chat {
            user: name("targetUserId", fields.target_user_id)?,
            text: text("text", fields.text)?,
        },
        "join" => Request::Join {
            room: name("room", fields.room)?,
        },
        "leave" => Request::Leave {
            room: name("room", fields.room)?,
        },
        "presence" => Request::Presence {
            room: name("room", fields.room)?,
        },
        "publish" => Request::Publish {
            room: name("room", fields.room)?,
            event: name("event", fields.event)?,
            data,
            echo: flag("echo", fields.echo)?,
        },
        "broadcast" => Request::Broadcast {
            event: name("event", fields.event)?,
            data,
        },
        _ => return Err(Refusal::UnknownType),
    })
}

/// Any string.
fn text<'m>(field: &'static str, value: Option<&'m RawValue>) -> Result<Cow<'m, str>, Refusal> {
    let value = value.ok_or(Refusal::Missing(field))?.get();
    // A plain one is taken as it lies; escapes have to be read.
    if let Some(inner) = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        && !inner.contains('\\')
    {
        return Ok(Cow::Borrowed(inner));
    }
    serde_json::from_str(value)
        .map(Cow::Owned)
        .map_err(|_| Refusal::NotText(field))
}

/// A string that can be the name of something: not empty, not endless, without control characters.
fn name<'m>(
    field: &'static str,
    value: Option<&'m RawValue>,
    chars_max: usize,
) -> Result<Cow<'m, str>, Refusal> {
    let name = text(field, value)?;
    check_name(&name, chars_max).map_err(|problem| Refusal::Name(field, problem))?;
    Ok(name)
}

fn flag(field: &'static str, value: Option<&RawValue>) -> Result<bool, Refusal> {
    match value.map(RawValue::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Refusal::NotFlag(field)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::name::NameProblem;

    fn parsed(message: &str) -> Result<Request<'_>, Refusal> {
        parse(message.as_bytes(), 16).1
    }

    #[test]
    fn every_type_is_read() {
        assert_eq!(parsed(r#"{"type":"ping"}"#), Ok(Request::Ping));
        assert_eq!(
            parsed(r#"{"type":"auth","token":"a.b.c"}"#),
            Ok(Request::Auth {
                token: "a.b.c".into()
            })
        );
        assert_eq!(
            parsed(r#"{"userId":"a\u0062","type":"register"}"#),
            Ok(Request::Register {
                user: Some("ab".into())
            })
        );
        assert_eq!(
            parsed(r#"{"type":"register","userId":null,"more":[{}]}"#),
            Ok(Request::Register { user: None })
        );
        assert_eq!(
            parsed(r#"{"type":"notification","targetUserId":"v","action":"a","data":{"x": [1]}}"#),
            Ok(Request::Notification {
                user: "v".into(),
                action: "a".into(),
                data: r#"{"x": [1]}"#
            })
        );
        assert_eq!(
            parsed(r#"{"type":"chat","targetUserId":"v","text":"\"\n"}"#),
            Ok(Request::Chat {
                user: "v".into(),
                text: "\"\n".into()
            })
        );
        let room = || Cow::from("r");
        for (kind, expected) in [
            ("join", Request::Join { room: room() }),
            ("leave", Request::Leave { room: room() }),
            ("presence", Request::Presence { room: room() }),
        ] {
            let message = format!(r#"{{"type":"{kind}","room":"r"}}"#);
            assert_eq!(parsed(&message), Ok(expected));
        }
        assert_eq!(
            parsed(r#"{"type":"publish","room":"r","event":"e","echo":true}"#),
            Ok(Request::Publish {
                room: room(),
                event: "e".into(),
                data: "null",
                echo: true
            })
        );
        assert_eq!(
            parsed(r#"{"type":"broadcast","event":"e","data":1}"#),
            Ok(Request::Broadcast {
                event: "e".into(),
                data: "1"
            })
        );
    }

    #[test]
    fn what_is_wrong_is_told_by_field() {
        for (message, expected) in [
            (r#"{}"#, Refusal::Missing("type")),
            (r#"{"type":7}"#, Refusal::NotText("type")),
            (r#"{"type":"dance"}"#, Refusal::UnknownType),
            (r#"{"type":"__proto__"}"#, Refusal::UnknownType),
            (r#"{"type":"join"}"#, Refusal::Missing("room")),
            (r#"{"type":"join","room":["r"]}"#, Refusal::NotText("room")),
            (
                r#"{"type":"join","room":""}"#,
                Refusal::Name("room", NameProblem::Empty),
            ),
            (
                r#"{"type":"join","room":"12345678901234567"}"#,
                Refusal::Name("room", NameProblem::TooLong(16)),
            ),
            (
                r#"{"type":"join","room":"a\u0000b"}"#,
                Refusal::Name("room", NameProblem::ControlCharacter),
            ),
            (
                r#"{"type":"publish","room":"r","event":"e","echo":1}"#,
                Refusal::NotFlag("echo"),
            ),
            (r#"{"type":"ping","id":[]}"#, Refusal::Id),
            (r#"{"type":"ping","id":true}"#, Refusal::Id),
        ] {
            assert_eq!(parsed(message), Err(expected), "{message}");
        }
        let long = format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(ID_BYTES_MAX));
        assert_eq!(parsed(&long), Err(Refusal::Id));
    }

    #[test]
    fn what_is_no_json_object_is_refused_however_deep() {
        for message in [
            "",
            "{",
            "[]",
            "7",
            "null",
            "{'type':'ping'}",
            r#"{"type":"ping"}x"#,
        ] {
            assert!(
                matches!(parsed(message), Err(Refusal::Json(..))),
                "{message}"
            );
        }
        let twice = r#"{"type":"ping","type":"ping"}"#;
        assert!(matches!(parsed(twice), Err(Refusal::Json(..))));
        for open in ["[", r#"{"a":"#] {
            let deep = format!(r#"{{"type":"ping","data":{}"#, open.repeat(100_000));
            assert!(matches!(parsed(&deep), Err(Refusal::Json(..))));
        }
    }

    #[test]
    fn an_id_is_told_as_it_was_written() {
        for id in [r#""a\"b""#, "7", "-1.5e3"] {
            let message = format!(r#"{{"id":{id},"type":"dance"}}"#);
            let (told, request) = parse(message.as_bytes(), 16);
            assert_eq!(told, Some(id));
            assert_eq!(request, Err(Refusal::UnknownType));
        }
        assert_eq!(
            parse(br#"{"id":null,"type":"ping"}"#, 16),
            (None, Ok(Request::Ping))
        );
    }
}
