//! Masking (RFC 6455 section 5.3): the payload XORed with a key of four bytes, over and over.
//!
//! Only loops over wide words live here, never a rule about who has to mask. The last word of a payload overlaps the one
//! before it, so that no payload of a word or more is finished byte by byte.

use wide::u8x16;

/// Bytes of the widest word.
const LANE: usize = 16;
/// Bytes of a block of them.
const BLOCK: usize = 4 * LANE;
/// The top bit of each byte: set where a byte is not ASCII.
const TOP_BITS: u64 = 0x8080_8080_8080_8080;

/// XORs `bytes` with `key`, the first byte with `key[0]`. The second time undoes the first.
#[inline]
pub fn apply(bytes: &mut [u8], key: [u8; 4]) {
    apply_ascii(bytes, key);
}

/// Does what [`apply`] does and tells whether the result is ASCII, which costs next to nothing on the way.
#[inline]
pub fn apply_ascii(bytes: &mut [u8], key: [u8; 4]) -> bool {
    let Some(last) = bytes.last_chunk::<LANE>() else {
        return apply_short(bytes, key);
    };
    let mask = lane(key);
    let end = u8x16::new(*last) ^ lane(rotate(key, bytes.len() - LANE));
    let mut seen = end;
    let (blocks, rest) = bytes.as_chunks_mut::<BLOCK>();
    for block in blocks {
        seen |= unmask_lanes(block, mask);
    }
    seen |= unmask_lanes(rest, mask);
    if let Some(last) = bytes.last_chunk_mut() {
        *last = end.to_array();
    }
    seen.to_bitmask() == 0
}

/// Copies `from` to `to`, XORed with `key`, and tells whether the result is ASCII.
///
/// # Panics
/// Where the two differ in length.
#[inline]
pub fn copy_ascii(from: &[u8], to: &mut [u8], key: [u8; 4]) -> bool {
    assert_eq!(from.len(), to.len(), "copied to a place of another length");
    let mask = lane(key);
    let mut seen = u8x16::ZERO;
    let (from_lanes, from_rest) = from.as_chunks::<LANE>();
    let (to_lanes, to_rest) = to.as_chunks_mut::<LANE>();
    for (to, from) in to_lanes.iter_mut().zip(from_lanes) {
        let plain = u8x16::new(*from) ^ mask;
        *to = plain.to_array();
        seen |= plain;
    }
    to_rest.copy_from_slice(from_rest);
    apply_short(to_rest, key) && seen.to_bitmask() == 0
}

/// Unmasks the whole lanes of `bytes` and gives all of them in one.
#[inline(always)]
fn unmask_lanes(bytes: &mut [u8], mask: u8x16) -> u8x16 {
    let mut seen = u8x16::ZERO;
    for lane in bytes.as_chunks_mut::<LANE>().0 {
        let plain = u8x16::new(*lane) ^ mask;
        *lane = plain.to_array();
        seen |= plain;
    }
    seen
}

/// Less than a lane: two words that may overlap, or single bytes.
#[inline]
fn apply_short(bytes: &mut [u8], key: [u8; 4]) -> bool {
    let length = bytes.len();
    if let (Some(&first), Some(&last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let first = u64::from_ne_bytes(first) ^ widen(key);
        let last = u64::from_ne_bytes(last) ^ widen(rotate(key, length - size_of::<u64>()));
        bytes[..size_of::<u64>()].copy_from_slice(&first.to_ne_bytes());
        bytes[length - size_of::<u64>()..].copy_from_slice(&last.to_ne_bytes());
        return (first | last) & TOP_BITS == 0;
    }
    let mut seen = 0;
    for (byte, mask) in bytes.iter_mut().zip(widen(key).to_ne_bytes()) {
        *byte ^= mask;
        seen |= *byte;
    }
    seen.is_ascii()
}

/// The key for what follows after `count` bytes were masked with `key`.
#[inline]
#[must_use]
pub fn rotate(key: [u8; 4], count: usize) -> [u8; 4] {
    let bits = 8 * (count % 4) as u32;
    u32::from_le_bytes(key).rotate_right(bits).to_le_bytes()
}

#[inline(always)]
fn lane(key: [u8; 4]) -> u8x16 {
    let [a, b, c, d] = key;
    u8x16::new([a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d])
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
