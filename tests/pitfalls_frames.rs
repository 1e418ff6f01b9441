//! What broke other servers with frames and messages: lengths, fragments, floods, bombs. Each violation is answered by one
//! Close frame that says why, then a clean end; memory stays bounded; others are served on.

mod common;

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use common::client::Client;
use common::frame::{
    BINARY, CLOSE, CONTINUATION, MASK, PING, PONG, TEXT, close, first_byte, frame, header,
    header_of_form, raw, text,
};
use common::front::Front;
use common::server::{Server, ServerBuilder};
use common::{DEADLINE, eventually};
use flate2::{Compress, Compression, FlushCompress};

const MIB: u64 = 1 << 20;
const DEFLATE: (&str, &str) = ("Sec-WebSocket-Extensions", "permessage-deflate");

fn builder() -> ServerBuilder {
    Server::builder().env("HEARTBEAT_INTERVAL", "0")
}

/// Header of a frame that a client begins a binary message with.
fn announced(length: u64) -> Vec<u8> {
    header(first_byte(true, 0, BINARY), Some(MASK), length)
}

/// Violations by their name, bytes and close code.
type Row = (&'static str, Vec<u8>, u16);

fn wrong_lengths() -> Vec<Row> {
    let begun = |opcode: u8, length: u64| header(first_byte(false, 0, opcode), Some(MASK), length);
    let sum = |length: u64| {
        let first = frame(false, BINARY, b"ten bytes.");
        [first, begun(CONTINUATION, length)].concat()
    };
    let form = |length, form| header_of_form(first_byte(true, 0, TEXT), Some(MASK), length, form);
    vec![
        ("2^63", announced(1 << 63), 1002),
        ("2^64-1", announced(u64::MAX), 1002),
        ("2^63-1", announced((1 << 63) - 1), 1009),
        ("2^40", announced(1 << 40), 1009),
        ("one byte over the limit", announced(MIB + 1), 1009),
        ("a sum that overflows", sum((1 << 63) - 1), 1009),
        ("a sum one byte over the limit", sum(MIB - 9), 1009),
        ("a continuation of 2^64-1", sum(u64::MAX), 1002),
        ("125 in two bytes", form(125, 2), 1002),
        ("65,535 in eight bytes", form(65_535, 8), 1002),
        ("zero in eight bytes", form(0, 8), 1002),
    ]
}

fn wrong_frames() -> Vec<Row> {
    let first = |fin, rsv, opcode| raw(first_byte(fin, rsv, opcode), Some(MASK), b"abc");
    vec![
        (
            "no mask",
            raw(first_byte(true, 0, TEXT), None, b"abc"),
            1002,
        ),
        ("RSV1 without deflate", first(true, 4, TEXT), 1002),
        ("RSV2", first(true, 2, TEXT), 1002),
        ("RSV3", first(true, 1, BINARY), 1002),
        ("opcode 3", first(true, 0, 3), 1002),
        ("opcode 11", first(true, 0, 11), 1002),
        ("a fragmented ping", first(false, 0, PING), 1002),
        ("a fragmented Close", first(false, 0, CLOSE), 1002),
        ("a lone continuation", first(true, 0, CONTINUATION), 1002),
        (
            "a message within a message",
            [frame(false, TEXT, b"a"), text("b")].concat(),
            1002,
        ),
        ("a ping of 126 bytes", frame(true, PING, &[0; 126]), 1002),
        (
            "a ping of a megabyte",
            header(first_byte(true, 0, PING), Some(MASK), MIB),
            1002,
        ),
        (
            "a pong of a megabyte",
            header(first_byte(true, 0, PONG), Some(MASK), MIB),
            1002,
        ),
    ]
}

fn wrong_contents() -> Vec<Row> {
    let cut = |payload: &[u8]| {
        let header = header(first_byte(true, 0, TEXT), Some(MASK), 1000);
        let masked = raw(0, Some(MASK), payload);
        [&header, &masked[6..]].concat()
    };
    let fragments = |first: &[u8], second: &[u8]| {
        [
            frame(false, TEXT, first),
            frame(false, CONTINUATION, second),
        ]
        .concat()
    };
    vec![
        ("a Close of one byte", frame(true, CLOSE, &[3]), 1002),
        ("code 0", close(0, ""), 1002),
        ("code 999", close(999, ""), 1002),
        ("code 1004", close(1004, ""), 1002),
        ("code 1005", close(1005, ""), 1002),
        ("code 1006", close(1006, ""), 1002),
        ("code 1015", close(1015, ""), 1002),
        ("code 2999", close(2999, ""), 1002),
        ("code 5000", close(5000, ""), 1002),
        (
            "a reason that is not UTF-8",
            frame(true, CLOSE, b"\x03\xe8\xff"),
            1007,
        ),
        ("text that is not UTF-8", frame(true, TEXT, b"a\xffb"), 1007),
        (
            "text that ends in a character",
            frame(true, TEXT, b"\xe2\x82"),
            1007,
        ),
        // 997 bytes of the frame never come.
        ("a bad byte early in a frame", cut(b"ok\xff"), 1007),
        ("a surrogate", cut(b"\xed\xa0"), 1007),
        // The message never ends.
        (
            "a bad byte over fragments",
            fragments(b"\xe2", b"\xff"),
            1007,
        ),
    ]
}

/// One Close with this code and a reason, then the end.
fn expect_failure(client: &mut Client, code: u16) {
    let reason = client.expect_close(code);
    assert!(reason.len() > 10, "{reason:?} says nothing");
    client.expect_eof();
}

#[test]
fn every_violation_is_answered_by_one_close_and_leaves_no_descriptor() {
    for front in Front::all(|| builder().env("MAX_MESSAGE_SIZE", "1MiB")) {
        let server = front.server();
        let before = server.descriptors();
        let rows = [wrong_lengths(), wrong_frames(), wrong_contents()].concat();
        for (name, bytes, code) in rows {
            eprintln!("{} ({})", name, front.name);
            let mut client = front.websocket("/ws");
            // What stands in front is answered, what comes behind is not.
            client.send_bytes(&[text("before"), bytes].concat());
            client.expect_frame(TEXT, b"before");
            expect_failure(&mut client, code);
            drop(client);
        }
        if front.name != "nginx" {
            server.wait_descriptors(before, DEADLINE);
        }
        front.websocket("/ws").expect_echo("others are served");
    }
}

#[test]
fn closing_is_final() {
    for front in Front::all(|| builder().env("MAX_MESSAGE_SIZE", "1000")) {
        let after = [text("later"), frame(true, PING, b"later"), close(1000, "")].concat();
        for (bytes, code) in [
            (frame(true, BINARY, &[1; 1001]), 1009),
            (raw(first_byte(true, 0, TEXT), None, b"abc"), 1002),
            (frame(true, TEXT, b"\xff"), 1007),
            (close(1000, "bye"), 1000),
            (close(4999, ""), 4999),
        ] {
            let mut client = front.websocket("/ws");
            client.send_bytes(&[&bytes[..], &after].concat());
            let answer = client.read_frame();
            assert_eq!(answer.opcode, CLOSE, "{}: {answer:?}", front.name);
            assert_eq!(answer.payload[..2], u16::to_be_bytes(code));
            client.expect_eof();
        }
        // A Close without a code is answered by one.
        let mut client = front.websocket("/ws");
        client.send_bytes(&[frame(true, CLOSE, b""), after].concat());
        client.expect_frame(CLOSE, b"");
        client.expect_eof();
    }
}

#[test]
fn every_message_is_measured_against_the_limit() {
    for front in Front::own(|| builder().env("MAX_MESSAGE_SIZE", "1000")) {
        let mut client = front.websocket("/ws");
        // Fifty times the limit in all, no message past it.
        for _ in 0..50 {
            client.send_bytes(&frame(true, BINARY, &[7; 1000]));
            client.expect_frame(BINARY, &[7; 1000]);
        }
        let halves = [
            frame(false, BINARY, &[7; 500]),
            frame(true, CONTINUATION, &[7; 500]),
        ];
        client.send_bytes(&halves.concat());
        client.expect_frame(BINARY, &[7; 1000]);
        let halves = [
            frame(false, BINARY, &[7; 500]),
            frame(true, CONTINUATION, &[7; 501]),
        ];
        client.send_bytes(&halves.concat());
        expect_failure(&mut client, 1009);
    }
}

/// How much the server's memory has grown, compared with `before`.
fn grown(server: &Server, before: u64) -> u64 {
    server.resident_bytes().saturating_sub(before)
}

#[test]
fn nothing_is_allocated_by_what_is_announced() {
    const PEERS: usize = 200;
    let server = builder()
        .env("MAX_MESSAGE_SIZE", "1GiB")
        .env("SEND_QUEUE_HARD", "2GiB")
        .start();
    server.websocket("/ws").expect_echo("warm");
    let before = server.resident_bytes();
    let mut peers: Vec<_> = (0..PEERS).map(|_| server.websocket("/ws")).collect();
    for peer in &mut peers {
        // A ping shows that the header in front of it in the stream was seen.
        let begun = header(first_byte(false, 0, BINARY), Some(MASK), 1);
        peer.send_bytes(&[begun, vec![0]].concat());
        peer.send_bytes(&frame(true, PING, b"seen"));
        peer.expect_frame(PONG, b"seen");
        peer.send_bytes(&header(
            first_byte(true, 0, CONTINUATION),
            Some(MASK),
            (1 << 30) - 1,
        ));
    }
    server.websocket("/ws").expect_echo("others are served");
    let grown = grown(&server, before);
    assert!(grown < 8 * MIB, "{grown} bytes for {PEERS} announcements");
    // The announcements were taken for what they are.
    for peer in &mut peers {
        peer.send_bytes(&[1; 100]);
    }
    server.websocket("/ws").expect_echo("others are served");
}

#[test]
fn an_unfinished_message_costs_at_most_its_limit() {
    const PEERS: u64 = 8;
    let server = builder().env("MAX_MESSAGE_SIZE", "1MiB").start();
    server.websocket("/ws").expect_echo("warm");
    let before = server.resident_bytes();
    let mut peers: Vec<_> = (0..PEERS).map(|_| server.websocket("/ws")).collect();
    let fragment = frame(false, CONTINUATION, &[7; 32 * 1024]);
    for peer in &mut peers {
        peer.send_bytes(&frame(false, BINARY, b""));
        for _ in 0..32 {
            peer.send_bytes(&fragment);
        }
        peer.send_bytes(&frame(true, PING, b"all of it"));
        peer.expect_frame(PONG, b"all of it");
    }
    let held = grown(&server, before);
    assert!(
        held < PEERS * 2 * MIB + 4 * MIB,
        "{held} bytes for {PEERS} messages"
    );
    for peer in &mut peers {
        peer.send_bytes(&fragment);
        expect_failure(peer, 1009);
    }
}

#[test]
fn endless_empty_continuations_are_counted() {
    for front in Front::own(builder) {
        let mut client = front.websocket("/ws");
        client.send_bytes(&frame(false, TEXT, b""));
        let thousand = frame(false, CONTINUATION, b"").repeat(1000);
        for _ in 0..200 {
            if client.try_send_bytes(&thousand).is_err() {
                break;
            }
        }
        expect_failure(&mut client, 1008);
    }
}

/// Writes `bytes` over and over until the server has taken nothing for a while; gives how much it took.
fn flood(client: Client, bytes: &[u8], bytes_max: usize) -> (std::net::TcpStream, usize) {
    const STALLED: Duration = Duration::from_millis(300);
    let mut stream = client.into_tcp();
    stream.set_nonblocking(true).expect("a socket");
    let (mut taken, mut at) = (0, 0);
    let mut last = Instant::now();
    while last.elapsed() < STALLED {
        match stream.write(&bytes[at..]) {
            Ok(count) => {
                taken += count;
                at = (at + count) % bytes.len();
                last = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("the server ended the connection: {error}"),
        }
        assert!(taken < bytes_max, "the server reads on and on");
    }
    (stream, taken)
}

#[test]
fn a_ping_flood_by_a_peer_that_never_reads_costs_one_pong() {
    // A kernel may keep up to 6 MB of pongs for the peer, should it ever read.
    const KERNEL_BYTES_MAX: usize = 6 << 20;
    for front in Front::own(builder) {
        let server = front.server();
        let mut neighbour = front.websocket("/ws");
        neighbour.expect_echo("warm");
        let before = server.resident_bytes();
        for (payload, flood) in [(&b""[..], 2 << 20), (&[b'p'; 125], 12 << 20)] {
            let mut client = front.websocket("/ws");
            let pings = frame(true, PING, payload).repeat(1000);
            for _ in 0..flood / pings.len() {
                client.send_bytes(&pings);
            }
            let grown = grown(server, before);
            assert!(grown < 2 * MIB, "{}: {grown} bytes", front.name);
            neighbour.expect_echo("others are served");
            // The last ping is answered, and few of those before it.
            client.send_bytes(&frame(true, PING, b"last"));
            let mut pongs = 0;
            loop {
                let pong = client.read_frame();
                assert_eq!(pong.opcode, PONG);
                pongs += pong.payload.len() + 2;
                if pong.payload == b"last" {
                    break;
                }
            }
            assert!(pongs < KERNEL_BYTES_MAX, "{}: {pongs} bytes", front.name);
        }
    }
}

#[test]
fn an_echo_flood_by_a_peer_that_never_reads_stops_being_read() {
    for (name, size) in [("small", 100), ("large", 100_000)] {
        let server = builder().start();
        let mut neighbour = server.websocket("/ws");
        neighbour.expect_echo("warm");
        let before = server.resident_bytes();
        let mut client = Client::tcp_narrow(server.address());
        client.upgrade("/ws");
        let messages = frame(true, BINARY, &vec![7; size]).repeat(200_000 / size);
        let (stream, _) = flood(client, &messages, 64 << 20);
        let grown = grown(&server, before);
        assert!(grown < 4 * MIB, "{name}: {grown} bytes");
        neighbour.expect_echo("others are served");
        drop(stream);
    }
}

#[test]
fn what_stopped_being_read_goes_on_where_it_was() {
    const ROUND: usize = 100;
    for front in Front::own(builder) {
        let mut client = front.websocket("/ws");
        for round in 0..30 {
            // 400 KB before anything is read: more than the peer's kernel takes, so the server stops reading.
            for index in 0..ROUND {
                let mut payload = vec![b'x'; 4000];
                payload[..8].copy_from_slice(format!("{:08}", round * ROUND + index).as_bytes());
                client.send_bytes(&frame(true, BINARY, &payload));
            }
            for index in 0..ROUND {
                expect_numbered(&mut client, round * ROUND + index);
            }
        }
    }
}

fn expect_numbered(client: &mut Client, index: usize) {
    let frame = client.read_frame();
    assert_eq!(frame.opcode, BINARY);
    assert_eq!(frame.payload.len(), 4000);
    assert_eq!(frame.payload[..8], *format!("{index:08}").as_bytes());
}

/// A deflated message frame (RFC 7692 section 7.2.1): raw deflate, its last four bytes removed, RSV1.
fn deflated(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut bytes = Vec::with_capacity(payload.len() / 500 + 1024);
    compress
        .compress_vec(payload, &mut bytes, FlushCompress::Sync)
        .expect("deflate");
    assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]), "room for all of it");
    bytes.truncate(bytes.len() - 4);
    raw(first_byte(true, 4, opcode), Some(MASK), &bytes)
}

#[test]
fn a_deflate_bomb_costs_at_most_the_limit() {
    let bomb = deflated(BINARY, &vec![0; 64 << 20]);
    assert!(bomb.len() < 100_000, "{} bytes", bomb.len());
    for front in Front::all(|| builder().env("MAX_MESSAGE_SIZE", "1MiB")) {
        let mut client = front.connect();
        let agreed = client.upgrade_with("/ws", &[DEFLATE]);
        assert!(agreed.header("sec-websocket-extensions").is_some());
        client.send_bytes(&deflated(TEXT, b"warm warm warm"));
        client.expect_frame(TEXT, b"warm warm warm");
        let before = front.server().resident_bytes();
        for _ in 0..10 {
            let mut client = front.connect();
            client.upgrade_with("/ws", &[DEFLATE]);
            client.send_bytes(&bomb);
            expect_failure(&mut client, 1009);
        }
        let grown = grown(front.server(), before);
        assert!(grown < 8 * MIB, "{}: {grown} bytes", front.name);
        client.send_bytes(&deflated(TEXT, b"still here"));
        client.expect_frame(TEXT, b"still here");
    }
}

#[test]
fn broken_deflate_is_answered_by_a_close() {
    for front in Front::own(builder) {
        for (first, payload, code) in [
            (first_byte(true, 4, TEXT), &[0xff; 20][..], 1007),
            // RSV1 belongs on the first frame of a message alone.
            (first_byte(true, 4, PING), b"abc", 1002),
        ] {
            let mut client = front.connect();
            client.upgrade_with("/ws", &[DEFLATE]);
            client.send_bytes(&raw(first, Some(MASK), payload));
            expect_failure(&mut client, code);
        }
    }
}

#[test]
fn compression_costs_an_idle_connection_nothing() {
    const PEERS: usize = 500;
    let server = builder().env("COMPRESSION_THRESHOLD", "0").start();
    let connect = || {
        let mut client = server.connect();
        client.upgrade_with("/ws", &[DEFLATE]);
        client.send_bytes(&deflated(TEXT, b"once, once, once, once, once, once"));
        let echo = client.read_frame();
        assert_eq!((echo.opcode, echo.rsv), (TEXT, 4), "compressed");
        client
    };
    let _warm: Vec<_> = (0..20).map(|_| connect()).collect();
    let before = server.resident_bytes();
    let peers: Vec<_> = (0..PEERS).map(|_| connect()).collect();
    let each = grown(&server, before) / PEERS as u64;
    // A deflate window with its tables has some 256 KiB.
    assert!(each < 4096, "{each} bytes a connection");
    drop(peers);
}

#[test]
fn a_peer_that_vanishes_in_the_middle_of_a_message_leaves_nothing() {
    let server = builder().start();
    let before = server.descriptors();
    for bytes in [
        &announced(1000)[..1],
        &announced(1000),
        &[announced(1000), vec![1; 500]].concat(),
        &frame(false, TEXT, b"begun"),
        &deflated(TEXT, b"whole")[..4],
    ] {
        for _ in 0..10 {
            let mut client = server.connect();
            client.upgrade_with("/ws", &[DEFLATE]);
            client.send_bytes(bytes);
            client.reset();
        }
    }
    eventually("all are gone", || server.descriptors() <= before);
    server.websocket("/ws").expect_echo("others are served");
}
