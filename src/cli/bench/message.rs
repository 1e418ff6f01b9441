//! What is sent: payloads of a given size, with a sequence number in them where messages must be told apart.

use std::ops::Range;

use clap::ValueEnum;
use serde_json::json;

use super::failure::{Failure, Result};
use crate::websocket::protocol::MessageKind;

/// Digits of a sequence number.
pub(super) const STAMP_BYTES: usize = 12;
/// A stamp before it is set.
const STAMP_EMPTY: &[u8; STAMP_BYTES] = b"000000000000";
/// Bytes of the shortest JSON payload.
const JSON_BYTES_MIN: usize = 32;
/// The room that a fan-out over Socket.IO goes to, and the user that is there.
const ROOM: &str = "bench";
const PROSE: &[u8] = b"The quick brown fox jumps over the lazy dog and the tide comes in at noon. ";

/// What a payload looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Payload {
    /// Plain ASCII prose
    Text,
    /// One JSON object, as chats and sensors send them
    Json,
}

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Dialect {
    /// A message is a WebSocket message
    #[default]
    Plain,
    /// Socket.IO 5 on Engine.IO 4, over a WebSocket: a message is an event with one text
    Socketio,
}

impl Dialect {
    /// What a client says before it hears a fan-out.
    pub(super) fn entrance(self) -> Vec<String> {
        match self {
            Self::Plain => Vec::new(),
            Self::Socketio => vec![
                format!("42{}", json!(["register", { "userId": ROOM }])),
                format!("42{}", json!(["join", { "room": ROOM }])),
            ],
        }
    }
}

/// What to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) payload: Payload,
    pub(super) is_binary: bool,
    /// Payload bytes.
    pub(super) size: usize,
    pub(super) dialect: Dialect,
}

/// The content of a WebSocket message, as it is sent and as it is heard.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) kind: MessageKind,
    sent: Stamped,
    heard: Stamped,
    may_have_offset: bool,
}

/// Bytes with room for a sequence number, where they have any.
#[derive(Debug, Clone)]
struct Stamped {
    bytes: Vec<u8>,
    /// Where the sequence number stands.
    stamp: Range<usize>,
}

impl Content {
    /// A message that always stays the same.
    pub(super) fn fixed(wish: Wish) -> Result<Self> {
        let bytes = match wish.payload {
            Payload::Text => prose(wish.size),
            Payload::Json => json_object(wish.size)?,
        };
        Self::travelling(wish, bytes, |text| {
            // What a server without a program of its own answers, where it is asked to be tested.
            let event = |name: &str| format!("42{}", json!([name, text]));
            (event("message"), event("message-back"))
        })
    }

    /// A message with room for a sequence number.
    pub(super) fn stamped(wish: Wish) -> Result<Self> {
        let bytes = match wish.payload {
            Payload::Text if wish.size < STAMP_BYTES => {
                return Err(Failure::usage(format!(
                    "--size {}: a message carries a sequence number and has at least {STAMP_BYTES} bytes",
                    wish.size
                )));
            }
            Payload::Text => [STAMP_EMPTY, &prose(wish.size - STAMP_BYTES)[..]].concat(),
            Payload::Json => json_object(wish.size)?,
        };
        let mut content = Self::travelling(wish, bytes, |text| {
            let publish = json!({ "room": ROOM, "event": "message", "data": text, "echo": true });
            (
                format!("42{}", json!(["publish", publish])),
                format!("42{}", json!(["message", text])),
            )
        })?;
        for one in [&mut content.sent, &mut content.heard] {
            one.find_stamp();
        }
        Ok(content)
    }

    /// What is sent, and what is heard of it; `events` are those of Socket.IO that say a text.
    fn travelling(
        wish: Wish,
        bytes: Vec<u8>,
        events: impl FnOnce(String) -> (String, String),
    ) -> Result<Self> {
        let kind = if wish.is_binary {
            MessageKind::Binary
        } else {
            MessageKind::Text
        };
        let (sent, heard) = match wish.dialect {
            Dialect::Plain => (bytes.clone(), bytes),
            Dialect::Socketio if wish.is_binary => {
                return Err(Failure::usage(
                    "--binary: the event of --dialect socketio has a text",
                ));
            }
            Dialect::Socketio => {
                let text = String::from_utf8(bytes).expect("payloads are ASCII");
                let (sent, heard) = events(text);
                (sent.into_bytes(), heard.into_bytes())
            }
        };
        let [sent, heard] = [sent, heard].map(|bytes| Stamped { bytes, stamp: 0..0 });
        Ok(Self {
            kind,
            sent,
            heard,
            may_have_offset: wish.dialect == Dialect::Socketio,
        })
    }

    /// What is sent.
    pub(super) fn sent(&self) -> &[u8] {
        &self.sent.bytes
    }

    /// What comes back of it, or arrives at others.
    pub(super) fn heard(&self) -> &[u8] {
        &self.heard.bytes
    }

    /// Sets the sequence number.
    pub(super) fn set_stamp(&mut self, number: u64) {
        let mut rest = number;
        let Stamped { bytes, stamp } = &mut self.sent;
        for digit in bytes[stamp.clone()].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }

    /// The sequence number of a message that was heard, where everything else in it is as it has to be.
    pub(super) fn stamp_of(&self, kind: MessageKind, bytes: &[u8]) -> Option<u64> {
        let Stamped {
            bytes: expected,
            stamp,
        } = &self.heard;
        let Range { start, end } = stamp.clone();
        let is_same = kind == self.kind
            && bytes.len() >= expected.len()
            && bytes[..start] == expected[..start]
            && self.is_rest(&bytes[end..], &expected[end..]);
        let digits = bytes.get(start..end).filter(|_| is_same)?;
        digits.iter().try_fold(0, |number, digit| {
            let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
            Some(number * 10 + u64::from(digit))
        })
    }

    /// Whether a message ends as it has to; in an event of Socket.IO there may be an offset, by which servers bring clients up to date
    /// that have been away.
    fn is_rest(&self, rest: &[u8], expected: &[u8]) -> bool {
        if rest == expected || !self.may_have_offset {
            return rest == expected;
        }
        let more = expected.strip_suffix(b"]").and_then(|before| {
            let more = rest.strip_prefix(before)?;
            more.strip_prefix(b",\"")?.strip_suffix(b"\"]")
        });
        more.is_some_and(|offset| !offset.contains(&b'"'))
    }
}

impl Stamped {
    fn find_stamp(&mut self) {
        let mut windows = self.bytes.windows(STAMP_BYTES);
        let start = windows
            .position(|window| window == STAMP_EMPTY)
            .expect("a stamped payload has room for its stamp");
        self.stamp = start..start + STAMP_BYTES;
    }
}

fn prose(size: usize) -> Vec<u8> {
    PROSE.iter().copied().cycle().take(size).collect()
}

/// An object of exactly `size` bytes: fields that vary, as many as have room, and a text that fills the rest.
fn json_object(size: usize) -> Result<Vec<u8>> {
    const TAIL_BYTES: usize = br#","note":""}"#.len();
    if size < JSON_BYTES_MIN {
        return Err(Failure::usage(format!(
            "--size {size}: a JSON payload has at least {JSON_BYTES_MIN} bytes"
        )));
    }
    let mut text = String::with_capacity(size);
    text.push_str(r#"{"seq":"000000000000""#);
    let has_room = |text: &String, more: usize| text.len() + more + TAIL_BYTES <= size;
    let fields = [
        r#","type":"chat""#,
        r#","user":"amelia.h""#,
        r#","room":"harbour-7""#,
        r#","sentAt":1763726400123"#,
        r#","tags":["tide","north",null,true]"#,
    ];
    for field in fields {
        if has_room(&text, field.len()) {
            text.push_str(field);
        }
    }
    let mut dice = Dice(6455);
    let mut record = reading(&mut dice);
    if has_room(&text, r#","items":[]"#.len() + record.len()) {
        text.push_str(r#","items":["#);
        loop {
            text.push_str(&record);
            record = reading(&mut dice);
            if !has_room(&text, ",]".len() + record.len()) {
                break;
            }
            text.push(',');
        }
        text.push(']');
    }
    text.push_str(r#","note":""#);
    let mut bytes = text.into_bytes();
    bytes.extend(prose(size - bytes.len() - r#""}"#.len()));
    bytes.extend_from_slice(br#""}"#);
    Ok(bytes)
}

fn reading(dice: &mut Dice) -> String {
    let sensor = ["gauge", "buoy", "wind", "lock"][dice.below(4) as usize];
    format!(
        r#"{{"id":"{:08x}","sensor":"{sensor}-{}","at":{},"level":{}.{:03},"ok":{}}}"#,
        dice.below(1 << 32),
        dice.below(40),
        1_763_726_400_000 + dice.below(86_400_000),
        dice.below(9),
        dice.below(1000),
        dice.below(8) > 0,
    )
}

/// Numbers that vary and are the same in each run (Knuth's MMIX generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(payload: Payload, size: usize, dialect: Dialect) -> Wish {
        Wish {
            payload,
            is_binary: false,
            size,
            dialect,
        }
    }

    #[test]
    fn payloads_have_the_size_that_was_asked_for() {
        for size in [0, 1, 12, 128, 70_000] {
            let content = Content::fixed(wish(Payload::Text, size, Dialect::Plain)).expect("text");
            assert_eq!(content.sent().len(), size);
        }
        for size in (32..400).chain([16_384]) {
            let content = Content::fixed(wish(Payload::Json, size, Dialect::Plain)).expect("JSON");
            assert_eq!(content.sent().len(), size);
            let value: serde_json::Value = serde_json::from_slice(content.sent()).expect("JSON");
            assert!(value["note"].is_string());
        }
        assert!(Content::fixed(wish(Payload::Json, 31, Dialect::Plain)).is_err());
    }

    #[test]
    fn a_stamp_goes_in_and_comes_out() {
        for payload in [Payload::Text, Payload::Json] {
            for dialect in [Dialect::Plain, Dialect::Socketio] {
                let mut content = Content::stamped(wish(payload, 64, dialect)).expect("content");
                content.set_stamp(90_123);
                let digits = &content.sent()[content.sent.stamp.clone()];
                assert_eq!(digits, b"000000090123");
                let mut heard = content.heard().to_vec();
                heard[content.heard.stamp.clone()].copy_from_slice(digits);
                let stamp_of = |kind, heard: &[u8]| content.stamp_of(kind, heard);
                assert_eq!(stamp_of(MessageKind::Text, &heard), Some(90_123));
                assert_eq!(stamp_of(MessageKind::Binary, &heard), None);
                let last = heard.len() - 5;
                heard[last] ^= 1;
                assert_eq!(stamp_of(MessageKind::Text, &heard), None);
                heard.pop();
                assert_eq!(stamp_of(MessageKind::Text, &heard), None);
            }
        }
        assert!(Content::stamped(wish(Payload::Text, 11, Dialect::Plain)).is_err());
    }

    #[test]
    fn an_event_may_end_with_an_offset() {
        for (dialect, more, expected) in [
            (Dialect::Socketio, ",\"1-2~\"]", Some(0)),
            (Dialect::Socketio, ",\"\"]", Some(0)),
            (Dialect::Socketio, ",\"1\",\"2\"]", None),
            (Dialect::Socketio, ",1]", None),
            (Dialect::Socketio, "]]", None),
            (Dialect::Plain, ",\"1-2~\"]", None),
        ] {
            let content = Content::stamped(wish(Payload::Text, 64, dialect)).expect("content");
            let mut heard = content.heard().to_vec();
            assert_eq!(content.stamp_of(MessageKind::Text, &heard), Some(0));
            heard.pop();
            heard.extend_from_slice(more.as_bytes());
            assert_eq!(content.stamp_of(MessageKind::Text, &heard), expected);
        }
    }

    #[test]
    fn socketio_events_are_what_its_servers_read_and_write() {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let content = Content::stamped(wish(Payload::Json, 32, Dialect::Socketio)).expect("event");
        assert_eq!(
            text(content.heard()),
            r#"42["message","{\"seq\":\"000000000000\",\"note\":\"\"}"]"#
        );
        let published: serde_json::Value =
            serde_json::from_slice(&content.sent()[2..]).expect("JSON");
        assert_eq!(
            published,
            json!(["publish", {
                "room": "bench",
                "event": "message",
                "data": r#"{"seq":"000000000000","note":""}"#,
                "echo": true,
            }])
        );
        assert_eq!(
            Dialect::Socketio.entrance(),
            [
                r#"42["register",{"userId":"bench"}]"#,
                r#"42["join",{"room":"bench"}]"#
            ]
        );
        let content = Content::fixed(wish(Payload::Text, 5, Dialect::Socketio)).expect("event");
        assert_eq!(text(content.sent()), r#"42["message","The q"]"#);
        assert_eq!(text(content.heard()), r#"42["message-back","The q"]"#);
        let mut binary = wish(Payload::Text, 32, Dialect::Socketio);
        binary.is_binary = true;
        assert!(Content::fixed(binary).is_err());
    }
}
