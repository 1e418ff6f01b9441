//! What is unfinished: a header, a frame or a message of which only a part has arrived.
//!
//! Bytes are unmasked, checked and put together here; which frame may follow which is decided in `protocol`.

use super::close::Violation;
use super::frame::{HEADER_BYTES_MAX, Opcode};
use super::mask;
use super::pool::Pool;
use super::protocol::MessageKind;
use super::utf8::Utf8Stream;
use crate::limits::{ASSEMBLY_GROWTH_FACTOR_MAX, CONTROL_PAYLOAD_BYTES_MAX};

/// A buffer that a message grows in, with room for a header in front of it.
///
/// `bytes.len()` is how much is initialised, `end` where the message ends so far, so that reading into the rest needs
/// no zeroing again.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    bytes: Vec<u8>,
    end: usize,
}

impl Assembly {
    /// Bytes of the message so far.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.end.saturating_sub(HEADER_BYTES_MAX)
    }

    /// Bytes of the buffer.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The message so far.
    #[inline]
    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes
            .get(HEADER_BYTES_MAX..self.end)
            .unwrap_or_default()
    }

    /// The message so far.
    #[inline]
    pub(crate) fn payload_mut(&mut self) -> &mut [u8] {
        self.bytes
            .get_mut(HEADER_BYTES_MAX..self.end)
            .unwrap_or_default()
    }

    /// The room behind the message so far.
    #[inline]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// Whether there is room for `count` more bytes.
    #[inline]
    pub(crate) fn has_room(&self, count: usize) -> bool {
        self.end != 0 && self.bytes.len() - self.end >= count
    }

    /// Makes room for `need` more bytes, of `announced` that are known to come: up to `growth` times what is there, and
    /// not beyond what was announced.
    pub(crate) fn make_room(
        &mut self,
        need: usize,
        announced: usize,
        growth: usize,
        pool: &mut Pool,
    ) {
        if self.has_room(need) {
            return;
        }
        let end = self.end.max(HEADER_BYTES_MAX);
        let must = end + need;
        let ideal = end.saturating_add(announced).max(must);
        let wanted = must.max(ideal.min(growth * end));
        if self.bytes.capacity() < wanted {
            let mut larger = pool.buffer(wanted, ideal, must);
            if larger.len() < self.end {
                larger.resize(self.end, 0);
            }
            larger[..self.end].copy_from_slice(&self.bytes[..self.end]);
            pool.give_buffer(std::mem::replace(&mut self.bytes, larger));
        }
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        self.end = end;
    }

    /// Counts `count` bytes of the space to the message.
    #[inline]
    pub(crate) fn filled(&mut self, count: usize) {
        debug_assert!(self.end + count <= self.bytes.len());
        self.end += count;
    }

    /// Forgets the message and keeps the buffer.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.end = self.end.min(HEADER_BYTES_MAX);
    }

    /// Gives the buffer away, and where in it the message begins.
    pub(crate) fn take(&mut self) -> (Vec<u8>, usize) {
        let mut bytes = std::mem::take(&mut self.bytes);
        let end = std::mem::take(&mut self.end).max(HEADER_BYTES_MAX);
        bytes.resize(end, 0);
        (bytes, HEADER_BYTES_MAX)
    }

    /// Gives the buffer back.
    #[inline]
    pub(crate) fn release(&mut self, pool: &mut Pool) {
        self.end = 0;
        if self.bytes.capacity() != 0 {
            pool.give_buffer(std::mem::take(&mut self.bytes));
        }
    }
}

/// A message that has begun.
#[derive(Debug)]
pub(crate) struct OpenMessage {
    /// As it arrived, unmasked; still deflated where it is compressed.
    pub(crate) assembly: Assembly,
    pub(crate) kind: MessageKind,
    pub(crate) compressed: bool,
    pub(crate) frames: u32,
    pub(crate) empty_frames: u32,
    utf8: Utf8Stream,
}

impl OpenMessage {
    /// Begins a message in the place of the last one.
    pub(crate) fn begin(&mut self, kind: MessageKind, compressed: bool) {
        self.assembly.clear();
        self.kind = kind;
        self.compressed = compressed;
        self.frames = 0;
        self.empty_frames = 0;
        self.utf8 = Utf8Stream::new();
    }

    /// Copies a masked piece of the payload in, of a frame of which `announced` bytes are still missing.
    pub(crate) fn append(
        &mut self,
        masked: &[u8],
        key: [u8; 4],
        announced: usize,
        pool: &mut Pool,
    ) -> Result<(), Violation> {
        let count = masked.len();
        self.assembly
            .make_room(count, announced, ASSEMBLY_GROWTH_FACTOR_MAX, pool);
        let ascii = mask::copy_ascii(masked, &mut self.assembly.space()[..count], key);
        self.accept(count, ascii)
    }

    /// Takes `count` masked bytes that were read straight into the space.
    pub(crate) fn accept_space(&mut self, count: usize, key: [u8; 4]) -> Result<(), Violation> {
        let piece = &mut self.assembly.space()[..count];
        let ascii = mask::apply_ascii(piece, key);
        self.accept(count, ascii)
    }

    /// Ends the message.
    pub(crate) fn finish(&mut self) -> Result<(), Violation> {
        self.utf8.finish().map_err(|_| Violation::InvalidText)
    }

    #[inline]
    fn accept(&mut self, count: usize, ascii: bool) -> Result<(), Violation> {
        let is_text = self.kind == MessageKind::Text && !self.compressed;
        if is_text && !(ascii && self.utf8.is_between_characters()) {
            let piece = &self.assembly.space()[..count];
            self.utf8.feed(piece).map_err(|_| Violation::InvalidText)?;
        }
        self.assembly.filled(count);
        Ok(())
    }
}

impl Default for OpenMessage {
    fn default() -> Self {
        Self {
            assembly: Assembly::default(),
            kind: MessageKind::Binary,
            compressed: false,
            frames: 0,
            empty_frames: 0,
            utf8: Utf8Stream::new(),
        }
    }
}

/// A frame whose header has arrived and whose payload has not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenFrame {
    pub(crate) opcode: Opcode,
    pub(crate) fin: bool,
    /// The key, turned to the next byte; zeros where the payload is not masked.
    pub(crate) key: [u8; 4],
    /// Bytes still to come.
    pub(crate) remaining: u64,
}

impl OpenFrame {
    /// How many more bytes a message of `length` bytes so far is known to get, or, where more frames follow, is expected to:
    /// as many again, so that a message of many frames is not moved for each of them.
    pub(crate) fn announced(&self, length: usize) -> usize {
        let remaining = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        if self.fin {
            remaining
        } else {
            remaining.max(length)
        }
    }
}

/// All that a connection holds of what is unfinished. It is lent by the codec's pool and goes back as soon as
/// nothing is.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    pub(crate) frame: Option<OpenFrame>,
    pub(crate) message: OpenMessage,
    /// The message in `message.assembly` was delivered and may still be looked at.
    pub(crate) delivered: bool,
    control: Control,
}

/// The payload of a control frame that comes in pieces.
#[derive(Debug)]
struct Control {
    bytes: [u8; CONTROL_PAYLOAD_BYTES_MAX],
    len: u8,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            bytes: [0; CONTROL_PAYLOAD_BYTES_MAX],
            len: 0,
        }
    }
}

impl Partial {
    /// The part of a header that has arrived.
    #[inline]
    pub(crate) fn header(&self) -> &[u8] {
        &self.header[..usize::from(self.header_len)]
    }

    /// Adds as much of `bytes` as a header can take, and says how much.
    pub(crate) fn extend_header(&mut self, bytes: &[u8]) -> usize {
        let have = usize::from(self.header_len);
        let count = bytes.len().min(HEADER_BYTES_MAX - have);
        self.header[have..have + count].copy_from_slice(&bytes[..count]);
        self.header_len = (have + count) as u8;
        count
    }

    /// The header is complete.
    pub(crate) fn clear_header(&mut self) {
        self.header_len = 0;
    }

    /// A control frame begins.
    pub(crate) fn begin_control(&mut self) {
        self.control.len = 0;
    }

    /// Copies a masked piece of a control frame's payload in.
    pub(crate) fn append_control(&mut self, masked: &[u8], key: [u8; 4]) {
        let start = usize::from(self.control.len);
        let end = start + masked.len();
        mask::copy_ascii(masked, &mut self.control.bytes[start..end], key);
        self.control.len = end as u8;
    }

    /// The control frame's payload so far.
    pub(crate) fn control(&self) -> &[u8] {
        &self.control.bytes[..usize::from(self.control.len)]
    }

    /// Whether neither a header nor a frame is unfinished. A message may be.
    #[inline]
    pub(crate) fn is_between_frames(&self) -> bool {
        self.header_len == 0 && self.frame.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_with_what_has_arrived_and_not_with_what_was_announced() {
        let mut pool = Pool::default();
        let mut message = OpenMessage::default();
        message.begin(MessageKind::Binary, false);
        let mut arrived = 0;
        while arrived < 1_000_000 {
            message
                .append(&[7; 1000], [0; 4], 1 << 40, &mut pool)
                .expect("binary");
            arrived += 1000;
            let capacity = message.assembly.capacity();
            assert!(
                capacity <= (ASSEMBLY_GROWTH_FACTOR_MAX * (arrived + HEADER_BYTES_MAX)).max(2048),
                "{capacity} for {arrived}"
            );
        }
        assert_eq!(message.assembly.payload().len(), arrived);
        assert!(message.assembly.payload().iter().all(|&byte| byte == 7));
    }

    #[test]
    fn a_buffer_does_not_grow_beyond_the_end_of_the_frame() {
        let mut pool = Pool::default();
        let mut message = OpenMessage::default();
        message.begin(MessageKind::Binary, false);
        for n in 0..10 {
            message
                .append(&[1; 1000], [0; 4], 10_000 - n * 1000, &mut pool)
                .expect("binary");
        }
        assert!(message.assembly.capacity() <= 10_000 + HEADER_BYTES_MAX);
    }

    #[test]
    fn the_phase_of_the_key_is_kept_in_pieces() {
        let mut pool = Pool::default();
        let mut message = OpenMessage::default();
        message.begin(MessageKind::Text, false);
        let key = [1, 2, 3, 4];
        let mut masked = b"caf\xc3\xa9".to_vec();
        mask::apply(&mut masked, key);
        message
            .append(&masked[..4], key, 5, &mut pool)
            .expect("begun");
        assert_eq!(message.finish(), Err(Violation::InvalidText));
        message.begin(MessageKind::Text, false);
        message
            .append(&masked[..4], key, 5, &mut pool)
            .expect("begun");
        message
            .append(&masked[4..], mask::rotate(key, 4), 1, &mut pool)
            .expect("ended");
        assert_eq!(message.finish(), Ok(()));
        assert_eq!(
            message.assembly.take(),
            (b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0caf\xc3\xa9".to_vec(), 14)
        );
    }

    #[test]
    fn an_empty_message_has_room_for_its_header_too() {
        assert_eq!(Assembly::default().take(), (vec![0; 14], 14));
    }
}
