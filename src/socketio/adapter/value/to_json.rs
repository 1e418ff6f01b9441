//! From MessagePack to the JSON that `JSON.stringify` makes of what Node's reader makes of it:
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

use serde::Serialize;

use crate::limits::{JSON_DEPTH_MAX, SOCKETIO_ATTACHMENTS_MAX};
use crate::socketio::adapter::AdapterError;
use crate::socketio::adapter::date::put_date;
use crate::socketio::adapter::msgpack::{Reader, Token, text_of};

/// A value on its way to JSON.
pub(super) struct Translation<'a> {
    reader: Reader<'a>,
    text: Vec<u8>,
    attachments: Vec<&'a [u8]>,
}

impl<'a> Translation<'a> {
    /// The JSON of the next value, and its attachments.
    pub(super) fn of_next(
        reader: &mut Reader<'a>,
    ) -> Result<(String, Vec<&'a [u8]>), AdapterError> {
        let mut translation = Self {
            reader: *reader,
            text: Vec::new(),
            attachments: Vec::new(),
        };
        translation.value(0)?;
        *reader = translation.reader;
        let text = String::from_utf8(translation.text).expect("texts were made UTF-8");
        Ok((text, translation.attachments))
    }

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
            let is_text = match key {
                Token::Text(_) => true,
                Token::Nil
                | Token::Bool(_)
                | Token::Unsigned(_)
                | Token::Signed(_)
                | Token::Float(_) => false,
                _ => return Err(AdapterError::Field),
            };
            if self.is_undefined_next() {
                self.reader.skip()?;
                continue;
            }
            self.separate(has_pairs);
            has_pairs = true;
            if is_text {
                self.scalar(key);
            } else {
                self.text.push(b'"');
                self.scalar(key);
                self.text.push(b'"');
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
