use super::*;
use crate::websocket::deflate::{TAIL, ZLIB_BYTES_MIN, compressor, deflate, test_data};
use flate2::{Decompress, FlushDecompress, Status};
use proptest::prelude::*;

fn encoded(encoder: &mut Encoder, payload: &[u8], window_bits: u8) -> Option<Vec<u8>> {
    let mut out = b"kept".to_vec();
    let smaller = encoder.deflate(payload, window_bits, Aim::Quick, &mut out);
    assert_eq!(out[..4], *b"kept");
    let deflated = out.split_off(4);
    smaller.then_some(deflated)
}

/// What zlib makes of it with a window of its own of that size, in steps so small that a copy from beyond fails.
fn zlib_inflated(deflated: &[u8], window_bits: u8, len: usize) -> Vec<u8> {
    let input = [deflated, &TAIL].concat();
    let mut zlib = Decompress::new_with_window_bits(false, window_bits);
    let mut out = Vec::new();
    loop {
        let mut step = [0; 16];
        let (before_in, before_out) = (zlib.total_in(), zlib.total_out());
        let status = zlib
            .decompress(
                &input[before_in as usize..],
                &mut step,
                FlushDecompress::None,
            )
            .expect("valid");
        assert_ne!(status, Status::StreamEnd, "no block is final");
        out.extend_from_slice(&step[..(zlib.total_out() - before_out) as usize]);
        assert!(out.len() <= len);
        if zlib.total_in() == before_in && zlib.total_out() == before_out {
            assert_eq!(before_in as usize, input.len(), "all of it was understood");
            return out;
        }
    }
}

#[test]
fn every_size_of_json_gets_smaller_and_comes_back() {
    let mut encoder = Encoder::default();
    for len in (100..700).chain([1_000, 4_096, 16_384, 65_535, 65_536, 200_000, 1 << 20]) {
        let payload = test_data::json(len);
        for window_bits in [9, 15] {
            let deflated = encoded(&mut encoder, &payload, window_bits).expect("smaller");
            assert!(
                zlib_inflated(&deflated, window_bits, len) == payload,
                "{len} {window_bits}"
            );
        }
    }
}

#[test]
fn it_makes_json_smaller_than_the_fastest_zlib_does() {
    let mut encoder = Encoder::default();
    for len in [512, 1_024, 4_096, 16_384, 65_536] {
        let payload = test_data::json(len);
        let own = encoded(&mut encoder, &payload, 15).expect("smaller").len();
        let mut out = Vec::new();
        deflate(&mut compressor(1, 15), &payload, false, &mut out);
        assert!(own * 10 < out.len() * 9, "{len}: {own} and {}", out.len());
    }
    // In the fixed codes there is little to gain.
    let payload = test_data::json(128);
    let mut out = Vec::new();
    deflate(&mut compressor(1, 15), &payload, false, &mut out);
    let own = encoded(&mut encoder, &payload, 15).expect("smaller").len();
    assert!(own * 20 <= out.len() * 21, "{own} and {}", out.len());
}

/// Why zlib is not asked for these, whatever the level.
#[test]
fn it_makes_short_messages_as_small_as_zlib_can() {
    let mut encoder = Encoder::default();
    let mut sums = (0, 0);
    for len in 80..ZLIB_BYTES_MIN {
        let payload = test_data::json(len);
        let mut small = Vec::new();
        assert!(encoder.deflate(&payload, 15, Aim::Small, &mut small));
        assert_eq!(zlib_inflated(&small, 15, len), payload);
        let mut zlib = Vec::new();
        deflate(&mut compressor(9, 15), &payload, false, &mut zlib);
        let (own, zlib) = (small.len(), zlib.len());
        assert!(own <= zlib + 4 + zlib / 50, "{len}: {own} and {zlib}");
        sums = (sums.0 + own, sums.1 + zlib);
        let quick = encoded(&mut encoder, &payload, 15);
        assert!(
            quick
                .as_ref()
                .is_none_or(|quick| small.len() <= quick.len())
        );
        assert!(quick == Some(small) || len < QUICK_BYTES_MAX);
    }
    assert!(sums.0 * 100 < sums.1 * 102, "{sums:?}");
}

#[test]
fn what_does_not_get_smaller_is_refused() {
    let mut encoder = Encoder::default();
    for len in [0, 1, 2, 7, 8, 100, 511, 512, 5_000, 100_000] {
        assert_eq!(
            encoded(&mut encoder, &test_data::noise(len), 15),
            None,
            "{len}"
        );
    }
    for len in 0..4 {
        assert_eq!(encoded(&mut encoder, &vec![b'a'; len], 15), None, "{len}");
    }
}

/// `out` has to be smaller by one byte at the least: the edge where that is just so.
#[test]
fn one_byte_less_is_smaller() {
    let mut encoder = Encoder::default();
    let mut sizes = Vec::new();
    for len in 4..200 {
        let payload = [&test_data::noise(len)[..], &[b'a'; 12]].concat();
        if let Some(deflated) = encoded(&mut encoder, &payload, 15) {
            assert_eq!(zlib_inflated(&deflated, 15, payload.len()), payload);
            sizes.push(payload.len() - deflated.len());
        }
    }
    assert_eq!(sizes.iter().min(), Some(&1), "{sizes:?}");
}

#[test]
fn a_message_ends_with_the_header_of_an_empty_stored_block() {
    // In the fixed codes: a literal, a copy of 19 bytes from one byte back, the end of the block; and three zeros.
    let deflated = encoded(&mut Encoder::default(), &[b'a'; 20], 15);
    assert_eq!(
        deflated.as_deref(),
        Some(&[0x4a, 0xc4, 0x02, 0x00, 0x00][..])
    );
}

#[test]
fn bytes_of_all_kinds_in_one_message() {
    let mut encoder = Encoder::default();
    let payload = [
        test_data::json(30_000),
        test_data::noise(30_000),
        vec![0; 100_000],
        test_data::json(30_000),
    ]
    .concat();
    let deflated = encoded(&mut encoder, &payload, 15).expect("smaller");
    assert!(deflated.len() < 55_000, "{}", deflated.len());
    assert!(zlib_inflated(&deflated, 15, payload.len()) == payload);
}

proptest! {
    #![proptest_config(crate::websocket::properties(200))]

    #[test]
    fn what_was_deflated_inflates(
        payloads in proptest::collection::vec(test_data::repetitive(3_000), 1..6),
        window_bits in 9u8..=15,
    ) {
        let mut encoder = Encoder::default();
        for payload in payloads {
            if let Some(deflated) = encoded(&mut encoder, &payload, window_bits) {
                prop_assert!(deflated.len() < payload.len());
                prop_assert_eq!(zlib_inflated(&deflated, window_bits, payload.len()), payload);
            }
        }
    }
}
