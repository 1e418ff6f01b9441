//! Finds the end of a head that arrives in pieces, in linear time, and refuses early what can no longer become one.

use memchr::{memchr, memchr2, memrchr};

use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, LEADING_EMPTY_LINES_MAX, METHOD_BYTES_MAX};

use super::error::HttpError;
use super::grammar;

/// Finds the end of a head that arrives in pieces. Work is linear in the bytes, whatever the pieces, and so is the
/// result: it depends on the bytes alone, never on how they were cut.
///
/// One value serves one head. It refuses, as soon as the byte that shows it arrives: what is not the beginning of a
/// start line (a TLS ClientHello, garbage), lines not ended by CR LF, control bytes, folded lines, too many fields,
/// too many bytes. What remains is for the parser of the head.
#[derive(Debug, Default, Clone)]
pub struct HeadScanner {
    start_line: StartLine,
    /// Bytes looked at; never looked at again.
    seen: usize,
    /// Where the current line begins.
    line_start: usize,
    after_carriage_return: bool,
    /// Whether the start line is complete.
    in_fields: bool,
    /// Whether the first space of the request line was seen.
    method_ended: bool,
    fields: usize,
    empty_lines: usize,
}

/// What the head begins with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum StartLine {
    #[default]
    Request,
    Response,
}

/// How the start line of every response that we understand begins.
const RESPONSE_PREFIX: &[u8] = b"HTTP/1.";

impl HeadScanner {
    /// A scanner for the head of a response; `default()` is one for requests.
    pub fn response() -> Self {
        Self {
            start_line: StartLine::Response,
            ..Self::default()
        }
    }

    /// Looks at `bytes`, which begins with what earlier calls saw (after the same start) and may have grown.
    /// Gives the length of the head including its empty line, or `None` where more is needed.
    ///
    /// # Errors
    /// 431 as soon as the head is longer than 8 KiB or has more than 64 fields; 400 for what can no longer become a
    /// head; 505 for HTTP that is neither 1.0 nor 1.1.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, HttpError> {
        let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
        while self.seen < window.len() {
            if self.after_carriage_return {
                if window[self.seen] != b'\n' {
                    return Err(HttpError::LineEnd);
                }
                let is_end = self.end_line(&window[self.line_start..self.seen - 1])?;
                self.seen += 1;
                self.line_start = self.seen;
                self.after_carriage_return = false;
                if is_end {
                    return Ok(Some(self.seen));
                }
                continue;
            }
            let rest = &window[self.seen..];
            let length = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            self.check_part(self.seen - self.line_start, &rest[..length])?;
            match rest.get(length) {
                None => self.seen += length,
                Some(b'\r') => {
                    self.seen += length + 1;
                    self.after_carriage_return = true;
                }
                Some(_) => return Err(HttpError::LineEnd),
            }
        }
        if window.len() == HEAD_BYTES_MAX {
            return Err(HttpError::HeadTooLarge);
        }
        Ok(None)
    }

    /// Checks `part`, which begins `offset` bytes into the current line and has no line end in it.
    fn check_part(&mut self, offset: usize, part: &[u8]) -> Result<(), HttpError> {
        if self.in_fields {
            // A space or tab here would be a folded line (RFC 9112 section 5.2), which is refused.
            let begins_badly =
                offset == 0 && part.first().is_some_and(|&b| !grammar::is_token_byte(b));
            if begins_badly || !grammar::is_field_content(part) {
                return Err(HttpError::Field);
            }
            return Ok(());
        }
        match self.start_line {
            StartLine::Request => self.check_request_line_part(offset, part),
            StartLine::Response => {
                let expected = RESPONSE_PREFIX.get(offset..).unwrap_or_default();
                let begins_well = part.iter().zip(expected).all(|(a, b)| a == b);
                if begins_well && grammar::is_field_content(part) {
                    Ok(())
                } else {
                    Err(HttpError::BadRequest)
                }
            }
        }
    }

    fn check_request_line_part(&mut self, offset: usize, part: &[u8]) -> Result<(), HttpError> {
        let mut rest = part;
        while !self.method_ended
            && let Some((&byte, tail)) = rest.split_first()
        {
            let at = offset + part.len() - rest.len();
            self.method_ended = byte == b' ';
            let is_good = if self.method_ended {
                at > 0
            } else {
                grammar::is_token_byte(byte) && at < METHOD_BYTES_MAX
            };
            if !is_good {
                return Err(HttpError::BadRequest);
            }
            rest = tail;
        }
        if grammar::is_visible_or_space(rest) {
            Ok(())
        } else {
            Err(HttpError::BadRequest)
        }
    }

    /// Takes note of a complete line; gives whether it ends the head.
    fn end_line(&mut self, line: &[u8]) -> Result<bool, HttpError> {
        if self.in_fields {
            if line.is_empty() {
                return Ok(true);
            }
            self.fields += 1;
            return if self.fields > HEADERS_MAX {
                Err(HttpError::TooManyHeaders)
            } else {
                Ok(false)
            };
        }
        match self.start_line {
            // RFC 9112 section 2.2: at least one empty line in front of a request line should be ignored.
            StartLine::Request if line.is_empty() => {
                self.empty_lines += 1;
                if self.empty_lines > LEADING_EMPTY_LINES_MAX {
                    return Err(HttpError::BadRequest);
                }
                return Ok(false);
            }
            StartLine::Request => check_request_line(line)?,
            StartLine::Response if line.len() < RESPONSE_PREFIX.len() => {
                return Err(HttpError::BadRequest);
            }
            StartLine::Response => {}
        }
        self.in_fields = true;
        Ok(false)
    }
}

/// Checks that `line` is a method, a target and a version, one space between (RFC 9112 section 3).
///
/// # Errors
/// 505 for HTTP of another version, the preface of HTTP/2 among it; 400 for what is no request line.
pub(super) fn check_request_line(line: &[u8]) -> Result<(), HttpError> {
    let (Some(first), Some(last)) = (memchr(b' ', line), memrchr(b' ', line)) else {
        return Err(HttpError::BadRequest);
    };
    if first == last {
        return Err(HttpError::BadRequest);
    }
    let target = &line[first + 1..last];
    if first == 0 || target.is_empty() || memchr(b' ', target).is_some() {
        return Err(HttpError::BadRequest);
    }
    match &line[last + 1..] {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(HttpError::Version)
        }
        _ => Err(HttpError::BadRequest),
    }
}

#[cfg(test)]
mod tests;
