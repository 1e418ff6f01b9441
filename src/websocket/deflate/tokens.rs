//! What a message is made of before it is written: literals, lengths and distances, block by block.

use super::symbols::{
    END_OF_BLOCK, FIRST_LENGTH, LENGTH_SYMBOL, LENGTHS, LITLEN_SYMBOLS, MATCH_BYTES_MIN,
    distance_symbol,
};

/// The most tokens of a block: 32 KiB.
pub(super) const TOKENS_MAX: usize = 8192;

/// A symbol and its extra bits: `symbol | extra << EXTRA_SHIFT`. Symbols are numbered through: the distances follow the
/// literals and lengths.
pub(super) type Token = u32;
/// Where the extra bits of a token begin.
pub(super) const EXTRA_SHIFT: u32 = 16;
/// Room for the symbols of both alphabets; a power of two, so that an index is bounded by a mask.
pub(super) const SYMBOLS: usize = 512;
/// The number of the first distance.
pub(super) const FIRST_DISTANCE: usize = LITLEN_SYMBOLS;
/// How often each symbol occurs.
pub(super) type Counts = [u32; SYMBOLS];

/// The symbol that a token begins with.
#[inline]
pub(super) const fn symbol_of(token: Token) -> usize {
    token as usize & (SYMBOLS - 1)
}

/// The token of each length, counted from `MATCH_BYTES_MIN`.
static LENGTH_TOKENS: [Token; 256] = {
    let mut tokens = [0; 256];
    let mut at = 0;
    while at < tokens.len() {
        let symbol = LENGTH_SYMBOL[at] as usize;
        let extra = at + MATCH_BYTES_MIN - LENGTHS[symbol].0 as usize;
        tokens[at] = ((FIRST_LENGTH + symbol) | (extra << EXTRA_SHIFT)) as Token;
        at += 1;
    }
    tokens
};

/// What one block is made of.
pub(super) struct Block {
    tokens: Box<[Token; TOKENS_MAX]>,
    len: usize,
    /// Those of the block, where they were counted; its end included.
    pub(super) counts: Counts,
}

impl Block {
    /// The tokens, without the end of the block.
    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens[..self.len]
    }

    /// How many tokens there are.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Begins another block, whose symbols are `COUNTED` or not.
    pub(super) fn clear<const COUNTED: bool>(&mut self) {
        self.len = 0;
        if COUNTED {
            self.counts.fill(0);
            self.counts[END_OF_BLOCK] = 1;
        }
    }

    /// Adds a byte that stands for itself.
    #[inline(always)]
    pub(super) fn push_literal<const COUNTED: bool>(&mut self, byte: u8) {
        self.push::<COUNTED>(byte.into());
    }

    /// Adds a copy of `length` bytes from `past + 1` bytes back.
    #[inline(always)]
    pub(super) fn push_copy<const COUNTED: bool>(&mut self, length: usize, past: u32) {
        let (symbol, extra) = distance_symbol(past);
        self.push::<COUNTED>(LENGTH_TOKENS[(length - MATCH_BYTES_MIN) % LENGTH_TOKENS.len()]);
        self.push::<COUNTED>((FIRST_DISTANCE + symbol) as Token | (extra << EXTRA_SHIFT));
    }

    /// There must be room: past `TOKENS_MAX` the first tokens are lost.
    #[inline(always)]
    fn push<const COUNTED: bool>(&mut self, token: Token) {
        debug_assert!(self.len < TOKENS_MAX);
        self.tokens[self.len % TOKENS_MAX] = token;
        self.len += 1;
        if COUNTED {
            self.counts[symbol_of(token)] += 1;
        }
    }
}

impl Default for Block {
    fn default() -> Self {
        Self {
            tokens: Box::new([0; TOKENS_MAX]),
            len: 0,
            counts: [0; SYMBOLS],
        }
    }
}
