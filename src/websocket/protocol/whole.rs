//! Receiving, the short way: a message in one frame that lies whole in the input.
//!
//! Anything unusual is left to `receive`, which knows the rules.

use super::{Input, MessageKind, Role};
use crate::websocket::codec::Codec;
use crate::websocket::mask;

/// A message in one frame, whole in the input, unmasked.
pub(super) struct Whole {
    pub(super) kind: MessageKind,
    pub(super) start: usize,
    pub(super) len: usize,
    /// A text with other bytes than ASCII, to be checked.
    pub(super) is_unchecked_text: bool,
}

/// Takes a final, uncompressed data frame of less than 64 KiB that lies whole at the front of `input`. Anything else,
/// broken rules included, is left to the long way.
#[inline]
pub(super) fn whole_message(input: &mut Input<'_>, role: Role, codec: &Codec) -> Option<Whole> {
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
    let (len, rest) = match second & 0x7f {
        127 => return None,
        126 => {
            let (&mut bytes, rest) = rest.split_first_chunk_mut()?;
            let len = usize::from(u16::from_be_bytes(bytes));
            if len < 126 {
                return None;
            }
            (len, rest)
        }
        len => (usize::from(len), rest),
    };
    if len > codec.config.message_bytes_max {
        return None;
    }
    let is_text = kind == MessageKind::Text;
    let (start, ascii) = if masked {
        let (&mut key, rest) = rest.split_first_chunk_mut()?;
        let behind = rest.len();
        let payload = rest.get_mut(..len)?;
        let ascii = if is_text {
            mask::apply_ascii(payload, key)
        } else {
            mask::apply(payload, key);
            true
        };
        (input.bytes.len() - behind, ascii)
    } else {
        let behind = rest.len();
        let payload = rest.get(..len)?;
        let ascii = !is_text || payload.is_ascii();
        (input.bytes.len() - behind, ascii)
    };
    input.position = start + len;
    Some(Whole {
        kind,
        start,
        len,
        is_unchecked_text: !ascii,
    })
}
