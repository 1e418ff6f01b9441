use super::*;
use crate::websocket::deflate as raw;

fn pair(params: DeflateParams) -> (Peer, Peer) {
    (
        Peer::new(Role::Client, Some(params)),
        Peer::new(Role::Server, Some(params)),
    )
}

fn send(peer: &mut Peer, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    peer.protocol
        .send_message(MessageKind::Text, payload, &mut peer.codec, &mut out);
    out
}

fn all_params() -> Vec<DeflateParams> {
    let mut all = Vec::new();
    for bits in [9, 12, 15] {
        for (server, client) in [(false, false), (false, true), (true, false), (true, true)] {
            all.push(DeflateParams {
                server_no_context_takeover: server,
                client_no_context_takeover: client,
                server_max_window_bits: bits,
                client_max_window_bits: bits,
            });
        }
    }
    all
}

/// Noise that does not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        b' ' + ((state >> 33) % 95) as u8
    })
    .take(len)
    .collect()
}

#[test]
fn messages_pass_both_ways_with_all_parameters() {
    for compression_level in [1, 6] {
        for params in all_params() {
            let (mut client, mut server) = pair(params);
            for peer in [&mut client, &mut server] {
                peer.codec.set_config(Config {
                    compression_level,
                    ..CONFIG
                });
            }
            both_ways(&mut client, &mut server);
        }
    }
}

fn both_ways(client: &mut Peer, server: &mut Peer) {
    for round in 0..5 {
        for len in [0, 15, 16, 125, 126, 200, 4000, 65536] {
            let payload = format!("round {round} ").repeat(len / 8 + 1);
            let payload = &payload[..len];
            let compressed = len >= CONFIG.compression_bytes_min;
            let bytes = send(client, payload.as_bytes());
            server.feed_pieces(&bytes, 1 + 997 * round);
            assert_eq!(server.take(), [Got::Text(payload.to_owned(), compressed)]);
            let bytes = send(server, payload.as_bytes());
            client.feed_pieces(&bytes, 1 + 997 * round);
            assert_eq!(client.take(), [Got::Text(payload.to_owned(), compressed)]);
        }
    }
    assert_eq!((client.failure, server.failure), (None, None));
}

#[test]
fn what_does_not_get_smaller_goes_plain_where_no_context_is_kept() {
    let (_, mut server) = pair(NO_TAKEOVER);
    let payload = noise(200);
    let mut out = Vec::new();
    server.protocol.send_message(
        MessageKind::Binary,
        &payload[..20],
        &mut server.codec,
        &mut out,
    );
    assert_eq!(out, plain(0x82, &payload[..20]));
}

#[test]
fn a_context_that_moved_on_is_sent_even_where_it_did_not_get_smaller() {
    let (mut client, mut server) = pair(TAKEOVER);
    for len in [20, 100, 124, 125, 65530, 65534] {
        let payload = noise(len);
        let bytes = send(&mut client, &payload);
        assert_eq!(bytes[0], 0xc1);
        server.feed(&bytes);
        let wanted = String::from_utf8(payload).expect("text");
        assert_eq!(server.take(), [Got::Text(wanted, true)]);
    }
}

#[test]
fn a_kept_context_makes_the_second_message_smaller() {
    let (mut client, mut server) = pair(TAKEOVER);
    let payload = noise(1000);
    let (first, second) = (send(&mut client, &payload), send(&mut client, &payload));
    assert!(
        second.len() * 10 < first.len(),
        "{} {}",
        first.len(),
        second.len()
    );
    server.feed(&first).feed(&second);
    assert_eq!(server.take().len(), 2);
    let (mut client, _) = pair(NO_TAKEOVER);
    assert_eq!(
        send(&mut client, &payload).len(),
        send(&mut client, &payload).len()
    );
    assert!(
        client.protocol.contexts.is_none(),
        "the shared compressor served"
    );
}

#[test]
fn a_window_that_zlib_cannot_make_is_answered_with_plain_messages() {
    let params = DeflateParams {
        server_max_window_bits: 8,
        ..NO_TAKEOVER
    };
    let (_, mut server) = pair(params);
    assert_eq!(send(&mut server, &[b'x'; 100]), plain(0x81, &[b'x'; 100]));
    assert_eq!(server.protocol.shared_window_bits(), None);
    assert!(!server.protocol.deflates(100, &server.codec));
}

#[test]
fn shared_messages_need_a_side_without_context() {
    let bits = |params| Protocol::new(Role::Server, params).shared_window_bits();
    assert_eq!(bits(None), None);
    assert_eq!(bits(Some(TAKEOVER)), None);
    assert_eq!(bits(Some(NO_TAKEOVER)), Some(15));
    let (mut client, mut server) = pair(NO_TAKEOVER);
    let mut shared = Vec::new();
    server
        .codec
        .encode_message(MessageKind::Text, &[b'x'; 500], Some(15), &mut shared);
    assert!(shared.len() < 30 && shared[0] == 0xc1);
    client.feed(&shared);
    assert_eq!(client.take(), [Got::Text("x".repeat(500), true)]);
}

#[test]
fn the_examples_of_the_rfc() {
    let cases: [&[u8]; 3] = [
        // Section 7.2.3.1: a deflate block. 7.2.3.3: a stored block. 7.2.3.5: two blocks, the first part of them final.
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        &[
            0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
        ],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
    ];
    for params in [TAKEOVER, NO_TAKEOVER] {
        let mut peer = Peer::new(Role::Server, Some(params));
        for payload in cases.into_iter().chain(cases) {
            peer.feed(&masked(0xc1, payload));
            assert_eq!(
                peer.take(),
                [Got::Text("Hello".to_owned(), true)],
                "{payload:x?}"
            );
        }
        assert_eq!(peer.failure, None);
        // Section 7.2.3.2: the second message refers to the first.
        let (first, second) = (cases[0], [0xf2, 0x00, 0x11, 0x00, 0x00]);
        peer.feed(&masked(0xc1, first)).feed(&masked(0xc1, &second));
        if params == TAKEOVER {
            assert_eq!(
                peer.take().last(),
                Some(&Got::Text("Hello".to_owned(), true))
            );
        } else {
            assert_eq!(peer.failure, Some(Violation::InvalidDeflate));
        }
    }
    // Section 7.2.3.6: an empty message.
    let mut peer = Peer::new(Role::Server, Some(NO_TAKEOVER));
    peer.feed(&masked(0xc1, &[0x00]));
    assert_eq!(peer.take(), [Got::Text(String::new(), true)]);
}

#[test]
fn compressed_messages_may_be_fragmented() {
    let bytes = [
        masked(0x41, &[0xf2, 0x48, 0xcd]),
        masked(0x89, b"p"),
        masked(0x80, &[0xc9, 0xc9, 0x07, 0x00]),
    ]
    .concat();
    for size in 1..bytes.len() + 1 {
        let mut peer = Peer::new(Role::Server, Some(TAKEOVER));
        peer.feed_pieces(&bytes, size);
        let wanted = [
            Got::Ping(b"p".to_vec()),
            Got::Text("Hello".to_owned(), true),
        ];
        assert_eq!(peer.take(), wanted);
    }
}

#[test]
fn plain_messages_are_understood_beside_compressed_ones() {
    let mut peer = Peer::new(Role::Server, Some(TAKEOVER));
    peer.feed(&masked(0x81, b"plain"));
    peer.feed(&masked(0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]));
    peer.feed(&masked(0x81, b"plain"));
    peer.feed(&masked(0xc1, &[0xf2, 0x00, 0x11, 0x00, 0x00]));
    let hello = Got::Text("Hello".to_owned(), true);
    assert_eq!(
        peer.take(),
        [text("plain"), hello.clone(), text("plain"), hello]
    );
}

#[test]
fn what_cannot_be_inflated_is_refused() {
    for params in [TAKEOVER, NO_TAKEOVER] {
        for payload in [
            // A reserved block type, a stored block with a wrong check, a distance before the beginning.
            &[0x07, 0x00, 0x00][..],
            &[0x00, 0x05, 0x00, 0x00, 0x00, b'h'],
            &[0xf2, 0x00, 0x11, 0x00, 0x00],
            // Cut off: in a stored block, and in a block of codes.
            &[0x00, 0x05, 0x00, 0xfa, 0xff, b'H', b'e'],
            &[0xf2, 0x48, 0xcd, 0xc9],
            // Garbage behind a final block.
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xff, 0xff],
        ] {
            assert_eq!(
                violation(Some(params), &masked(0xc2, payload)),
                Violation::InvalidDeflate
            );
        }
    }
}

#[test]
fn inflated_text_is_checked() {
    let mut codec = codec();
    let mut deflated = Vec::new();
    let mut bad = "x".repeat(100).into_bytes();
    bad[50] = 0xff;
    assert!(raw::deflate(
        &mut raw::compressor(6, 15),
        &bad,
        false,
        &mut deflated
    ));
    let frame = masked(0xc1, &deflated);
    assert_eq!(violation(Some(TAKEOVER), &frame), Violation::InvalidText);
    assert_eq!(codec.inflate(&deflated, true), Err(Violation::InvalidText));
    assert_eq!(
        codec.inflate(&deflated, false).map(|bytes| bytes.to_vec()),
        Ok(bad)
    );
}

#[test]
fn without_the_extension_the_bit_is_reserved() {
    assert_eq!(violation(None, &[0xc1]), Violation::ReservedBits);
}
