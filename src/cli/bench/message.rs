//! What is sent: payloads of a given size, with a sequence number in them where messages must be told apart.

use std::ops::Range;

use clap::ValueEnum;

use super::failure::{Failure, Result};
use crate::websocket::protocol::MessageKind;

/// Digits of a sequence number.
pub(super) const STAMP_BYTES: usize = 12;
/// A stamp before it is set.
const STAMP_EMPTY: &[u8; STAMP_BYTES] = b"000000000000";
/// Bytes of the shortest JSON payload.
const JSON_BYTES_MIN: usize = 32;
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
    /// Socket.IO 5 on Engine.IO 4: a message is the event `message` with one text
    Socketio,
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

/// The content of a WebSocket message.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) kind: MessageKind,
    pub(super) bytes: Vec<u8>,
    /// Where the sequence number stands.
    stamp: Range<usize>,
}

impl Content {
    /// A message that always stays the same.
    pub(super) fn fixed(wish: Wish) -> Result<Self> {
        let bytes = match wish.payload {
            Payload::Text => prose(wish.size),
            Payload::Json => json(wish.size)?,
        };
        Self::travelling(wish, bytes, 0..0)
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
            Payload::Json => json(wish.size)?,
        };
        let mut content = Self::travelling(wish, bytes, 0..0)?;
        let mut windows = content.bytes.windows(STAMP_BYTES);
        let start = windows
            .position(|window| window == STAMP_EMPTY)
            .expect("a stamped payload has room for its stamp");
        content.stamp = start..start + STAMP_BYTES;
        Ok(content)
    }

    fn travelling(wish: Wish, bytes: Vec<u8>, stamp: Range<usize>) -> Result<Self> {
        let kind = if wish.is_binary {
            MessageKind::Binary
        } else {
            MessageKind::Text
        };
        let bytes = match wish.dialect {
            Dialect::Plain => bytes,
            Dialect::Socketio if wish.is_binary => {
                return Err(Failure::usage(
                    "--binary: the event of --dialect socketio has a text",
                ));
            }
            Dialect::Socketio => {
                let text = String::from_utf8(bytes).expect("payloads are ASCII");
                format!("42{}", serde_json::json!(["message", text])).into_bytes()
            }
        };
        Ok(Self { kind, bytes, stamp })
    }

    /// Sets the sequence number.
    pub(super) fn set_stamp(&mut self, number: u64) {
        let mut rest = number;
        for digit in self.bytes[self.stamp.clone()].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }

    /// The sequence number of a message that came back, where everything else in it is as it was sent.
    pub(super) fn stamp_of(&self, kind: MessageKind, bytes: &[u8]) -> Option<u64> {
        let Range { start, end } = self.stamp.clone();
        let is_same = kind == self.kind
            && bytes.len() == self.bytes.len()
            && bytes[..start] == self.bytes[..start]
            && bytes[end..] == self.bytes[end..];
        let digits = bytes.get(start..end).filter(|_| is_same)?;
        digits.iter().try_fold(0, |number, digit| {
            let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
            Some(number * 10 + u64::from(digit))
        })
    }
}

fn prose(size: usize) -> Vec<u8> {
    PROSE.iter().copied().cycle().take(size).collect()
}

/// An object of exactly `size` bytes: fields that vary, as many as have room, and a text that fills the rest.
fn json(size: usize) -> Result<Vec<u8>> {
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
            assert_eq!(content.bytes.len(), size);
        }
        for size in (32..400).chain([16_384]) {
            let content = Content::fixed(wish(Payload::Json, size, Dialect::Plain)).expect("JSON");
            assert_eq!(content.bytes.len(), size);
            let value: serde_json::Value = serde_json::from_slice(&content.bytes).expect("JSON");
            assert!(value["note"].is_string());
        }
        assert!(Content::fixed(wish(Payload::Json, 31, Dialect::Plain)).is_err());
    }

    #[test]
    fn a_stamp_goes_in_and_comes_out() {
        for payload in [Payload::Text, Payload::Json] {
            for dialect in [Dialect::Plain, Dialect::Socketio] {
                let mut content = Content::stamped(wish(payload, 64, dialect)).expect("content");
                let before = content.clone();
                content.set_stamp(90_123);
                assert_eq!(
                    before.stamp_of(MessageKind::Text, &content.bytes),
                    Some(90_123)
                );
                assert_eq!(before.stamp_of(MessageKind::Binary, &content.bytes), None);
                let last = content.bytes.len() - 5;
                content.bytes[last] ^= 1;
                assert_eq!(before.stamp_of(MessageKind::Text, &content.bytes), None);
                content.bytes.pop();
                assert_eq!(before.stamp_of(MessageKind::Text, &content.bytes), None);
            }
        }
        assert!(Content::stamped(wish(Payload::Text, 11, Dialect::Plain)).is_err());
    }

    #[test]
    fn a_socketio_event_is_what_its_servers_write() {
        let content = Content::stamped(wish(Payload::Json, 32, Dialect::Socketio)).expect("event");
        assert_eq!(
            String::from_utf8(content.bytes).expect("text"),
            r#"42["message","{\"seq\":\"000000000000\",\"note\":\"\"}"]"#
        );
        let mut binary = wish(Payload::Text, 32, Dialect::Socketio);
        binary.is_binary = true;
        assert!(Content::fixed(binary).is_err());
    }
}
