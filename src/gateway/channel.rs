//! The broadcast channels of one worker: who listens, and what goes out at the end of the turn.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::buffer::Shared;
use crate::id::ConnKey;
use crate::websocket::codec::Codec;
use crate::websocket::frame::HEADER_BYTES_MAX;
use crate::websocket::protocol::MessageKind;

/// Publications of one turn leave as one piece up to this size, which costs the kernel less than many slices.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// In which form a receiver gets publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As it is.
    Plain,
    /// Deflated without context takeover, in the largest window of the settings.
    Deflated,
}

/// A message to many: encoded once in each form that somebody needs.
#[derive(Debug)]
pub struct Publication {
    pub(super) channel: usize,
    kind: MessageKind,
    payload_bytes: usize,
    plain: Shared,
    deflated: OnceLock<Shared>,
    under_way: Arc<AtomicUsize>,
}

impl Publication {
    pub(super) fn new(
        channel: usize,
        kind: MessageKind,
        payload: &[u8],
        codec: &mut Codec,
        under_way: &Arc<AtomicUsize>,
    ) -> Self {
        let mut plain = Vec::with_capacity(payload.len() + HEADER_BYTES_MAX);
        codec.encode_message(kind, payload, None, &mut plain);
        under_way.fetch_add(plain.len(), Ordering::Relaxed);
        Self {
            channel,
            kind,
            payload_bytes: payload.len(),
            plain: Shared::from(plain),
            deflated: OnceLock::new(),
            under_way: Arc::clone(under_way),
        }
    }

    fn deflated(&self, codec: &mut Codec, window_bits: u8) -> &Shared {
        self.deflated.get_or_init(|| {
            let payload = &self.plain[self.plain.len() - self.payload_bytes..];
            let mut deflated = Vec::new();
            codec.encode_message(self.kind, payload, Some(window_bits), &mut deflated);
            Shared::from(deflated)
        })
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.under_way
            .fetch_sub(self.plain.len(), Ordering::Relaxed);
    }
}

/// One channel at one worker.
#[derive(Debug, Default)]
pub(super) struct Channel {
    plain: Receivers,
    deflated: Receivers,
    pending: Vec<Arc<Publication>>,
}

impl Channel {
    pub(super) fn receivers(&self) -> usize {
        self.plain.keys.len() + self.deflated.keys.len()
    }

    pub(super) fn join(&mut self, key: ConnKey, encoding: Encoding) {
        match encoding {
            Encoding::Plain => self.plain.insert(key),
            Encoding::Deflated => self.deflated.insert(key),
        }
    }

    pub(super) fn leave(&mut self, key: ConnKey, encoding: Encoding) {
        match encoding {
            Encoding::Plain => self.plain.remove(key),
            Encoding::Deflated => self.deflated.remove(key),
        }
    }

    /// Adds a publication to what goes out at the end of the turn.
    pub(super) fn publish(&mut self, publication: Arc<Publication>) {
        self.pending.push(publication);
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Makes what is pending ready to leave, in each form that a receiver here takes.
    pub(super) fn prepare(&mut self, codec: &mut Codec, window_bits: u8) {
        let Self {
            plain,
            deflated,
            pending,
        } = self;
        if !plain.keys.is_empty() {
            plain
                .frames
                .extend(pending.iter().map(|one| Shared::clone(&one.plain)));
        }
        if !deflated.keys.is_empty() {
            let frames = pending.iter().map(|one| one.deflated(codec, window_bits));
            deflated.frames.extend(frames.map(Shared::clone));
        }
        pending.clear();
        plain.put_together();
        deflated.put_together();
    }

    /// Gives each receiver everything that was prepared, in order.
    pub(super) fn deliver(&mut self, mut send: impl FnMut(ConnKey, &[Shared])) {
        for receivers in [&mut self.plain, &mut self.deflated] {
            for key in &receivers.keys {
                send(*key, &receivers.frames);
            }
            receivers.frames.clear();
        }
    }
}

/// Keys in a dense array, each found by its place in the worker's slab: no hashing, constant time in and out.
#[derive(Debug, Default)]
struct Receivers {
    keys: Vec<ConnKey>,
    positions: Vec<u32>,
    /// What goes out at the end of this turn.
    frames: Vec<Shared>,
}

impl Receivers {
    /// Makes as few pieces as possible of what goes out.
    fn put_together(&mut self) {
        if self.frames.len() < 2 {
            return;
        }
        let mut pieces: Vec<Shared> = Vec::new();
        let mut rest = self.frames.as_slice();
        while let Some(first) = rest.first() {
            let mut bytes = first.len();
            let more = rest[1..].iter().take_while(|frame| {
                bytes += frame.len();
                bytes <= PIECE_BYTES_MAX
            });
            let count = 1 + more.count();
            let (together, others) = rest.split_at(count);
            pieces.push(match together {
                [one] => Shared::clone(one),
                several => several.concat().into(),
            });
            rest = others;
        }
        self.frames = pieces;
    }

    fn insert(&mut self, key: ConnKey) {
        let index = key.index as usize;
        if self.positions.len() <= index {
            self.positions.resize(index + 1, u32::MAX);
        }
        self.positions[index] = self.keys.len() as u32;
        self.keys.push(key);
    }

    fn remove(&mut self, key: ConnKey) {
        let Some(&position) = self.positions.get(key.index as usize) else {
            return;
        };
        if self.keys.get(position as usize) != Some(&key) {
            return;
        }
        self.keys.swap_remove(position as usize);
        self.positions[key.index as usize] = u32::MAX;
        if let Some(moved) = self.keys.get(position as usize) {
            self.positions[moved.index as usize] = position;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32, generation: u32) -> ConnKey {
        ConnKey { index, generation }
    }

    #[test]
    fn publications_of_one_turn_are_put_together_in_order() {
        let mut receivers = Receivers::default();
        for length in [3, 4, PIECE_BYTES_MAX - 7, 1, PIECE_BYTES_MAX + 1, 5] {
            receivers.frames.push(vec![length as u8; length].into());
        }
        let whole = receivers.frames.concat();
        receivers.put_together();
        let lengths: Vec<_> = receivers.frames.iter().map(|piece| piece.len()).collect();
        assert_eq!(lengths, [PIECE_BYTES_MAX, 1, PIECE_BYTES_MAX + 1, 5]);
        assert_eq!(receivers.frames.concat(), whole);
    }

    #[test]
    fn receivers_come_and_go_in_any_order() {
        let mut receivers = Receivers::default();
        for index in 0..10 {
            receivers.insert(key(index, index));
        }
        for index in [0, 9, 4, 5, 1] {
            receivers.remove(key(index, index));
            receivers.remove(key(index, index));
        }
        receivers.remove(key(2, 99));
        receivers.remove(key(1_000, 0));
        let mut left: Vec<_> = receivers.keys.iter().map(|key| key.index).collect();
        left.sort_unstable();
        assert_eq!(left, [2, 3, 6, 7, 8]);
        for (position, key) in receivers.keys.iter().enumerate() {
            assert_eq!(receivers.positions[key.index as usize] as usize, position);
        }
    }
}
