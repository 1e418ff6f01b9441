//! UTF-8 checked as it arrives (RFC 6455 section 8.1, RFC 3629).
//!
//! Whole texts and pieces of texts; never a decision about what follows from a bad one.

/// Bytes that no continuation can turn into UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUtf8;

/// Whether `bytes` are a whole valid text.
#[inline]
#[must_use]
pub fn is_valid(bytes: &[u8]) -> bool {
    simdutf8::basic::from_utf8(bytes).is_ok()
}

/// Checks a text that comes in pieces, cut anywhere. Fails at the first byte that makes the text impossible, not at the
/// end of the character or of the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Utf8Stream {
    /// The bytes of a character that has begun; they can still become valid.
    carry: [u8; 3],
    carried: u8,
}

impl Utf8Stream {
    /// A text of which nothing has arrived.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            carry: [0; 3],
            carried: 0,
        }
    }

    /// Whether the last piece ended between two characters.
    #[inline]
    #[must_use]
    pub fn is_between_characters(&self) -> bool {
        self.carried == 0
    }

    /// Checks the next piece.
    ///
    /// # Errors
    /// Where what has arrived so far is not the beginning of any valid text.
    #[inline]
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), InvalidUtf8> {
        let mut rest = piece;
        while self.carried != 0 {
            let Some((&byte, after)) = rest.split_first() else {
                return Ok(());
            };
            self.complete(byte)?;
            rest = after;
        }
        let begun = begun_bytes(rest);
        let (whole, tail) = rest.split_at(rest.len() - begun);
        if !is_valid(whole) {
            return Err(InvalidUtf8);
        }
        for (place, &byte) in self.carry.iter_mut().zip(tail) {
            *place = byte;
        }
        self.carried = begun as u8;
        self.check_carry()
    }

    /// Ends the text.
    ///
    /// # Errors
    /// Where it ends in the middle of a character.
    #[inline]
    pub fn finish(&mut self) -> Result<(), InvalidUtf8> {
        if std::mem::take(&mut self.carried) == 0 {
            Ok(())
        } else {
            Err(InvalidUtf8)
        }
    }

    /// Takes one more byte of the character that has begun.
    fn complete(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        let have = usize::from(self.carried);
        let possible = if have == 1 {
            second_byte_fits(self.carry[0], byte)
        } else {
            is_continuation(byte)
        };
        if !possible {
            return Err(InvalidUtf8);
        }
        if have + 1 == width(self.carry[0]) {
            self.carried = 0;
        } else {
            self.carry[have] = byte;
            self.carried += 1;
        }
        Ok(())
    }

    /// The bytes after the lead byte were only found to be continuations, which is not enough for the second.
    fn check_carry(&self) -> Result<(), InvalidUtf8> {
        if self.carried >= 2 && !second_byte_fits(self.carry[0], self.carry[1]) {
            return Err(InvalidUtf8);
        }
        Ok(())
    }
}

/// How many bytes at the end of `bytes` begin a character that is not complete. Bytes that cannot begin or
/// continue one count as none, so that the check of what stands before them finds them.
#[inline]
fn begun_bytes(bytes: &[u8]) -> usize {
    for (before, &byte) in bytes.iter().rev().take(3).enumerate() {
        if !is_continuation(byte) {
            let have = before + 1;
            return if width(byte) > have { have } else { 0 };
        }
    }
    0
}

/// Bytes of the character that `lead` begins; 0 where it begins none.
#[inline]
fn width(lead: u8) -> usize {
    match lead {
        0x00..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        0x80..=0xc1 | 0xf5..=0xff => 0,
    }
}

/// RFC 3629 section 4: no overlong forms, no surrogates, nothing beyond U+10FFFF.
#[inline]
fn second_byte_fits(lead: u8, byte: u8) -> bool {
    match lead {
        0xe0 => matches!(byte, 0xa0..=0xbf),
        0xed => matches!(byte, 0x80..=0x9f),
        0xf0 => matches!(byte, 0x90..=0xbf),
        0xf4 => matches!(byte, 0x80..=0x8f),
        _ => is_continuation(byte),
    }
}

#[inline]
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds pieces; `Err(n)` where piece n failed.
    fn feed(pieces: &[&[u8]]) -> Result<bool, usize> {
        let mut stream = Utf8Stream::new();
        for (n, piece) in pieces.iter().enumerate() {
            stream.feed(piece).map_err(|InvalidUtf8| n)?;
        }
        Ok(stream.finish().is_ok())
    }

    #[test]
    fn characters_of_every_width_may_be_cut_anywhere() {
        let text = "a\u{e4}\u{20ac}\u{10ffff}\u{d7ff}\u{e000}";
        for cut in 0..=text.len() {
            let (first, second) = text.as_bytes().split_at(cut);
            assert_eq!(feed(&[first, second]), Ok(true), "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(feed(&bytes), Ok(true));
    }

    #[test]
    fn an_impossible_beginning_fails_at_its_first_impossible_byte() {
        for bad in [
            &[0xc0][..],
            &[0xc1],
            &[0xf5],
            &[0xff],
            &[0x80],
            &[0xf4, 0x90],
            &[0xed, 0xa0],
            &[0xe0, 0x9f],
            &[0xf0, 0x8f],
            &[0xe2, 0x28],
            &[0xf0, 0x90, 0x28],
            &[0xc3, 0xc3],
        ] {
            assert_eq!(feed(&[bad]), Err(0), "{bad:x?} in one piece");
            let bytes: Vec<&[u8]> = bad.chunks(1).collect();
            assert_eq!(feed(&bytes), Err(bad.len() - 1), "{bad:x?} in bytes");
            let long = [b"some text in front of it, long enough".as_slice(), bad].concat();
            assert_eq!(feed(&[&long]), Err(0), "{bad:x?} after text");
        }
    }

    #[test]
    fn a_text_that_ends_in_a_character_is_not_valid() {
        for begun in [&[0xc3][..], &[0xe2, 0x82], &[0xf4, 0x8f, 0xbf]] {
            assert_eq!(feed(&[begun]), Ok(false), "{begun:x?}");
        }
    }

    /// The stream has failed exactly where `std` says that no continuation helps.
    fn agrees_with_std(bytes: &[u8], cuts: &[usize]) -> Result<(), TestCaseError> {
        let mut stream = Utf8Stream::new();
        let mut start = 0;
        for end in cuts
            .iter()
            .map(|c| c % (bytes.len() + 1))
            .chain([bytes.len()])
        {
            let end = end.max(start);
            let result = stream.feed(&bytes[start..end]);
            let possible = match std::str::from_utf8(&bytes[..end]) {
                Ok(_) => true,
                Err(error) => error.error_len().is_none(),
            };
            prop_assert_eq!(result.is_ok(), possible);
            if !possible {
                return Ok(());
            }
            start = end;
        }
        prop_assert_eq!(stream.finish().is_ok(), std::str::from_utf8(bytes).is_ok());
        Ok(())
    }

    proptest! {
        #![proptest_config(crate::websocket::properties(1000))]

        #[test]
        fn any_bytes_in_any_split(bytes: Vec<u8>, cuts: Vec<usize>) {
            agrees_with_std(&bytes, &cuts)?;
        }

        #[test]
        fn damaged_texts_in_any_split(text: String, at: usize, byte: u8, cuts: Vec<usize>) {
            let mut bytes = text.into_bytes();
            if !bytes.is_empty() {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            agrees_with_std(&bytes, &cuts)?;
        }

        #[test]
        fn leads_and_continuations_in_any_split(
            bytes in proptest::collection::vec(
                proptest::sample::select(vec![0x41u8, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4]),
                0..12,
            ),
            cuts: Vec<usize>,
        ) {
            agrees_with_std(&bytes, &cuts)?;
        }
    }
}
