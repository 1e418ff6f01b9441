//! How a block begins: which codes it is written in (RFC 1951 sections 3.2.6 and 3.2.7).

use super::huffman::{self, Code};
use super::symbols::{
    CODE_BITS_MAX, CODE_LENGTH_ORDER, CODE_LENGTH_SYMBOLS, DISTANCE_LENGTHS_MAX, DISTANCE_SYMBOLS,
    DISTANCES, FIRST_LENGTH, FIXED_DISTANCE_BITS, LENGTHS, LITLEN_LENGTHS_MAX, LITLEN_SYMBOLS,
    fixed_litlen_bits,
};
use super::tokens::{Counts, FIRST_DISTANCE, SYMBOLS};
use super::writer::{BitWriter, Codes, Full, code};
use std::ops::Range;

/// `BFINAL` and `BTYPE` of blocks that are not the last one, as they are written (section 3.2.3).
const FIXED_BLOCK: u32 = 0b010;
const DYNAMIC_BLOCK: u32 = 0b100;
/// Bits of both.
pub(super) const BLOCK_BITS: u32 = 3;
/// Bits of the three counts that a dynamic block has behind them.
const HEAD_BITS: u32 = 5 + 5 + 4;
/// The longest word of the code that code lengths are written in.
const CODE_LENGTH_BITS_MAX: usize = 7;
/// How many lengths of that code are listed at the least, and the bits of each.
const LISTED_MIN: usize = 4;
const LISTED_BITS: u32 = 3;
/// Code lengths of both alphabets.
const LENGTHS_MAX: usize = LITLEN_LENGTHS_MAX + DISTANCE_LENGTHS_MAX;
/// The symbols that repeat: the length before them 3 to 6 times, and zero 3 to 10 and 11 to 138 times.
const REPEAT: u8 = 16;
const ZEROS: u8 = 17;
const MANY_ZEROS: u8 = 18;
/// Their extra bits.
const REPEAT_BITS: [u32; 3] = [2, 3, 7];

/// The fixed codes.
pub(super) static FIXED: Codes = {
    let mut codes = [0; SYMBOLS];
    let mut symbol = 0;
    while symbol < LITLEN_LENGTHS_MAX {
        let first = match symbol {
            0..144 => 0x30,
            144..256 => 0x190 - 144,
            256..280 => -256,
            _ => 0xc0 - 280,
        };
        let bits = fixed_litlen_bits(symbol);
        let word = huffman::reversed((symbol as i32 + first) as u16, bits);
        codes[symbol] = code(word, bits, litlen_extra_bits(symbol));
        symbol += 1;
    }
    let mut symbol = 0;
    while symbol < DISTANCE_LENGTHS_MAX {
        let word = huffman::reversed(symbol as u16, FIXED_DISTANCE_BITS);
        codes[FIRST_DISTANCE + symbol] = code(word, FIXED_DISTANCE_BITS, DISTANCES[symbol].1);
        symbol += 1;
    }
    codes
};

const fn litlen_extra_bits(symbol: usize) -> u8 {
    if symbol < FIRST_LENGTH {
        0
    } else {
        LENGTHS[symbol - FIRST_LENGTH].1
    }
}

/// Begins a block in the fixed codes.
pub(super) fn begin_fixed(out: &mut BitWriter<'_>) {
    out.put(FIXED_BLOCK, BLOCK_BITS);
}

/// Begins a block in codes of its own, which are written into `codes`, if it becomes shorter by that than in the fixed
/// ones; else it does nothing and returns false.
pub(super) fn begin_dynamic(
    counts: &Counts,
    codes: &mut Codes,
    out: &mut BitWriter<'_>,
) -> Result<bool, Full> {
    let (litlen_counts, rest) = counts
        .split_first_chunk::<LITLEN_SYMBOLS>()
        .expect("all symbols are counted");
    let distance_counts = rest
        .first_chunk::<DISTANCE_SYMBOLS>()
        .expect("all symbols are counted");
    let litlen = Code::new(litlen_counts, CODE_BITS_MAX);
    let distance = Code::new(distance_counts, CODE_BITS_MAX);
    let head = Head::new(&litlen.lengths, &distance.lengths);
    if head.bits() + litlen.weight + distance.weight >= fixed_weight(counts) {
        return Ok(false);
    }
    head.write(out)?;
    for (symbol, word, bits) in litlen.words() {
        codes[symbol] = code(word, bits, litlen_extra_bits(symbol));
    }
    for (symbol, word, bits) in distance.words() {
        codes[FIRST_DISTANCE + symbol] = code(word, bits, DISTANCES[symbol].1);
    }
    Ok(true)
}

/// Bits of all symbols in the fixed codes, extra ones not counted.
fn fixed_weight(counts: &Counts) -> u32 {
    let sum = |symbols: Range<usize>| counts[symbols].iter().sum::<u32>();
    8 * sum(0..144)
        + 9 * sum(144..256)
        + 7 * sum(256..280)
        + 8 * sum(280..FIRST_DISTANCE)
        + u32::from(FIXED_DISTANCE_BITS) * sum(FIRST_DISTANCE..SYMBOLS)
}

/// The code lengths of a block, as they are written.
struct Head {
    litlen_lengths: usize,
    distance_lengths: usize,
    items: Items,
    /// The code that the items are written in.
    code: Code<CODE_LENGTH_SYMBOLS>,
    /// How many of its lengths are listed.
    listed: usize,
}

impl Head {
    fn new(litlen: &[u8; LITLEN_SYMBOLS], distance: &[u8; DISTANCE_SYMBOLS]) -> Self {
        let litlen = used(&litlen[..LITLEN_LENGTHS_MAX], FIRST_LENGTH);
        let distance = used(&distance[..DISTANCE_LENGTHS_MAX], 1);
        let mut all = [0; LENGTHS_MAX];
        all[..litlen.len()].copy_from_slice(litlen);
        let all = &mut all[..litlen.len() + distance.len()];
        all[litlen.len()..].copy_from_slice(distance);
        let mut items = Items::default();
        for run in all.chunk_by(|a, b| a == b) {
            items.push_run(run[0], run.len());
        }
        let code = Code::new(&items.counts, CODE_LENGTH_BITS_MAX);
        let is_used = |&symbol: &u8| code.lengths[usize::from(symbol)] != 0;
        let last = CODE_LENGTH_ORDER.iter().rposition(is_used);
        Self {
            litlen_lengths: litlen.len(),
            distance_lengths: distance.len(),
            listed: last.map_or(0, |last| last + 1).max(LISTED_MIN),
            items,
            code,
        }
    }

    /// How many bits `write` writes, without those that begin any block.
    fn bits(&self) -> u32 {
        let repeats = &self.items.counts[usize::from(REPEAT)..];
        let extra = repeats.iter().zip(REPEAT_BITS);
        HEAD_BITS
            + LISTED_BITS * self.listed as u32
            + self.code.weight
            + extra.map(|(count, bits)| count * bits).sum::<u32>()
    }

    fn write(&self, out: &mut BitWriter<'_>) -> Result<(), Full> {
        out.put(DYNAMIC_BLOCK, BLOCK_BITS);
        out.put((self.litlen_lengths - FIRST_LENGTH) as u32, 5);
        out.put(self.distance_lengths as u32 - 1, 5);
        out.put((self.listed - LISTED_MIN) as u32, 4);
        for &symbol in &CODE_LENGTH_ORDER[..self.listed] {
            out.flush()?;
            let length = self.code.lengths[usize::from(symbol)];
            out.put(length.into(), LISTED_BITS);
        }
        let mut codes = [(0, 0); CODE_LENGTH_SYMBOLS];
        for (symbol, word, bits) in self.code.words() {
            codes[symbol] = (word, bits);
        }
        for &(symbol, extra) in &self.items.list[..self.items.len] {
            out.flush()?;
            let (word, bits) = codes[usize::from(symbol)];
            out.put(word.into(), bits.into());
            if symbol >= REPEAT {
                out.put(extra.into(), REPEAT_BITS[usize::from(symbol - REPEAT)]);
            }
        }
        out.flush()
    }
}

/// Code lengths, runs of the same one put together.
struct Items {
    /// Symbols, and what their extra bits say.
    list: [(u8, u8); LENGTHS_MAX],
    len: usize,
    /// How often each symbol occurs.
    counts: [u32; CODE_LENGTH_SYMBOLS],
}

impl Items {
    fn push_run(&mut self, length: u8, count: usize) {
        let mut left = count;
        if length != 0 {
            self.push(length, 0);
            left -= 1;
        }
        while left > 0 {
            let (symbol, least, most) = match (length, left) {
                (0, 11..) => (MANY_ZEROS, 11, 138),
                (0, 3..) => (ZEROS, 3, 10),
                (_, 3..) => (REPEAT, 3, 6),
                _ => (length, 1, 1),
            };
            let taken = left.min(most);
            self.push(symbol, taken - least);
            left -= taken;
        }
    }

    fn push(&mut self, symbol: u8, extra: usize) {
        self.list[self.len] = (symbol, extra as u8);
        self.len += 1;
        self.counts[usize::from(symbol)] += 1;
    }
}

impl Default for Items {
    fn default() -> Self {
        Self {
            list: [(0, 0); LENGTHS_MAX],
            len: 0,
            counts: [0; CODE_LENGTH_SYMBOLS],
        }
    }
}

/// The lengths without the zeros at the end, but `least` at the least.
fn used(lengths: &[u8], least: usize) -> &[u8] {
    let last = lengths.iter().rposition(|&length| length != 0);
    &lengths[..least.max(last.map_or(0, |last| last + 1))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::deflate::symbols::END_OF_BLOCK;

    /// How many bits are written is foretold to the bit: the choice between the codes rests on it.
    #[test]
    fn the_size_of_a_head_is_known_before() {
        let mut litlen = [0; LITLEN_SYMBOLS];
        let mut dice = 1u32;
        for round in 0..2_000 {
            let mut at = 0;
            while at < LITLEN_LENGTHS_MAX {
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let run = 1 + (dice >> 8) as usize % [3, 12, 150][round % 3];
                let end = (at + run).min(LITLEN_LENGTHS_MAX);
                litlen[at..end].fill((dice >> 28) as u8 % 16);
                at = end;
            }
            let distance: [u8; DISTANCE_SYMBOLS] = std::array::from_fn(|symbol| {
                if symbol < round % 30 {
                    litlen[symbol]
                } else {
                    0
                }
            });
            let head = Head::new(&litlen, &distance);
            let mut out = [0; 1_000];
            let mut writer = BitWriter::new(&mut out);
            head.write(&mut writer).expect("room");
            assert_eq!(writer.written_bits(), BLOCK_BITS + head.bits());
        }
    }

    #[test]
    fn runs_of_every_length_are_written_whole() {
        for length in [0, 7] {
            for count in 1..=LENGTHS_MAX {
                let mut items = Items::default();
                items.push_run(length, count);
                let list = &items.list[..items.len];
                let repeated = list.iter().map(|&(symbol, extra)| match symbol {
                    REPEAT | ZEROS => 3 + usize::from(extra),
                    MANY_ZEROS => 11 + usize::from(extra),
                    _ => 1,
                });
                assert_eq!(repeated.sum::<usize>(), count, "{length} {count}");
                assert!(length == 0 || list[0] == (length, 0), "nothing to repeat");
                let most = if length == 0 { 138 } else { 6 };
                assert!(list.len() <= 3 + count / most, "{length} {count}");
            }
        }
    }

    /// A block in codes of its own is taken where it is smaller by one bit, and not where it is as long.
    #[test]
    fn the_shorter_codes_are_taken() {
        let mut taken = [0, 0];
        for len in 1..400u32 {
            let mut counts = [0; SYMBOLS];
            counts[END_OF_BLOCK] = 1;
            (0..len).for_each(|n| counts[(n * n % 31) as usize] += 1);
            let mut out = [0; 1_000];
            let mut writer = BitWriter::new(&mut out);
            let mut codes = FIXED;
            let is_own = begin_dynamic(&counts, &mut codes, &mut writer).expect("room");
            let weight = |codes: &Codes| {
                let bits = codes.iter().map(|code| code >> 16 & 0x1f);
                bits.zip(&counts)
                    .map(|(bits, count)| bits * count)
                    .sum::<u32>()
            };
            let own = writer.written_bits() + weight(&codes);
            let fixed = BLOCK_BITS + weight(&FIXED);
            assert_eq!(fixed_weight(&counts), weight(&FIXED));
            assert!(if is_own {
                own < fixed
            } else {
                writer.written_bits() == 0
            });
            taken[usize::from(is_own)] += 1;
        }
        assert!(taken.iter().all(|&count| count > 20), "{taken:?}");
    }
}
