//! Bits into bytes, lowest first (RFC 1951 section 3.1.1), into a place of fixed size.

use super::tokens::{EXTRA_SHIFT, SYMBOLS, Token, symbol_of};

/// Bytes that a writer needs behind those that it fills.
pub(super) const SLACK_BYTES: usize = 7;

/// There is no more room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// The word of a symbol as it is written: `word | bits of the word << 16 | bits with the extra ones << 24`.
pub(super) type Packed = u32;

/// The words of all symbols.
pub(super) type Codes = [Packed; SYMBOLS];

/// Packs the word of a symbol that is followed by `extra_bits`.
pub(super) const fn code(word: u16, bits: u8, extra_bits: u8) -> Packed {
    word as u32 | (bits as u32) << 16 | ((bits + extra_bits) as u32) << 24
}

/// Where the bits go.
pub(super) struct BitWriter<'a> {
    out: &'a mut [u8],
    len: usize,
    /// The bits of the byte that is not full yet, and more between two flushes.
    bits: u64,
    count: u32,
}

impl<'a> BitWriter<'a> {
    /// Writes at the front of `out`, of which it needs `SLACK_BYTES` more than it fills.
    pub(super) fn new(out: &'a mut [u8]) -> Self {
        Self {
            out,
            len: 0,
            bits: 0,
            count: 0,
        }
    }

    /// Takes the lowest `count` bits, of which no others may be set. At most 56 go between two flushes.
    #[inline(always)]
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        debug_assert!(u64::from(bits) >> count == 0);
        self.bits |= u64::from(bits) << self.count;
        self.count += count;
        debug_assert!(self.count < u64::BITS);
    }

    /// Writes the whole bytes.
    #[inline(always)]
    pub(super) fn flush(&mut self) -> Result<(), Full> {
        let room = self.out.get_mut(self.len..).ok_or(Full)?;
        *room.first_chunk_mut().ok_or(Full)? = self.bits.to_le_bytes();
        self.len += (self.count / 8) as usize;
        self.bits >>= self.count & !7;
        self.count %= 8;
        Ok(())
    }

    /// Writes all symbols.
    // A function of its own keeps its values in registers.
    #[inline(never)]
    pub(super) fn tokens(&mut self, tokens: &[Token], codes: &Codes) -> Result<(), Full> {
        // A length and a distance with their longest words have 48 bits, and no two tokens have more.
        let (pairs, rest) = tokens.as_chunks::<2>();
        for &[first, second] in pairs {
            self.token(first, codes);
            self.token(second, codes);
            self.flush()?;
        }
        for &token in rest {
            self.token(token, codes);
            self.flush()?;
        }
        Ok(())
    }

    #[inline(always)]
    fn token(&mut self, token: Token, codes: &Codes) {
        let code = codes[symbol_of(token)];
        let bits = code & 0xffff | (token >> EXTRA_SHIFT).wrapping_shl(code >> 16);
        self.put(bits, code >> 24);
    }

    /// How many bits have come so far.
    #[cfg(test)]
    pub(super) fn written_bits(&self) -> u32 {
        8 * self.len as u32 + self.count
    }

    /// Fills the last byte up, and says how many were written.
    pub(super) fn finish(mut self) -> Result<usize, Full> {
        self.flush()?;
        Ok(self.len + usize::from(self.count > 0))
    }
}
