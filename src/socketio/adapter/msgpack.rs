//! MessagePack, as far as nodes speak it: values one after the other, read where they lie, and written.
//!
//! What a map or an array announces allocates nothing: it has to be there. There is no tree of values, and nothing recurses.
//! (`rmp` would do as much through `io::Read`, without borrowing a text, and looks for a maintainer.)

use std::borrow::Cow;

use super::AdapterError;
use crate::limits::ADAPTER_NAME_BYTES_MAX;

/// A value, or the beginning of one that holds others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// Should be UTF-8.
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    /// A value of a type that MessagePack itself does not know, and which.
    Extension(i8, &'a [u8]),
    /// So many values follow.
    Array(u32),
    /// So many pairs of values follow.
    Map(u32),
}

/// What is still to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next value.
    pub(super) fn next(&mut self) -> Result<Token<'a>, AdapterError> {
        let [mark] = self.number()?;
        Ok(match mark {
            0x00..=0x7f => Token::Unsigned(mark.into()),
            0x80..=0x8f => self.map(u32::from(mark & 0x0f))?,
            0x90..=0x9f => self.array(u32::from(mark & 0x0f))?,
            0xa0..=0xbf => Token::Text(self.take(u32::from(mark & 0x1f))?),
            0xc0 => Token::Nil,
            0xc1 => return Err(AdapterError::Malformed),
            0xc2 | 0xc3 => Token::Bool(mark == 0xc3),
            0xc4..=0xc6 => {
                let length = self.length(mark - 0xc4)?;
                Token::Bytes(self.take(length)?)
            }
            0xc7..=0xc9 => {
                let length = self.length(mark - 0xc7)?;
                match self.extension(length)? {
                    // Old writers: an `ArrayBuffer`.
                    Token::Extension(0, bytes) => Token::Bytes(bytes),
                    other => other,
                }
            }
            0xca => Token::Float(f32::from_be_bytes(self.number()?).into()),
            0xcb => Token::Float(f64::from_be_bytes(self.number()?)),
            0xcc..=0xce => Token::Unsigned(self.length(mark - 0xcc)?.into()),
            0xcf => Token::Unsigned(u64::from_be_bytes(self.number()?)),
            0xd0 => Token::Signed(i8::from_be_bytes(self.number()?).into()),
            0xd1 => Token::Signed(i16::from_be_bytes(self.number()?).into()),
            0xd2 => Token::Signed(i32::from_be_bytes(self.number()?).into()),
            0xd3 => Token::Signed(i64::from_be_bytes(self.number()?)),
            0xd4..=0xd8 => self.extension(1 << (mark - 0xd4))?,
            0xd9..=0xdb => {
                let length = self.length(mark - 0xd9)?;
                Token::Text(self.take(length)?)
            }
            0xdc | 0xdd => {
                let count = self.length(mark - 0xdc + 1)?;
                self.array(count)?
            }
            0xde | 0xdf => {
                let count = self.length(mark - 0xde + 1)?;
                self.map(count)?
            }
            0xe0..=0xff => Token::Signed(mark.cast_signed().into()),
        })
    }

    /// Passes over a value with all that it holds.
    pub(super) fn skip(&mut self) -> Result<(), AdapterError> {
        let mut values = 1_u64;
        while values > 0 {
            values -= 1;
            values += match self.next()? {
                Token::Array(count) => u64::from(count),
                Token::Map(count) => 2 * u64::from(count),
                _ => 0,
            };
        }
        Ok(())
    }

    /// Nothing may follow.
    pub(super) fn end(self) -> Result<(), AdapterError> {
        match self.rest {
            [] => Ok(()),
            _ => Err(AdapterError::Malformed),
        }
    }

    /// An array that has at least so many values; gives how many are behind those.
    pub(super) fn array_of(&mut self, least: u32) -> Result<u32, AdapterError> {
        match self.next()? {
            Token::Array(count) => count.checked_sub(least).ok_or(AdapterError::Field),
            _ => Err(AdapterError::Field),
        }
    }

    /// A map; gives how many pairs follow.
    pub(super) fn map_of_any(&mut self) -> Result<u32, AdapterError> {
        match self.next()? {
            Token::Map(count) => Ok(count),
            _ => Err(AdapterError::Field),
        }
    }

    /// A key, as far as it is one of those that are asked for.
    pub(super) fn key(&mut self) -> Result<&'a [u8], AdapterError> {
        match self.next()? {
            Token::Text(key) => Ok(key),
            _ => Err(AdapterError::Field),
        }
    }

    /// The name of a room: a text, or a whole number, which then is its digits.
    pub(super) fn name(&mut self) -> Result<Cow<'a, str>, AdapterError> {
        let mut ahead = *self;
        let name = match ahead.next()? {
            Token::Unsigned(number) => number.to_string().into(),
            Token::Signed(number) => number.to_string().into(),
            _ => return self.text_name(),
        };
        *self = ahead;
        Ok(name)
    }

    /// A name that is a text.
    pub(super) fn text_name(&mut self) -> Result<Cow<'a, str>, AdapterError> {
        match self.next()? {
            Token::Text(text) if text.len() > ADAPTER_NAME_BYTES_MAX => Err(AdapterError::Name),
            Token::Text(text) => Ok(text_of(text)),
            _ => Err(AdapterError::Field),
        }
    }

    /// A number of one, two or four bytes, by the logarithm of how many.
    fn length(&mut self, logarithm: u8) -> Result<u32, AdapterError> {
        Ok(match logarithm {
            0 => u8::from_be_bytes(self.number()?).into(),
            1 => u16::from_be_bytes(self.number()?).into(),
            _ => u32::from_be_bytes(self.number()?),
        })
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], AdapterError> {
        let (number, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(AdapterError::Malformed)?;
        self.rest = rest;
        Ok(*number)
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], AdapterError> {
        let taken = self.rest.split_at_checked(length as usize);
        let (taken, rest) = taken.ok_or(AdapterError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn extension(&mut self, length: u32) -> Result<Token<'a>, AdapterError> {
        let kind = i8::from_be_bytes(self.number()?);
        Ok(Token::Extension(kind, self.take(length)?))
    }

    fn array(&self, count: u32) -> Result<Token<'a>, AdapterError> {
        self.holds(count.into())?;
        Ok(Token::Array(count))
    }

    fn map(&self, count: u32) -> Result<Token<'a>, AdapterError> {
        self.holds(2 * u64::from(count))?;
        Ok(Token::Map(count))
    }

    /// So many values can follow: each has a byte at least.
    fn holds(&self, values: u64) -> Result<(), AdapterError> {
        if values > self.rest.len() as u64 {
            return Err(AdapterError::Malformed);
        }
        Ok(())
    }
}

/// A text as JavaScript reads it: what is no UTF-8 (which Node writes where a text has half a surrogate pair) is replaced.
pub(super) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

pub(super) fn put_bool(value: bool, out: &mut Vec<u8>) {
    out.push(0xc2 + u8::from(value));
}

pub(super) fn put_unsigned(number: u64, out: &mut Vec<u8>) {
    match number {
        0..0x80 => out.push(number as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, number as u8]),
        0x100..=0xffff => put_marked(0xcd, &(number as u16).to_be_bytes(), out),
        0x1_0000..=0xffff_ffff => put_marked(0xce, &(number as u32).to_be_bytes(), out),
        _ => put_marked(0xcf, &number.to_be_bytes(), out),
    }
}

pub(super) fn put_signed(number: i64, out: &mut Vec<u8>) {
    if let Ok(number) = u64::try_from(number) {
        put_unsigned(number, out);
    } else if number >= -0x20 {
        out.push(number as u8);
    } else if let Ok(number) = i8::try_from(number) {
        put_marked(0xd0, &number.to_be_bytes(), out);
    } else if let Ok(number) = i16::try_from(number) {
        put_marked(0xd1, &number.to_be_bytes(), out);
    } else if let Ok(number) = i32::try_from(number) {
        put_marked(0xd2, &number.to_be_bytes(), out);
    } else {
        put_marked(0xd3, &number.to_be_bytes(), out);
    }
}

pub(super) fn put_float(number: f64, out: &mut Vec<u8>) {
    put_marked(0xcb, &number.to_be_bytes(), out);
}

pub(super) fn put_text(text: &str, out: &mut Vec<u8>) {
    match text.len() {
        length @ 0..0x20 => out.push(0xa0 | length as u8),
        length => put_length([0xd9, 0xda, 0xdb], length, out),
    }
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_length([0xc4, 0xc5, 0xc6], bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// So many values have to follow.
pub(super) fn put_array(count: usize, out: &mut Vec<u8>) {
    match count {
        0..0x10 => out.push(0x90 | count as u8),
        0x10..=0xffff => put_marked(0xdc, &(count as u16).to_be_bytes(), out),
        _ => put_marked(0xdd, &(count as u32).to_be_bytes(), out),
    }
}

/// So many pairs have to follow; no message of nodes has more than a few.
pub(super) fn put_small_map(count: u8, out: &mut Vec<u8>) {
    debug_assert!(count < 0x10);
    out.push(0x80 | count);
}

/// Marks of an array and of a map whose number of values is not known yet: [`set_count`] tells it.
pub(super) const ARRAY: u8 = 0xdd;
pub(super) const MAP: u8 = 0xdf;

/// Begins such an array or map.
pub(super) fn put_uncounted(mark: u8, out: &mut Vec<u8>) {
    put_marked(mark, &[0; 4], out);
}

/// Tells how many values an array, or pairs a map has that begins at `start`.
pub(super) fn set_count(start: usize, count: u32, out: &mut [u8]) {
    out[start + 1..start + 5].copy_from_slice(&count.to_be_bytes());
}

fn put_length(marks: [u8; 3], length: usize, out: &mut Vec<u8>) {
    match length {
        0..=0xff => out.extend_from_slice(&[marks[0], length as u8]),
        0x100..=0xffff => put_marked(marks[1], &(length as u16).to_be_bytes(), out),
        // What is said to nodes is far from 4 GiB.
        _ => put_marked(marks[2], &(length as u32).to_be_bytes(), out),
    }
}

fn put_marked(mark: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(mark);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests;
