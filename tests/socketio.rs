//! Socket.IO clients among users and rooms: with clients of the gateway protocol, over several workers and nodes, for back ends and
//! by tokens.

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use common::gateway::{Member, call, look};
use common::metrics::{Samples, expect_value};
use common::server::Server;
use common::socketio::{Polling, Socket, patient, refusal};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tidegate::websocket::codec::{self, Codec};

const SECRET: &str = "a secret of the tests";

fn on_one_and_on_three(test: impl Fn(&Server)) {
    for workers in [1, 3] {
        test(&patient(workers).start());
    }
}

fn token(user: &str, seconds: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let expires_at = now.expect("after 1970").as_secs_f64() + seconds;
    let claims = json!({ "sub": user, "exp": expires_at });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).expect("a token")
}

/// A polling client that is `user`.
fn polling_user<'s>(server: &'s Server, user: &str) -> Polling<'s> {
    let session = Polling::connected(server);
    assert!(session.packets(1)[0].starts_with("42[\"auth\""));
    let register = format!("420[\"register\",{{\"userId\":\"{user}\"}}]");
    assert_eq!(session.post(&register).status, 200);
    assert!(session.packets(1)[0].starts_with("430[{\"userId\""));
    session
}

/// The next event of a polling client.
fn polled_event(session: &Polling<'_>) -> (String, Value) {
    let packets = session.packets(1);
    let text = packets[0].strip_prefix("42").expect("an event");
    serde_json::from_str(text).expect("a name and an argument")
}

#[test]
fn users_of_both_protocols_reach_each_other() {
    on_one_and_on_three(|server| {
        let mut ann = Member::of(server, "ann");
        let mut bob = Socket::connected(server);
        bob.register("bob");
        let cid = polling_user(server, "cid");
        let told =
            ann.ask(&json!({ "type": "chat", "targetUserId": "bob", "text": "hi", "id": 1 }));
        assert_eq!(told["delivered"], 1);
        let (name, data) = bob.event();
        assert_eq!(
            (name.as_str(), &data["sender"], &data["content"]),
            ("message", &json!("ann"), &json!("hi"))
        );
        assert!(data["timestamp"].is_string());
        let message = json!({ "recipient": "ann", "content": "hello" });
        assert_eq!(bob.ask("send_message", &message)["delivered"], 1);
        let expected = json!({ "type": "chat", "fromUserId": "bob", "text": "hello" });
        assert_eq!(ann.read_timeless(), expected);
        let message = json!({ "recipient": "cid", "content": { "n": [1, null] } });
        assert_eq!(bob.ask("send_message", &message)["delivered"], 1);
        let (name, data) = polled_event(&cid);
        assert_eq!((name.as_str(), &data["sender"]), ("message", &json!("bob")));
        assert_eq!(data["content"], json!({ "n": [1, null] }));
        let message = json!({ "recipient": "ann", "content": [1] });
        bob.ask("send_message", &message);
        let mut told = ann.read_timeless();
        let data = told["data"].take();
        assert_eq!(
            (&data["sender"], &data["content"]),
            (&json!("bob"), &json!([1]))
        );
        let rest =
            json!({ "type": "message", "event": "message", "data": null, "fromUserId": "bob" });
        assert_eq!(told, rest);
        ann.send(
            &json!({ "type": "notification", "targetUserId": "cid", "action": "look", "data": 1 }),
        );
        let (name, data) = polled_event(&cid);
        assert_eq!(
            (name.as_str(), &data["action"], &data["fromUserId"]),
            ("notification", &json!("look"), &json!("ann"))
        );
    });
}

#[test]
fn rooms_have_members_of_both_protocols() {
    on_one_and_on_three(|server| {
        let mut ann = Member::of(server, "ann");
        ann.join("harbour");
        let mut bob = Socket::connected(server);
        bob.register("bob");
        assert_eq!(
            bob.ask("join", &json!({ "room": "harbour" })),
            json!({ "room": "harbour" })
        );
        let cid = polling_user(server, "cid");
        assert_eq!(cid.post("427[\"join\",\"harbour\"]").status, 200);
        assert_eq!(cid.packets(1), ["437[{\"room\":\"harbour\"}]"]);
        let told = bob.ask("presence", &json!("harbour"));
        assert_eq!(
            told,
            json!({ "room": "harbour", "users": ["ann", "bob", "cid"] })
        );
        let publish = json!({ "room": "harbour", "event": "tide", "data": [1, "\u{1e}é"] });
        assert_eq!(bob.ask("publish", &publish)["delivered"], 2);
        let told = ann.read_timeless();
        assert_eq!(
            (&told["event"], &told["data"], &told["fromUserId"]),
            (&json!("tide"), &publish["data"], &json!("bob"))
        );
        assert_eq!(
            polled_event(&cid),
            ("tide".to_owned(), publish["data"].clone())
        );
        ann.send(&json!({ "type": "publish", "room": "harbour", "event": "ebb", "data": {}, "echo": true }));
        assert_eq!(bob.event(), ("ebb".to_owned(), json!({})));
        assert_eq!(polled_event(&cid).0, "ebb");
        assert_eq!(ann.read_timeless()["event"], "ebb");
        // A client that leaves the main namespace is in no room.
        bob.say("41");
        common::eventually("bob has left", || {
            let told = ann.ask(&json!({ "type": "presence", "room": "harbour" }));
            told["users"] == json!(["ann", "cid"])
        });
        assert_eq!(cid.post("1").status, 200);
        common::eventually("cid has gone", || {
            let told = ann.ask(&json!({ "type": "presence", "room": "harbour" }));
            told["users"] == json!(["ann"])
        });
    });
}

#[test]
fn back_ends_push_to_them_see_them_and_act_on_them() {
    on_one_and_on_three(|server| {
        let mut bob = Socket::connected(server);
        bob.register("bob");
        let cid = polling_user(server, "cid");
        let mut backend = server.connect();
        let mut push = |path: &str, body: Value| {
            let (status, told) = call(&mut backend, path, &body);
            assert_eq!(status, 200, "{told}");
            told
        };
        let joined = push("/api/join", json!({ "userId": "bob", "room": "r" }));
        assert_eq!(joined["success"], true, "{joined}");
        let event = json!({ "userId": "bob", "event": "e", "data": { "a": 1 } });
        assert_eq!(push("/api/message", event.clone())["delivered"], 1);
        assert_eq!(bob.event(), ("e".to_owned(), json!({ "a": 1 })));
        let of_type = json!({ "userId": "cid", "message": "fire", "type": "alert" });
        push(
            "/api/batch",
            json!({ "calls": [{ "message": event }, { "sendToUser": of_type }] }),
        );
        assert_eq!(bob.event().0, "e");
        assert_eq!(polled_event(&cid), ("alert".to_owned(), json!("fire")));
        push(
            "/api/publish",
            json!({ "room": "r", "event": "connect", "data": 2 }),
        );
        let (name, data) = bob.event();
        assert_eq!(
            (name.as_str(), &data["event"]),
            ("message", &json!("connect")),
            "a name that nobody may emit"
        );
        assert_eq!(
            push("/api/broadcast", json!({ "event": "b" }))["delivered"],
            2
        );
        assert_eq!(bob.event(), ("b".to_owned(), json!(null)));
        assert_eq!(polled_event(&cid), ("b".to_owned(), json!(null)));
        let (_, user) = look(&mut server.connect(), "/api/users/bob");
        let id = user["connections"][0]["connectionId"].clone();
        assert_eq!(user["connections"][0]["rooms"], json!(["r"]), "{user}");
        push("/api/leave", json!({ "connectionId": id, "room": "r" }));
        assert_eq!(
            push("/api/publish", json!({ "room": "r", "event": "e" }))["delivered"],
            0
        );
        push("/api/disconnect", json!({ "connectionId": id }));
        assert_eq!(bob.read_packet(), "41");
        bob.client.expect_close(1000);
        push("/api/disconnect", json!({ "userId": "cid" }));
        assert_eq!(cid.poll().text(), "41");
        assert_eq!(cid.poll().text(), "1");
        assert_eq!(refusal(&cid.poll()), (400, json!(1)));
        let (_, stats) = look(&mut server.connect(), "/api/stats/connections");
        assert_eq!(stats["endpoints"]["socketio"], 0, "{stats}");
    });
}

/// Whether what goes to many comes deflated is for the WebSocket to say that carries a session, from its beginning or after a change.
#[test]
fn publications_are_deflated_for_whom_it_was_agreed() {
    const OFFER: [(&str, &str); 1] = [(
        "Sec-WebSocket-Extensions",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    )];
    const CODEC: codec::Config = codec::Config {
        message_bytes_max: 1 << 20,
        compression_bytes_min: 0,
        compression_level: 1,
    };
    on_one_and_on_three(|server| {
        let direct = server.connect();
        let changed = Polling::connected(server);
        let mut sockets = [direct, server.connect()].map(|client| Socket { client });
        let [direct, taken_over] = &mut sockets;
        let target = "/socket.io/?EIO=4&transport=websocket";
        direct.client.upgrade_with(target, &OFFER);
        direct.read();
        direct.say("40");
        assert!(direct.read_packet().starts_with("40{"));
        assert_eq!(direct.read_packet(), "42[\"auth\",{}]");
        assert_eq!(changed.packets(1), ["42[\"auth\",{}]"]);
        let target = changed.target().replace("polling", "websocket");
        taken_over.client.upgrade_with(&target, &OFFER);
        taken_over.say("2probe");
        assert_eq!(taken_over.read_packet(), "3probe");
        taken_over.say("5");
        let mut plain = Socket::connected(server);
        let polling = Polling::connected(server);
        assert_eq!(polling.packets(1), ["42[\"auth\",{}]"]);
        let mut codec = Codec::new(CODEC);
        for (event, count) in [("tide", 1), ("tides", 2_000)] {
            let data = "tide ".repeat(count);
            let body = json!({ "event": event, "data": data });
            let (status, told) = call(&mut server.connect(), "/api/broadcast", &body);
            assert_eq!((status, &told["delivered"]), (200, &json!(4)), "{told}");
            let expected = format!("42{}", json!([event, data]));
            assert_eq!(plain.read_packet(), expected);
            assert_eq!(polling.packets(1), [expected.as_str()]);
            for socket in &mut sockets {
                let frame = socket.client.read_frame();
                assert_eq!(frame.rsv == 4, count > 1, "RSV1: deflated");
                if frame.rsv == 0 {
                    assert_eq!(frame.payload, expected.as_bytes());
                    continue;
                }
                assert!(frame.payload.len() < 500, "{} bytes", frame.payload.len());
                let inflated = codec.inflate(&frame.payload, true).expect("deflated");
                assert_eq!(inflated, expected.as_bytes());
            }
        }
    });
}

#[test]
fn what_is_wrong_with_an_event_is_told_and_the_session_stays() {
    let server = patient(1).env("MAX_ROOMS_PER_CONNECTION", "1").start();
    let mut bob = Socket::connected(&server);
    for (event, argument, code) in [
        ("join", json!("r"), "not-registered"),
        ("register", json!({}), "missing-field"),
        ("register", json!({ "userId": "" }), "bad-field"),
        ("nonsense", json!(1), "unknown-type"),
        ("__proto__", json!({}), "unknown-type"),
        ("send_message", json!({ "recipient": "a" }), "missing-field"),
        ("auth", json!({ "token": "a.b.c" }), "bad-token"),
    ] {
        assert_eq!(bob.ask(event, &argument)["error"]["code"], code, "{event}");
    }
    bob.register("bob");
    for (event, argument, code) in [
        ("register", json!({ "userId": "ann" }), "already-registered"),
        ("leave", json!("r"), "not-a-member"),
        ("broadcast", json!({ "event": "e" }), "forbidden"),
        (
            "publish",
            json!({ "room": "r", "event": "e" }),
            "not-a-member",
        ),
    ] {
        assert_eq!(bob.ask(event, &argument)["error"]["code"], code, "{event}");
    }
    bob.ask("join", &json!("r"));
    assert_eq!(
        bob.ask("join", &json!("s"))["error"]["code"],
        "too-many-rooms"
    );
    bob.say("42[\"nonsense\"]");
    assert_eq!(bob.event().0, "error", "also where no answer was wanted");
    // In another namespace it is who it is in the main one, and answers come where they were asked for.
    bob.say("40/custom,");
    assert!(bob.read_packet().starts_with("40/custom,"));
    assert!(bob.read_packet().starts_with("42/custom,[\"auth\""));
    bob.say("42/custom,5[\"join\",\"r\"]");
    assert_eq!(bob.read_packet(), "43/custom,5[{\"room\":\"r\"}]");
}

#[test]
fn a_token_says_who_a_client_is() {
    let server = patient(2)
        .env("JWT_SECRET", SECRET)
        .env("JWT_LEEWAY", "0s")
        .start();
    let (mut socket, _) = Socket::open(&server, "/socket.io/");
    let connect_error = |packet: &str| -> Value {
        let text = packet.strip_prefix("44").expect("a refusal");
        serde_json::from_str(text).expect("JSON")
    };
    socket.say("40");
    let told = connect_error(&socket.read_packet());
    assert_eq!(told["data"]["code"], "not-authenticated");
    for bad in [
        json!({ "token": "a.b.c" }),
        json!({ "token": token("ann", -5.0) }),
    ] {
        socket.say(&format!("40{bad}"));
        let told = connect_error(&socket.read_packet());
        assert_eq!(told["data"]["code"], "bad-token", "{told}");
        assert!(told["message"].is_string());
    }
    socket.say(&format!("40{}", json!({ "token": token("ann", 60.0) })));
    assert!(socket.read_packet().starts_with("40{\"sid\":"));
    assert!(socket.read_packet().starts_with("42[\"auth\""));
    let told = socket.ask("register", &json!({}));
    assert_eq!(told["userId"], "ann");
    let told = socket.ask("register", &json!({ "userId": "bob" }));
    assert_eq!(told["error"]["code"], "already-registered");
    socket.say(&format!(
        "40/custom,{}",
        json!({ "token": token("bob", 60.0) })
    ));
    let packet = socket.read_packet();
    let told = connect_error(&packet.replace("/custom,", ""));
    assert_eq!(
        told["data"]["code"], "already-registered",
        "one session is one user"
    );
    // As a header or in the query, it is the session's.
    let target = format!(
        "/socket.io/?EIO=4&transport=websocket&token={}",
        token("cid", 60.0)
    );
    let mut client = server.connect();
    client.upgrade(&target);
    let mut socket = Socket { client };
    assert!(socket.read().starts_with('0'));
    socket.say("40");
    assert!(socket.read_packet().starts_with("40{\"sid\":"));
    let bearer = ("Authorization", "Bearer a.b.c");
    let mut client = server.connect();
    client.request("GET", "/socket.io/?EIO=4&transport=polling", &[bearer]);
    assert_eq!(refusal(&client.read_response()), (403, json!(4)));
}

#[test]
fn a_client_is_sent_away_when_its_token_is_over() {
    let server = patient(1)
        .env("JWT_SECRET", SECRET)
        .env("JWT_LEEWAY", "0s")
        .start();
    let (mut socket, _) = Socket::open(&server, "/socket.io/");
    socket.say(&format!("40{}", json!({ "token": token("ann", 1.5) })));
    assert!(socket.read_packet().starts_with("40{\"sid\":"));
    assert!(socket.read_packet().starts_with("42[\"auth\""));
    let (name, data) = socket.event();
    assert_eq!(
        (name.as_str(), &data["code"]),
        ("error", &json!("bad-token"))
    );
    assert_eq!(socket.read_packet(), "41");
    socket.client.expect_close(1000);
}

#[test]
fn sessions_and_refusals_are_counted() {
    let server = patient(2).start();
    let session = Polling::open(&server, "/socket.io/");
    let first = "tidegate_socketio_sessions{transport=\"polling\"}";
    let second = "tidegate_socketio_sessions{transport=\"websocket\"}";
    let before = Samples::of(&server);
    assert_eq!((before.get(first), before.get(second)), (1.0, 0.0));
    let mut socket = session.upgrade();
    socket.say("40");
    assert!(socket.read_packet().starts_with("40"));
    expect_value(&server, first, 0.0);
    expect_value(&server, second, 1.0);
    expect_value(&server, "tidegate_socketio_upgrades_total", 1.0);
    let response = server.connect().get("/socket.io/?EIO=9&transport=polling");
    assert_eq!(response.status, 400);
    expect_value(&server, "tidegate_socketio_refused_total{code=\"5\"}", 1.0);
    expect_value(&server, "tidegate_websockets{endpoint=\"socketio\"}", 1.0);
    drop(socket);
    expect_value(&server, second, 0.0);
}

#[test]
fn a_slow_room_tells_its_gaps() {
    let server = patient(1)
        .env("ROOM_POLICIES", "ticker=latest")
        .env("SOCKETIO_NAMESPACES", "/chat")
        .start();
    let mut client = common::client::Client::tcp_narrow(server.address());
    client.upgrade("/socket.io/?EIO=4&transport=websocket");
    let mut slow = Socket { client };
    assert!(slow.read().starts_with('0'));
    slow.say("40");
    assert!(slow.read_packet().starts_with("40"));
    assert!(slow.read_packet().starts_with("42[\"auth\""));
    slow.register("slow");
    slow.ask("join", &json!("ticker"));
    let mut backend = server.connect();
    let data = "x".repeat(20_000);
    for number in 0..100 {
        let body = json!({ "room": "ticker", "event": "tick", "data": { "number": number, "data": data } });
        assert_eq!(call(&mut backend, "/api/publish", &body).0, 200);
    }
    let mut missed = 0;
    let mut seen = 0;
    loop {
        let (name, data) = slow.event();
        match name.as_str() {
            "gap" => missed += data["missed"].as_u64().expect("a number"),
            "tick" => seen += 1,
            other => panic!("{other}"),
        }
        if data["number"] == 99 {
            break;
        }
    }
    assert_eq!(missed + seen, 100, "what is missed is told");
    assert!(missed > 0);
}
