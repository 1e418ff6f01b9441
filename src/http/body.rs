//! Message body framing: Content-Length and chunked (RFC 9112 sections 6 and 7).

use crate::limits::{CHUNK_EXTENSION_BYTES_MAX, TRAILER_BYTES_MAX};

use super::error::HttpError;
use super::grammar;

/// How a request's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    /// No body.
    None,
    /// This many bytes.
    Length(u64),
    /// The chunked coding.
    Chunked,
}

/// Takes a body out of a byte stream, piece by piece. What it gives depends on the bytes alone, never on how they were
/// cut; bytes after the body are left alone.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// Content bytes that may still be announced.
    allowance: u64,
    /// Of the chunk whose size line is being read.
    chunk_size: u64,
    extension_bytes: usize,
    trailer_bytes: usize,
}

/// What the next byte belongs to (RFC 9112 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A body of known length; bytes to come.
    Length(u64),
    /// `chunk-size`, after this many digits.
    Size(u8),
    /// White space between the size and a `;`, which must follow.
    SizeEnd,
    Extension,
    SizeLineFeed,
    /// Bytes of the chunk to come.
    Data(u64),
    DataCarriageReturn,
    DataLineFeed,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
    Done,
    Failed(HttpError),
}

/// Digits of a chunk size: as many as a `u64` has, leading zeros included.
const CHUNK_SIZE_DIGITS_MAX: u8 = 16;

impl BodyDecoder {
    /// A decoder that refuses a body of more than `bytes_max`.
    ///
    /// # Errors
    /// 413 at once where the announced length is over the limit.
    pub fn new(framing: BodyFraming, bytes_max: u64) -> Result<Self, HttpError> {
        let state = match framing {
            BodyFraming::None | BodyFraming::Length(0) => State::Done,
            BodyFraming::Length(length) if length > bytes_max => {
                return Err(HttpError::BodyTooLarge);
            }
            BodyFraming::Length(length) => State::Length(length),
            BodyFraming::Chunked => State::Size(0),
        };
        Ok(Self {
            state,
            allowance: bytes_max,
            chunk_size: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
        })
    }

    /// Whether the whole body was consumed; true at once where there is none.
    pub fn is_complete(&self) -> bool {
        self.state == State::Done
    }

    /// Consumes from the front of `input`, appends content to `content`; gives how many bytes it used and
    /// whether the body is complete. It uses all of `input` unless the body ends in it.
    ///
    /// # Errors
    /// 400 for a broken chunk, 413 over the limit (as soon as a chunk announces it), 431 for trailers without end. The
    /// same again for every later call.
    pub fn receive(
        &mut self,
        input: &[u8],
        content: &mut Vec<u8>,
    ) -> Result<(usize, bool), HttpError> {
        let mut used = 0;
        while used < input.len() {
            let rest = &input[used..];
            match self.state {
                State::Done | State::Failed(_) => break,
                State::Length(left) => {
                    let taken = take(left, rest, content);
                    used += taken;
                    self.state = match left - taken as u64 {
                        0 => State::Done,
                        left => State::Length(left),
                    };
                }
                State::Data(left) => {
                    let taken = take(left, rest, content);
                    used += taken;
                    self.state = match left - taken as u64 {
                        0 => State::DataCarriageReturn,
                        left => State::Data(left),
                    };
                }
                _ => {
                    used += 1;
                    self.state = self.step(rest[0]).unwrap_or_else(State::Failed);
                }
            }
        }
        match self.state {
            State::Failed(error) => Err(error),
            state => Ok((used, state == State::Done)),
        }
    }

    /// What follows the current state upon one byte of the framing around the content.
    fn step(&mut self, byte: u8) -> Result<State, HttpError> {
        match (self.state, byte) {
            (State::Size(digits), _) if byte.is_ascii_hexdigit() => self.step_size(digits, byte),
            (State::Size(1..), b'\r') => Ok(State::SizeLineFeed),
            (State::Size(1..) | State::SizeEnd, b';') => Ok(State::Extension),
            (State::Size(1..) | State::SizeEnd, b' ' | b'\t') => {
                count(
                    &mut self.extension_bytes,
                    CHUNK_EXTENSION_BYTES_MAX,
                    HttpError::Chunk,
                )?;
                Ok(State::SizeEnd)
            }
            (State::Extension, b'\r') => Ok(State::SizeLineFeed),
            // Nothing is done with extensions, so their grammar matters only where it delimits.
            (State::Extension, _) if grammar::is_field_content(&[byte]) => {
                count(
                    &mut self.extension_bytes,
                    CHUNK_EXTENSION_BYTES_MAX,
                    HttpError::Chunk,
                )?;
                Ok(State::Extension)
            }
            (State::SizeLineFeed, b'\n') => self.begin_chunk(),
            (State::DataCarriageReturn, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(State::Size(0)),
            (State::TrailerStart, b'\r') => Ok(State::LastLineFeed),
            (State::LastLineFeed, b'\n') => Ok(State::Done),
            (State::TrailerName, b':') => self.trailer(State::TrailerValue),
            (State::TrailerStart | State::TrailerName, _) if grammar::is_token_byte(byte) => {
                self.trailer(State::TrailerName)
            }
            (State::TrailerValue, b'\r') => Ok(State::TrailerLineFeed),
            (State::TrailerValue, _) if grammar::is_field_content(&[byte]) => {
                self.trailer(State::TrailerValue)
            }
            (State::TrailerLineFeed, b'\n') => Ok(State::TrailerStart),
            _ => Err(HttpError::Chunk),
        }
    }

    fn step_size(&mut self, digits: u8, byte: u8) -> Result<State, HttpError> {
        if digits == CHUNK_SIZE_DIGITS_MAX {
            return Err(HttpError::Chunk);
        }
        let digit = char::from(byte).to_digit(16).ok_or(HttpError::Chunk)?;
        let before = if digits == 0 { 0 } else { self.chunk_size };
        self.chunk_size = before << 4 | u64::from(digit);
        Ok(State::Size(digits + 1))
    }

    /// The size line is complete.
    fn begin_chunk(&mut self) -> Result<State, HttpError> {
        if self.chunk_size == 0 {
            return Ok(State::TrailerStart);
        }
        self.allowance = self
            .allowance
            .checked_sub(self.chunk_size)
            .ok_or(HttpError::BodyTooLarge)?;
        Ok(State::Data(self.chunk_size))
    }

    /// One byte of the trailer section, which is read and dropped (RFC 9110 section 6.5.1 allows that).
    fn trailer(&mut self, next: State) -> Result<State, HttpError> {
        count(
            &mut self.trailer_bytes,
            TRAILER_BYTES_MAX,
            HttpError::HeadTooLarge,
        )?;
        Ok(next)
    }
}

/// Moves as much of `left` bytes of content as `input` holds; gives how much.
fn take(left: u64, input: &[u8], content: &mut Vec<u8>) -> usize {
    let taken = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    content.extend_from_slice(&input[..taken]);
    taken
}

fn count(bytes: &mut usize, bytes_max: usize, error: HttpError) -> Result<(), HttpError> {
    *bytes += 1;
    if *bytes > bytes_max {
        Err(error)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
