//! The cases of the protocol suites of Engine.IO 4 and Socket.IO 5, and how wrong requests are refused, against the real server
//! with one worker and with three.

mod common;

use std::time::{Duration, Instant};

use common::frame;
use common::server::Server;
use common::socketio::{
    PING_INTERVAL_MS, PING_TIMEOUT_MS, Polling, Socket, conformant, opened, patient, refusal,
};
use serde_json::{Value, json};

const ECHO: &str = "/engine.io/";
const SOCKETIO: &str = "/socket.io/";

/// With the usual times: a slow machine is not to be taken for a slow client.
fn on_each(test: impl Fn(&Server)) {
    for workers in [1, 3] {
        test(&patient(workers).start());
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
    for workers in [1, 3] {
        let server = &conformant(workers).start();
        for path in [ECHO, SOCKETIO] {
            let response = server
                .connect()
                .get(&format!("{path}?EIO=4&transport=polling"));
            assert_eq!(response.status, 200);
            expect_open(&opened(response.text()), &json!(["websocket"]));
            let (_, open) = Socket::open(server, path);
            expect_open(&open, &json!([]));
        }
    }
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
    let server = patient(1).start();
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
    for workers in [1, 3] {
        let server = &conformant(workers)
            .env("SOCKETIO_PING_TIMEOUT", "2s")
            .start();
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
    }
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
    let server = patient(1).start();
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
    let server = patient(1).env("SOCKETIO_CONNECT_TIMEOUT", "1s").start();
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

/// Nobody could be answered before: the GET may wait for what the request behind it brings.
#[test]
fn a_get_that_waits_makes_way_for_the_request_behind_it() {
    on_each(|server| {
        let session = Polling::open(server, ECHO);
        let mut client = session.begin_poll();
        let target = session.target();
        client.send_bytes(
            format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n4x").as_bytes(),
        );
        assert_eq!(client.read_response().text(), "6");
        assert_eq!(client.read_response().text(), "ok");
        // The last of many waits as the only one does.
        for _ in 0..20 {
            client.request("GET", &target, &[]);
        }
        assert_eq!(client.read_response().text(), "4x");
        for _ in 0..18 {
            assert_eq!(client.read_response().text(), "6");
        }
        assert_eq!(session.post("4y").text(), "ok");
        assert_eq!(client.read_response().text(), "4y");
    });
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
