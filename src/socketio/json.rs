//! Checks JSON (RFC 8259) where it lies, without building anything from it: grammar, depth, the elements of the outermost array,
//! and the placeholders of binary attachments.
//!
//! What passes is handed on unchanged, so other readers must be able to rely on the check: a document passes exactly where
//! `serde_json` takes it as well, except that it may not be nested deeper than [`JSON_DEPTH_MAX`]. Nothing recurses and
//! nothing allocates, except where a key of an object is written with escapes.

use crate::limits::{JSON_DEPTH_MAX, SOCKETIO_ATTACHMENTS_MAX};
use std::ops::Range;

/// Why a document does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// It breaks the grammar.
    Malformed,
    /// Nested deeper than [`JSON_DEPTH_MAX`].
    TooDeep,
    /// A placeholder that is not exactly `{"_placeholder":true,"num":N}`, or the announced attachments are not each used
    /// once.
    Placeholder,
}

/// What a document is, outermost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// An object.
    Object,
    /// An array.
    Array(Elements),
    /// A string.
    String,
    /// A number, `true`, `false` or `null`.
    Other,
}

/// Where the elements of an array lie in the text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elements {
    /// The first one; empty where the array is.
    pub first: Range<usize>,
    /// From behind the comma that follows the first to the closing bracket; empty where there is only one.
    pub rest: Range<usize>,
    /// From behind the opening bracket to the closing one.
    pub all: Range<usize>,
}

/// The two keys of a placeholder.
const PLACEHOLDER: &[u8] = b"_placeholder";
const NUM: &[u8] = b"num";

// The levels are the bits of a word, the attachments those of another.
const _: () = assert!(JSON_DEPTH_MAX <= 128 && SOCKETIO_ATTACHMENTS_MAX < 16);

/// Checks `text`. With `attachments` the placeholders in it have to refer to so many, to each once; without it, they are
/// data like any other. More than [`SOCKETIO_ATTACHMENTS_MAX`] never have theirs.
///
/// # Errors
/// The first rule that it breaks.
pub fn check(text: &str, attachments: Option<u8>) -> Result<Shape, JsonError> {
    if attachments.is_some_and(|count| count > SOCKETIO_ATTACHMENTS_MAX) {
        return Err(JsonError::Placeholder);
    }
    let mut scanner = Scanner {
        bytes: text.as_bytes(),
        text,
        at: 0,
        depth: 0,
        objects: 0,
        key: Key::Other,
        member: Members::default(),
        attachments,
        used: 0,
        elements: Elements::default(),
    };
    scanner.document()
}

/// What the key of a member means to placeholders.
#[derive(Debug, Clone, Copy)]
enum Key {
    Placeholder,
    Num,
    Other,
}

/// What a value is, as far as placeholders ask.
#[derive(Debug, Clone, Copy)]
enum Scalar {
    True,
    /// A whole number that fits.
    Small(u8),
    Other,
}

/// The members so far of the innermost object that is open.
#[derive(Debug, Clone, Copy, Default)]
struct Members {
    is_placeholder: bool,
    num: Option<u8>,
    has_others: bool,
}

impl Members {
    fn note(&mut self, key: Key, value: Scalar) {
        match (key, value) {
            (Key::Placeholder, Scalar::True) if !self.is_placeholder => self.is_placeholder = true,
            (Key::Num, Scalar::Small(num)) if self.num.is_none() => self.num = Some(num),
            _ => self.has_others = true,
        }
    }
}

struct Scanner<'t> {
    bytes: &'t [u8],
    text: &'t str,
    at: usize,
    /// Arrays and objects that are open.
    depth: u32,
    /// One bit for each of them, the innermost lowest: whether it is an object.
    objects: u128,
    /// Of the member that is being read.
    key: Key,
    member: Members,
    attachments: Option<u8>,
    /// One bit for each attachment that a placeholder has named.
    used: u16,
    elements: Elements,
}

impl Scanner<'_> {
    fn document(&mut self) -> Result<Shape, JsonError> {
        self.skip_space();
        let first = self.peek();
        loop {
            self.skip_space();
            if self.depth == 1 && !self.in_object() && self.elements.first.end == 0 {
                self.elements.first.start = self.at;
            }
            if self.value()? && self.end_values()? {
                break;
            }
        }
        self.skip_space();
        if self.at != self.bytes.len() {
            return Err(JsonError::Malformed);
        }
        if let Some(count) = self.attachments
            && self.used != (1 << count) - 1
        {
            return Err(JsonError::Placeholder);
        }
        Ok(match first {
            Some(b'{') => Shape::Object,
            Some(b'[') => Shape::Array(std::mem::take(&mut self.elements)),
            Some(b'"') => Shape::String,
            _ => Shape::Other,
        })
    }

    /// Reads a value, or the beginning of one that holds others; whether it is complete.
    fn value(&mut self) -> Result<bool, JsonError> {
        let scalar = match self.peek().ok_or(JsonError::Malformed)? {
            b'{' => return self.open(true),
            b'[' => return self.open(false),
            b'"' => {
                self.string()?;
                Scalar::Other
            }
            b't' => self.literal(b"true", Scalar::True)?,
            b'f' => self.literal(b"false", Scalar::Other)?,
            b'n' => self.literal(b"null", Scalar::Other)?,
            _ => self.number()?,
        };
        if self.attachments.is_some() && self.in_object() {
            self.member.note(self.key, scalar);
        }
        Ok(true)
    }

    /// An array or an object begins; whether it is empty, and thereby complete.
    fn open(&mut self, is_object: bool) -> Result<bool, JsonError> {
        if self.depth == JSON_DEPTH_MAX {
            return Err(JsonError::TooDeep);
        }
        if self.member.is_placeholder {
            return Err(JsonError::Placeholder);
        }
        self.at += 1;
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(is_object);
        self.member = Members::default();
        if self.depth == 1 {
            self.elements.all = self.at..self.at;
        }
        self.skip_space();
        let end = if is_object { b'}' } else { b']' };
        if self.peek() == Some(end) {
            self.close();
            return Ok(true);
        }
        if is_object {
            self.read_key()?;
        }
        Ok(false)
    }

    /// The innermost array or object ends at this byte.
    fn close(&mut self) {
        if self.depth == 1 {
            self.elements.all.end = self.at;
            if self.elements.rest.start != 0 {
                self.elements.rest.end = self.at;
            }
        }
        self.at += 1;
        self.depth -= 1;
        self.objects >>= 1;
        // What holds others is no placeholder.
        self.member = Members {
            has_others: true,
            ..Members::default()
        };
    }

    /// A value is complete, and with it perhaps what holds it; whether that was the document.
    fn end_values(&mut self) -> Result<bool, JsonError> {
        loop {
            if self.depth == 0 {
                return Ok(true);
            }
            if self.depth == 1 && !self.in_object() && self.elements.first.end == 0 {
                self.elements.first.end = self.at;
            }
            self.skip_space();
            match (self.peek(), self.in_object()) {
                (Some(b','), is_object) => {
                    self.at += 1;
                    if is_object {
                        self.skip_space();
                        self.read_key()?;
                    } else if self.depth == 1 && self.elements.rest.start == 0 {
                        self.elements.rest = self.at..self.at;
                    }
                    return Ok(false);
                }
                (Some(b'}'), true) => {
                    self.end_placeholder()?;
                    self.close();
                }
                (Some(b']'), false) => self.close(),
                _ => return Err(JsonError::Malformed),
            }
        }
    }

    /// The innermost object is complete: if it is a placeholder, then a right one.
    fn end_placeholder(&mut self) -> Result<(), JsonError> {
        let Some(count) = self.attachments.filter(|_| self.member.is_placeholder) else {
            return Ok(());
        };
        match self.member {
            Members {
                num: Some(num),
                has_others: false,
                ..
            } if num < count && self.used & 1 << num == 0 => {
                self.used |= 1 << num;
                Ok(())
            }
            _ => Err(JsonError::Placeholder),
        }
    }

    /// Reads the key of a member and the colon behind it.
    fn read_key(&mut self) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return Err(JsonError::Malformed);
        }
        let start = self.at;
        let has_escapes = self.string()?;
        if self.attachments.is_some() {
            self.key = if has_escapes {
                let key: Option<String> = serde_json::from_str(&self.text[start..self.at]).ok();
                key_of(key.unwrap_or_default().as_bytes())
            } else {
                key_of(&self.bytes[start + 1..self.at - 1])
            };
        }
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(JsonError::Malformed);
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a string, which begins here; whether there are escapes in it.
    fn string(&mut self) -> Result<bool, JsonError> {
        let mut has_escapes = false;
        self.at += 1;
        loop {
            let rest = &self.bytes[self.at..];
            let plain = memchr::memchr2(b'"', b'\\', rest).ok_or(JsonError::Malformed)?;
            // No early exit: the loop becomes a few vector instructions.
            let has_controls = rest[..plain]
                .iter()
                .fold(false, |has, &byte| has | (byte < b' '));
            if has_controls {
                return Err(JsonError::Malformed);
            }
            self.at += plain + 1;
            if rest[plain] == b'"' {
                return Ok(has_escapes);
            }
            has_escapes = true;
            self.escape()?;
        }
    }

    /// Reads what follows a backslash. A lone surrogate is grammatical.
    fn escape(&mut self) -> Result<(), JsonError> {
        let digits = match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            _ => return Err(JsonError::Malformed),
        };
        let end = self.at + 1 + digits;
        let hex = self.bytes.get(self.at + 1..end);
        if !hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
            return Err(JsonError::Malformed);
        }
        self.at = end;
        Ok(())
    }

    fn literal(&mut self, word: &[u8], scalar: Scalar) -> Result<Scalar, JsonError> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(JsonError::Malformed);
        }
        self.at += word.len();
        Ok(scalar)
    }

    fn number(&mut self) -> Result<Scalar, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let integer = &self.bytes[start..self.at];
        let mut is_whole = true;
        if self.peek() == Some(b'.') {
            is_whole = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            is_whole = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(match *integer {
            [digit] if is_whole => Scalar::Small(digit - b'0'),
            [ten, one] if is_whole && ten != b'-' => Scalar::Small((ten - b'0') * 10 + one - b'0'),
            _ => Scalar::Other,
        })
    }

    /// Reads at least one digit.
    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Err(JsonError::Malformed);
        }
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn in_object(&self) -> bool {
        self.objects & 1 != 0
    }
}

fn key_of(key: &[u8]) -> Key {
    match key {
        PLACEHOLDER => Key::Placeholder,
        NUM => Key::Num,
        _ => Key::Other,
    }
}

#[cfg(test)]
mod tests;
