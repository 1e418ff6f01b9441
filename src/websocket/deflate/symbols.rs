//! The alphabets of deflate (RFC 1951 sections 3.2.5 to 3.2.7).

/// Literals, the end of a block and the lengths; the last two never occur.
pub(super) const LITLEN_SYMBOLS: usize = 288;
/// Distances; the last two never occur.
pub(super) const DISTANCE_SYMBOLS: usize = 32;
/// Symbols that code lengths are written in.
pub(super) const CODE_LENGTH_SYMBOLS: usize = 19;
/// The most lengths of either code that a block can announce and that mean something.
pub(super) const LITLEN_LENGTHS_MAX: usize = 286;
pub(super) const DISTANCE_LENGTHS_MAX: usize = 30;
/// Ends a block.
pub(super) const END_OF_BLOCK: usize = 256;
/// The first symbol that is a length.
pub(super) const FIRST_LENGTH: usize = 257;
/// Bytes of the shortest and of the longest match.
pub(super) const MATCH_BYTES_MIN: usize = 3;
pub(super) const MATCH_BYTES_MAX: usize = 258;
/// Bits of the longest code.
pub(super) const CODE_BITS_MAX: usize = 15;

/// The order in which a block lists the lengths of the code that its code lengths are written in.
pub(super) const CODE_LENGTH_ORDER: [u8; CODE_LENGTH_SYMBOLS] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// The shortest length and the number of extra bits of each length symbol, counted from `FIRST_LENGTH`.
pub(super) const LENGTHS: [(u16, u8); 29] = {
    let mut lengths = [(0, 0); 29];
    let mut base = MATCH_BYTES_MIN as u16;
    let mut symbol = 0;
    while symbol < 28 {
        let extra = if symbol < 8 { 0 } else { symbol / 4 - 1 };
        lengths[symbol] = (base, extra as u8);
        base += 1 << extra;
        symbol += 1;
    }
    lengths[28] = (MATCH_BYTES_MAX as u16, 0);
    lengths
};

/// The shortest distance and the number of extra bits of each distance symbol.
pub(super) const DISTANCES: [(u16, u8); DISTANCE_LENGTHS_MAX] = {
    let mut distances = [(0, 0); DISTANCE_LENGTHS_MAX];
    let mut base = 1u32;
    let mut symbol = 0;
    while symbol < DISTANCE_LENGTHS_MAX {
        let extra = if symbol < 4 { 0 } else { symbol / 2 - 1 };
        distances[symbol] = (base as u16, extra as u8);
        base += 1 << extra;
        symbol += 1;
    }
    distances
};

/// Bits of the fixed code of a literal or length symbol.
pub(super) const fn fixed_litlen_bits(symbol: usize) -> u8 {
    match symbol {
        0..144 => 8,
        144..256 => 9,
        256..280 => 7,
        _ => 8,
    }
}

/// Bits of the fixed code of every distance symbol.
pub(super) const FIXED_DISTANCE_BITS: u8 = 5;

/// The length symbol of a match, counted from `FIRST_LENGTH`, by its length less `MATCH_BYTES_MIN`.
pub(super) const LENGTH_SYMBOL: [u8; MATCH_BYTES_MAX - MATCH_BYTES_MIN + 1] = {
    let mut symbols = [0; MATCH_BYTES_MAX - MATCH_BYTES_MIN + 1];
    let mut symbol = 0;
    while symbol < LENGTHS.len() {
        // The last symbol alone overwrites the end of the range before it.
        let mut at = LENGTHS[symbol].0 as usize - MATCH_BYTES_MIN;
        while at < symbols.len() {
            symbols[at] = symbol as u8;
            at += 1;
        }
        symbol += 1;
    }
    symbols
};

/// The symbol of a distance, and what its extra bits say. `past` is the distance less 1.
#[inline]
pub(super) const fn distance_symbol(past: u32) -> (usize, u32) {
    if past < 4 {
        return (past as usize, 0);
    }
    let extra_bits = past.ilog2() - 1;
    let symbol = 2 * extra_bits + (past >> extra_bits);
    (symbol as usize, past & ((1 << extra_bits) - 1))
}
