//! A connection from its first byte to its last: HTTP kept alive, the handshake in any pieces, messages, heartbeats, and
//! every way to end.

mod common;

use std::time::{Duration, Instant};

use common::DEADLINE;
use common::client::{ACCEPT, KEY};
use common::frame::{BINARY, CLOSE, PING, PONG, TEXT, binary, close, frame, text};
use common::front::Front;
use common::server::{Server, ServerBuilder};

fn builder() -> ServerBuilder {
    Server::builder().env("LOG_LEVEL", "debug")
}

fn handshake() -> Vec<u8> {
    format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

#[test]
fn plain_answers_are_complete() {
    for front in Front::own(builder) {
        for (method, path, status, body) in [
            ("GET", "/health", 200, "{\"status\":\"ok\"}\n"),
            ("GET", "/health?at=once", 200, "{\"status\":\"ok\"}\n"),
            (
                "GET",
                "http://localhost/health",
                200,
                "{\"status\":\"ok\"}\n",
            ),
            (
                "POST",
                "/health",
                405,
                "Only GET and HEAD are answered here.\n",
            ),
            ("GET", "/nowhere", 404, "There is nothing at this path.\n"),
            (
                "GET",
                "/ws",
                426,
                "This path speaks WebSocket: send Upgrade: websocket.",
            ),
            ("POST", "/ws", 405, "A WebSocket handshake is a GET."),
        ] {
            let what = format!("{method} {path} ({})", front.name);
            let mut client = front.connect();
            client.request(method, path, &[]);
            let response = client.read_response();
            assert_eq!(response.status, status, "{what}");
            assert_eq!(response.text(), body, "{what}");
            let is_json = response.header("content-type") == Some("application/json");
            assert_eq!(is_json, status == 200, "{what}");
            assert!(response.header("date").is_some(), "{what}");
            match status {
                405 if path == "/health" => {
                    assert_eq!(response.header("allow"), Some("GET, HEAD"), "{what}");
                }
                405 => assert_eq!(response.header("allow"), Some("GET"), "{what}"),
                426 => {
                    assert_eq!(response.header("upgrade"), Some("websocket"), "{what}");
                    assert_eq!(
                        response.header("sec-websocket-version"),
                        Some("13"),
                        "{what}"
                    );
                }
                _ => {}
            }
            // HEAD: the same head without the body.
            if method == "GET" && status != 426 {
                let mut client = front.connect();
                client.request("HEAD", path, &[("Connection", "close")]);
                let head = client.read_response_to_head();
                assert_eq!(head.status, status, "{what}");
                let length = body.len().to_string();
                assert_eq!(head.header("content-length"), Some(&length[..]), "{what}");
                client.expect_eof();
            }
        }
    }
}

#[test]
fn requests_are_answered_in_order_on_one_connection() {
    for front in Front::own(builder) {
        let mut client = front.connect();
        for _ in 0..3 {
            assert_eq!(client.get("/health").status, 200);
            assert_eq!(client.get("/nowhere").status, 404);
        }
        // Pipelined, with more answers than a socket takes before the peer reads.
        const PAIRS: usize = 1000;
        let pair =
            "GET /health HTTP/1.1\r\nHost: a\r\n\r\nHEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send_bytes(pair.repeat(PAIRS).as_bytes());
        for index in 0..PAIRS {
            let answer = client.read_response();
            assert_eq!((answer.status, answer.body.len()), (200, 16), "{index}");
            assert_eq!(client.read_response_to_head().status, 404, "{index}");
        }
        // The last one on a kept connection is an upgrade.
        client.upgrade("/ws");
        client.expect_echo("after two thousand requests");
    }
}

#[test]
fn connections_are_kept_as_long_as_both_sides_want() {
    let server = builder().env("HANDSHAKE_TIMEOUT", "500ms").start();
    for (request, kept) in [
        ("GET /health HTTP/1.1\r\nHost: a\r\n\r\n", true),
        (
            "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            false,
        ),
        ("GET /health HTTP/1.0\r\n\r\n", false),
        (
            "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            true,
        ),
    ] {
        let mut client = server.connect();
        client.send_bytes(request.repeat(2).as_bytes());
        let answer = client.read_response();
        let said = answer.header("connection");
        assert_eq!(
            said,
            Some(if kept { "keep-alive" } else { "close" }),
            "{request}"
        );
        if kept {
            assert_eq!(client.read_response().status, 200, "{request}");
        }
        // Where nobody asks for anything the connection ends without a word.
        client.expect_eof();
    }
}

#[test]
fn bytes_that_come_with_the_handshake_are_not_lost() {
    for front in Front::own(builder) {
        let whole = [handshake(), text("first"), text("second"), close(1000, "")].concat();
        for size in [usize::MAX, whole.len() - 3, 200, 64, 7, 1] {
            let mut client = front.connect();
            for piece in whole.chunks(size.min(whole.len())) {
                client.send_bytes(piece);
            }
            let response = client.read_response();
            assert_eq!(response.status, 101, "in pieces of {size}");
            assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
            client.expect_frame(TEXT, b"first");
            client.expect_frame(TEXT, b"second");
            client.expect_close(1000);
            client.expect_eof();
        }
    }
}

#[test]
fn a_handshake_may_be_cut_anywhere() {
    let server = builder().start();
    let whole = [handshake(), text("behind")].concat();
    for at in 1..whole.len() {
        let mut client = server.connect();
        client.send_bytes(&whole[..at]);
        client.send_bytes(&whole[at..]);
        assert_eq!(client.read_response().status, 101, "cut at {at}");
        client.expect_frame(TEXT, b"behind");
    }
}

#[test]
fn large_messages_come_back_although_nothing_else_is_sent() {
    for front in Front::all(builder) {
        let mut client = front.websocket("/ws");
        for size in [0, 125, 126, 65_535, 65_536, 100_000, 300_000, 1 << 20] {
            eprintln!("{size} bytes ({})", front.name);
            let payload: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
            client.send_bytes(&binary(&payload));
            client.expect_frame(BINARY, &payload);
        }
    }
}

#[test]
fn a_peer_that_only_stopped_sending_gets_all_it_is_owed() {
    for front in Front::own(builder) {
        let before = front.server().descriptors();
        let mut client = front.connect();
        let messages: Vec<_> = (0..150).map(|index| vec![index; 2000]).collect();
        let mut bytes = handshake();
        bytes.extend(messages.iter().flat_map(|payload| binary(payload)));
        client.send_bytes(&bytes);
        client.shutdown_write();
        assert_eq!(client.read_response().status, 101);
        for payload in &messages {
            client.expect_frame(BINARY, payload);
        }
        client.expect_eof();
        front.server().wait_descriptors(before, DEADLINE);
        let line = front
            .server()
            .wait_for_log("closed by the transport", DEADLINE);
        assert!(line.contains("code=1006"), "{line}");
    }
}

#[test]
fn a_reset_is_noticed_at_once_in_every_state() {
    let server = builder().start();
    let before = server.descriptors();
    // Idle; in the middle of a message; with replies that nobody reads.
    for bytes in [
        &b""[..],
        &text("cut")[..4],
        &binary(&[7; 100_000]).repeat(5),
    ] {
        let position = server.log().position();
        let mut client = server.websocket("/ws");
        client.send_bytes(bytes);
        client.reset();
        let closed = |line: &str| line.contains("closed by the transport");
        let (_, line) = server
            .log()
            .wait_after(position, DEADLINE, closed)
            .expect("a log line");
        assert!(line.contains("code=1006"), "{line}");
        server.wait_descriptors(before, DEADLINE);
    }
}

#[test]
fn a_close_of_the_peer_is_answered_with_its_code() {
    for front in Front::all(builder) {
        for (code, reason) in [(1000, ""), (1001, "away"), (3000, "é"), (4999, "x")] {
            let mut client = front.websocket("/ws");
            client.send_bytes(&[text("before"), close(code, reason)].concat());
            client.expect_frame(TEXT, b"before");
            client.expect_close(code);
            client.expect_eof();
        }
    }
}

#[test]
fn our_close_is_never_lost_in_a_reset() {
    for front in Front::own(|| builder().env("MAX_MESSAGE_SIZE", "1000")) {
        let before = front.server().descriptors();
        let mut client = front.websocket("/ws");
        // Four megabytes more than the server wants to see.
        client.send_bytes(&binary(&[7; 1001]));
        for _ in 0..64 {
            client.send_bytes(&[7; 64 * 1024]);
        }
        client.expect_close(1009);
        client.expect_eof();
        // The peer goes on behind the end of the server, until it has noticed.
        client.send_bytes(&[7; 1000]);
        drop(client);
        front.server().wait_descriptors(before, DEADLINE);
    }
}

#[test]
fn the_second_close_frame_ends_tcp_and_the_peer_is_not_waited_for() {
    let server = builder().env("CLOSE_TIMEOUT", "1h").start();
    let before = server.descriptors();
    let mut clients: Vec<_> = (0..3).map(|_| server.websocket("/ws")).collect();
    clients[0].send_bytes(&close(1000, ""));
    clients[1].send_bytes(&[text("before"), close(1001, "")].concat());
    clients[1].expect_frame(TEXT, b"before");
    clients[2].send_bytes(&frame(true, CLOSE, &[]));
    for (client, code) in clients[..2].iter_mut().zip([1000, 1001]) {
        client.expect_close(code);
        client.expect_eof();
    }
    clients[2].expect_frame(CLOSE, b"");
    clients[2].expect_eof();
    // All three peers have their end open, and nothing is left here but what they may keep for an hour.
    server.wait_descriptors(before, DEADLINE);
    drop(clients);
}

#[test]
fn a_peer_that_sends_behind_its_close_frame_still_gets_ours() {
    for front in Front::own(builder) {
        let before = front.server().descriptors();
        let mut client = front.websocket("/ws");
        client.send_bytes(&[close(1000, ""), text("behind")].concat());
        client.expect_close(1000);
        client.expect_eof();
        client.send_bytes(&text("later"));
        drop(client);
        front.server().wait_descriptors(before, DEADLINE);
    }
}

#[test]
fn a_peer_that_does_not_end_tcp_is_dropped_after_the_close_time() {
    for front in Front::own(|| builder().env("CLOSE_TIMEOUT", "300ms")) {
        let before = front.server().descriptors();
        let mut client = front.websocket("/ws");
        client.send_bytes(&close(1000, ""));
        client.expect_close(1000);
        client.expect_eof();
        let mut http = front.connect();
        http.request("GET", "/health", &[("Connection", "close")]);
        http.read_response();
        http.expect_eof();
        // Both ends of ours are open.
        front.server().wait_descriptors(before, DEADLINE);
    }
}

fn with_heartbeat() -> ServerBuilder {
    builder()
        .env("HEARTBEAT_INTERVAL", "300ms")
        .env("HEARTBEAT_TIMEOUT", "500ms")
}

#[test]
fn a_silent_peer_is_pinged_and_then_closed() {
    for front in Front::all(with_heartbeat) {
        let begun = Instant::now();
        let mut client = front.websocket("/ws");
        client.expect_frame(PING, b"tidegate");
        assert!(begun.elapsed() >= Duration::from_millis(290), "too early");
        let reason = client.expect_close(1011);
        assert!(reason.contains("ping"), "{reason}");
        assert!(begun.elapsed() >= Duration::from_millis(780), "too early");
        client.expect_eof();
    }
}

#[test]
fn a_peer_that_answers_or_talks_stays() {
    let server = with_heartbeat().start();
    let mut answering = server.websocket("/ws");
    let mut talking = server.websocket("/ws");
    // Eight pings, each after 300 ms of silence: three times as long as a silent peer has.
    for _ in 0..8 {
        let ping = answering.read_frame();
        assert_eq!(ping.opcode, PING, "{ping:?}");
        answering.send_bytes(&frame(true, PONG, &ping.payload));
        // Half a message is a sign of life too; what was said since is answered between the pings.
        talking.send_bytes(&text("talk"));
        loop {
            let frame = talking.read_frame();
            match frame.opcode {
                PING => {}
                _ => break assert_eq!(frame.payload, b"talk"),
            }
        }
    }
    answering.expect_echo("still here");
}

#[test]
fn a_slow_but_steady_reader_is_not_taken_for_dead() {
    let server = with_heartbeat().start();
    let mut client = common::client::Client::tcp_narrow(server.address());
    client.upgrade("/ws");
    let payload = vec![7; 1_000_000];
    client.send_bytes(&binary(&payload));
    // Says nothing for more than twice as long as a silent peer has, and reads all the time.
    let begun = Instant::now();
    let mut taken = 0;
    while taken < payload.len() {
        taken += client.read_some(10_000);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begun.elapsed() > Duration::from_millis(1600), "not slow");
    loop {
        let frame = client.read_frame();
        match frame.opcode {
            BINARY => assert!(frame.payload == payload),
            PING => break,
            CLOSE => panic!("taken for dead: {frame:?}"),
            _ => panic!("{frame:?}"),
        }
    }
    client.send_bytes(&[frame(true, PONG, b"tidegate"), text("alive")].concat());
    loop {
        let frame = client.read_frame();
        if frame.opcode == TEXT {
            break assert_eq!(frame.payload, b"alive");
        }
        assert_eq!(frame.opcode, PING, "{frame:?}");
    }
}
