//! What broke other servers with frames and messages: lengths, fragments, floods, bombs. Each violation is answered by one
//! Close frame that says why, then a clean end; memory stays bounded; others are served on.

mod common;
#[path = "pitfalls_frames/violations.rs"]
mod violations;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use common::client::Client;
use common::frame::{
    BINARY, CLOSE, CONTINUATION, MASK, PING, PONG, TEXT, close, first_byte, frame, header, raw,
    text,
};
use common::front::Front;
use common::server::{Server, ServerBuilder};
use common::{DEADLINE, eventually};
use flate2::{Compress, Compression, FlushCompress};
use violations::{announced, wrong_contents, wrong_frames, wrong_lengths};

const MIB: u64 = 1 << 20;
const DEFLATE: (&str, &str) = ("Sec-WebSocket-Extensions", "permessage-deflate");

fn builder() -> ServerBuilder {
    Server::builder().env("HEARTBEAT_INTERVAL", "0")
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

/// A peer that writes and does not read.
struct Flood {
    stream: TcpStream,
    /// Bytes of the current unit that were not taken.
    rest: Vec<u8>,
}

impl Flood {
    /// Writes `unit` over and over until `bytes_max` bytes were taken, or none for a while.
    fn run(client: Client, unit: &[u8], bytes_max: usize) -> Self {
        const STALLED: Duration = Duration::from_millis(300);
        let stream = client.into_tcp();
        stream.set_nonblocking(true).expect("a socket");
        let mut flood = Self {
            stream,
            rest: Vec::new(),
        };
        let mut taken = 0;
        let mut last = Instant::now();
        while last.elapsed() < STALLED && taken < bytes_max {
            if flood.rest.is_empty() {
                flood.rest = unit.to_vec();
            }
            match flood.write() {
                0 => thread::sleep(Duration::from_millis(1)),
                count => {
                    taken += count;
                    last = Instant::now();
                }
            }
        }
        flood
    }

    fn write(&mut self) -> usize {
        match self.stream.write(&self.rest) {
            Ok(count) => self.rest.drain(..count).count(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("the server ended the connection: {error}"),
        }
    }

    /// Reads on from here, sends `last` behind what was begun, and gives back every byte up to what ends with `answer`.
    fn end(mut self, last: &[u8], answer: &[u8]) -> Vec<u8> {
        self.rest.extend_from_slice(last);
        let mut received = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        eventually("the last answer", || {
            self.write();
            loop {
                match self.stream.read(&mut buffer) {
                    Ok(0) => panic!("the server ended the connection"),
                    Ok(count) => received.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("reading from the server: {error}"),
                }
            }
            received.ends_with(answer)
        });
        received
    }
}

#[test]
fn a_ping_flood_by_a_peer_that_never_reads_costs_little() {
    let server = builder().start();
    let mut neighbour = server.websocket("/ws");
    neighbour.expect_echo("warm");
    let before = server.resident_bytes();
    for payload in [&b""[..], &[b'p'; 125]] {
        let mut client = Client::tcp_narrow(server.address());
        client.upgrade("/ws");
        let pings = frame(true, PING, payload).repeat(100);
        let flood = Flood::run(client, &pings, 8 << 20);
        let grown = grown(&server, before);
        assert!(grown < MIB, "{grown} bytes for a peer that does not read");
        neighbour.expect_echo("others are served");
        // The last ping is answered, in a stream of nothing but pongs.
        let mut pongs = &flood.end(&frame(true, PING, b"last"), b"last")[..];
        while let Some((pong, length)) = common::frame::parse(pongs) {
            assert_eq!((pong.opcode, pong.fin), (PONG, true), "{pong:?}");
            assert!(pong.payload == payload || pong.payload == b"last");
            pongs = &pongs[length..];
        }
        assert!(pongs.is_empty());
    }
}

#[test]
fn an_echo_flood_by_a_peer_that_never_reads_stops_being_read() {
    const FLOOD_BYTES: usize = 32 << 20;
    for size in [100, 100_000] {
        let server = builder().start();
        let mut neighbour = server.websocket("/ws");
        neighbour.expect_echo("warm");
        let before = server.resident_bytes();
        let mut client = Client::tcp_narrow(server.address());
        client.upgrade("/ws");
        let messages = frame(true, BINARY, &vec![7; size]).repeat(200_000 / size);
        let flood = Flood::run(client, &messages, FLOOD_BYTES);
        assert!(!flood.rest.is_empty(), "the server reads on and on");
        let grown = grown(&server, before);
        assert!(grown < 2 * MIB, "{size}: {grown} bytes");
        neighbour.expect_echo("others are served");
        // Nothing of what was taken is missing.
        let received = flood.end(&frame(true, TEXT, b"last"), b"last");
        assert!(received.len() > 200_000, "{size}: {}", received.len());
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
