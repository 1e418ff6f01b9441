//! permessage-deflate on whole messages (RFC 7692 section 7.2): raw deflate without the last four bytes of a sync flush.
//!
//! Bytes to bytes under a limit. Who agreed on what is decided in `extension`, which messages are compressed in
//! `protocol`. zlib serves where a context is kept, and at the higher levels; `Encoder` is our own, for speed.

mod encoder;
mod header;
mod huffman;
mod matcher;
mod symbols;
mod tokens;
mod writer;

pub(crate) use encoder::{Aim, Encoder};

use super::assembler::Assembly;
use super::close::Violation;
use super::pool::Pool;
use super::utf8::Utf8Stream;
use crate::limits::{ASSEMBLY_SMALL_BYTES, INFLATE_STEP_BYTES};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What a sync flush ends with; the sender leaves it out, the receiver puts it back (section 7.2.2).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// The tail, and an empty stored block. Inflating it yields nothing exactly where the message ended at the
/// end of a block.
const TAIL_AND_PROBE: [u8; 9] = [0, 0, 0xff, 0xff, 0, 0, 0, 0xff, 0xff];
/// Room that zlib wants beyond the data so that a flush is complete in one call.
const FLUSH_BYTES: usize = 16;
/// The smallest window that zlib can compress with; one of 8 bits it can only decompress.
pub(crate) const COMPRESS_WINDOW_BITS_MIN: u8 = 9;
/// The largest window.
pub(crate) const WINDOW_BITS_MAX: u8 = 15;

/// Without context, shorter messages than this are left to `Encoder` at every level: zlib makes them hardly smaller, and takes
/// its time to begin.
pub(crate) const ZLIB_BYTES_MIN: usize = 256;

/// The compressor and decompressor of a connection that keeps its context between messages, each made when first needed.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    pub(crate) compress: Option<Compress>,
    pub(crate) decompress: Option<Decompress>,
}

/// A compressor for a window of 9 to 15 bits.
pub(crate) fn compressor(level: u8, window_bits: u8) -> Compress {
    let bits = window_bits.clamp(COMPRESS_WINDOW_BITS_MIN, WINDOW_BITS_MAX);
    Compress::new_with_window_bits(Compression::new(u32::from(level.min(9))), false, bits)
}

/// A decompressor. Its window is always the largest: zlib-rs allocates that much for any, and a peer that uses
/// less than it may is understood all the same.
pub(crate) fn decompressor() -> Decompress {
    Decompress::new(false)
}

/// The longest compressed form of a message of `message_bytes_max` that is accepted: static trees give a byte 9 bits at the
/// most, stored blocks of a few hundred bytes each need less.
pub(crate) fn compressed_bytes_max(message_bytes_max: usize) -> usize {
    message_bytes_max.saturating_add(message_bytes_max / 8 + 64)
}

/// Appends `payload` deflated. With `smaller_only` it returns false where the result is not smaller than `payload`; what it
/// appended is then for the caller to drop.
///
/// A message is always deflated to its end, also where it has grown too large on the way: zlib-rs 0.6 leaks room of
/// its pending buffer, and panics in the end, when it is reset while output is pending.
pub(crate) fn deflate(
    compress: &mut Compress,
    payload: &[u8],
    smaller_only: bool,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    if payload.is_empty() {
        // zlib flushes nothing where nothing is new (section 7.2.3.6).
        out.push(0);
        return !smaller_only;
    }
    let mut rest = payload;
    // Static trees give a byte 9 bits at the most: one call is enough.
    out.reserve(payload.len() + payload.len() / 8 + FLUSH_BYTES);
    loop {
        let before = compress.total_in();
        compress
            .compress_vec(rest, out, FlushCompress::Sync)
            .expect("a compressor between messages takes any bytes");
        rest = &rest[(compress.total_in() - before) as usize..];
        // A flush is complete when it leaves room behind it.
        if rest.is_empty() && out.len() < out.capacity() {
            break;
        }
        out.reserve(rest.len() + FLUSH_BYTES);
    }
    debug_assert!(out[start..].ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
    !smaller_only || out.len() - start < payload.len()
}

/// Inflates one message into `out`, which is cleared before. It stops as soon as the output passes `bytes_max`, or,
/// where it is text, is not UTF-8.
pub(crate) fn inflate(
    decompress: &mut Decompress,
    compressed: &[u8],
    is_text: bool,
    bytes_max: usize,
    out: &mut Assembly,
    pool: &mut Pool,
) -> Result<(), Violation> {
    out.clear();
    let mut utf8 = Utf8Stream::new();
    let mut rest = compressed;
    let ended = loop {
        // One byte more than allowed shows that there is more.
        let allowed = bytes_max.saturating_add(1) - out.len();
        if !out.has_room(1) {
            out.make_room(allowed.min(ASSEMBLY_SMALL_BYTES / 2), allowed, 2, pool);
        }
        let space = out.space();
        let step = space.len().min(INFLATE_STEP_BYTES).min(allowed);
        let space = &mut space[..step];
        let (took, gave, status) = inflate_step(decompress, rest, space)?;
        let piece = &space[..gave];
        if is_text && !(utf8.is_between_characters() && piece.is_ascii()) {
            utf8.feed(piece).map_err(|_| Violation::InvalidText)?;
        }
        out.filled(gave);
        rest = &rest[took..];
        if out.len() > bytes_max {
            return Err(Violation::InflatedTooBig);
        }
        if status == Status::StreamEnd {
            // A block with BFINAL set (section 7.2.3.5); more blocks may follow it.
            decompress.reset(false);
            if rest.is_empty() {
                break true;
            }
        } else if rest.is_empty() && gave < step {
            break false;
        } else if took == 0 && gave == 0 {
            return Err(Violation::InvalidDeflate);
        }
    };
    if !ended {
        inflate_tail(decompress)?;
    }
    utf8.finish().map_err(|_| Violation::InvalidText)
}

/// How much one call took and gave.
fn inflate_step(
    decompress: &mut Decompress,
    input: &[u8],
    output: &mut [u8],
) -> Result<(usize, usize, Status), Violation> {
    let (total_in, total_out) = (decompress.total_in(), decompress.total_out());
    let status = decompress
        .decompress(input, output, FlushDecompress::None)
        .map_err(|_| Violation::InvalidDeflate)?;
    let took = decompress.total_in() - total_in;
    let gave = decompress.total_out() - total_out;
    Ok((took as usize, gave as usize, status))
}

/// Puts the tail back, and refuses a message that was cut off in the middle of a block.
fn inflate_tail(decompress: &mut Decompress) -> Result<(), Violation> {
    let mut nothing = [0; 1];
    let (took, gave, status) = inflate_step(decompress, &TAIL_AND_PROBE, &mut nothing)?;
    match status {
        _ if gave != 0 => Err(Violation::InvalidDeflate),
        // The block that the tail belongs to was a final one.
        Status::StreamEnd if took == TAIL.len() => {
            decompress.reset(false);
            Ok(())
        }
        Status::Ok if took == TAIL_AND_PROBE.len() => Ok(()),
        Status::StreamEnd | Status::Ok | Status::BufError => Err(Violation::InvalidDeflate),
    }
}

#[cfg(test)]
mod test_data;
#[cfg(test)]
mod tests;
