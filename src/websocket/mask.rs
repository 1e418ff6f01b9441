//! Masking (RFC 6455 section 5.3): the payload XORed with a key of four bytes, over and over.
//!
//! Only plain loops over words live here, written so that the compiler turns them into vector code; never a
//! rule about who has to mask.

/// Bytes of the words that the loops work in.
const WORD: usize = size_of::<u64>();
/// The top bit of each byte: set where a byte is not ASCII.
const TOP_BITS: u64 = 0x8080_8080_8080_8080;

/// XORs `bytes` with `key`, the first byte with `key[0]`. The second time undoes the first.
#[inline]
pub fn apply(bytes: &mut [u8], key: [u8; 4]) {
    let wide = widen(key);
    let (words, tail) = bytes.as_chunks_mut::<WORD>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= mask;
    }
}

/// Does what [`apply`] does and tells whether the result is ASCII, which costs next to nothing on the way.
#[inline]
pub fn apply_ascii(bytes: &mut [u8], key: [u8; 4]) -> bool {
    let wide = widen(key);
    let mut seen = 0u64;
    let mut seen_tail = 0u8;
    let (words, tail) = bytes.as_chunks_mut::<WORD>();
    for word in words {
        let plain = u64::from_ne_bytes(*word) ^ wide;
        seen |= plain;
        *word = plain.to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= mask;
        seen_tail |= *byte;
    }
    seen & TOP_BITS == 0 && seen_tail.is_ascii()
}

/// Copies `from` to `to`, XORed with `key`, in one pass, and tells whether the result is ASCII.
///
/// # Panics
/// Where the two differ in length.
#[inline]
pub fn copy_ascii(from: &[u8], to: &mut [u8], key: [u8; 4]) -> bool {
    assert_eq!(from.len(), to.len(), "copied to a place of another length");
    let wide = widen(key);
    let mut seen = 0u64;
    let mut seen_tail = 0u8;
    let (from_words, from_tail) = from.as_chunks::<WORD>();
    let (to_words, to_tail) = to.as_chunks_mut::<WORD>();
    for (to, from) in to_words.iter_mut().zip(from_words) {
        let plain = u64::from_ne_bytes(*from) ^ wide;
        seen |= plain;
        *to = plain.to_ne_bytes();
    }
    for ((to, from), mask) in to_tail.iter_mut().zip(from_tail).zip(wide.to_ne_bytes()) {
        *to = from ^ mask;
        seen_tail |= *to;
    }
    seen & TOP_BITS == 0 && seen_tail.is_ascii()
}

/// The key for what follows after `count` bytes were masked with `key`.
#[inline]
#[must_use]
pub fn rotate(mut key: [u8; 4], count: usize) -> [u8; 4] {
    key.rotate_left(count % 4);
    key
}

#[inline]
fn widen(key: [u8; 4]) -> u64 {
    let [a, b, c, d] = key;
    u64::from_ne_bytes([a, b, c, d, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(bytes: &[u8], key: [u8; 4]) -> Vec<u8> {
        (0..bytes.len()).map(|i| bytes[i] ^ key[i % 4]).collect()
    }

    #[test]
    fn the_example_of_the_rfc() {
        let mut bytes = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        apply(&mut bytes, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&bytes, b"Hello");
    }

    proptest! {
        #![proptest_config(crate::websocket::properties(1000))]

        #[test]
        fn every_loop_agrees_with_the_definition(bytes: Vec<u8>, key: [u8; 4], cut in 0usize..200) {
            let wanted = naive(&bytes, key);
            let mut whole = bytes.clone();
            apply(&mut whole, key);
            prop_assert_eq!(&whole, &wanted);

            let mut noticed = bytes.clone();
            prop_assert_eq!(apply_ascii(&mut noticed, key), wanted.is_ascii());
            prop_assert_eq!(&noticed, &wanted);

            let mut copied = vec![0; bytes.len()];
            prop_assert_eq!(copy_ascii(&bytes, &mut copied, key), wanted.is_ascii());
            prop_assert_eq!(&copied, &wanted);

            let cut = cut.min(bytes.len());
            let mut pieces = bytes;
            let (first, second) = pieces.split_at_mut(cut);
            apply(first, key);
            apply(second, rotate(key, cut));
            prop_assert_eq!(&pieces, &wanted);
        }

        #[test]
        fn ascii_text_is_seen_as_ascii(text in "[ -~]{0,100}", key: [u8; 4]) {
            let mut bytes = naive(text.as_bytes(), key);
            prop_assert!(apply_ascii(&mut bytes, key));
            prop_assert_eq!(bytes, text.as_bytes());
        }
    }
}
