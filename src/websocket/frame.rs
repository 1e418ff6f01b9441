//! The frame header (RFC 6455 section 5.2) as a value: decoded under the rules of the moment, encoded into an
//! inline array.
//!
//! Headers only; a payload never passes through here.

use super::close::Violation;
use crate::limits::CONTROL_PAYLOAD_BYTES_MAX;

/// Bytes of the longest header: two, a 64-bit length, a mask key.
pub const HEADER_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_AND_3: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const MASK: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// What a frame is (section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// The message goes on.
    Continuation = 0x0,
    /// A text message begins.
    Text = 0x1,
    /// A binary message begins.
    Binary = 0x2,
    /// The connection ends.
    Close = 0x8,
    /// Answered by a pong.
    Ping = 0x9,
    /// The answer.
    Pong = 0xa,
}

impl Opcode {
    /// The opcode in the low four bits; `None` where it is reserved.
    #[inline]
    #[must_use]
    pub fn from_bits(bits: u8) -> Option<Self> {
        match bits & OPCODE {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xa => Some(Self::Pong),
            _ => None,
        }
    }

    /// Close, ping and pong.
    #[inline]
    #[must_use]
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The last frame of its message.
    pub fin: bool,
    /// The message is compressed (RFC 7692 section 6).
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// The key, where the payload is masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of the payload.
    pub length: u64,
}

/// What the next header has to obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether frames have to be masked; otherwise they must not be (section 5.1).
    pub masked: bool,
    /// Whether RSV1 has a meaning (RFC 7692).
    pub deflate: bool,
    /// Whether a message has begun, so that a data frame has to continue it (section 5.4).
    pub mid_message: bool,
    /// The longest payload of a data frame; of those that begin a compressed message see below.
    pub payload_bytes_max: u64,
    /// The longest payload of a frame that begins a compressed message.
    pub compressed_bytes_max: u64,
}

impl Header {
    /// Reads the header at the front of `bytes`, and how many bytes it takes. `None` where it is not complete; what is there
    /// of it has been checked: a header that breaks a rule is refused at the first byte that shows it.
    ///
    /// # Errors
    /// The first rule that the header breaks.
    #[inline]
    pub fn decode(bytes: &[u8], rules: &Rules) -> Result<Option<(Self, usize)>, Violation> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let opcode = check_first(first, rules)?;
        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        match (second & MASK != 0, rules.masked) {
            (false, true) => return Err(Violation::Unmasked),
            (true, false) => return Err(Violation::Masked),
            (true, true) | (false, false) => {}
        }
        let short = second & LENGTH;
        if opcode.is_control() {
            if usize::from(short) > CONTROL_PAYLOAD_BYTES_MAX {
                return Err(Violation::OversizedControl);
            }
            if opcode == Opcode::Close && short == 1 {
                return Err(Violation::CloseTooShort);
            }
        }
        let Some((length, rest)) = decode_length(short, rest)? else {
            return Ok(None);
        };
        let rsv1 = first & RSV1 != 0;
        let length_max = if rsv1 {
            rules.compressed_bytes_max
        } else {
            rules.payload_bytes_max
        };
        if !opcode.is_control() && length > length_max {
            return Err(Violation::MessageTooBig);
        }
        let (mask, rest) = if rules.masked {
            let Some((&key, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (Some(key), rest)
        } else {
            (None, rest)
        };
        let header = Self {
            fin: first & FIN != 0,
            rsv1,
            opcode,
            mask,
            length,
        };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// The bytes of this header, its length in as few as possible.
    #[inline]
    #[must_use]
    pub fn encode(&self) -> HeaderBytes {
        encode_header(self.opcode, self.fin, self.rsv1, self.length, self.mask)
    }
}

/// Everything that the first byte alone can break.
#[inline]
fn check_first(first: u8, rules: &Rules) -> Result<Opcode, Violation> {
    if first & RSV2_AND_3 != 0 || (first & RSV1 != 0 && !rules.deflate) {
        return Err(Violation::ReservedBits);
    }
    let opcode = Opcode::from_bits(first).ok_or(Violation::ReservedOpcode)?;
    let broken = match opcode {
        Opcode::Close | Opcode::Ping | Opcode::Pong if first & FIN == 0 => {
            Violation::FragmentedControl
        }
        Opcode::Continuation if !rules.mid_message => Violation::UnexpectedContinuation,
        Opcode::Text | Opcode::Binary if rules.mid_message => Violation::InterleavedMessage,
        Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong if first & RSV1 != 0 => {
            Violation::MisplacedCompressionBit
        }
        _ => return Ok(opcode),
    };
    Err(broken)
}

/// The length whose seven-bit form is `short`, and what follows it.
#[inline]
fn decode_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (length, rest, shorter_max) = match short {
        126 => match rest.split_first_chunk() {
            Some((&bytes, rest)) => (u64::from(u16::from_be_bytes(bytes)), rest, 125),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((&bytes, rest)) => {
                let length = u64::from_be_bytes(bytes);
                if length >> 63 != 0 {
                    return Err(Violation::LengthTopBit);
                }
                (length, rest, u64::from(u16::MAX))
            }
            None if rest.first().is_some_and(|&top| top & 0x80 != 0) => {
                return Err(Violation::LengthTopBit);
            }
            None => return Ok(None),
        },
        short => return Ok(Some((u64::from(short), rest))),
    };
    if length <= shorter_max {
        return Err(Violation::NonMinimalLength);
    }
    Ok(Some((length, rest)))
}

/// An encoded header.
#[derive(Debug, Clone, Copy)]
pub struct HeaderBytes {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl HeaderBytes {
    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// How many they are: 2, 4 or 10, and 4 more with a mask key.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    #[inline]
    fn append(&mut self, more: &[u8]) {
        let start = self.len();
        let end = start + more.len();
        self.bytes[start..end].copy_from_slice(more);
        self.len = end as u8;
    }
}

/// Bytes of the header in front of `length` bytes of payload.
#[inline]
#[must_use]
pub fn header_len(length: usize, masked: bool) -> usize {
    let plain = match length {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    if masked { plain + 4 } else { plain }
}

/// Writes the header of a final, unmasked and uncompressed frame in front of its payload, which lies at
/// `buffer[start..start + length]`; gives where the frame begins.
///
/// # Panics
/// Where there is less room in front than [`header_len`].
#[inline]
pub fn put_header(buffer: &mut [u8], start: usize, opcode: Opcode, length: usize) -> usize {
    let first = FIN | opcode as u8;
    let room = &mut buffer[..start];
    if length <= 125 {
        let header = room.last_chunk_mut().expect("room for a header");
        *header = [first, length as u8];
        start - 2
    } else if let Ok(length) = u16::try_from(length) {
        let [high, low] = length.to_be_bytes();
        let header = room.last_chunk_mut().expect("room for a header");
        *header = [first, 126, high, low];
        start - 4
    } else {
        let (rest, bytes) = room.split_last_chunk_mut().expect("room for a header");
        *bytes = (length as u64).to_be_bytes();
        let header = rest.last_chunk_mut().expect("room for a header");
        *header = [first, 127];
        start - 10
    }
}

/// Encodes a header, the length in as few bytes as possible (section 5.2).
#[inline]
#[must_use]
pub fn encode_header(
    opcode: Opcode,
    fin: bool,
    rsv1: bool,
    length: u64,
    mask: Option<[u8; 4]>,
) -> HeaderBytes {
    let mut header = HeaderBytes {
        bytes: [0; HEADER_BYTES_MAX],
        len: 2,
    };
    let fin = if fin { FIN } else { 0 };
    let rsv1 = if rsv1 { RSV1 } else { 0 };
    let masked = if mask.is_some() { MASK } else { 0 };
    header.bytes[0] = fin | rsv1 | opcode as u8;
    header.bytes[1] = masked
        | match length {
            0..=125 => length as u8,
            126..=0xffff => {
                header.append(&(length as u16).to_be_bytes());
                126
            }
            _ => {
                header.append(&length.to_be_bytes());
                127
            }
        };
    if let Some(key) = mask {
        header.append(&key);
    }
    header
}

#[cfg(test)]
mod tests;
