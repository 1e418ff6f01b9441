//! What the tests of this module compress.

use proptest::prelude::*;

/// Text as applications send it, cut to `len` bytes.
pub(super) fn json(len: usize) -> Vec<u8> {
    let mut text = String::from("[");
    let mut dice = 0x2545_f491_u32;
    let mut below = |end: u32| {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (dice >> 16) % end
    };
    while text.len() < len {
        text.push_str(&format!(
            r#"{{"id":"{:04x}-{:04x}","user":"u{}","at":17637264{:05},"level":{}.{:03},"ok":{}}},"#,
            below(1 << 16),
            below(1 << 16),
            below(900),
            below(100_000),
            below(9),
            below(1_000),
            below(8) > 0
        ));
    }
    text.truncate(len);
    text.into_bytes()
}

/// Bytes that do not compress.
pub(super) fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Pieces of few different bytes or of many, some of them repeated.
pub(super) fn repetitive(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(0u8..4, 0..300),
        proptest::collection::vec(any::<u8>(), 0..300),
        proptest::collection::vec(b' '..b'~', 0..100),
        (any::<u8>(), 0..900usize).prop_map(|(byte, len)| vec![byte; len]),
    ];
    let pieces = proptest::collection::vec((piece, any::<u16>()), 1..12);
    pieces.prop_map(move |pieces| {
        let mut out = Vec::new();
        for (piece, back) in pieces {
            out.extend_from_slice(&piece);
            let back = usize::from(back) % (out.len() + 1);
            let copy = out[back..].iter().copied().take(400).collect::<Vec<_>>();
            out.extend_from_slice(&copy);
        }
        out.truncate(len_max);
        out
    })
}
