use super::*;
use crate::limits::{
    ASSEMBLY_GROWTH_FACTOR_MAX, DIRECT_READ_BYTES_MIN, EMPTY_FRAMES_PER_MESSAGE_MAX,
    FRAMES_PER_MESSAGE_MAX,
};
use crate::websocket::frame::{HEADER_BYTES_MAX, header_len};

#[test]
fn a_connection_is_a_small_value() {
    assert!(size_of::<Protocol>() <= 32, "{}", size_of::<Protocol>());
    assert!(size_of::<Option<Protocol>>() <= 32);
}

#[test]
fn the_examples_of_the_rfc() {
    let hello = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(Peer::server().feed(&hello).take(), [text("Hello")]);
    let hello = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    assert_eq!(Peer::client().feed(&hello).take(), [text("Hello")]);
    let fragments = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
    assert_eq!(Peer::client().feed(&fragments).take(), [text("Hello")]);
    let ping = [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    assert_eq!(
        Peer::client().feed(&ping).take(),
        [Got::Ping(b"Hello".to_vec())]
    );
    for len in [256, 65536] {
        let payload = vec![3; len];
        let bytes = plain(0x82, &payload);
        assert_eq!(Peer::client().feed(&bytes).take(), [binary(&payload)]);
    }
}

#[test]
fn a_whole_message_stays_in_the_input_with_room_for_a_header() {
    for role in [Role::Server, Role::Client] {
        for len in [0, 1, 125, 126, 65535, 65536] {
            let payload = vec![b'x'; len];
            let message = match role {
                Role::Server => masked(0x81, &payload),
                Role::Client => plain(0x81, &payload),
            };
            let mut bytes = message.repeat(2);
            let mut codec = codec();
            let mut protocol = Protocol::new(role, None);
            let mut input = Input::new(&mut bytes);
            for n in 0..2 {
                let end = message.len() * (n + 1);
                let Ok(Some(Event::Message(got))) = protocol.receive(&mut input, &mut codec) else {
                    panic!("a message of {len}");
                };
                assert_eq!(got.payload, payload);
                let wanted = end - len;
                assert_eq!(got.place, Place::Input { start: wanted, len });
                let before = message.len() * n;
                assert!(wanted - before >= header_len(len, false));
                assert_eq!(input.position(), end);
            }
            assert!(matches!(protocol.receive(&mut input, &mut codec), Ok(None)));
        }
    }
}

#[test]
fn an_echo_is_written_from_where_it_lies() {
    let mut bytes = masked(0x82, &[9; 300]);
    let mut codec = codec();
    let mut protocol = Protocol::new(Role::Server, None);
    let mut input = Input::new(&mut bytes);
    let place = match protocol.receive(&mut input, &mut codec) {
        Ok(Some(Event::Message(message))) => message.place,
        other => panic!("{other:?}"),
    };
    let Place::Input { start, len } = place else {
        panic!("{place:?}");
    };
    let front = protocol.put_header(MessageKind::Binary, input.buffer(), start, len);
    assert_eq!(input.buffer()[front..start + len], plain(0x82, &[9; 300]));
}

#[test]
fn a_message_in_pieces_is_assembled_with_room_for_a_header() {
    let payload: Vec<u8> = (0..1000u32).map(|n| n as u8).collect();
    let mut peer = Peer::server();
    let bytes = masked(0x82, &payload);
    peer.feed(&bytes[..3]).feed(&bytes[3..500]);
    assert!(peer.protocol.is_mid_message());
    let mut last = bytes[500..].to_vec();
    let mut input = Input::new(&mut last);
    let event = peer.protocol.receive(&mut input, &mut peer.codec);
    assert!(matches!(
        event,
        Ok(Some(Event::Message(Message {
            place: Place::Assembled,
            ..
        })))
    ));
    let (buffer, start) = peer.protocol.take_assembled();
    assert!(start >= HEADER_BYTES_MAX);
    assert_eq!(buffer[start..], payload);
    peer.codec.recycle(buffer);
    assert!(!peer.protocol.is_mid_message());
}

#[test]
fn a_message_whose_header_came_before_has_no_room_and_is_assembled() {
    let bytes = masked(0x81, b"hello");
    let mut peer = Peer::server();
    peer.feed(&bytes[..6]).feed(&bytes[6..]);
    assert_eq!(peer.places, [Place::Assembled]);
    assert_eq!(peer.take(), [text("hello")]);
}

#[test]
fn nothing_is_kept_between_messages() {
    let mut peer = Peer::server();
    let bytes = [
        masked(0x01, b"he"),
        masked(0x80, b"llo"),
        masked(0x89, b"p"),
    ]
    .concat();
    for size in 1..bytes.len() {
        peer.feed_pieces(&bytes, size);
        assert_eq!(peer.take(), [text("hello"), Got::Ping(b"p".to_vec())]);
        assert!(peer.protocol.partial.is_none(), "pieces of {size}");
    }
    assert!(peer.protocol.contexts.is_none());
}

#[test]
fn control_frames_come_between_fragments() {
    let bytes = [
        masked(0x01, b"one "),
        masked(0x89, b"ping"),
        masked(0x00, b"two "),
        masked(0x8a, b"pong"),
        masked(0x80, b"three"),
    ]
    .concat();
    let wanted = [
        Got::Ping(b"ping".to_vec()),
        Got::Pong(b"pong".to_vec()),
        text("one two three"),
    ];
    assert_eq!(Peer::server().feed(&bytes).take(), wanted);
    for size in 1..bytes.len() {
        assert_eq!(Peer::server().feed_pieces(&bytes, size).take(), wanted);
    }
}

#[test]
fn empty_messages_and_fragments() {
    let bytes = [
        masked(0x81, b""),
        masked(0x82, b""),
        masked(0x01, b""),
        masked(0x00, b""),
        masked(0x80, b""),
        masked(0x89, b""),
    ]
    .concat();
    let wanted = [text(""), binary(b""), text(""), Got::Ping(Vec::new())];
    for size in [1, 2, 3, 5, 7, 100] {
        assert_eq!(Peer::server().feed_pieces(&bytes, size).take(), wanted);
    }
}

#[test]
fn text_is_refused_at_its_first_impossible_byte() {
    for bad in [
        &b"\xc0"[..],
        b"\xf4\x90",
        b"\xed\xa0",
        b"ok\xff",
        b"long enough for the vectors, \xf5",
    ] {
        let mut payload = bad.to_vec();
        payload.extend_from_slice(b"and what follows never has to arrive");
        let bytes = masked(0x81, &payload);
        assert_eq!(
            violation(None, &bytes[..6 + bad.len()]),
            Violation::InvalidText
        );
        let bytes = [masked(0x01, bad), masked(0x80, b"rest")].concat();
        assert_eq!(
            violation(None, &bytes[..6 + bad.len()]),
            Violation::InvalidText
        );
    }
}

#[test]
fn text_is_refused_in_every_place_it_can_lie_in() {
    for len in [1usize, 3, 200, 65536] {
        let mut payload = vec![b'x'; len];
        payload[len - 1] = 0xff;
        let bytes = masked(0x81, &payload);
        assert_eq!(violation(None, &bytes), Violation::InvalidText, "{len}");
        let mut client = Peer::client();
        client.feed(&plain(0x81, &payload));
        assert_eq!(client.failure, Some(Violation::InvalidText));
        assert_eq!(client.take(), []);
    }
}

#[test]
fn text_that_ends_in_a_character_is_refused() {
    for cut in [&b"\xc3"[..], b"caf\xc3", b"\xf0\x9f\x8c"] {
        assert_eq!(violation(None, &masked(0x81, cut)), Violation::InvalidText);
        let bytes = [masked(0x01, cut), masked(0x80, b"")].concat();
        assert_eq!(violation(None, &bytes), Violation::InvalidText);
    }
}

#[test]
fn a_character_may_be_cut_by_fragments_and_control_frames() {
    let bytes = [
        masked(0x01, b"\xf0\x9f"),
        masked(0x89, b""),
        masked(0x00, b"\x8c"),
        masked(0x80, b"\x8a"),
    ]
    .concat();
    assert_eq!(
        Peer::server().feed(&bytes).take(),
        [Got::Ping(Vec::new()), text("\u{1f30a}")]
    );
}

#[test]
fn binary_is_not_checked() {
    let bytes = masked(0x82, b"\xff\xfe");
    assert_eq!(Peer::server().feed(&bytes).take(), [binary(b"\xff\xfe")]);
}

#[test]
fn header_rules_hold_in_the_stream() {
    let cases: [(&[u8], Violation); 9] = [
        (&[0x91], Violation::ReservedBits),
        (&[0xc1], Violation::ReservedBits),
        (&[0x83], Violation::ReservedOpcode),
        (&[0x09], Violation::FragmentedControl),
        (&[0x80], Violation::UnexpectedContinuation),
        (&[0x81, 0x00], Violation::Unmasked),
        (&[0x89, 0xfe], Violation::OversizedControl),
        (&[0x82, 0xfe, 0, 125], Violation::NonMinimalLength),
        (&[0x82, 0xff, 0x80], Violation::LengthTopBit),
    ];
    for (bytes, wanted) in cases {
        assert_eq!(violation(None, bytes), wanted, "{bytes:x?}");
        let behind = [&masked(0x81, b"before")[..], bytes].concat();
        assert_eq!(
            violation(None, &behind),
            wanted,
            "{bytes:x?} behind a message"
        );
    }
    let interleaved = [&masked(0x01, b"begun")[..], &[0x81]].concat();
    assert_eq!(violation(None, &interleaved), Violation::InterleavedMessage);
    let misplaced = [&masked(0x01, b"begun")[..], &[0xc0]].concat();
    assert_eq!(
        violation(Some(TAKEOVER), &misplaced),
        Violation::MisplacedCompressionBit
    );
    let mut client = Peer::client();
    client.feed(&masked(0x81, b"x"));
    assert_eq!(client.failure, Some(Violation::Masked));
}

#[test]
fn a_message_is_limited_by_its_announced_length() {
    let max = CONFIG.message_bytes_max;
    let fits = masked(0x82, &vec![1; max]);
    assert_eq!(Peer::server().feed(&fits).take().len(), 1);
    let over = masked(0x82, &vec![1; max + 1]);
    assert_eq!(violation(None, &over[..10]), Violation::MessageTooBig);
}

#[test]
fn a_message_is_limited_by_the_sum_of_its_fragments() {
    let half = vec![1; CONFIG.message_bytes_max / 2];
    let begun = [masked(0x02, &half), masked(0x00, &half)].concat();
    let fits = [&begun[..], &masked(0x80, b"")].concat();
    assert_eq!(Peer::server().feed(&fits).take().len(), 1);
    let over = [&begun[..], &masked(0x80, b"x")[..2]].concat();
    assert_eq!(violation(None, &over), Violation::MessageTooBig);
}

#[test]
fn the_limit_may_fall_in_the_middle_of_a_message() {
    let mut peer = Peer::server();
    peer.feed(&masked(0x02, &[0; 1000]));
    peer.codec.set_config(Config {
        message_bytes_max: 500,
        ..CONFIG
    });
    peer.feed(&masked(0x00, b""));
    assert_eq!(peer.failure, None);
    peer.feed(&masked(0x80, b"x"));
    assert_eq!(peer.failure, Some(Violation::MessageTooBig));
}

#[test]
fn frames_of_a_message_are_counted() {
    let mut peer = Peer::server();
    peer.feed(&masked(0x02, b"x"));
    let more = masked(0x00, b"").repeat(EMPTY_FRAMES_PER_MESSAGE_MAX as usize);
    peer.feed(&more);
    assert_eq!(peer.failure, None);
    peer.feed(&masked(0x00, b""));
    assert_eq!(peer.failure, Some(Violation::TooManyEmptyFrames));

    let mut peer = Peer::server();
    peer.codec.set_config(Config {
        message_bytes_max: 1 << 20,
        ..CONFIG
    });
    peer.feed(&masked(0x02, b"x"));
    let more = masked(0x00, b"x").repeat(FRAMES_PER_MESSAGE_MAX as usize - 1);
    peer.feed(&more);
    assert_eq!(peer.failure, None);
    peer.feed(&masked(0x00, b"x"));
    assert_eq!(peer.failure, Some(Violation::TooManyFrames));
}

#[test]
fn the_counts_begin_anew_with_each_message() {
    let mut peer = Peer::server();
    let empties = masked(0x00, b"").repeat(EMPTY_FRAMES_PER_MESSAGE_MAX as usize);
    let message = [&masked(0x02, b"x")[..], &empties, &masked(0x80, b"y")].concat();
    for _ in 0..3 {
        peer.feed(&message);
    }
    assert_eq!(peer.failure, None);
    assert_eq!(peer.take(), [binary(b"xy"), binary(b"xy"), binary(b"xy")]);
}

#[test]
fn after_a_violation_everything_is_swallowed() {
    let mut peer = Peer::server();
    let bytes = [
        &masked(0x81, b"before")[..],
        &[0x83],
        &masked(0x81, b"after"),
    ]
    .concat();
    peer.feed(&bytes)
        .feed(&masked(0x81, b"later"))
        .feed(&[0xff; 100]);
    assert_eq!(peer.take(), [text("before")]);
    assert_eq!(peer.failure, Some(Violation::ReservedOpcode));
    assert!(!peer.protocol.is_open());
    assert!(peer.protocol.partial.is_none());
}

/// Reads the rest of a big frame straight into its buffer.
#[test]
fn a_big_payload_may_be_read_straight_into_its_buffer() {
    let payload: Vec<u8> = "a\u{20ac}\u{e9} ".repeat(9000).into_bytes();
    let bytes = masked(0x81, &payload);
    for step in [1000, 7777, 1 << 20] {
        let mut peer = Peer::server();
        assert!(peer.protocol.payload_space(&mut peer.codec).is_none());
        peer.feed(&bytes[..100]);
        assert!(
            peer.protocol.payload_space(&mut peer.codec).is_none(),
            "little has arrived"
        );
        let mut at = 100 + DIRECT_READ_BYTES_MIN;
        peer.feed(&bytes[100..at]);
        while let Some(space) = peer.protocol.payload_space(&mut peer.codec) {
            let count = space.len().min(step).min(bytes.len() - at);
            space[..count].copy_from_slice(&bytes[at..at + count]);
            at += count;
            match peer.protocol.payload_filled(count, &mut peer.codec) {
                Ok(Some(event)) => peer.got.push(Got::of(event)),
                Ok(None) => {}
                Err(violation) => panic!("{violation:?}"),
            }
        }
        peer.feed(&bytes[at..]);
        assert_eq!(
            peer.take(),
            [text(std::str::from_utf8(&payload).expect("text"))]
        );
        assert!(peer.protocol.partial.is_none());
    }
}

#[test]
fn what_is_read_straight_into_the_buffer_is_checked_at_once() {
    let mut payload = vec![b'x'; 60_000];
    payload[40_000] = 0xff;
    let bytes = masked(0x81, &payload);
    let mut peer = Peer::server();
    peer.feed(&bytes[..30_000]);
    let space = peer.protocol.payload_space(&mut peer.codec).expect("room");
    let count = space.len().min(20_000);
    space[..count].copy_from_slice(&bytes[30_000..30_000 + count]);
    let result = peer.protocol.payload_filled(count, &mut peer.codec);
    assert_eq!(
        result.map(|event| event.map(Got::of)),
        Err(Violation::InvalidText)
    );
    assert!(peer.protocol.payload_space(&mut peer.codec).is_none());
    assert!(!peer.protocol.is_open());
}

#[test]
fn the_room_to_read_into_follows_what_has_arrived() {
    let mut peer = Peer::server();
    peer.codec.set_config(Config {
        message_bytes_max: 1 << 30,
        ..CONFIG
    });
    let header = encode_header(Opcode::Binary, true, false, 1 << 30, Some(KEY));
    peer.feed(header.as_slice()).feed(&[0; 20_000]);
    let mut arrived = 20_000;
    for _ in 0..3 {
        let space = peer
            .protocol
            .payload_space(&mut peer.codec)
            .expect("room")
            .len();
        assert!(
            space <= ASSEMBLY_GROWTH_FACTOR_MAX * (arrived + HEADER_BYTES_MAX),
            "{space} after {arrived}"
        );
        assert!(matches!(
            peer.protocol.payload_filled(space, &mut peer.codec),
            Ok(None)
        ));
        arrived += space;
    }
    assert!(arrived > 30 * 20_000);
}
