//! What broke other implementations, each under its name; see also the rules.

use super::*;
use crate::limits::{ASSEMBLY_SMALL_BYTES, EMPTY_FRAMES_PER_MESSAGE_MAX};
use crate::websocket::deflate as raw;

/// Bytes that a connection holds of the pool right now.
fn held(peer: &Peer) -> usize {
    peer.protocol
        .partial
        .as_ref()
        .map_or(0, |partial| partial.message.assembly.capacity())
}

#[test]
fn gorilla_cve_2020_27813_nats_cve_2026_27889_lengths_that_overflow() {
    for (length, wanted) in [
        (1u64 << 63, Violation::LengthTopBit),
        ((1 << 63) - 1, Violation::MessageTooBig),
        (u64::MAX, Violation::LengthTopBit),
    ] {
        for first in [0x82u8, 0x02] {
            let bytes = [&[first, 0xff][..], &length.to_be_bytes(), &KEY].concat();
            let mut peer = Peer::server();
            peer.feed(&bytes);
            assert_eq!(peer.failure, Some(wanted));
        }
        // A continuation whose sum with what is there would wrap around.
        let bytes = [
            &masked(0x02, &[0; 100])[..],
            &[0x80, 0xff],
            &length.to_be_bytes(),
            &KEY,
        ]
        .concat();
        let mut peer = Peer::server();
        peer.feed(&bytes);
        assert_eq!(peer.failure, Some(wanted));
    }
}

#[test]
fn rustsec_2022_0035_nothing_is_allocated_by_what_is_announced() {
    let mut peer = Peer::server();
    peer.codec.set_config(Config {
        message_bytes_max: 1 << 41,
        ..CONFIG
    });
    let header = [&[0x82, 0xff][..], &(1u64 << 40).to_be_bytes(), &KEY].concat();
    peer.feed(&header);
    assert_eq!((peer.failure, held(&peer)), (None, 0));
    peer.feed(b"x");
    assert_eq!(held(&peer), ASSEMBLY_SMALL_BYTES);
}

#[test]
fn ws_cve_2026_62389_a_message_never_finished_is_capped_and_seen() {
    let mut peer = Peer::server();
    peer.feed(&masked(0x02, b"x"));
    while peer.failure.is_none() {
        assert!(peer.protocol.is_mid_message());
        assert!(held(&peer) <= 2 * CONFIG.message_bytes_max);
        peer.feed(&masked(0x00, &[0; 1000]));
    }
    assert_eq!(peer.failure, Some(Violation::MessageTooBig));
    assert_eq!(held(&peer), 0);
}

#[test]
fn ws_pr_2329_undici_cve_2026_12151_endless_empty_continuations_are_counted() {
    let mut peer = Peer::server();
    peer.feed(&masked(0x02, b""));
    for _ in 1..EMPTY_FRAMES_PER_MESSAGE_MAX {
        peer.feed(&masked(0x00, b""));
    }
    assert_eq!(peer.failure, None);
    peer.feed(&masked(0x00, b""));
    let violation = peer.failure.expect("counted");
    assert_eq!(violation, Violation::TooManyEmptyFrames);
    assert_eq!(violation.code(), CloseCode::POLICY_VIOLATION);
}

#[test]
fn nats_cve_2026_27571_bandit_cve_2026_39804_faye_cve_2026_54464_a_deflate_bomb_costs_no_more_than_the_limit()
 {
    let mut bomb = Vec::new();
    let zeros = vec![0; 64 << 20];
    assert!(raw::deflate(
        &mut raw::compressor(9, 15),
        &zeros,
        false,
        &mut bomb
    ));
    assert!(bomb.len() < CONFIG.message_bytes_max + CONFIG.message_bytes_max / 64);
    for params in [TAKEOVER, NO_TAKEOVER] {
        for size in [1000, bomb.len() + 14] {
            let mut peer = Peer::new(Role::Server, Some(params));
            peer.feed_pieces(&masked(0xc2, &bomb), size);
            assert_eq!(peer.failure, Some(Violation::InflatedTooBig));
            let scratch = peer.codec.scratch.assembly.capacity();
            assert!(scratch <= CONFIG.message_bytes_max + 15, "{scratch}");
        }
    }
}

#[test]
fn a_message_that_inflates_to_exactly_the_limit_is_taken() {
    let max = CONFIG.message_bytes_max;
    for (len, wanted) in [(max, None), (max + 1, Some(Violation::InflatedTooBig))] {
        let mut deflated = Vec::new();
        assert!(raw::deflate(
            &mut raw::compressor(6, 15),
            &vec![1; len],
            false,
            &mut deflated
        ));
        let mut peer = Peer::new(Role::Server, Some(TAKEOVER));
        peer.feed(&masked(0xc2, &deflated));
        assert_eq!(peer.failure, wanted);
    }
}

#[test]
fn compressed_bytes_are_limited_before_they_are_inflated() {
    let max = raw::compressed_bytes_max(CONFIG.message_bytes_max);
    let header = encode_header(Opcode::Binary, true, true, max as u64 + 1, Some(KEY));
    let bytes = &header.as_slice()[..10];
    assert_eq!(violation(Some(TAKEOVER), bytes), Violation::MessageTooBig);
    let begun = [
        masked(0x42, &vec![0; max]),
        masked(0x80, b"x")[..2].to_vec(),
    ]
    .concat();
    assert_eq!(violation(Some(TAKEOVER), &begun), Violation::MessageTooBig);
}

#[test]
fn ws_issue_1369_uws_issue_926_no_compressor_for_each_connection_unless_a_context_is_kept() {
    let mut peer = Peer::new(Role::Server, Some(NO_TAKEOVER));
    let mut out = Vec::new();
    peer.protocol
        .send_message(MessageKind::Text, &[b'x'; 1000], &mut peer.codec, &mut out);
    peer.feed(&masked(0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]));
    assert!(out.len() < 50 && peer.take().len() == 1);
    assert!(peer.protocol.contexts.is_none());
    // Where it is kept, it is made when first needed.
    let peer = Peer::new(Role::Server, Some(TAKEOVER));
    assert!(peer.protocol.contexts.is_none());
}

#[test]
fn uws_1338_1337_closing_is_final_and_the_cap_is_checked_for_each_message() {
    let mut peer = Peer::server();
    let over = encode_header(Opcode::Binary, true, false, 1 << 20, Some(KEY));
    let bytes = [
        masked(0x81, b"one"),
        over.as_slice().to_vec(),
        masked(0x81, b"two"),
    ]
    .concat();
    peer.feed(&bytes).feed(&masked(0x81, b"three"));
    assert_eq!(peer.take(), [text("one")]);
    let close = peer.close(CloseCode::MESSAGE_TOO_BIG, "");
    let mut out = Vec::new();
    peer.protocol
        .send_message(MessageKind::Text, b"late", &mut peer.codec, &mut out);
    assert_eq!((close, out), (plain(0x88, b"\x03\xf1"), Vec::new()));
}

#[test]
fn autobahn_7_3_2_flyingfox_214_a_one_byte_close_and_a_huge_ping() {
    assert_eq!(
        violation(None, &[0x88, 0x81]).code(),
        CloseCode::PROTOCOL_ERROR
    );
    assert_eq!(
        violation(None, &[0x89, 0xff]).code(),
        CloseCode::PROTOCOL_ERROR
    );
}
