//! Data of events and answers: JSON with attachments here, MessagePack with binary values in it between nodes.
//!
//! What MessagePack says becomes the JSON that `JSON.stringify` makes of what Node's reader makes of it:
//!
//! | MessagePack | JSON |
//! |---|---|
//! | binary; extension 0 with a length of its own (old writers: an `ArrayBuffer`) | an attachment |
//! | extension -1, fixed extension 0 of 8 bytes (old writers): a time | text: `"2026-11-21T22:50:00.000Z"`; `null` where JavaScript has no such time |
//! | fixed extension 0 of 1 byte (old writers): `undefined` | `null` in an array; in a map the pair is left out |
//! | another extension | `[TYPE, ATTACHMENT]` |
//! | a float that is infinite or no number | `null` |
//! | a key that is no text | its text |
//!
//! Whole numbers keep all of their digits.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::AdapterError;
use super::date::put_date;
use super::msgpack::{self, Reader, Token, text_of};
use crate::limits::{JSON_DEPTH_MAX, SOCKETIO_ATTACHMENTS_MAX};
use crate::socketio::json::{self, Shape};
use crate::socketio::packet::{self, Event};

/// Any value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value<'a> {
    /// Checked: JSON, each placeholder refers to an attachment, and no two to the same.
    text: Cow<'a, str>,
    attachments: Vec<&'a [u8]>,
}

impl<'a> Value<'a> {
    /// JSON, with the attachments that the placeholders in it refer to. Without any, placeholders are data.
    ///
    /// # Errors
    /// Where it is no JSON, or the attachments do not fit.
    pub fn new(text: &'a str, attachments: Vec<&'a [u8]>) -> Result<Self, AdapterError> {
        json::check(text, count(&attachments)?)?;
        Ok(Self {
            text: text.into(),
            attachments,
        })
    }

    /// The first of the arguments of an answer, `null` where there is none: nodes tell each other no more of it. `args` is as in
    /// [`packet::Ack`], `attachments` are all of the answer.
    ///
    /// # Errors
    /// As [`Value::new`].
    pub fn first_of(args: &str, attachments: Vec<&'a [u8]>) -> Result<Self, AdapterError> {
        let all = format!("[{args}]");
        let Shape::Array(elements) = json::check(&all, count(&attachments)?)? else {
            return Err(AdapterError::Field);
        };
        let text = match &all[elements.first] {
            "" => "null".into(),
            first => first.to_owned().into(),
        };
        Ok(Self { text, attachments })
    }

    /// The next value.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, AdapterError> {
        let mut translation = Translation {
            reader: *reader,
            text: Vec::new(),
            attachments: Vec::new(),
        };
        translation.value(0)?;
        *reader = translation.reader;
        let text = String::from_utf8(translation.text).expect("texts were made UTF-8");
        let attachments = translation.attachments;
        if !attachments.is_empty() {
            // A map may look like a placeholder.
            json::check(&text, count(&attachments)?)?;
        }
        Ok(Self {
            text: text.into(),
            attachments,
        })
    }

    /// Appends it as MessagePack.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut writer = Writer {
            text: &self.text,
            at: 0,
            attachments: &self.attachments,
            out,
        };
        writer.value();
    }

    /// The JSON. It has a placeholder for each attachment, or has no attachment.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The attachments, by the numbers of the placeholders.
    pub fn attachments(&self) -> &[&'a [u8]] {
        &self.attachments
    }
}

/// Name and arguments of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventData<'a>(Value<'a>);

impl<'a> EventData<'a> {
    /// A JSON array that begins with a name that an event may have, as in [`Event::data`], and the attachments to it.
    ///
    /// # Errors
    /// As [`Value::new`], and where it is no such array.
    pub fn new(text: &'a str, attachments: Vec<&'a [u8]>) -> Result<Self, AdapterError> {
        let count = count(&attachments)?;
        packet::event(None, text, count)?;
        Ok(Self(Value {
            text: text.into(),
            attachments,
        }))
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, AdapterError> {
        let value = Value::read(reader)?;
        packet::event(None, &value.text, count(&value.attachments)?)?;
        Ok(Self(value))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    /// The event, as clients are sent it.
    pub fn event(&self) -> Event<'_> {
        let count = count(&self.0.attachments);
        let event = count.and_then(|count| Ok(packet::event(None, &self.0.text, count)?));
        event.expect("was one when this was made")
    }

    /// Its attachments, by the numbers of the placeholders.
    pub fn attachments(&self) -> &[&'a [u8]] {
        &self.0.attachments
    }
}

/// JSON without attachments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    /// `text`, if it is JSON.
    ///
    /// # Errors
    /// Where it is none, or nested too deep.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Result<Self, AdapterError> {
        let text = text.into();
        json::check(&text, None)?;
        Ok(Self(text))
    }

    /// What was read as part of a document that was checked.
    pub(super) fn part(raw: &'a RawValue) -> Self {
        Self(raw.get().into())
    }

    pub(super) fn constant(text: &'static str) -> Self {
        Self(text.into())
    }

    /// To be written as it is.
    pub(super) fn raw(&self) -> &RawValue {
        serde_json::from_str(&self.0).expect("JSON that was checked")
    }

    /// The JSON.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Name and arguments of an event for the programs that nodes are, a JSON array. It may have any name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEvent<'a>(Json<'a>);

impl<'a> ServerEvent<'a> {
    /// A JSON array that begins with a text.
    ///
    /// # Errors
    /// Where it is none.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Result<Self, AdapterError> {
        let text = text.into();
        match json::check(&text, None)? {
            Shape::Array(elements) if text[elements.first.clone()].starts_with('"') => {
                Ok(Self(Json(text)))
            }
            _ => Err(AdapterError::Field),
        }
    }

    /// The array.
    pub fn data(&self) -> &Json<'a> {
        &self.0
    }
}

/// How many attachments a packet with these has; `None` where it is of the kind that has none.
fn count(attachments: &[&[u8]]) -> Result<Option<u8>, AdapterError> {
    match attachments.len() {
        0 => Ok(None),
        count if count <= usize::from(SOCKETIO_ATTACHMENTS_MAX) => Ok(Some(count as u8)),
        _ => Err(AdapterError::TooManyAttachments),
    }
}

/// From MessagePack to JSON.
struct Translation<'a> {
    reader: Reader<'a>,
    text: Vec<u8>,
    attachments: Vec<&'a [u8]>,
}

impl<'a> Translation<'a> {
    /// The next value, inside of `depth` others: the recursion ends with what JSON may have.
    fn value(&mut self, depth: u32) -> Result<(), AdapterError> {
        match self.reader.next()? {
            Token::Array(count) => self.array(count, deeper(depth)?),
            Token::Map(count) => self.map(count, deeper(depth)?),
            Token::Bytes(bytes) => self.attach(bytes),
            Token::Extension(kind, bytes) => self.extension(kind, bytes, depth),
            scalar => {
                self.scalar(scalar);
                Ok(())
            }
        }
    }

    fn array(&mut self, count: u32, depth: u32) -> Result<(), AdapterError> {
        self.text.push(b'[');
        for index in 0..count {
            self.separate(index > 0);
            self.value(depth)?;
        }
        self.text.push(b']');
        Ok(())
    }

    fn map(&mut self, count: u32, depth: u32) -> Result<(), AdapterError> {
        self.text.push(b'{');
        let mut has_pairs = false;
        for _ in 0..count {
            let key = self.reader.next()?;
            if self.is_undefined_next() {
                self.reader.skip()?;
                continue;
            }
            self.separate(has_pairs);
            has_pairs = true;
            match key {
                Token::Text(_) => self.scalar(key),
                Token::Nil
                | Token::Bool(_)
                | Token::Unsigned(_)
                | Token::Signed(_)
                | Token::Float(_) => {
                    self.text.push(b'"');
                    self.scalar(key);
                    self.text.push(b'"');
                }
                _ => return Err(AdapterError::Field),
            }
            self.text.push(b':');
            self.value(depth)?;
        }
        self.text.push(b'}');
        Ok(())
    }

    fn is_undefined_next(&self) -> bool {
        let mut ahead = self.reader;
        matches!(ahead.next(), Ok(Token::Extension(0, [_])))
    }

    fn extension(&mut self, kind: i8, bytes: &'a [u8], depth: u32) -> Result<(), AdapterError> {
        match (kind, bytes.len()) {
            (0, 1) => self.scalar(Token::Nil),
            (0, 8) | (-1, 4 | 8 | 12) => put_date(kind, bytes, &mut self.text),
            _ => {
                deeper(depth)?;
                self.text.push(b'[');
                self.scalar(Token::Signed(kind.into()));
                self.text.push(b',');
                self.attach(bytes)?;
                self.text.push(b']');
            }
        }
        Ok(())
    }

    fn attach(&mut self, bytes: &'a [u8]) -> Result<(), AdapterError> {
        if self.attachments.len() == usize::from(SOCKETIO_ATTACHMENTS_MAX) {
            return Err(AdapterError::TooManyAttachments);
        }
        self.text
            .extend_from_slice(b"{\"_placeholder\":true,\"num\":");
        self.number(self.attachments.len() as u64);
        self.text.push(b'}');
        self.attachments.push(bytes);
        Ok(())
    }

    /// What holds nothing.
    fn scalar(&mut self, token: Token<'_>) {
        match token {
            Token::Bool(true) => self.text.extend_from_slice(b"true"),
            Token::Bool(false) => self.text.extend_from_slice(b"false"),
            Token::Unsigned(number) => self.number(number),
            Token::Signed(number) => self.number(number),
            // `null` where it is infinite or no number.
            Token::Float(number) => put_json(&number, &mut self.text),
            Token::Text(text) => put_json(&*text_of(text), &mut self.text),
            _ => self.text.extend_from_slice(b"null"),
        }
    }

    fn number(&mut self, number: impl itoa::Integer) {
        let mut digits = itoa::Buffer::new();
        self.text
            .extend_from_slice(digits.format(number).as_bytes());
    }

    fn separate(&mut self, is_needed: bool) {
        if is_needed {
            self.text.push(b',');
        }
    }
}

fn put_json(value: &(impl Serialize + ?Sized), text: &mut Vec<u8>) {
    serde_json::to_writer(text, value).expect("a text or a number, into memory");
}

fn deeper(depth: u32) -> Result<u32, AdapterError> {
    if depth == JSON_DEPTH_MAX {
        return Err(AdapterError::TooDeep);
    }
    Ok(depth + 1)
}

/// From JSON that was checked, and therefore is not too deep to recurse, to MessagePack.
struct Writer<'w, 'a> {
    text: &'w str,
    at: usize,
    attachments: &'w [&'a [u8]],
    out: &'w mut Vec<u8>,
}

impl<'w> Writer<'w, '_> {
    fn value(&mut self) {
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

#[cfg(test)]
mod tests;
