//! From JSON to MessagePack, with the attachments in it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::socketio::adapter::msgpack;

/// From JSON that was checked, and therefore is not too deep to recurse, to MessagePack.
pub(super) struct Writer<'w, 'a> {
    text: &'w str,
    at: usize,
    attachments: &'w [&'a [u8]],
    out: &'w mut Vec<u8>,
}

impl<'w, 'a> Writer<'w, 'a> {
    /// `text` was checked, with these attachments or more.
    pub(super) fn new(text: &'w str, attachments: &'w [&'a [u8]], out: &'w mut Vec<u8>) -> Self {
        Self {
            text,
            at: 0,
            attachments,
            out,
        }
    }

    /// Appends the value that begins here.
    pub(super) fn value(&mut self) {
        match self.peek() {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => {
                let text = self.string();
                msgpack::put_text(&text, self.out);
            }
            b't' => self.literal("true", 0xc3),
            b'f' => self.literal("false", 0xc2),
            b'n' => self.literal("null", 0xc0),
            _ => self.number(),
        }
    }

    fn array(&mut self) {
        let start = self.out.len();
        let mut count = 0;
        msgpack::put_uncounted(msgpack::ARRAY, self.out);
        self.at += 1;
        while !self.is_end(b']') {
            self.value();
            count += 1;
        }
        msgpack::set_count(start, count, self.out);
    }

    fn object(&mut self) {
        let start = self.out.len();
        let (mut count, mut is_placeholder, mut number) = (0, false, None);
        msgpack::put_uncounted(msgpack::MAP, self.out);
        self.at += 1;
        while !self.is_end(b'}') {
            self.peek();
            let key = self.string();
            msgpack::put_text(&key, self.out);
            self.peek();
            // The colon.
            self.at += 1;
            self.peek();
            let from = self.at;
            self.value();
            match &*key {
                "_placeholder" => is_placeholder = &self.text[from..self.at] == "true",
                "num" => number = self.text[from..self.at].parse::<usize>().ok(),
                _ => {}
            }
            count += 1;
        }
        let number = number.filter(|_| is_placeholder);
        if let Some(bytes) = number.and_then(|number| self.attachments.get(number)) {
            self.out.truncate(start);
            msgpack::put_bytes(bytes, self.out);
        } else {
            msgpack::set_count(start, count, self.out);
        }
    }

    /// Whether an array or object ends here, and over its comma where not.
    fn is_end(&mut self, end: u8) -> bool {
        let byte = self.peek();
        if byte == end || byte == b',' {
            self.at += 1;
        }
        byte == end
    }

    fn string(&mut self) -> Cow<'w, str> {
        let from = self.at;
        let text = self.text;
        let bytes = text.as_bytes();
        let mut has_escapes = false;
        self.at += 1;
        loop {
            let ahead = memchr::memchr2(b'"', b'\\', &bytes[self.at..]);
            self.at += ahead.expect("a string ends") + 1;
            if bytes[self.at - 1] == b'"' {
                break;
            }
            has_escapes = true;
            // What is escaped, if only the first byte of it.
            self.at += 1;
        }
        let quoted = &text[from..self.at];
        if has_escapes {
            let Unescaped(text) = serde_json::from_str(quoted).expect("a checked string");
            Cow::Owned(text)
        } else {
            Cow::Borrowed(&quoted[1..quoted.len() - 1])
        }
    }

    fn number(&mut self) {
        let rest = &self.text[self.at..];
        let end = rest.find([',', ']', '}', ' ', '\t', '\n', '\r']);
        let digits = &rest[..end.unwrap_or(rest.len())];
        self.at += digits.len();
        if let Ok(number) = digits.parse() {
            msgpack::put_unsigned(number, self.out);
        } else if let Ok(number) = digits.parse() {
            msgpack::put_signed(number, self.out);
        } else {
            // Infinite where it is too large, as JavaScript has it.
            msgpack::put_float(digits.parse().expect("a checked number"), self.out);
        }
    }

    fn literal(&mut self, word: &str, mark: u8) {
        self.at += word.len();
        self.out.push(mark);
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while matches!(bytes[self.at], b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        bytes[self.at]
    }
}

/// A string whose escapes were read; half a surrogate pair is replaced.
struct Unescaped(String);

impl<'de> Deserialize<'de> for Unescaped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(UnescapedVisitor).map(Self)
    }
}

struct UnescapedVisitor;

impl Visitor<'_> for UnescapedVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<String, E> {
        let mut bytes = bytes.to_vec();
        let mut at = 0;
        while let Some(found) = memchr::memchr(0xed, &bytes[at..]) {
            at += found;
            // What would be half of a pair in UTF-8, if it could be there.
            if let Some(half @ [_, 0xa0..=0xbf, _]) = bytes.get_mut(at..at + 3) {
                half.copy_from_slice("\u{fffd}".as_bytes());
            }
            at += 1;
        }
        String::from_utf8(bytes).map_err(E::custom)
    }
}
