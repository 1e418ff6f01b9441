//! What Engine.IO and Socket.IO clients may not do, and how they are told: limits, hostile input, other origins, the farewell.

mod common;

use std::time::{Duration, Instant};

use common::socketio::{Polling, Socket, opened, patient, post, refusal};
use serde_json::json;

const ECHO: &str = "/engine.io/";
const SOCKETIO: &str = "/socket.io/";

/// What other servers fell over, and what the suites call invalid.
#[test]
fn a_wrong_packet_ends_its_session_and_nothing_else() {
    let server = patient(2).start();
    let mut other = Socket::connected(&server);
    for wrong in [
        "4abc",
        "4",
        "40{}",
        "40[]",
        "41x",
        "42",
        "42{}",
        "42[]",
        "42[{}]",
        "42[null,1]",
        "42abc",
        "42[\"connect\"]",
        "42[\"disconnect\",1]",
        "42[\"message\",1",
        "42/custom,[\"message\"]",
        "421e3[\"message\"]",
        "4299999999999999999999[\"message\"]",
        "43[1]",
        "44\"no\"",
        "4511-[\"message\"]",
        "45x-[\"message\"]",
        "4599999999999-[\"message\"]",
        "451-[\"message\",{\"_placeholder\":true,\"num\":1}]",
        "451-[\"message\",{\"_placeholder\":true,\"num\":\"splice\"}]",
        "452-[\"message\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":0}]",
        "461-[1]",
        "2",
    ] {
        let mut socket = Socket::connected(&server);
        socket.say(wrong);
        socket.expect_end();
    }
    let deep = format!("42[\"message\",{}", "[".repeat(100_000));
    for (texts, binary) in [
        (vec![deep.as_str()], false),
        (
            vec![
                "451-[\"message\",{\"_placeholder\":true,\"num\":0}]",
                "42[\"message\"]",
            ],
            false,
        ),
        (vec![], true),
    ] {
        let mut socket = Socket::connected(&server);
        for text in texts {
            socket.say(text);
        }
        if binary {
            socket.say_bytes(&[1]);
        }
        socket.expect_end();
    }
    other.say("42[\"message\"]");
    assert_eq!(other.read_packet(), "42[\"message-back\"]");
}

#[test]
fn a_payload_has_a_limit_whichever_way_it_comes() {
    let server = patient(2).env("SOCKETIO_MAX_PAYLOAD", "1000").start();
    let session = Polling::open(&server, ECHO);
    let largest = format!("4{}", "a".repeat(999));
    assert_eq!(session.post(&largest).status, 200);
    assert_eq!(session.packets(1), [largest.as_str()]);
    let larger = format!("{largest}a");
    assert_eq!(refusal(&session.post(&larger)).0, 413);
    let mut client = server.connect();
    client.request(
        "POST",
        &session.target(),
        &[("Transfer-Encoding", "chunked")],
    );
    client.send_bytes(format!("3e9\r\n{larger}\r\n0\r\n\r\n").as_bytes());
    assert_eq!(refusal(&client.read_response()).0, 413);
    let mut client = server.connect();
    client.request(
        "POST",
        &session.target(),
        &[("Transfer-Encoding", "chunked")],
    );
    client.send_bytes(b"2\r\n4c\r\n3\r\nhun\r\n0\r\n\r\n");
    assert_eq!(client.read_response().text(), "ok");
    assert_eq!(session.packets(1), ["4chun"], "the session goes on");
    let (mut socket, _) = Socket::open(&server, ECHO);
    socket.say(&larger);
    socket.expect_end();
}

#[test]
fn bodies_that_are_no_text_or_do_not_come_end_the_session() {
    let server = patient(2).env("HANDSHAKE_TIMEOUT", "300ms").start();
    let session = Polling::open(&server, ECHO);
    let mut client = server.connect();
    let headers = [
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", "1"),
    ];
    client.request("POST", &session.target(), &headers);
    client.send_bytes(b"4");
    assert_eq!(refusal(&client.read_response()), (400, json!(3)));
    assert_eq!(refusal(&session.poll()), (400, json!(1)));

    let session = Polling::open(&server, ECHO);
    let mut client = server.connect();
    client.request("POST", &session.target(), &[("Content-Length", "2")]);
    client.send_bytes(b"4\xff");
    assert_eq!(refusal(&client.read_response()), (400, json!(3)));
    assert_eq!(refusal(&session.poll()), (400, json!(1)));

    let session = Polling::open(&server, ECHO);
    let mut client = server.connect();
    client.request("POST", &session.target(), &[("Content-Length", "5")]);
    client.send_bytes(b"4ab");
    assert_eq!(refusal(&client.read_response()).0, 408);
    assert_eq!(refusal(&session.poll()), (400, json!(1)));
}

/// As many messages as fit, and whoever else is there does not wait for all of them.
#[test]
fn a_post_of_very_many_messages_keeps_nobody_waiting() {
    let server = patient(1).start();
    let session = Polling::connected(&server);
    // Answers to nothing, which say nothing.
    let many = vec!["430[]"; 150_000].join("\x1e");
    let mut other = Socket::connected(&server);
    let (rounds, longest) = std::thread::scope(|scope| {
        let posting = scope.spawn(|| session.post(&many).status);
        let (mut rounds, mut longest) = (0, Duration::ZERO);
        while !posting.is_finished() {
            let begun = Instant::now();
            other.say("42[\"message\",1]");
            assert_eq!(other.read_packet(), "42[\"message-back\",1]");
            longest = longest.max(begun.elapsed());
            rounds += 1;
        }
        assert_eq!(posting.join().expect("it ends"), 200);
        (rounds, longest)
    });
    assert!(rounds > 20, "{longest:?} of {rounds}");
}

#[test]
fn scripts_of_other_origins_may_or_may_not() {
    let server = patient(1)
        .env("CORS_ORIGIN", "https://good.example")
        .env("ALLOWED_ORIGINS", "https://good.example")
        .start();
    let mut client = server.connect();
    let target = format!("{ECHO}?EIO=4&transport=polling");
    client.request("OPTIONS", &target, &[("Origin", "https://good.example")]);
    let preflight = client.read_response();
    assert_eq!(preflight.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://good.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, POST, OPTIONS"),
        (
            "access-control-allow-headers",
            "Authorization, Content-Type",
        ),
        ("vary", "Origin"),
    ] {
        assert_eq!(preflight.header(name), Some(value), "{name}");
    }
    client.request("GET", &target, &[("Origin", "https://good.example")]);
    let response = client.read_response();
    assert_eq!(response.status, 200);
    let credentials = response.header("access-control-allow-credentials");
    assert_eq!(credentials, Some("true"));
    for origin in ["https://evil.example", "null"] {
        client.request("GET", &target, &[("Origin", origin)]);
        let response = client.read_response();
        assert_eq!(refusal(&response), (403, json!(4)), "{origin}");
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
    // Which a page of the same origin need not name where it only reads.
    let session = Polling::open(&server, ECHO);
    assert_eq!(refusal(&session.post("4a")), (403, json!(4)));
    let websocket = target.replace("polling", "websocket");
    let response = server.connect().handshake(&websocket, &[]);
    assert_eq!(refusal(&response), (403, json!(4)));
    let headers = [("Origin", "https://good.example")];
    server.connect().upgrade_with(&websocket, &headers);
    let any = patient(1).start();
    let mut client = any.connect();
    client.request("GET", &target, &[("Origin", "https://any.example")]);
    let response = client.read_response();
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert_eq!(response.header("access-control-allow-credentials"), None);
}

#[test]
fn an_address_has_as_many_sessions_as_connections() {
    let server = patient(2).env("MAX_CONNECTIONS_PER_IP", "4").start();
    let target = format!("{ECHO}?EIO=4&transport=polling");
    // All over one connection, which is one of those that the address may have.
    let mut client = server.connect();
    let names: Vec<_> = (0..4)
        .map(|_| opened(client.get(&target).text())["sid"].clone())
        .collect();
    let response = client.get(&target);
    assert_eq!(response.status, 429);
    assert_eq!(response.header("retry-after"), Some("5"));
    let websocket = target.replace("polling", "websocket");
    let response = server.connect().handshake(&websocket, &[]);
    assert_eq!(response.status, 429);
    let name = names[0].as_str().expect("a name");
    assert_eq!(
        post(&mut client, &format!("{target}&sid={name}"), "1").status,
        200
    );
    common::eventually("there is room again", || client.get(&target).status == 200);
}

#[test]
fn a_process_has_as_many_sessions_as_connections() {
    let server = patient(1).env("MAX_CONNECTIONS", "3").start();
    let target = format!("{ECHO}?EIO=4&transport=polling");
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get(&target).status, 200);
    }
    let response = client.get(&target);
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some("5"));
}

#[test]
fn who_sends_too_fast_waits_or_is_sent_away() {
    let throttled = patient(1)
        .env("RATE_LIMIT_MESSAGES", "10")
        .env("RATE_LIMIT_BURST", "100ms")
        .start();
    let session = Polling::open(&throttled, ECHO);
    let begun = Instant::now();
    assert_eq!(session.post(&["4a"; 6].join("\x1e")).status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(400), "{begun:?}");
    let closing = patient(1)
        .env("RATE_LIMIT_MESSAGES", "10")
        .env("RATE_LIMIT_BURST", "100ms")
        .env("RATE_LIMIT_POLICY", "close")
        .start();
    let session = Polling::open(&closing, ECHO);
    let response = session.post(&["4a"; 6].join("\x1e"));
    assert_eq!(refusal(&response), (400, json!(3)));
    assert_eq!(refusal(&session.poll()), (400, json!(1)));
}

/// A client that fetches nothing costs no more than its queue.
#[test]
fn a_session_that_nobody_fetches_from_ends() {
    let server = patient(1).env("SEND_QUEUE_SOFT", "64KiB").start();
    let session = Polling::open(&server, ECHO);
    let message = format!("4{}", "a".repeat(20_000));
    let mut client = server.connect();
    let statuses: Vec<_> = (0..5)
        .map(|_| post(&mut client, &session.target(), &message).status)
        .collect();
    assert_eq!(statuses[..3], [200, 200, 200]);
    assert_eq!(statuses[4], 400);
    server.wait_for_log("fetches its packets too slowly", common::DEADLINE);
}

#[test]
fn a_draining_server_lets_its_clients_go() {
    let mut server = patient(2).env("DRAIN_PERIOD", "2s").start();
    let mut poll = Polling::open(&server, SOCKETIO).begin_poll();
    // One that no connection has to do with.
    Polling::open(&server, SOCKETIO);
    let (mut socket, _) = Socket::open(&server, SOCKETIO);
    server.connect().get("/health");
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(socket.client.expect_close(1001), "the server is going away");
    let response = poll.read_response();
    assert_eq!((response.status, response.text()), (200, "1"));
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(server.wait_exit(common::DEADLINE).code(), Some(0));
    let closed = server.log().text().matches("closed: address=").count();
    assert_eq!(closed, 3, "{}", server.log().text());
}

/// What all sessions hold together has a limit as well, and the ones that hold much pay for it.
#[test]
fn sessions_that_nobody_fetches_from_end_where_all_hold_too_much() {
    let server = patient(2).env("SEND_QUEUE_TOTAL", "1MiB").start();
    let small = Polling::open(&server, ECHO);
    assert_eq!(small.post("4small").status, 200);
    let message = format!("4{}", "a".repeat(100_000));
    let sessions: Vec<_> = (0..12)
        .map(|_| {
            let session = Polling::open(&server, ECHO);
            assert_eq!(session.post(&message).status, 200);
            session
        })
        .collect();
    let is_there = |session: &&Polling<'_>| session.poll().status == 200;
    assert_eq!(sessions.iter().filter(is_there).count(), 10);
    assert_eq!(small.packets(1), ["4small"]);
}

/// A second POST ends the session. The first, which waits for its turn, is answered all the same.
#[test]
fn a_post_whose_session_has_ended_is_answered() {
    let server = patient(1)
        .env("RATE_LIMIT_MESSAGES", "10")
        .env("RATE_LIMIT_BURST", "100ms")
        .start();
    let session = Polling::open(&server, ECHO);
    let body = ["4a"; 50].join("\x1e");
    let length = body.len().to_string();
    let mut first = server.connect();
    let headers = [("Content-Length", length.as_str())];
    first.request("POST", &session.target(), &headers);
    first.send_bytes(body.as_bytes());
    assert_eq!(session.packets(1), ["4a"]);
    assert_eq!(refusal(&session.post("4b")), (400, json!(3)));
    assert_eq!(refusal(&first.read_response()), (400, json!(1)));
}
