//! Finds repetitions in one message: which bytes stand for themselves, and which are copies of earlier ones.
//!
//! One look into a table for each position, and one more behind a short copy, which a longer one may replace. The table
//! is not cleared for each message: what one before left in it lies further back than the message at hand is long, so
//! that a message is encoded the same whatever came before.

use super::symbols::MATCH_BYTES_MAX;
use super::tokens::{Block, TOKENS_MAX};

/// Bits of the largest hash: its table (16 KiB) stays in the first cache.
const HASH_BITS_MAX: u32 = 13;
/// Bits of the smallest hash: a short message touches few lines of the table.
const HASH_BITS_MIN: u32 = 8;
/// Bytes that are looked at at once.
const WORD_BYTES: usize = size_of::<u64>();
/// Bits of a word that lie behind the shortest copy.
const UNUSED_BITS: u32 = 8 * (WORD_BYTES - COPY_BYTES_MIN) as u32;
/// Spreads a word over the table: an odd number without a pattern.
const HASH_FACTOR: u64 = 0x9e37_79b1_85eb_ca87;
/// Entries of the table.
const STAMPS: usize = 1 << HASH_BITS_MAX;
/// Bytes of the shortest copy that is looked for. Shorter ones take more time and, far back, more bits than literals do.
const COPY_BYTES_MIN: usize = 5;
/// A copy of fewer bytes gives way to a longer one that begins a byte later.
const GOOD_COPY_BYTES: usize = 12;
/// Looks in a row without a copy after which one more byte is passed over at each, and so on: what does not compress is
/// soon passed.
const PATIENCE_LOOKS: usize = 64;
/// Tokens that one look adds at most, at the longest skip, and those behind the last look.
const STEP_TOKENS_MAX: usize = 2 + TOKENS_MAX / PATIENCE_LOOKS + WORD_BYTES;

/// Bytes that stand somewhere before.
struct Copy {
    length: usize,
    /// How far back, less 1.
    past: u32,
}

/// The table, kept from message to message.
pub(super) struct Matcher {
    /// For each hash the stamp of the last place that had it, plus one. A stamp counts the bytes of all messages, and wraps.
    stamps: Box<[u16; STAMPS]>,
    /// The stamp of the next message's first byte.
    next: u16,
}

impl Default for Matcher {
    fn default() -> Self {
        Self {
            stamps: Box::new([0; STAMPS]),
            next: 0,
        }
    }
}

impl Matcher {
    /// The stamp of the first byte of a message of `len` bytes, which is to be parsed block by block.
    pub(super) fn begin(&mut self, len: usize) -> u16 {
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        if let Some(next) = self.next.checked_add(len) {
            return std::mem::replace(&mut self.next, next);
        }
        self.stamps.fill(0);
        self.next = len;
        0
    }

    /// Makes a block of what stands at `start` and behind it, and says where the block ends. Copies reach back
    /// `window_bytes` at the most. The symbols are `COUNTED` or not.
    // A function of its own keeps its values in registers: a tenth fewer instructions.
    #[inline(never)]
    pub(super) fn parse<const COUNTED: bool>(
        &mut self,
        payload: &[u8],
        start: usize,
        first_stamp: u16,
        window_bytes: u32,
        block: &mut Block,
    ) -> usize {
        block.clear::<COUNTED>();
        let hash_bits = (payload.len().max(1).ilog2() + 1).clamp(HASH_BITS_MIN, HASH_BITS_MAX);
        let mut find =
            |word, at| self.find(payload, word, at, first_stamp, hash_bits, window_bytes);
        let mut at = start;
        let mut missed = 0;
        while let Some(word) = word_at(payload, at) {
            if block.len() + STEP_TOKENS_MAX > TOKENS_MAX {
                return at;
            }
            if let Some(mut copy) = find(word, at) {
                if copy.length < GOOD_COPY_BYTES
                    && let Some(next) = word_at(payload, at + 1)
                    && let Some(next) = find(next, at + 1)
                    && next.length > copy.length
                {
                    block.push_literal::<COUNTED>(word as u8);
                    at += 1;
                    copy = next;
                }
                block.push_copy::<COUNTED>(copy.length, copy.past);
                at += copy.length;
                missed = 0;
                continue;
            }
            block.push_literal::<COUNTED>(word as u8);
            at += 1;
            missed += 1;
            if missed >= PATIENCE_LOOKS {
                let next = payload.len().min(at + missed / PATIENCE_LOOKS);
                payload[at..next]
                    .iter()
                    .for_each(|&byte| block.push_literal::<COUNTED>(byte));
                at = next;
            }
        }
        payload[at..]
            .iter()
            .for_each(|&byte| block.push_literal::<COUNTED>(byte));
        payload.len()
    }

    /// The copy that the bytes at `at` may be; and these become what later ones may be copies of.
    #[inline(always)]
    fn find(
        &mut self,
        payload: &[u8],
        word: u64,
        at: usize,
        first_stamp: u16,
        hash_bits: u32,
        window_bytes: u32,
    ) -> Option<Copy> {
        let hash = ((word << UNUSED_BITS).wrapping_mul(HASH_FACTOR) >> (u64::BITS - hash_bits))
            as usize
            % STAMPS;
        let stamp = first_stamp.wrapping_add(at as u16);
        let past = u32::from(stamp.wrapping_sub(self.stamps[hash]));
        self.stamps[hash] = stamp.wrapping_add(1);
        // One branch for both questions: whether there is such a place, and whether the same stands there.
        let is_out = u32::from(past >= window_bytes.min(at as u32));
        let from = at - ((past + 1) & is_out.wrapping_sub(1)) as usize;
        let differing = (word_at(payload, from)? ^ word) << UNUSED_BITS;
        if differing | u64::from(is_out) != 0 {
            return None;
        }
        let (from_more, at_more) = (from + COPY_BYTES_MIN, at + COPY_BYTES_MIN);
        Some(Copy {
            length: COPY_BYTES_MIN + common_bytes(payload, from_more, at_more),
            past,
        })
    }
}

#[inline(always)]
fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..)?.first_chunk::<WORD_BYTES>()?;
    Some(u64::from_le_bytes(*word))
}

/// How many bytes are the same from both places on, up to the end of the longest copy.
#[inline(always)]
fn common_bytes(bytes: &[u8], from: usize, at: usize) -> usize {
    let (there, here) = (&bytes[from..], &bytes[at..]);
    let most = here.len().min(MATCH_BYTES_MAX - COPY_BYTES_MIN);
    let mut count = 0;
    while count < most {
        let (Some(a), Some(b)) = (chunk_at(there, count), chunk_at(here, count)) else {
            let rest = here[count..most].iter().zip(&there[count..]);
            return count + rest.take_while(|(a, b)| a == b).count();
        };
        let differing = a ^ b;
        if differing != 0 {
            return most.min(count + differing.trailing_zeros() as usize / 8);
        }
        count += size_of::<u128>();
    }
    most
}

#[inline(always)]
fn chunk_at(bytes: &[u8], at: usize) -> Option<u128> {
    let chunk = bytes.get(at..)?.first_chunk()?;
    Some(u128::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::deflate::symbols::{DISTANCES, END_OF_BLOCK, FIRST_LENGTH, LENGTHS};
    use crate::websocket::deflate::test_data;
    use crate::websocket::deflate::tokens::{
        EXTRA_SHIFT, FIRST_DISTANCE, SYMBOLS, Token, symbol_of,
    };
    use proptest::prelude::*;

    /// All tokens of a message, and how far back its copies reach.
    fn tokens(matcher: &mut Matcher, payload: &[u8], window_bytes: u32) -> Vec<Token> {
        let mut block = Block::default();
        let first_stamp = matcher.begin(payload.len());
        let (mut all, mut at) = (Vec::new(), 0);
        while at < payload.len() {
            let start = at;
            at = matcher.parse::<true>(payload, at, first_stamp, window_bytes, &mut block);
            assert!(at > start);
            let mut counts = [0; SYMBOLS];
            counts[END_OF_BLOCK] = 1;
            block
                .tokens()
                .iter()
                .for_each(|&token| counts[symbol_of(token)] += 1);
            assert_eq!(counts, block.counts);
            all.extend_from_slice(block.tokens());
        }
        all
    }

    /// What the tokens stand for, and their longest distance.
    fn undone(tokens: &[Token]) -> (Vec<u8>, usize) {
        let mut out = Vec::new();
        let mut tokens = tokens.iter();
        let mut longest = 0;
        let extra = |token: Token, bits: u8| {
            assert!(token >> EXTRA_SHIFT < 1 << bits);
            (token >> EXTRA_SHIFT) as usize
        };
        while let Some(&token) = tokens.next() {
            match symbol_of(token) {
                literal @ 0..END_OF_BLOCK => out.push(literal as u8),
                symbol => {
                    let (base, bits) = LENGTHS[symbol - FIRST_LENGTH];
                    let length = usize::from(base) + extra(token, bits);
                    let &token = tokens.next().expect("a distance");
                    let (base, bits) = DISTANCES[symbol_of(token) - FIRST_DISTANCE];
                    let distance = usize::from(base) + extra(token, bits);
                    longest = longest.max(distance);
                    for _ in 0..length {
                        out.push(out[out.len() - distance]);
                    }
                }
            }
        }
        (out, longest)
    }

    #[test]
    fn copies_reach_back_as_far_as_the_window_and_not_a_byte_further() {
        let mut matcher = Matcher::default();
        let word = b"a word that stands nowhere else";
        for bits in 8..=15 {
            for (past, is_found) in [(0, true), (1, false)] {
                let window = 1 << bits;
                let gap = test_data::noise(window + past - word.len());
                let payload = [word, &gap[..], word].concat();
                let (out, longest) = undone(&tokens(&mut matcher, &payload, window as u32));
                assert!(out == payload);
                assert_eq!(longest == window, is_found, "{longest} of {window}");
            }
        }
    }

    #[test]
    fn copies_are_as_long_as_they_may_be() {
        let mut matcher = Matcher::default();
        for len in [8, 19, 20, 21, 22, 257, 258, 266, 516, 5_160] {
            let payload = vec![7; 1 + len];
            let all = tokens(&mut matcher, &payload, 1 << 15);
            assert_eq!(
                undone(&all),
                (payload, if len > 258 { 258 } else { 1 }),
                "{len}"
            );
            assert_eq!(all.len(), 1 + 2 * len.div_ceil(MATCH_BYTES_MAX), "{len}");
        }
    }

    #[test]
    fn nothing_of_the_messages_before_is_seen() {
        let mut used = Matcher::default();
        let mut sizes = [128, 40_000, 7, 65_535, 65_536, 1_000, 200_000, 3, 30_000]
            .iter()
            .cycle();
        for round in 0..200 {
            let payload = test_data::json(sizes.next().expect("endless") + round);
            let all = tokens(&mut used, &payload, 1 << 15);
            assert!(
                all == tokens(&mut Matcher::default(), &payload, 1 << 15),
                "{round}"
            );
            assert!(undone(&all).0 == payload);
        }
    }

    #[test]
    fn what_does_not_compress_is_passed_in_growing_steps() {
        let payload = test_data::noise(100_000);
        let mut matcher = Matcher::default();
        assert_eq!(tokens(&mut matcher, &payload, 1 << 15).len(), payload.len());
        let seen = matcher.stamps.iter().filter(|&&stamp| stamp != 0).count();
        assert!(seen < STAMPS * 9 / 10, "{seen}");
    }

    proptest! {
        #![proptest_config(crate::websocket::properties(100))]

        #[test]
        fn tokens_stand_for_the_message(
            payloads in proptest::collection::vec(test_data::repetitive(20_000), 1..8),
            bits in 8u32..=15,
        ) {
            let mut matcher = Matcher::default();
            for payload in payloads {
                let (out, longest) = undone(&tokens(&mut matcher, &payload, 1 << bits));
                prop_assert!(out == payload);
                prop_assert!(longest <= 1 << bits);
            }
        }
    }
}
