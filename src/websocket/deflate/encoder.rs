//! Deflates a message at one go, without context, for speed.
//!
//! No block is the final one: the message ends with the header of an empty stored block, of which permessage-deflate
//! leaves out the rest (RFC 7692 section 7.2.1).

use super::header::{self, FIXED};
use super::matcher::Matcher;
use super::symbols::END_OF_BLOCK;
use super::tokens::Block;
use super::writer::{BitWriter, Codes, Full, SLACK_BYTES};
use std::fmt;

/// Messages shorter than this are written in the fixed codes where speed comes first: to make codes of their own takes
/// longer than all the rest.
const QUICK_BYTES_MAX: usize = 256;
/// The header of a stored block that is not the final one (RFC 1951 section 3.2.3).
const STORED_BLOCK: u32 = 0b000;

/// What all messages share, and no message leaves a trace in: 52 KiB of tables and tokens.
#[derive(Default)]
pub(crate) struct Encoder {
    matcher: Matcher,
    block: Block,
    own: Box<OwnCodes>,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// To be done soon.
    Quick,
    /// To make the message as small as its blocks' own codes can.
    Small,
}

/// The codes of the block at hand, where it has its own.
struct OwnCodes(Codes);

impl Default for OwnCodes {
    fn default() -> Self {
        Self(FIXED)
    }
}

impl Encoder {
    /// Appends `payload` deflated, with copies from at most `2^window_bits` bytes back (`window_bits` is at most 15). It
    /// returns false where the result is not smaller than `payload`; what it appended is then for the caller to drop.
    pub(crate) fn deflate(
        &mut self,
        payload: &[u8],
        window_bits: u8,
        aim: Aim,
        out: &mut Vec<u8>,
    ) -> bool {
        let start = out.len();
        out.resize(start + payload.len() + SLACK_BYTES, 0);
        match self.write(payload, 1 << window_bits, aim, &mut out[start..]) {
            Ok(len) => {
                out.truncate(start + len);
                len < payload.len()
            }
            Err(Full) => false,
        }
    }

    fn write(
        &mut self,
        payload: &[u8],
        window_bytes: u32,
        aim: Aim,
        out: &mut [u8],
    ) -> Result<usize, Full> {
        let first_stamp = self.matcher.begin(payload.len());
        let mut out = BitWriter::new(out);
        let mut at = 0;
        while at < payload.len() {
            let Self {
                matcher,
                block,
                own,
            } = self;
            let own = &mut own.0;
            let has_own = if aim == Aim::Quick && payload.len() < QUICK_BYTES_MAX {
                at = matcher.parse::<false>(payload, at, first_stamp, window_bytes, block);
                false
            } else {
                at = matcher.parse::<true>(payload, at, first_stamp, window_bytes, block);
                header::begin_dynamic(&block.counts, own, &mut out)?
            };
            if !has_own {
                header::begin_fixed(&mut out);
            }
            let codes = if has_own { own } else { &FIXED };
            out.tokens(block.tokens(), codes)?;
            out.tokens(&[END_OF_BLOCK as u32], codes)?;
        }
        out.put(STORED_BLOCK, header::BLOCK_BITS);
        out.finish()
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encoder")
    }
}

#[cfg(test)]
mod tests;
