//! What broke other servers before their first frame: request heads, upgrades, origins, slow peers, wrong protocols. Each
//! refusal says why, comes from the real server, and leaves no descriptor behind.

mod common;
#[path = "pitfalls_handshake/refusals.rs"]
mod refusals;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use common::client::{Client, KEY, Response};
use common::front::Front;
use common::nginx::Nginx;
use common::server::{Server, ServerBuilder};
use common::{DEADLINE, eventually, frame};
use refusals::{CLIENT_HELLO, malformed_requests, refused_upgrades, upgrade, upgrade_by};

/// What a smuggler would like to be taken for a request of its own.
const SMUGGLED: &[u8] = b"GET /health HTTP/1.1\r\nHost: smuggled\r\n\r\n";
fn builder() -> ServerBuilder {
    Server::builder().env("LOG_LEVEL", "debug")
}

/// A refusal with its sentence, after which the connection ends.
fn expect_refusal(name: &str, client: &mut Client, is_head: bool, status: u16) -> Response {
    let response = if is_head {
        client.read_response_to_head()
    } else {
        client.read_response()
    };
    assert_eq!(response.status, status, "{name}: {response:?}");
    assert_eq!(response.header("connection"), Some("close"), "{name}");
    if !is_head {
        let sentence = response.text().trim_end();
        assert!(sentence.ends_with('.'), "{name}: {sentence:?} says nothing");
    }
    if status == 426 {
        assert_eq!(
            response.header("sec-websocket-version"),
            Some("13"),
            "{name}"
        );
    }
    client.expect_eof();
    response
}

#[test]
fn every_refusal_says_why_once_and_leaves_no_descriptor() {
    for front in Front::own(|| builder().env("ALLOWED_ORIGINS", "https://example.com")) {
        let server = front.server();
        let before = server.descriptors();
        let rows = malformed_requests().into_iter().chain(refused_upgrades());
        for (name, mut request, status) in rows {
            let name = format!("{name} ({})", front.name);
            // Without an origin every upgrade would be refused for that.
            if !request.windows(7).any(|bytes| bytes == b"Origin:")
                && let Some(at) = find(&request, b"Upgrade: websocket\r\n")
            {
                let origin = b"Origin: https://example.com\r\n";
                request.splice(at..at, origin.iter().copied());
            }
            let is_head = request.starts_with(b"HEAD");
            let with_more = [&request[..], SMUGGLED].concat();
            // Whole, with what a smuggler adds: one answer, then the end.
            let mut client = front.connect();
            client.send_bytes(&with_more);
            expect_refusal(&name, &mut client, is_head, status);
            drop(client);
            // The peer does not wait for the answer.
            let mut client = front.connect();
            client.send_bytes(&with_more);
            drop(client);
            // The peer says that it sends no more.
            let mut client = front.connect();
            client.send_bytes(&request);
            client.shutdown_write();
            expect_refusal(&name, &mut client, is_head, status);
            drop(client);
            eventually(&format!("descriptors after {name}"), || {
                server.descriptors() <= before
            });
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[test]
fn a_reset_in_the_middle_of_a_handshake_leaves_no_descriptor() {
    let server = builder().start();
    let before = server.descriptors();
    let whole = upgrade(&[]);
    for at in [0, 1, 30, whole.len() - 1, whole.len()] {
        for _ in 0..20 {
            let mut client = server.connect();
            client.send_bytes(&whole[..at]);
            client.reset();
        }
    }
    server.wait_descriptors(before, DEADLINE);
    server.websocket("/ws").expect_echo("still here");
}

#[test]
fn a_head_trickled_to_a_megabyte_is_refused_at_the_cap() {
    for front in Front::own(builder) {
        let mut client = front.connect();
        let begin = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nA: ";
        client.send_bytes(begin);
        for _ in begin.len()..8 * 1024 {
            client.send_bytes(b"x");
        }
        let response = client.read_response();
        assert_eq!(response.status, 431, "{}: {response:?}", front.name);
        // Who goes on is read and dropped, and sees an end and no reset.
        for _ in 0..64 {
            if client.try_send_bytes(&[b'x'; 16 * 1024]).is_err() {
                break;
            }
        }
        client.shutdown_write();
        client.expect_eof();
    }
}

#[test]
fn spaces_in_a_subprotocol_list_cost_linear_time() {
    let server = builder().start();
    let spaces = format!("Sec-WebSocket-Protocol: a{}b", " ".repeat(7_000));
    let commas = format!("Sec-WebSocket-Protocol: a{}", ",".repeat(7_000));
    let before = server.cpu_time();
    for _ in 0..50 {
        for (field, statuses) in [(&spaces, [400, 400]), (&commas, [101, 400])] {
            let mut client = server.connect();
            client.send_bytes(&upgrade(&[field]));
            let response = client.read_response();
            assert!(statuses.contains(&response.status), "{response:?}");
        }
    }
    // A hundred requests of 7,000 bytes: one step for each pair of bytes would be 5,000,000,000.
    let spent = server.cpu_time() - before;
    assert!(spent < Duration::from_secs(2), "{spent:?}");
}

#[test]
fn odd_extension_offers_are_ignored_or_refused_and_crash_nothing() {
    for front in Front::all(builder) {
        for (offer, status) in [
            ("constructor", 101),
            ("__proto__; a=b", 101),
            ("toString, hasOwnProperty; valueOf", 101),
            ("permessage-deflate; constructor", 101),
            ("permessage-deflate; server_max_window_bits", 101),
            ("permessage-deflate; server_max_window_bits=7", 101),
            ("permessage-deflate; server_max_window_bits=16", 101),
            ("permessage-deflate; server_max_window_bits=010", 101),
            ("permessage-deflate; server_max_window_bits=-1", 101),
            (
                "permessage-deflate; server_max_window_bits=99999999999999999999",
                101,
            ),
            ("permessage-deflate; client_max_window_bits=abc", 101),
            (
                "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
                101,
            ),
            ("permessage-deflate; server_max_window_bits=", 400),
            ("permessage-deflate; =10", 400),
            ("\"permessage-deflate\"", 400),
        ] {
            let mut client = front.connect();
            let response = client.handshake("/ws", &[("Sec-WebSocket-Extensions", offer)]);
            assert_eq!(
                response.status, status,
                "{}: {offer}: {response:?}",
                front.name
            );
            let agreed = response.header("sec-websocket-extensions");
            assert_eq!(agreed, None, "{}: {offer}", front.name);
            if status == 101 {
                client.expect_echo("plain");
            }
        }
    }
}

#[test]
fn only_a_configured_subprotocol_is_echoed() {
    for front in Front::all(|| builder().env("SUBPROTOCOLS", "chat.v2,chat")) {
        for (offer, answer) in [
            ("chat", Some("chat")),
            ("other, chat, chat.v2", Some("chat.v2")),
            ("Chat", None),
            ("chat.v3", None),
            ("chat.v2x", None),
        ] {
            let mut client = front.connect();
            let response = client.upgrade_with("/ws", &[("Sec-WebSocket-Protocol", offer)]);
            let chosen = response.header("sec-websocket-protocol");
            assert_eq!(chosen, answer, "{}: {offer}", front.name);
            client.expect_echo("ready");
        }
    }
}

#[test]
fn origins_are_matched_exactly() {
    let allowed = "https://example.com,https://*.example.org";
    for front in Front::all(|| builder().env("ALLOWED_ORIGINS", allowed)) {
        for (origins, status) in [
            (&["https://example.com"][..], 101),
            (&["HTTPS://EXAMPLE.COM"], 101),
            (&["https://example.com:443"], 101),
            (&["https://a.example.org"], 101),
            (&[], 403),
            (&["null"], 403),
            (&["http://example.com"], 403),
            (&["https://example.com:8443"], 403),
            (&["https://example.co"], 403),
            (&["https://example.com.evil.example"], 403),
            (&["https://evilexample.com"], 403),
            (&["https://evil.example/https://example.com"], 403),
            (&["https://example.com@evil.example"], 403),
            (&["https://evilexample.org"], 403),
            (&["https://example.org"], 403),
            (&["https://example.com/"], 403),
            (&["https://example.com https://evil.example"], 403),
            (&["https://example.com", "https://evil.example"], 403),
            (&["https://a_b`{}.example.com"], 403),
            (&[""], 403),
        ] {
            let headers: Vec<_> = origins.iter().map(|origin| ("Origin", *origin)).collect();
            let response = front.connect().handshake("/ws", &headers);
            assert_eq!(response.status, status, "{}: {origins:?}", front.name);
        }
    }
}

#[test]
fn nothing_is_smuggled_through_nginx() {
    let server = builder().start();
    let nginx = Nginx::start(server.address());
    let before = server.descriptors();
    for (name, request, status) in [
        (
            "another version",
            upgrade_by("GET /ws HTTP/1.1", "1777", KEY, &[]),
            426,
        ),
        ("POST", upgrade_by("POST /ws HTTP/1.1", "13", KEY, &[]), 405),
        (
            "another path",
            upgrade_by("GET /nowhere HTTP/1.1", "13", KEY, &[]),
            404,
        ),
    ] {
        let mut client = nginx.connect();
        // nginx takes what follows for a second request of its own, and asks for it over a connection of its own.
        client.send_bytes(
            &[
                &request[..],
                b"GET /health?smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            ]
            .concat(),
        );
        assert_eq!(client.read_response().status, status, "{name}");
        assert_eq!(client.read_response().status, 200, "{name}");
        nginx.wait_for_access("/health?smuggled", DEADLINE);
        std::fs::write(nginx.access_log_path(), "").expect("the log can be emptied");
    }
    drop(nginx);
    server.wait_descriptors(before, DEADLINE);
}

#[test]
fn many_short_headers_are_refused_through_nginx() {
    let server = builder().start();
    let nginx = Nginx::start(server.address());
    let mut client = nginx.connect();
    client.send_bytes(&upgrade(&["A: b"; 70]));
    let response = client.read_response();
    assert_eq!(response.status, 431, "{response:?}");
    assert!(response.text().contains("header fields"), "{response:?}");
}

/// A peer that sends one byte now and then, and when it was answered.
struct Slow {
    stream: TcpStream,
    answer: Vec<u8>,
    ended: bool,
}

impl Slow {
    fn new(server: &Server) -> Self {
        let mut stream = TcpStream::connect(server.address()).expect("a connection");
        stream
            .write_all(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nA: ")
            .expect("room for a few bytes");
        stream.set_nonblocking(true).expect("a socket");
        Self {
            stream,
            answer: Vec::new(),
            ended: false,
        }
    }

    fn trickle(&mut self) {
        if self.ended {
            return;
        }
        // The server may have closed in between: what it says tells.
        let _ = self.stream.write(b"x");
        let mut buffer = [0; 512];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.ended = true;
                    return;
                }
                Ok(count) => self.answer.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("not a clean end: {error}"),
            }
        }
    }
}

#[test]
fn slow_peers_are_closed_at_the_deadline_and_harm_nobody() {
    const PEERS: usize = 1_000;
    let server = builder()
        .env("HANDSHAKE_TIMEOUT", "2s")
        .env("CLOSE_TIMEOUT", "500ms")
        .env("LOG_LEVEL", "info")
        .start();
    let mut neighbour = server.websocket("/ws");
    neighbour.expect_echo("before");
    let (descriptors, resident) = (server.descriptors(), server.resident_bytes());
    let begun = Instant::now();
    let mut peers: Vec<_> = (0..PEERS).map(|_| Slow::new(&server)).collect();
    eventually("all are taken in", || {
        server.descriptors() == descriptors + PEERS
    });
    let grown = server.resident_bytes().saturating_sub(resident);
    assert!(
        grown <= PEERS as u64 * 2048 + (1 << 20),
        "{grown} bytes for {PEERS} peers"
    );
    let mut rounds = 0;
    while peers.iter().any(|peer| !peer.ended) {
        peers.iter_mut().for_each(Slow::trickle);
        let asked = Instant::now();
        neighbour.expect_echo("in between");
        assert!(asked.elapsed() < Duration::from_secs(2), "others wait");
        rounds += 1;
        assert!(
            begun.elapsed() < DEADLINE,
            "not closed after {rounds} rounds"
        );
        thread::sleep(Duration::from_millis(50));
    }
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "closed too early"
    );
    for peer in &peers {
        let answer = String::from_utf8_lossy(&peer.answer);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    // The peers keep their ends open; the server does not wait for them.
    server.wait_descriptors(descriptors, DEADLINE);
}

#[test]
fn a_peer_that_says_nothing_is_closed_at_the_deadline() {
    for front in Front::own(|| builder().env("HANDSHAKE_TIMEOUT", "300ms")) {
        let before = front.server().descriptors();
        // Over TLS not even a ClientHello comes.
        let mut silent = Client::tcp(front.server().address());
        silent.read_to_end().expect("a clean end");
        // Over TLS the handshake is made and nothing follows.
        let mut quiet = front.connect();
        quiet.send_bytes(b"");
        quiet.expect_eof();
        drop((silent, quiet));
        front.server().wait_descriptors(before, DEADLINE);
    }
}

#[test]
fn half_a_tls_handshake_is_closed_at_the_deadline() {
    let front = Front::tls(builder().env("HANDSHAKE_TIMEOUT", "300ms"));
    let before = front.server().descriptors();
    let mut client = Client::tcp(front.server().address());
    client.send_bytes(CLIENT_HELLO);
    let _ = client.read_to_end().expect("a clean end");
    drop(client);
    front.server().wait_descriptors(before, DEADLINE);
}

#[test]
fn plain_http_and_garbage_on_the_tls_port_are_cut_off() {
    const ALERT: u8 = 21;
    let front = Front::tls(builder());
    let before = front.server().descriptors();
    for bytes in [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        vec![0xff; 100],
        b"\x16\x03\x01\xff\xff".to_vec(),
    ] {
        let mut client = Client::tcp(front.server().address());
        client.send_bytes(&bytes);
        let answer = client.read_to_end().expect("a clean end");
        assert_eq!(answer.first(), Some(&ALERT), "{answer:?} to {bytes:?}");
        drop(client);
        front.server().wait_descriptors(before, DEADLINE);
    }
    front.websocket("/ws").expect_echo("others are served");
}

#[test]
fn a_client_that_does_not_trust_the_certificate_leaves_no_descriptor() {
    let front = Front::tls(builder());
    let before = front.server().descriptors();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let other = common::tls::TestCertificate::write_to(elsewhere.path());
    let mut client = Client::tls(front.server().address(), &other);
    client
        .try_send_bytes(b"GET /health HTTP/1.1\r\n")
        .expect_err("the client refuses the certificate");
    drop(client);
    front.server().wait_descriptors(before, DEADLINE);
}

#[test]
fn garbage_in_the_middle_of_a_handshake_is_refused_at_its_first_byte() {
    for front in Front::own(builder) {
        let mut client = front.connect();
        client.send_bytes(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: web");
        client.send_bytes(b"\x00");
        // Nothing more is sent: the refusal does not wait for the end of the line.
        expect_refusal("a NUL", &mut client, false, 400);
        let mut client = front.connect();
        client.send_bytes(b"GE\xff");
        expect_refusal("no method", &mut client, false, 400);
    }
}

#[test]
fn frames_behind_a_refused_upgrade_are_not_answered() {
    for front in Front::own(builder) {
        let mut client = front.connect();
        let request = upgrade_by("GET /ws HTTP/1.1", "8", KEY, &[]);
        client.send_bytes(&[request, frame::text("tunnelled")].concat());
        expect_refusal("another version", &mut client, false, 426);
    }
}
