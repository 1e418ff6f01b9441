use super::*;
use proptest::prelude::*;

fn inflated(
    decompress: &mut Decompress,
    compressed: &[u8],
    bytes_max: usize,
) -> Result<Vec<u8>, Violation> {
    let mut out = Assembly::default();
    inflate(
        decompress,
        compressed,
        false,
        bytes_max,
        &mut out,
        &mut Pool::default(),
    )
    .map(|()| out.payload().to_vec())
}

fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(deflate(&mut compressor(6, 15), payload, false, &mut out));
    out
}

#[test]
fn an_output_that_ends_exactly_with_the_room_is_complete() {
    let payload: Vec<u8> = (0..3000u32).map(|n| (n * n % 251) as u8).collect();
    let whole = deflated(&payload);
    for room in 0..40 {
        let mut out = Vec::with_capacity(room);
        assert!(deflate(&mut compressor(6, 15), &payload, false, &mut out));
        assert_eq!(
            inflated(&mut decompressor(), &out, 3000),
            Ok(payload.clone())
        );
        assert!(out.len() <= whole.len() + 5);
    }
}

#[test]
fn a_compressor_gives_up_where_the_result_is_not_smaller() {
    let payload: Vec<u8> = (0..=255).collect();
    let mut out = Vec::new();
    assert!(!deflate(&mut compressor(6, 15), &payload, true, &mut out));
    assert!(out.len() >= payload.len());
}

/// Where the compressor was left within a block, level 1 lost the beginning of the next message, or panicked.
#[test]
fn a_compressor_that_gave_up_is_as_good_as_new_after_a_reset() {
    let mut state = 0x2545_f491_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(70_000)
    .collect();
    let payload = b"a message that is worth it, a message that is worth it".repeat(400);
    for level in 0..=9 {
        let mut compress = compressor(level, 15);
        for _ in 0..4 {
            compress.reset();
            let mut out = Vec::new();
            assert!(!deflate(&mut compress, &noise, true, &mut out));
            assert_eq!(
                inflated(&mut decompressor(), &out, noise.len()).as_ref(),
                Ok(&noise)
            );
            compress.reset();
            out.clear();
            deflate(&mut compress, &payload, true, &mut out);
            assert_eq!(
                inflated(&mut decompressor(), &out, payload.len()).as_ref(),
                Ok(&payload)
            );
        }
    }
}

#[test]
fn the_limit_holds_to_the_byte() {
    let compressed = deflated(&[7; 10_000]);
    assert_eq!(
        inflated(&mut decompressor(), &compressed, 10_000).map(|out| out.len()),
        Ok(10_000)
    );
    assert_eq!(
        inflated(&mut decompressor(), &compressed, 9_999),
        Err(Violation::InflatedTooBig)
    );
    assert_eq!(
        inflated(&mut decompressor(), &compressed, 0),
        Err(Violation::InflatedTooBig)
    );
    assert_eq!(inflated(&mut decompressor(), &[0], 0), Ok(Vec::new()));
}

#[test]
fn the_step_is_checked_while_it_goes_on() {
    let mut text = vec![b'x'; 10 * INFLATE_STEP_BYTES];
    text[10] = 0xff;
    let mut out = Assembly::default();
    let compressed = deflated(&text);
    let max = text.len();
    let result = inflate(
        &mut decompressor(),
        &compressed,
        true,
        max,
        &mut out,
        &mut Pool::default(),
    );
    assert_eq!(result, Err(Violation::InvalidText));
    assert!(out.capacity() <= 2 * INFLATE_STEP_BYTES);
}

#[test]
fn an_inflater_is_ready_for_the_next_message_after_every_kind_of_end() {
    let mut decompress = decompressor();
    let hello = deflated(b"Hello");
    let ends: [&[u8]; 4] = [
        // A final block of codes; with an empty block behind it; a final stored block that ends in the tail.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[
            0x00, 0x05, 0x00, 0xfa, 0xff, b'H', b'e', b'l', b'l', b'o', 0x01,
        ],
        // A final stored block, and more behind it.
        &[
            0x01, 0x02, 0x00, 0xfd, 0xff, b'H', b'e', 0x00, 0x03, 0x00, 0xfc, 0xff, b'l', b'l',
            b'o', 0x00,
        ],
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let result = inflated(&mut decompress, end, 100);
        assert_eq!(result, Ok(b"Hello".to_vec()), "{n}");
        assert_eq!(
            inflated(&mut decompress, &hello, 100),
            Ok(b"Hello".to_vec()),
            "after {n}"
        );
    }
}

#[test]
fn a_message_of_nothing_but_final_blocks_is_inflated() {
    let blocks = [0x03, 0x00].repeat(500_000);
    assert_eq!(inflated(&mut decompressor(), &blocks, 100), Ok(Vec::new()));
}

proptest! {
    #![proptest_config(crate::websocket::properties(100))]

    #[test]
    fn what_was_deflated_inflates(
        payloads in proptest::collection::vec(proptest::collection::vec(0u8..20, 0..3000), 1..5),
        bits in 9u8..=15,
        level in 1u8..=9,
    ) {
        let mut compress = compressor(level, bits);
        let mut decompress = decompressor();
        for payload in payloads.iter().filter(|payload| !payload.is_empty()) {
            let mut out = Vec::new();
            prop_assert!(deflate(&mut compress, payload, false, &mut out));
            prop_assert_eq!(&inflated(&mut decompress, &out, payload.len()), &Ok(payload.clone()));
        }
    }

    #[test]
    fn any_bytes_inflate_within_the_limit_or_are_refused(bytes: Vec<u8>, max in 0usize..3000) {
        if let Ok(out) = inflated(&mut decompressor(), &bytes, max) {
            prop_assert!(out.len() <= max);
        }
    }

    #[test]
    fn a_message_cut_short_is_refused_or_a_prefix(payload in proptest::collection::vec(0u8..40, 1..600), cut: usize) {
        let whole = deflated(&payload);
        let cut = cut % whole.len();
        if let Ok(out) = inflated(&mut decompressor(), &whole[..cut], payload.len()) {
            prop_assert!(payload.starts_with(&out));
        }
    }
}
