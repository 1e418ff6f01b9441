use super::*;

#[test]
fn a_close_is_told_and_answered_once() {
    let mut peer = Peer::server();
    peer.feed(&masked(0x88, b"\x03\xe8bye"));
    assert_eq!(peer.take(), [Got::Close(1000, "bye".to_owned())]);
    assert!(!peer.protocol.is_open() && !peer.protocol.is_closed());
    assert_eq!(peer.close(CloseCode::NORMAL, ""), plain(0x88, b"\x03\xe8"));
    assert!(peer.protocol.is_closed());
    assert_eq!(peer.close(CloseCode::NORMAL, ""), b"");
}

#[test]
fn an_empty_close_has_no_status_and_is_answered_by_an_empty_one() {
    let mut peer = Peer::server();
    peer.feed(&masked(0x88, b""));
    assert_eq!(peer.take(), [Got::Close(1005, String::new())]);
    assert_eq!(peer.close(CloseCode::NO_STATUS, "unsaid"), plain(0x88, b""));
}

#[test]
fn what_follows_a_close_is_swallowed() {
    let bytes = [
        masked(0x01, b"begun"),
        masked(0x88, b"\x03\xe8"),
        masked(0x89, b"ping"),
        vec![0xff; 40],
    ]
    .concat();
    for size in 1..bytes.len() {
        let mut peer = Peer::server();
        peer.feed_pieces(&bytes, size);
        assert_eq!(peer.take(), [Got::Close(1000, String::new())]);
        assert_eq!(peer.failure, None);
        peer.feed(b"");
        assert!(peer.protocol.partial.is_none() && !peer.protocol.is_mid_message());
    }
}

#[test]
fn bad_closes_are_refused() {
    assert_eq!(
        violation(None, &masked(0x88, b"\x03")[..2]),
        Violation::CloseTooShort
    );
    assert_eq!(
        violation(None, &masked(0x88, b"\x03\xed")),
        Violation::InvalidCloseCode
    );
    assert_eq!(
        violation(None, &masked(0x88, b"\x03\xe8\xff")),
        Violation::InvalidCloseReason
    );
    let bytes = masked(0x88, b"\x03\xe8\xe2\x82");
    assert_eq!(violation(None, &bytes), Violation::InvalidCloseReason);
}

#[test]
fn after_our_close_messages_are_discarded_and_control_frames_told() {
    let bytes = [
        masked(0x81, b"whole"),
        masked(0x01, b"begun \xff not even checked"),
        masked(0x89, b"ping"),
        masked(0x80, b"ended"),
        masked(0x82, &vec![0; 2 * CONFIG.message_bytes_max]),
        masked(0x88, b"\x03\xe9"),
    ]
    .concat();
    for size in [1, 3, 1000, bytes.len()] {
        let mut peer = Peer::server();
        assert_eq!(
            peer.close(CloseCode::GOING_AWAY, "x"),
            plain(0x88, b"\x03\xe9x")
        );
        assert!(!peer.protocol.is_open() && !peer.protocol.is_closed());
        peer.feed_pieces(&bytes, size);
        assert_eq!(
            peer.take(),
            [Got::Ping(b"ping".to_vec()), Got::Close(1001, String::new())]
        );
        assert_eq!(peer.failure, None);
        assert!(peer.protocol.is_closed());
        assert_eq!(peer.codec.pooled_bytes(), 0, "nothing was buffered");
    }
}

#[test]
fn after_our_close_the_header_rules_still_hold() {
    for (bytes, wanted) in [
        (vec![0x83], Violation::ReservedOpcode),
        (vec![0x80], Violation::UnexpectedContinuation),
        (
            [masked(0x01, b"begun"), vec![0x81]].concat(),
            Violation::InterleavedMessage,
        ),
        (masked(0x88, b"\x00\x00"), Violation::InvalidCloseCode),
    ] {
        let mut peer = Peer::server();
        peer.close(CloseCode::NORMAL, "");
        peer.feed_pieces(&bytes, 1);
        assert_eq!(peer.failure, Some(wanted));
        assert!(peer.protocol.is_closed());
    }
}

#[test]
fn our_close_in_the_middle_of_a_message_drops_it() {
    let message = [masked(0x01, &[b'x'; 3000]), masked(0x80, &[b'y'; 3000])].concat();
    let bytes = [&message[..], &masked(0x88, b"")].concat();
    for cut in [1, 5, 100, 3007, 3010, 3016, 6000] {
        let mut peer = Peer::server();
        peer.feed(&bytes[..cut]);
        peer.close(CloseCode::NORMAL, "");
        peer.feed(&bytes[cut..]);
        assert_eq!(
            peer.take(),
            [Got::Close(1005, String::new())],
            "cut at {cut}"
        );
        assert_eq!(peer.failure, None);
        peer.feed(b"");
        assert!(peer.protocol.partial.is_none());
    }
}

#[test]
fn a_delivered_message_survives_our_close() {
    let bytes = masked(0x82, &[5; 100]);
    let mut peer = Peer::server();
    peer.feed(&bytes[..50]);
    let mut rest = bytes[50..].to_vec();
    let mut input = Input::new(&mut rest);
    assert!(matches!(
        peer.protocol.receive(&mut input, &mut peer.codec),
        Ok(Some(_))
    ));
    peer.close(CloseCode::NORMAL, "");
    let (buffer, start) = peer.protocol.take_assembled();
    assert_eq!(buffer[start..], [5; 100]);
}

#[test]
fn a_violation_is_answered_by_one_close() {
    let mut peer = Peer::server();
    peer.feed(&[0x83]);
    let violation = peer.failure.expect("refused");
    let close = peer.close(violation.code(), violation.sentence());
    assert_eq!(close[..4], [0x88, close.len() as u8 - 2, 0x03, 0xea]);
    assert!(peer.protocol.is_closed());
    assert_eq!(peer.close(CloseCode::NORMAL, ""), b"");
}

#[test]
fn nothing_is_sent_once_a_close_has_passed_or_a_rule_was_broken() {
    let ends: [fn(&mut Peer) -> bool; 3] = [
        |peer| peer.close(CloseCode::NORMAL, "").is_empty(),
        |peer| peer.feed(&masked(0x88, b"")).protocol.is_open(),
        |peer| peer.feed(&[0x83]).protocol.is_open(),
    ];
    for end in ends {
        let mut peer = Peer::new(Role::Server, Some(TAKEOVER));
        assert!(!end(&mut peer));
        let mut out = Vec::new();
        let (protocol, codec) = (&mut peer.protocol, &mut peer.codec);
        protocol.send_message(MessageKind::Text, &[b'x'; 100], codec, &mut out);
        protocol.send_ping(b"x", codec, &mut out);
        protocol.send_pong(b"x", codec, &mut out);
        assert_eq!(out, b"");
    }
}

#[test]
fn codes_that_must_not_be_sent_are_not() {
    for code in [
        CloseCode::NO_STATUS,
        CloseCode::ABNORMAL,
        CloseCode::TLS_HANDSHAKE,
    ] {
        assert_eq!(Peer::server().close(code, "x"), plain(0x88, b""));
    }
}
