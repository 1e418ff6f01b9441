//! The cases of the protocol suites of Engine.IO 4 and Socket.IO 5, and how wrong requests are refused, against the real server
//! with one worker and with three.

mod common;

use std::time::{Duration, Instant};

use common::frame;
use common::server::Server;
use common::socketio::{
    PING_INTERVAL_MS, PING_TIMEOUT_MS, Polling, Socket, conformant, opened, patient, post, refusal,
};
use serde_json::{Value, json};

const ECHO: &str = "/engine.io/";
const SOCKETIO: &str = "/socket.io/";

fn on_each(test: impl Fn(&Server)) {
    for workers in [1, 3] {
        test(&conformant(workers).start());
    }
}

fn expect_open(open: &Value, upgrades: &Value) {
    let keys: Vec<_> = open.as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        [
            "maxPayload",
            "pingInterval",
            "pingTimeout",
            "sid",
            "upgrades"
        ]
    );
    assert_eq!(open["upgrades"], *upgrades);
    assert_eq!(open["pingInterval"], PING_INTERVAL_MS);
    assert_eq!(open["pingTimeout"], PING_TIMEOUT_MS);
    assert_eq!(open["maxPayload"], 1_000_000);
}

#[test]
fn sessions_are_opened_by_either_transport() {
    on_each(|server| {
        for path in [ECHO, SOCKETIO] {
            let response = server
                .connect()
                .get(&format!("{path}?EIO=4&transport=polling"));
            assert_eq!(response.status, 200);
            expect_open(&opened(response.text()), &json!(["websocket"]));
            let (_, open) = Socket::open(server, path);
            expect_open(&open, &json!([]));
        }
    });
}

#[test]
fn wrong_requests_are_refused_by_their_codes() {
    on_each(|server| {
        let session = Polling::open(server, ECHO);
        let sid = &session.sid;
        let requests = [
            ("GET", "transport=polling".to_owned(), 5),
            ("GET", "EIO=abc&transport=polling".to_owned(), 5),
            ("GET", "EIO=3&transport=polling".to_owned(), 5),
            ("GET", "EIO=4".to_owned(), 0),
            ("GET", "EIO=4&transport=abc".to_owned(), 0),
            ("GET", "EIO=4&transport=__proto__".to_owned(), 0),
            ("POST", "EIO=4&transport=polling".to_owned(), 2),
            ("PUT", "EIO=4&transport=polling".to_owned(), 2),
            ("GET", "EIO=4&transport=websocket".to_owned(), 3),
            ("GET", "EIO=4&EIO=4&transport=polling".to_owned(), 3),
            ("DELETE", format!("EIO=4&transport=polling&sid={sid}"), 3),
            ("GET", "EIO=4&transport=polling&sid=abc".to_owned(), 1),
            ("GET", format!("EIO=4&transport=polling&sid=a{sid}"), 1),
            ("GET", format!("EIO=3&transport=polling&sid={sid}"), 5),
        ];
        // One connection for all: a refusal is no reason to close it.
        let mut client = server.connect();
        for (method, query, code) in &requests {
            client.request(method, &format!("{ECHO}?{query}"), &[]);
            let response = client.read_response();
            assert_eq!(refusal(&response), (400, json!(code)), "{query}");
            assert_eq!(response.header("connection"), Some("keep-alive"));
        }
        client.request("HEAD", &format!("{ECHO}?EIO=4&transport=polling"), &[]);
        assert_eq!(client.read_response_to_head().status, 400);
        for (query, code) in [
            ("transport=websocket", 5),
            ("EIO=4&transport=abc", 0),
            ("EIO=4&transport=polling", 3),
            ("EIO=4&transport=websocket&sid=abc", 1),
        ] {
            let response = server.connect().handshake(&format!("{ECHO}?{query}"), &[]);
            assert_eq!(refusal(&response), (400, json!(code)), "{query}");
        }
        // None of it did anything to the session.
        assert_eq!(session.post("4still").status, 200);
        assert_eq!(session.packets(1), ["4still"]);
    });
}

#[test]
fn messages_go_both_ways_by_long_polling() {
    on_each(|server| {
        let session = Polling::open(server, ECHO);
        let response = session.post("4hello");
        assert_eq!((response.status, response.text()), (200, "ok"));
        let response = session.poll();
        let content_type = response.header("content-type").expect("a type");
        assert!(content_type.starts_with("text/plain; charset="));
        assert_eq!(response.text(), "4hello");
        assert_eq!(session.post("4test1\x1e4test2\x1e4test3").text(), "ok");
        assert_eq!(session.poll().text(), "4test1\x1e4test2\x1e4test3");
        assert_eq!(session.post("4hello\x1ebAQIDBA==").text(), "ok");
        assert_eq!(session.poll().text(), "4hello\x1ebAQIDBA==");
    });
}

#[test]
fn what_is_no_packet_ends_the_session_and_nothing_else() {
    on_each(|server| {
        let other = Polling::open(server, ECHO);
        for body in ["abc", "", "4a\x1e9", "bno!"] {
            let session = Polling::open(server, ECHO);
            assert_eq!(refusal(&session.post(body)), (400, json!(3)), "{body}");
            assert_eq!(refusal(&session.poll()), (400, json!(1)), "{body}");
        }
        let (mut socket, _) = Socket::open(server, ECHO);
        socket.say("abc");
        socket.expect_end();
        assert_eq!(other.post("4x").status, 200);
        assert_eq!(other.packets(1), ["4x"]);
    });
}

#[test]
fn a_second_get_ends_the_session() {
    let server = conformant(1).start();
    let session = Polling::open(&server, ECHO);
    let mut first = session.begin_poll();
    // One worker reads in the order of its connections: what was sent before has been read before.
    server.connect().get("/health");
    assert_eq!(refusal(&session.poll()), (400, json!(3)));
    let response = first.read_response();
    assert_eq!((response.status, response.text()), (200, "1"));
    assert_eq!(refusal(&session.poll()), (400, json!(1)));
}

#[test]
fn messages_go_both_ways_by_websocket() {
    on_each(|server| {
        let (mut socket, _) = Socket::open(server, ECHO);
        socket.say("4hello");
        assert_eq!(socket.read_packet(), "4hello");
        socket.say_bytes(&[1, 2, 3, 4]);
        assert_eq!(socket.read_bytes(), [1, 2, 3, 4]);
    });
}

#[test]
fn pings_are_answered_or_the_session_ends() {
    on_each(|server| {
        let session = Polling::open(server, ECHO);
        let (mut socket, _) = Socket::open(server, ECHO);
        for _ in 0..2 {
            assert_eq!(session.poll().text(), "2");
            assert_eq!(session.post("3").text(), "ok");
            assert_eq!(socket.read(), "2");
            socket.say("3");
        }
        assert_eq!(socket.read(), "2");
        socket.expect_end();
    });
}

/// A request at the very end of the time finds no session, whatever else the server has to do.
#[test]
fn a_session_is_gone_when_its_time_is_over() {
    let server = conformant(2).start();
    for _ in 0..3 {
        let begun = Instant::now();
        let session = Polling::open(&server, ECHO);
        let over = Instant::now() + Duration::from_millis(PING_INTERVAL_MS + PING_TIMEOUT_MS);
        std::thread::sleep(over.saturating_duration_since(Instant::now()));
        assert!(begun.elapsed() >= Duration::from_millis(500));
        assert_eq!(refusal(&session.poll()), (400, json!(1)));
    }
}

#[test]
fn clients_close_their_sessions() {
    let server = conformant(1).start();
    let session = Polling::open(&server, ECHO);
    let mut poll = session.begin_poll();
    server.connect().get("/health");
    assert_eq!(session.post("1").status, 200);
    assert_eq!(poll.read_response().text(), "6");
    assert_eq!(session.poll().status, 400);
    // A GET that comes by another way after the POST is answered all the same, once.
    let session = Polling::open(&server, ECHO);
    assert_eq!(session.post("1").status, 200);
    assert_eq!(session.poll().text(), "6");
    assert_eq!(refusal(&session.poll()), (400, json!(1)));
    let session = Polling::open(&server, ECHO);
    assert_eq!(session.post("1").status, 200);
    assert_eq!(refusal(&session.post("4a")), (400, json!(1)));
    let (mut socket, _) = Socket::open(&server, ECHO);
    socket.say("1");
    socket.expect_end();
}

#[test]
fn a_session_changes_to_a_websocket_and_is_deaf_to_anything_else() {
    on_each(|server| {
        let session = Polling::open(server, ECHO);
        assert_eq!(session.post("4before").status, 200);
        let mut socket = session.upgrade();
        assert_eq!(socket.read_packet(), "4before", "nothing is lost");
        socket.say("4hello");
        assert_eq!(socket.read_packet(), "4hello");
        assert_eq!(refusal(&session.poll()), (400, json!(3)));
        assert_eq!(refusal(&session.post("4x")), (400, json!(3)));
        // Its opening handshake succeeds, and then it is closed.
        let mut client = server.connect();
        client.upgrade(&session.target().replace("polling", "websocket"));
        assert_eq!(client.expect_close(1000), "");
        socket.say("4again");
        assert_eq!(socket.read_packet(), "4again");
    });
}

/// The GET that waits is let go, so that the client can change.
#[test]
fn a_waiting_get_is_answered_by_a_noop_for_a_probe() {
    let server = patient(1).start();
    let session = Polling::open(&server, ECHO);
    let mut poll = session.begin_poll();
    server.connect().get("/health");
    let mut socket = session.upgrade();
    assert_eq!(poll.read_response().text(), "6");
    socket.say("4hello");
    assert_eq!(socket.read_packet(), "4hello");
}

#[test]
fn a_websocket_that_goes_away_before_it_takes_over_changes_nothing() {
    let server = patient(2).start();
    let session = Polling::open(&server, ECHO);
    for last in ["2probe", "4early"] {
        let mut client = server.connect();
        client.upgrade(&session.target().replace("polling", "websocket"));
        client.send_bytes(&frame::text(last));
        if last == "2probe" {
            client.expect_frame(frame::TEXT, b"3probe");
        } else {
            client.expect_close(1000);
        }
        client.reset();
    }
    assert_eq!(session.post("4a").status, 200);
    assert_eq!(session.packets(1), ["4a"]);
}

#[test]
fn clients_are_let_into_namespaces_that_there_are() {
    on_each(|server| {
        let (mut socket, _) = Socket::open(server, SOCKETIO);
        for (said, told, auth) in [
            ("40", "40", "42[\"auth\",{}]"),
            (
                "40/custom,{\"token\":\"abc\"}",
                "40/custom,",
                "42/custom,[\"auth\",{\"token\":\"abc\"}]",
            ),
        ] {
            socket.say(said);
            let packet = socket.read_packet();
            let handshake = packet.strip_prefix(told).expect("a connect");
            let handshake: Value = serde_json::from_str(handshake).expect("JSON");
            assert!(
                handshake["sid"].is_string()
                    && handshake.as_object().map(serde_json::Map::len) == Some(1)
            );
            assert_eq!(socket.read_packet(), auth);
        }
        for namespace in ["/random", "/__proto__", "/custom2"] {
            socket.say(&format!("40{namespace},"));
            let refused = format!("44{namespace},{{\"message\":\"Invalid namespace\"}}");
            assert_eq!(socket.read_packet(), refused);
        }
        socket.say("41/custom,");
        socket.say("42[\"message\",\"to the main one\"]");
        let expected = "42[\"message-back\",\"to the main one\"]";
        assert_eq!(socket.read_packet(), expected);
    });
}

#[test]
fn a_client_without_a_namespace_has_only_so_much_time() {
    let server = conformant(1).start();
    let (mut socket, _) = Socket::open(&server, SOCKETIO);
    let begun = Instant::now();
    loop {
        let frame = socket.client.read_frame();
        match frame.opcode {
            frame::CLOSE => break,
            _ => socket.say("3"),
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(900), "{begun:?}");
}

#[test]
fn events_and_answers_keep_their_arguments() {
    on_each(|server| {
        let mut socket = Socket::connected(server);
        socket.say("42[\"message\",1,\"2\",{\"3\":[true]}]");
        let expected = "42[\"message-back\",1,\"2\",{\"3\":[true]}]";
        assert_eq!(socket.read_packet(), expected);
        socket.say("42456[\"message-with-ack\",1,\"2\",{\"3\":[false]}]");
        assert_eq!(socket.read_packet(), "43456[1,\"2\",{\"3\":[false]}]");
        let args = "{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}";
        for (said, told) in [
            (
                format!("452-[\"message\",{args}]"),
                format!("452-[\"message-back\",{args}]"),
            ),
            (
                format!("452-789[\"message-with-ack\",{args}]"),
                format!("462-789[{args}]"),
            ),
        ] {
            socket.say(&said);
            socket.say_bytes(&[1, 2, 3]);
            socket.say_bytes(&[4, 5, 6]);
            assert_eq!(socket.read_packet(), told);
            assert_eq!(socket.read_bytes(), [1, 2, 3]);
            assert_eq!(socket.read_bytes(), [4, 5, 6]);
        }
    });
}

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

#[test]
fn a_lost_connection_ends_the_session_that_it_carried() {
    let server = patient(1).start();
    for is_reset in [true, false] {
        let session = Polling::open(&server, ECHO);
        let mut poll = session.begin_poll();
        server.connect().get("/health");
        if is_reset {
            poll.reset();
        } else {
            poll.shutdown_write();
            poll.expect_eof();
        }
        common::eventually("the session is gone", || session.post("4a").status == 400);
    }
    let session = Polling::open(&server, ECHO);
    session.upgrade().client.reset();
    common::eventually("the session is gone", || {
        refusal(&session.poll()) == (400, json!(1))
    });
}

/// Requests on one connection are answered one after the other, whichever worker their sessions are at.
#[test]
fn pipelined_requests_of_several_sessions_are_answered_in_order() {
    let server = patient(3).start();
    let sessions: Vec<_> = (0..6).map(|_| Polling::open(&server, ECHO)).collect();
    let mut client = server.connect();
    let mut requests = String::new();
    for (number, session) in sessions.iter().enumerate() {
        let target = session.target();
        requests += &format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n4{number}GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"
        );
    }
    let (most, last) = requests.split_at(requests.len() - 7);
    client.send_bytes(most.as_bytes());
    for number in 0..sessions.len() {
        if number == sessions.len() - 1 {
            client.send_bytes(last.as_bytes());
        }
        assert_eq!(client.read_response().text(), "ok");
        assert_eq!(client.read_response().text(), format!("4{number}"));
    }
}

/// A connection may say a request in any number of pieces, also where it is then for another worker.
#[test]
fn requests_in_pieces_find_their_session_at_another_worker() {
    let server = patient(3).start();
    for _ in 0..6 {
        let session = Polling::open(&server, ECHO);
        let mut client = server.connect();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n4ab",
            session.target()
        );
        for piece in head.as_bytes().chunks(29) {
            client.send_bytes(piece);
            // The other end takes it in, and waits for more.
            server.connect().get("/health");
        }
        assert_eq!(client.read_response().text(), "ok");
        assert_eq!(session.poll().text(), "4ab");
    }
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
    let any = patient(1).start();
    let mut client = any.connect();
    client.request("GET", &target, &[("Origin", "https://any.example")]);
    let response = client.read_response();
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert_eq!(response.header("access-control-allow-credentials"), None);
}

#[test]
fn sessions_are_counted_and_have_a_limit() {
    let server = patient(2)
        .env("MAX_CONNECTIONS", "20")
        .env("MAX_CONNECTIONS_PER_IP", "4")
        .start();
    let sessions: Vec<_> = (0..4).map(|_| Polling::open(&server, ECHO)).collect();
    let target = format!("{ECHO}?EIO=4&transport=polling");
    let response = server.connect().get(&target);
    assert_eq!(response.status, 429);
    assert_eq!(response.header("retry-after"), Some("5"));
    let response = server
        .connect()
        .handshake(&target.replace("polling", "websocket"), &[]);
    assert_eq!(response.status, 429);
    assert_eq!(sessions[0].post("1").status, 200);
    common::eventually("there is room again", || {
        server.connect().get(&target).status == 200
    });
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
