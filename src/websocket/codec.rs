//! What all connections of one worker share while they encode and decode: limits, the compressors for messages
//! without context takeover, scratch space, and the pool of assembly buffers.
//!
//! Nothing here belongs to one connection, and nothing waits, reads a clock or makes a random number: mask keys
//! come from a seed of the caller.

use super::assembler::Assembly;
use super::close::Violation;
use super::deflate::{
    self, Aim, COMPRESS_WINDOW_BITS_MIN, Encoder, WINDOW_BITS_MAX, ZLIB_BYTES_MIN,
};
use super::frame::{encode_header, header_len};
use super::mask;
use super::pool::Pool;
use super::protocol::MessageKind;
use crate::limits::{SCRATCH_IDLE_BYTES_MAX, SCRATCH_REVIEW_MESSAGES};
use flate2::{Compress, Decompress};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt;
use std::ops::Deref;

/// Limits and choices of the codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Bytes of a message after decompression.
    pub message_bytes_max: usize,
    /// Messages shorter than this go out uncompressed. Empty ones always do.
    pub compression_bytes_min: usize,
    /// 1 to 9. Without context takeover our own encoder serves at level 1: it takes no longer than zlib does at its level 1, far
    /// less for a short message, and makes JSON about as small as level 2. At all levels it serves for messages under 256
    /// bytes, which zlib makes hardly smaller in thrice the time. All else is zlib's, at its level of this number.
    pub compression_level: u8,
}

/// The shared part of every `Protocol` of one worker.
#[derive(Debug)]
pub struct Codec {
    pub(crate) config: Config,
    pub(crate) pool: Pool,
    pub(crate) scratch: ScratchSpace,
    keys: Option<MaskKeys>,
    decompress: Option<Decompress>,
    encoder: Option<Encoder>,
    compress: [Option<Compress>; WINDOWS],
}

/// Window sizes that a compressor can have.
const WINDOWS: usize = (WINDOW_BITS_MAX - COMPRESS_WINDOW_BITS_MIN) as usize + 1;

impl Codec {
    /// A codec without a compressor yet: each is made when first needed. It serves connections in the server role; one in
    /// the client role needs [`Codec::with_mask_seed`].
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            pool: Pool::default(),
            scratch: ScratchSpace::default(),
            keys: None,
            decompress: None,
            encoder: None,
            compress: [const { None }; WINDOWS],
        }
    }

    /// A codec for both roles. `seed` must come from a strong source (RFC 6455 section 10.3): all mask keys follow
    /// from it, through a cryptographic generator.
    #[must_use]
    pub fn with_mask_seed(config: Config, seed: [u8; 32]) -> Self {
        Self {
            keys: Some(MaskKeys(StdRng::from_seed(seed))),
            ..Self::new(config)
        }
    }

    /// Other limits from now on.
    pub fn set_config(&mut self, config: Config) {
        if config.compression_level != self.config.compression_level {
            self.compress = [const { None }; WINDOWS];
        }
        self.config = config;
    }

    /// The limits.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config
    }

    /// Gives a buffer back to the pool (of those that `Protocol::take_assembled` gave away).
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.pool.give_buffer(buffer);
    }

    /// Lends out the message whose place is `Scratch`, so that it can be read while the codec encodes. To be called
    /// before the next `receive`, and to be followed by [`Codec::give_scratch`].
    #[must_use]
    pub fn take_scratch(&mut self) -> Scratch {
        Scratch(std::mem::take(&mut self.scratch.assembly))
    }

    /// Takes the scratch space back.
    pub fn give_scratch(&mut self, scratch: Scratch) {
        let Scratch(mut assembly) = scratch;
        std::mem::swap(&mut self.scratch.assembly, &mut assembly);
        assembly.release(&mut self.pool);
    }

    /// Frees what is kept for later use: buffers, scratch space, compressors. For a time when nothing happens.
    pub fn trim(&mut self) {
        self.pool.trim();
        self.scratch = ScratchSpace::default();
        self.decompress = None;
        self.encoder = None;
        self.compress = [const { None }; WINDOWS];
    }

    /// Bytes of unused buffers that are kept.
    #[must_use]
    pub fn pooled_bytes(&self) -> usize {
        self.pool.bytes() + self.scratch.assembly.capacity()
    }

    /// Appends a message as one unmasked frame, for any number of receivers: plain, or with `window_bits` of 9 to 15
    /// deflated without context takeover, where that makes it smaller and it is not shorter than
    /// `compression_bytes_min`.
    pub fn encode_message(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        window_bits: Option<u8>,
        out: &mut Vec<u8>,
    ) {
        if let Some(bits) = window_bits
            && self.is_worth_compressing(payload.len(), bits)
            && self.encode_deflated(kind, payload, bits, None, None, out)
        {
            return;
        }
        let length = payload.len() as u64;
        let header = encode_header(kind.opcode(), true, false, length, None);
        out.reserve(header.len() + payload.len());
        out.extend_from_slice(header.as_slice());
        out.extend_from_slice(payload);
    }

    /// Inflates a message that was compressed without context takeover (RFC 7692 section 7.2.2); text is checked.
    /// The result lies in the scratch space until its next use.
    ///
    /// # Errors
    /// `InvalidDeflate`, `InflatedTooBig`, `InvalidText`.
    pub fn inflate(&mut self, compressed: &[u8], is_text: bool) -> Result<&mut [u8], Violation> {
        self.inflate_with(None, compressed, is_text)?;
        Ok(self.scratch.assembly.payload_mut())
    }

    /// Inflates into the scratch space, with the decompressor of a connection or the shared one.
    pub(crate) fn inflate_with(
        &mut self,
        own: Option<&mut Decompress>,
        compressed: &[u8],
        is_text: bool,
    ) -> Result<(), Violation> {
        let decompress = if let Some(own) = own {
            own
        } else {
            let shared = self.decompress.get_or_insert_with(deflate::decompressor);
            shared.reset(false);
            shared
        };
        let bytes_max = self.config.message_bytes_max;
        self.scratch.review(&mut self.pool);
        let result = deflate::inflate(
            decompress,
            compressed,
            is_text,
            bytes_max,
            &mut self.scratch.assembly,
            &mut self.pool,
        );
        self.scratch.used();
        result
    }

    /// Whether a message of `len` bytes is compressed with a window of `bits`.
    #[inline]
    pub(crate) fn is_worth_compressing(&self, len: usize, bits: u8) -> bool {
        len >= self.config.compression_bytes_min.max(1) && bits >= COMPRESS_WINDOW_BITS_MIN
    }

    /// Appends a frame with the deflated payload. With the shared compressor (`own` is `None`) it appends nothing and returns
    /// false where that is not smaller; a compressor that keeps its context has moved on, so its result goes out anyway.
    pub(crate) fn encode_deflated(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        bits: u8,
        own: Option<&mut Compress>,
        mask_key: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) -> bool {
        let start = out.len();
        // The header's length is guessed by the payload's, and the deflated bytes are moved where that was too much.
        let room = header_len(payload.len(), mask_key.is_some());
        out.reserve(room + payload.len() + 32);
        out.resize(start + room, 0);
        let is_worth_it = match own {
            Some(own) => deflate::deflate(own, payload, false, out),
            None => self.deflate_alone(payload, bits, out),
        };
        if !is_worth_it {
            out.truncate(start);
            return false;
        }
        let length = out.len() - start - room;
        let header = encode_header(kind.opcode(), true, true, length as u64, mask_key);
        let header = header.as_slice();
        if header.len() < room {
            out.copy_within(start + room.., start + header.len());
            out.truncate(start + header.len() + length);
        } else if header.len() > room {
            out.splice(start..start, std::iter::repeat_n(0, header.len() - room));
        }
        let (front, deflated) = out[start..].split_at_mut(header.len());
        front.copy_from_slice(header);
        if let Some(key) = mask_key {
            mask::apply(deflated, key);
        }
        true
    }

    /// Appends `payload` deflated without context; false where that is not smaller.
    fn deflate_alone(&mut self, payload: &[u8], bits: u8, out: &mut Vec<u8>) -> bool {
        let bits = bits.clamp(COMPRESS_WINDOW_BITS_MIN, WINDOW_BITS_MAX);
        let level = self.config.compression_level;
        if level <= 1 || payload.len() < ZLIB_BYTES_MIN {
            let aim = if level <= 1 { Aim::Quick } else { Aim::Small };
            let encoder = self.encoder.get_or_insert_default();
            return encoder.deflate(payload, bits, aim, out);
        }
        let shared = &mut self.compress[usize::from(bits - COMPRESS_WINDOW_BITS_MIN)];
        let shared = shared.get_or_insert_with(|| deflate::compressor(level, bits));
        shared.reset();
        deflate::deflate(shared, payload, true, out)
    }

    /// The next mask key.
    ///
    /// # Panics
    /// Where the codec has no seed: [`Codec::new`] is for servers.
    #[inline]
    pub(crate) fn mask_key(&mut self) -> [u8; 4] {
        self.keys
            .as_mut()
            .expect("a codec for the client role is made with a mask seed")
            .next_key()
    }
}

/// A message lent out of the scratch space.
#[derive(Debug)]
pub struct Scratch(Assembly);

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.payload()
    }
}

/// Where messages are inflated.
#[derive(Debug, Default)]
pub(crate) struct ScratchSpace {
    pub(crate) assembly: Assembly,
    messages: u32,
    longest: usize,
}

impl ScratchSpace {
    /// Notes what the message needed.
    fn used(&mut self) {
        self.longest = self.longest.max(self.assembly.len());
        self.messages += 1;
    }

    /// Gives large space back after a number of messages that did not need a quarter of it.
    fn review(&mut self, pool: &mut Pool) {
        if self.messages < SCRATCH_REVIEW_MESSAGES {
            return;
        }
        let capacity = self.assembly.capacity();
        if capacity > SCRATCH_IDLE_BYTES_MAX && self.longest < capacity / 4 {
            self.assembly.release(pool);
        }
        self.messages = 0;
        self.longest = 0;
    }
}

/// Mask keys that a peer cannot foresee (RFC 6455 section 10.3).
struct MaskKeys(StdRng);

impl MaskKeys {
    #[inline]
    fn next_key(&mut self) -> [u8; 4] {
        self.0.next_u32().to_ne_bytes()
    }
}

impl fmt::Debug for MaskKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKeys")
    }
}

#[cfg(test)]
mod tests;
