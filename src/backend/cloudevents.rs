//! CloudEvents 1.0 over HTTP: how an event is put into a request, in binary or in structured mode.
//!
//! In binary mode the attributes are header fields, `ce-` and the name, and the body is the data alone. The signature covers the body
//! and the name of the delivery, which is `ce-id` as well, and no other field: whatever a back end relies on has to be in
//! the data too. In structured mode (`application/cloudevents+json`) all of it is one JSON object, and signed.

use std::time::SystemTime;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::signature::DeliveryId;
use crate::timestamp::rfc3339;

/// `Content-Type` of the data.
const DATA_TYPE: &str = "application/json";
/// `Content-Type` of a whole event.
const EVENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";
const SPEC_VERSION: &str = "1.0";

/// What is encoded in the value of a header field besides all that is not ASCII (HTTP binding, section 3.1.3.2). With the control
/// characters no value can end its line.
const ENCODED: AsciiSet = CONTROLS.add(b' ').add(b'"').add(b'%');

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A client wants to connect; the back end may refuse it, name its user and put it into rooms.
    Connect,
    /// A client has said something that is the back end's to answer.
    Message,
    /// A client has gone. Delivered at least once.
    Disconnect,
}

impl Kind {
    /// The `type` of the event.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Connect => "io.tidegate.connect",
            Self::Message => "io.tidegate.message",
            Self::Disconnect => "io.tidegate.disconnect",
        }
    }
}

/// How an event is put into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Attributes as header fields, the data as the body.
    #[default]
    Binary,
    /// Everything in the body.
    Structured,
}

/// Something for the back end.
#[derive(Debug, Clone)]
pub struct Event {
    /// By which the back end knows that it has had it already: the `id` of the event, and `webhook-id`.
    pub id: DeliveryId,
    /// What happened.
    pub kind: Kind,
    /// Events of one key are delivered one after the other, in the order in which they were posted. It may be a hash of what it stands
    /// for: where two share one, they wait for each other, and no more comes of it.
    pub key: u64,
    /// Given back with what came of it.
    pub ticket: u64,
    /// When it happened.
    pub time: SystemTime,
    /// What it happened to: the name of the connection, or of the user.
    pub subject: Option<Box<str>>,
    /// Extension attributes. A name is 1 to 20 lower case letters and digits, and none of the core's.
    pub extensions: Vec<(&'static str, Box<str>)>,
    /// The data.
    pub data: Box<RawValue>,
}

/// Bytes that an event is reckoned at besides what it holds.
const EVENT_BYTES: usize = 256;

impl Event {
    /// Bytes that it takes in the queue, more or less.
    pub(super) fn bytes(&self) -> usize {
        let extensions = self.extensions.iter();
        let extensions: usize = extensions
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let subject = self.subject.as_ref().map_or(0, |subject| subject.len());
        EVENT_BYTES + self.data.get().len() + subject + extensions
    }

    /// The attributes with their names, those that there are.
    fn attributes<'e>(&'e self, source: &'e str, time: &'e str) -> Vec<(&'e str, &'e str)> {
        let mut attributes = vec![
            ("specversion", SPEC_VERSION),
            ("id", self.id.as_str()),
            ("source", source),
            ("type", self.kind.event_type()),
            ("time", time),
        ];
        attributes.extend(self.subject.as_deref().map(|subject| ("subject", subject)));
        attributes.extend(self.extensions.iter().map(|(name, value)| {
            debug_assert!(is_extension(name), "{name}");
            (*name, &**value)
        }));
        attributes
    }

    /// The event as the header fields and the body of a request. `source` is a URI reference, of whoever sends.
    pub(super) fn encode(&self, mode: Mode, source: &str) -> Encoded {
        let time = rfc3339(self.time);
        let attributes = self.attributes(source, &time);
        match mode {
            Mode::Binary => Encoded {
                content_type: DATA_TYPE,
                fields: attributes
                    .into_iter()
                    .map(|(name, value)| {
                        let value = utf8_percent_encode(value, &ENCODED);
                        (format!("ce-{name}"), value.to_string())
                    })
                    .collect(),
                body: self.data.get().as_bytes().to_vec(),
            },
            Mode::Structured => {
                let whole = Whole {
                    attributes: &attributes,
                    data: &self.data,
                };
                Encoded {
                    content_type: EVENT_TYPE,
                    fields: Vec::new(),
                    body: serde_json::to_vec(&whole).expect("texts, and JSON"),
                }
            }
        }
    }
}

/// Whether an extension may be called so (CloudEvents 1.0, "Naming conventions").
fn is_extension(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_core = matches!(
        name,
        "specversion"
            | "id"
            | "source"
            | "type"
            | "time"
            | "subject"
            | "data"
            | "datacontenttype"
            | "dataschema"
    );
    (1..=20).contains(&name.len()) && name.bytes().all(is_plain) && !is_core
}

/// An event as parts of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) content_type: &'static str,
    /// Further header fields: their values are visible ASCII.
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// An event as one JSON object.
struct Whole<'e> {
    attributes: &'e [(&'e str, &'e str)],
    data: &'e RawValue,
}

impl Serialize for Whole<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.attributes.len() + 2))?;
        for (name, value) in self.attributes {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("datacontenttype", DATA_TYPE)?;
        map.serialize_entry("data", self.data)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::{Value, json};

    use super::*;

    fn event(subject: &str) -> Event {
        let data = r#"{"text": "Zoë"}"#.to_owned();
        Event {
            id: DeliveryId::new("msg_1").expect("a name"),
            kind: Kind::Message,
            key: 7,
            ticket: 9,
            time: UNIX_EPOCH + Duration::from_millis(1_772_323_199_001),
            subject: Some(subject.into()),
            extensions: vec![("sequence", "12".into())],
            data: RawValue::from_string(data).expect("JSON"),
        }
    }

    #[test]
    fn binary_mode_has_the_attributes_as_header_fields() {
        let encoded = event("1-9.3").encode(Mode::Binary, "/tidegate/ab");
        let fields: Vec<(&str, &str)> = encoded
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let expected = [
            ("ce-specversion", "1.0"),
            ("ce-id", "msg_1"),
            ("ce-source", "/tidegate/ab"),
            ("ce-type", "io.tidegate.message"),
            ("ce-time", "2026-02-28T23:59:59.001Z"),
            ("ce-subject", "1-9.3"),
            ("ce-sequence", "12"),
        ];
        assert_eq!(fields, expected);
        assert_eq!(encoded.content_type, "application/json");
        assert_eq!(encoded.body, r#"{"text": "Zoë"}"#.as_bytes());
    }

    #[test]
    fn values_of_header_fields_are_encoded_as_the_binding_says() {
        let subject = |subject: &str| {
            let encoded = event(subject).encode(Mode::Binary, "/");
            let field = encoded
                .fields
                .into_iter()
                .find(|(name, _)| name == "ce-subject");
            field.expect("a subject").1
        };
        // The example of the binding, section 3.1.3.2.
        assert_eq!(subject("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(subject("a\"b%c"), "a%22b%25c");
        assert_eq!(
            subject("x\r\nce-type: y\0\u{7f}"),
            "x%0D%0Ace-type:%20y%00%7F"
        );
        let all: String = (0..=0x2fff).filter_map(char::from_u32).collect();
        assert!(subject(&all).bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(
            subject("!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"),
            "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
        );
    }

    #[test]
    fn structured_mode_is_one_object() {
        let encoded = event("a\r\n\"b").encode(Mode::Structured, "/tidegate/ab");
        assert_eq!(
            encoded.content_type,
            "application/cloudevents+json; charset=utf-8"
        );
        assert_eq!(encoded.fields, []);
        let whole: Value = serde_json::from_slice(&encoded.body).expect("JSON");
        let expected = json!({
            "specversion": "1.0", "id": "msg_1", "source": "/tidegate/ab", "type": "io.tidegate.message",
            "time": "2026-02-28T23:59:59.001Z", "subject": "a\r\n\"b", "sequence": "12",
            "datacontenttype": "application/json", "data": {"text": "Zoë"},
        });
        assert_eq!(whole, expected);
    }

    #[test]
    fn extensions_have_names_as_the_specification_wants_them() {
        for name in ["connectionid", "sequence", "a1"] {
            assert!(is_extension(name), "{name}");
        }
        for name in [
            "",
            "userId",
            "user_id",
            "data",
            "time",
            "anamethatistoolongtobe",
        ] {
            assert!(!is_extension(name), "{name}");
        }
    }
}
