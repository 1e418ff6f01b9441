//! How a block begins: which codes it is written in (RFC 1951 sections 3.2.6 and 3.2.7).

use super::huffman;
use super::matcher::{Counts, FIRST_DISTANCE, SYMBOLS};
use super::symbols::{
    CODE_BITS_MAX, CODE_LENGTH_ORDER, CODE_LENGTH_SYMBOLS, DISTANCE_LENGTHS_MAX, DISTANCE_SYMBOLS,
    DISTANCES, FIRST_LENGTH, FIXED_DISTANCE_BITS, LENGTHS, LITLEN_LENGTHS_MAX, LITLEN_SYMBOLS,
    fixed_litlen_bits,
};
use super::writer::{BitWriter, Codes, Full, code};

/// `BFINAL` and `BTYPE` of blocks that are not the last one, as they are written (section 3.2.3).
const FIXED_BLOCK: u32 = 0b010;
const DYNAMIC_BLOCK: u32 = 0b100;
/// Bits of both.
pub(super) const BLOCK_BITS: u32 = 3;
/// Bits of the three counts that a dynamic block has behind them.
const HEAD_BITS: u32 = 5 + 5 + 4;
/// The longest word of the code that code lengths are written in.
const CODE_LENGTH_BITS_MAX: usize = 7;
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

/// The lengths of the fixed code of literals and lengths.
static FIXED_LITLEN: [u8; LITLEN_SYMBOLS] = {
    let mut lengths = [0; LITLEN_SYMBOLS];
    let mut symbol = 0;
    while symbol < LITLEN_SYMBOLS {
        lengths[symbol] = fixed_litlen_bits(symbol);
        symbol += 1;
    }
    lengths
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
    let (litlen_counts, rest) = counts.split_first_chunk::<LITLEN_SYMBOLS>().expect("more");
    let distance_counts = rest.first_chunk::<DISTANCE_SYMBOLS>().expect("more");
    let (litlen, litlen_per_length) = huffman::lengths(litlen_counts, CODE_BITS_MAX);
    let (distance, distance_per_length) = huffman::lengths(distance_counts, CODE_BITS_MAX);
    let head = Head::new(&litlen, &distance);
    let distances: u32 = distance_counts.iter().sum();
    let fixed = weight(litlen_counts, &FIXED_LITLEN) + distances * u32::from(FIXED_DISTANCE_BITS);
    let own = weight(litlen_counts, &litlen) + weight(distance_counts, &distance);
    if own + head.bits() >= fixed {
        return Ok(false);
    }
    head.write(out)?;
    let words = huffman::words(&litlen, &litlen_per_length);
    for (symbol, (&word, &bits)) in words[..LITLEN_LENGTHS_MAX].iter().zip(&litlen).enumerate() {
        codes[symbol] = code(word, bits, litlen_extra_bits(symbol));
    }
    let words = huffman::words(&distance, &distance_per_length);
    let codes = &mut codes[FIRST_DISTANCE..];
    for (((code_, &word), &bits), &(_, extra)) in
        codes.iter_mut().zip(&words).zip(&distance).zip(&DISTANCES)
    {
        *code_ = code(word, bits, extra);
    }
    Ok(true)
}

/// Bits of all symbols, extra ones not counted.
fn weight<const N: usize>(counts: &[u32; N], lengths: &[u8; N]) -> u32 {
    let bits = |(&count, &length): (&u32, &u8)| count * u32::from(length);
    counts.iter().zip(lengths).map(bits).sum()
}

/// The code lengths of a block, as they are written.
struct Head {
    litlen_lengths: usize,
    distance_lengths: usize,
    /// Symbols and what their extra bits say.
    items: [(u8, u8); LENGTHS_MAX],
    items_len: usize,
    counts: [u32; CODE_LENGTH_SYMBOLS],
    /// The code of these symbols.
    lengths: [u8; CODE_LENGTH_SYMBOLS],
    words: [u16; CODE_LENGTH_SYMBOLS],
    lengths_len: usize,
}

impl Head {
    fn new(litlen: &[u8; LITLEN_SYMBOLS], distance: &[u8; DISTANCE_SYMBOLS]) -> Self {
        let litlen = used(&litlen[..LITLEN_LENGTHS_MAX], FIRST_LENGTH);
        let distance = used(&distance[..DISTANCE_LENGTHS_MAX], 1);
        let mut all = [0; LENGTHS_MAX];
        all[..litlen.len()].copy_from_slice(litlen);
        let all = &mut all[..litlen.len() + distance.len()];
        all[litlen.len()..].copy_from_slice(distance);
        let mut head = Self {
            litlen_lengths: litlen.len(),
            distance_lengths: distance.len(),
            items: [(0, 0); LENGTHS_MAX],
            items_len: 0,
            counts: [0; CODE_LENGTH_SYMBOLS],
            lengths: [0; CODE_LENGTH_SYMBOLS],
            words: [0; CODE_LENGTH_SYMBOLS],
            lengths_len: 0,
        };
        for run in all.chunk_by(|a, b| a == b) {
            head.push_run(run[0], run.len());
        }
        let (lengths, per_length) = huffman::lengths(&head.counts, CODE_LENGTH_BITS_MAX);
        head.lengths_len = CODE_LENGTH_ORDER
            .iter()
            .rposition(|&symbol| lengths[usize::from(symbol)] != 0)
            .map_or(4, |last| 4.max(last + 1));
        head.words = huffman::words(&lengths, &per_length);
        head.lengths = lengths;
        head
    }

    fn push_run(&mut self, length: u8, count: usize) {
        let mut left = count;
        if length != 0 {
            self.push(length, 0);
            left -= 1;
        }
        while left > 0 {
            let taken = match (length, left) {
                (0, 11..) => left.min(138),
                (0, 3..) => left,
                (_, 3..) => left.min(6),
                _ => 1,
            };
            match (length, taken) {
                (0, 11..) => self.push(MANY_ZEROS, taken - 11),
                (0, 3..) => self.push(ZEROS, taken - 3),
                (_, 3..) => self.push(REPEAT, taken - 3),
                _ => self.push(length, 0),
            }
            left -= taken;
        }
    }

    fn push(&mut self, symbol: u8, extra: usize) {
        self.items[self.items_len] = (symbol, extra as u8);
        self.items_len += 1;
        self.counts[usize::from(symbol)] += 1;
    }

    /// How many bits `write` writes, without those that begin any block.
    fn bits(&self) -> u32 {
        let repeats = &self.counts[usize::from(REPEAT)..];
        let extra: u32 = repeats
            .iter()
            .zip(REPEAT_BITS)
            .map(|(count, bits)| count * bits)
            .sum();
        HEAD_BITS + 3 * self.lengths_len as u32 + weight(&self.counts, &self.lengths) + extra
    }

    fn write(&self, out: &mut BitWriter<'_>) -> Result<(), Full> {
        out.put(DYNAMIC_BLOCK, BLOCK_BITS);
        out.put((self.litlen_lengths - FIRST_LENGTH) as u32, 5);
        out.put(self.distance_lengths as u32 - 1, 5);
        out.put(self.lengths_len as u32 - 4, 4);
        for &symbol in &CODE_LENGTH_ORDER[..self.lengths_len] {
            out.flush()?;
            out.put(u32::from(self.lengths[usize::from(symbol)]), 3);
        }
        for &(symbol, extra) in &self.items[..self.items_len] {
            out.flush()?;
            let bits = u32::from(self.lengths[usize::from(symbol)]);
            out.put(u32::from(self.words[usize::from(symbol)]), bits);
            if symbol >= REPEAT {
                out.put(u32::from(extra), REPEAT_BITS[usize::from(symbol - REPEAT)]);
            }
        }
        out.flush()
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
                let mut head = Head::new(&[0; LITLEN_SYMBOLS], &[0; DISTANCE_SYMBOLS]);
                head.items_len = 0;
                head.push_run(length, count);
                let items = &head.items[..head.items_len];
                let repeated = items.iter().map(|&(symbol, extra)| match symbol {
                    REPEAT => 3 + usize::from(extra),
                    ZEROS => 3 + usize::from(extra),
                    MANY_ZEROS => 11 + usize::from(extra),
                    _ => 1,
                });
                assert_eq!(repeated.sum::<usize>(), count, "{length} {count}");
                assert!(
                    length == 0 || items[0] == (length, 0),
                    "nothing to repeat before it"
                );
                assert!(items.len() <= 1 + count.div_ceil(if length == 0 { 138 } else { 6 }) + 2);
            }
        }
    }
}
