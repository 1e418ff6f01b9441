//! Receiving, the short way: a message in one frame that lies whole in the input.
//!
//! Anything unusual is left to `receive`, which knows the rules.

use super::{Input, MessageKind, Role};
use crate::limits::CLOSE_UP_BYTES_MAX;
use crate::websocket::codec::Codec;
use crate::websocket::mask;

/// A message in one frame, whole in the input, unmasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// Text or binary.
    pub kind: MessageKind,
    /// Where in `Input::buffer` its payload begins, as in `Place::Input`.
    pub start: usize,
    /// Bytes.
    pub len: usize,
}

/// Takes a final, uncompressed data frame of less than 64 KiB that lies whole at the front of `input`; with it comes whether
/// a text is ASCII. Anything else, broken rules included, is left to the long way.
#[inline(always)]
pub(super) fn whole_message(
    input: &mut Input<'_>,
    role: Role,
    codec: &Codec,
) -> Option<(Whole, bool)> {
    let position = input.position;
    let bytes = &mut input.bytes[position..];
    let (&mut [first, second], rest) = bytes.split_first_chunk_mut()?;
    let kind = match first {
        0x81 => MessageKind::Text,
        0x82 => MessageKind::Binary,
        _ => return None,
    };
    let masked = role == Role::Server;
    if (second & 0x80 != 0) != masked {
        return None;
    }
    let (len, header_len, rest) = match second & 0x7f {
        127 => return None,
        126 => {
            let (&mut bytes, rest) = rest.split_first_chunk_mut()?;
            let len = usize::from(u16::from_be_bytes(bytes));
            if len < 126 {
                return None;
            }
            (len, 4, rest)
        }
        len => (usize::from(len), 2, rest),
    };
    if len > codec.config.message_bytes_max {
        return None;
    }
    let (start, is_ascii) = if masked {
        let (&mut key, rest) = rest.split_first_chunk_mut()?;
        rest.get(..len)?;
        let from = position + header_len + key.len();
        let mut start = from;
        if input.kept != 0 && len <= CLOSE_UP_BYTES_MAX {
            start = input.kept + header_len;
            input.bytes.copy_within(from..from + len, start);
        }
        let payload = &mut input.bytes[start..start + len];
        (start, mask::apply_ascii(payload, key))
    } else {
        let payload = rest.get(..len)?;
        let is_ascii = kind == MessageKind::Text && payload.is_ascii();
        (position + header_len, is_ascii)
    };
    input.position = position + header_len + if masked { 4 } else { 0 } + len;
    Some((Whole { kind, start, len }, is_ascii))
}
