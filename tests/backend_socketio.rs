//! A back end behind clients of Socket.IO: who may be in a namespace, whose events it answers, whom it is told has gone.

mod common;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use common::back_end::{Answer, BackEnd, Event, json as said, nothing};
use common::gateway::{API_KEY, Member, call, look};
use common::peer::{facts, socketio};
use common::server::{Server, ServerBuilder};
use common::socketio::{Polling, Socket};
use common::{DEADLINE, eventually};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

const PATH: &str = "/socket.io/";

fn builder(back_end: &BackEnd) -> ServerBuilder {
    Server::builder()
        .env("WORKERS", 2)
        .env("API_KEY", API_KEY)
        .env("SOCKETIO_NAMESPACES", "/chat")
        .env("BACKEND_URL", back_end.url())
        .env("BACKEND_ENDPOINTS", "gateway,socketio")
        .env("BACKEND_DISCONNECT_DELAY", "100ms")
        .env("BACKEND_RETRIES", 0)
        .env("LOG_LEVEL", "debug")
}

/// A session that shows `auth` in the main namespace, and what it is told.
fn asking(server: &Server, auth: &Value) -> (Socket, String) {
    let (mut socket, _) = Socket::open(server, PATH);
    socket.say(&format!("40{auth}"));
    let told = socket.read_packet();
    (socket, told)
}

/// One that is let in.
fn connected(server: &Server, name: &str) -> Socket {
    let (socket, told) = asking(server, &json!({ "name": name }));
    assert!(told.starts_with("40{\"sid\":"), "{told}");
    socket
}

/// Why it is refused.
fn refusal(told: &str) -> Value {
    let told = told.strip_prefix("44").expect("a refusal");
    serde_json::from_str(told).expect("JSON")
}

/// The user is who it says, and in a room.
fn named(event: &Event) -> Answer {
    match event.kind() {
        "connect" => said(&json!({
            "userId": event.data()["auth"]["name"],
            "rooms": ["harbour"],
            "metadata": { "plan": "gold" },
        })),
        _ => nothing(),
    }
}

/// Opens once for each event that waits before it.
struct Gate(Mutex<Receiver<()>>);

impl Gate {
    fn new() -> (Sender<()>, Arc<Self>) {
        let (key, lock) = channel();
        (key, Arc::new(Self(Mutex::new(lock))))
    }

    fn wait(&self) {
        let lock = self.0.lock().expect("nobody panics with it");
        lock.recv_timeout(DEADLINE).expect("it is opened");
    }
}

#[test]
fn who_may_be_in_is_asked_and_named_and_put_into_rooms() {
    let back_end = BackEnd::start(named);
    let server = builder(&back_end).start();
    let mut ann = connected(&server, "ann");
    let told = ann.ask("presence", &json!("harbour"));
    assert_eq!(told["users"], json!(["ann"]));
    let polling = Polling::open(&server, PATH);
    assert_eq!(polling.post("40{\"name\":\"bob\"}").text(), "ok");
    assert!(polling.packets(1)[0].starts_with("40{\"sid\":"));
    let told = ann.ask("presence", &json!("harbour"));
    assert_eq!(told["users"], json!(["ann", "bob"]));

    let asked = back_end.wait_for("connect", 2);
    let (_, user) = look(&mut server.connect(), "/api/users/ann");
    let data = asked[0].data();
    let connection = &user["connections"][0]["connectionId"];
    let expected = json!({
        "event": "connect", "connectionId": connection, "userId": null, "address": "127.0.0.1",
        "path": PATH, "query": "EIO=4&transport=websocket", "headers": {}, "subprotocols": [], "claims": null,
        "namespace": "/", "auth": { "name": "ann" },
    });
    assert_eq!(data, expected);
    assert_eq!(asked[0].header("ce-subject"), *connection);
    let data = asked[1].data();
    assert_eq!(data["query"], "EIO=4&transport=polling");

    // Users are told of when they have gone, as before.
    drop(ann);
    let gone = back_end.wait_for("disconnect", 1);
    assert_eq!(gone[0].data()["userId"], "ann");
    assert_eq!(polling.post("41").text(), "ok");
    let gone = back_end.wait_for("disconnect", 2);
    assert_eq!(gone[1].data()["userId"], "bob");
}

#[test]
fn the_client_sees_the_no_of_the_back_end() {
    let back_end = BackEnd::start(|event| match event.data()["auth"]["name"].as_str() {
        Some("pay") => (402, "text/plain", "Pay first.".to_owned()),
        Some("bare") => (401, "", String::new()),
        Some("broken") => (500, "", String::new()),
        _ => nothing(),
    });
    let server = builder(&back_end).start();
    for (name, code, status, sentence) in [
        ("pay", "backend-refused", 402, "Pay first."),
        (
            "bare",
            "backend-refused",
            401,
            "The service behind this server refuses that.",
        ),
        (
            "broken",
            "backend-failed",
            503,
            "The service behind this server has not answered as it should.",
        ),
    ] {
        let (mut socket, told) = asking(&server, &json!({ "name": name }));
        let expected = json!({ "message": sentence, "data": { "code": code, "status": status } });
        assert_eq!(refusal(&told), expected);
        // The session stays: its client may ask again.
        socket.say("40{}");
        assert!(socket.read_packet().starts_with("40{\"sid\":"));
    }
    // Nobody is told of who never came in.
    let gone = back_end.wait_for("disconnect", 3);
    let ids = |events: &[Event]| -> Vec<Value> {
        let ids = events
            .iter()
            .map(|event| event.data()["connectionId"].clone());
        let mut ids: Vec<_> = ids.collect();
        ids.sort_by_key(Value::to_string);
        ids.dedup();
        ids
    };
    assert_eq!(ids(&gone), ids(&back_end.events("connect")));
    assert_eq!(back_end.events("connect").len(), 6);
    assert_eq!(gone.len(), 3);
}

#[test]
fn no_answer_is_a_refusal_after_a_while() {
    let away = format!("http://127.0.0.1:{}/", common::ports::lasting());
    let (key, gate) = Gate::new();
    let silent = BackEnd::start(move |event| {
        if event.kind() == "connect" {
            gate.wait();
        }
        nothing()
    });
    for (url, code) in [(&away, "backend-away"), (&silent.url(), "backend-failed")] {
        let server = builder(&silent)
            .env("BACKEND_URL", url)
            .env("BACKEND_TIMEOUT", "200ms")
            .start();
        let (_socket, told) = asking(&server, &json!({}));
        let data = json!({ "code": code, "status": 503 });
        assert_eq!(refusal(&told)["data"], data);
        if code == "backend-failed" {
            // It may have meant yes.
            let gone = silent.wait_for("disconnect", 1)[0].data();
            let asked = silent.events("connect")[0].data();
            assert_eq!(gone["connectionId"], asked["connectionId"]);
        }
    }
    key.send(()).expect("it waits");
}

#[test]
fn a_token_is_told_and_cannot_be_renamed() {
    const SECRET: &str = "a secret of the tests";
    let back_end = BackEnd::start(|event| match event.data()["auth"]["as"].as_str() {
        Some(name) => said(&json!({ "userId": name, "rooms": ["harbour"] })),
        None => nothing(),
    });
    let server = builder(&back_end).env("JWT_SECRET", SECRET).start();
    let claims = json!({ "sub": "ann", "exp": 4_000_000_000_u64, "plan": "gold" });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = encode(&Header::default(), &claims, &key).expect("a token");
    let (mut ann, told) = asking(&server, &json!({ "token": token, "as": "ann" }));
    assert!(told.starts_with("40{\"sid\":"), "{told}");
    let told = ann.ask("presence", &json!("harbour"));
    assert_eq!(told["users"], json!(["ann"]));
    let data = back_end.events("connect")[0].data();
    assert_eq!(data["userId"], "ann");
    assert_eq!(data["claims"], claims);
    assert_eq!(data["auth"], json!({ "as": "ann" }));
    let (_eve, told) = asking(&server, &json!({ "token": token, "as": "eve" }));
    assert_eq!(refusal(&told)["data"]["code"], "backend-failed");
    // Who shows none is not asked about.
    let (_nobody, told) = asking(&server, &json!({ "as": "ann" }));
    assert_eq!(
        refusal(&told)["data"],
        json!({ "code": "not-authenticated" })
    );
    assert_eq!(back_end.events("connect").len(), 2);
    // Nobody can be whom the answer names: it is the connection that has gone.
    let gone = back_end.wait_for("disconnect", 1)[0].data();
    let asked = back_end.events("connect")[1].data();
    assert_eq!(gone["connectionId"], asked["connectionId"]);
}

/// What the back end of the next test makes of an event.
fn obey(event: &Event) -> Answer {
    if event.kind() != "message" {
        return named(event);
    }
    let data = event.data();
    let message = &data["message"];
    match message["type"].as_str() {
        Some("order") => said(&json!({
            "join": ["orders"],
            "send": [
                { "type": "price", "message": data["metadata"] }, { "type": "thanks" }, { "no": "type" },
                { "type": "disconnect" }, { "type": "message", "event": "said", "data": message["args"] },
            ],
            "publish": [{ "room": "orders", "event": "new", "data": 7, "echo": true }],
            "ack": message["args"],
        })),
        Some("go") => said(&json!({ "leave": ["orders"] })),
        Some("bye") => {
            said(&json!({ "ack": 1, "close": { "code": 4001, "reason": "as you wish" } }))
        }
        Some("no") => (409, "text/plain", "Sold out.".to_owned()),
        Some("long") => said(&json!({ "join": ["r".repeat(129)] })),
        _ => nothing(),
    }
}

#[test]
fn events_that_the_gateway_does_not_know_are_answered_by_the_back_end() {
    let back_end = BackEnd::start(obey);
    let server = builder(&back_end).start();
    let mut ann = connected(&server, "ann");
    // What the gateway knows stays here, also where it is wrong.
    assert!(ann.ask("ping", &Value::Null)["timestamp"].is_string());
    assert_eq!(ann.ask("join", &json!(7))["error"]["code"], "missing-field");
    // Arguments come as they were written, and so do those of an answer.
    let args = r#"{"room":1, "room":2},1.50,"\u0061""#;
    ann.say(&format!("425[\"order\",{args}]"));
    let told: Vec<_> = (0..7).map(|_| ann.read_packet()).collect();
    let expected = [
        r#"42["price",{"plan":"gold"}]"#.to_owned(),
        r#"42["thanks",{"type":"thanks"}]"#.to_owned(),
        r#"42["message",{"no":"type"}]"#.to_owned(),
        r#"42["message",{"type":"disconnect"}]"#.to_owned(),
        r#"42["said",[{"room":2},1.5,"a"]]"#.to_owned(),
        r#"435[[{"room":2},1.5,"a"]]"#.to_owned(),
        r#"42["new",7]"#.to_owned(),
    ];
    assert_eq!(told, expected);
    let events = back_end.events("message");
    let body = String::from_utf8(events[0].body.clone()).expect("JSON");
    let written = format!(r#""message":{{"type":"order","args":[{args}]}}"#);
    assert!(body.contains(&written), "{body}");
    let data = events[0].data();
    assert_eq!(
        (&data["userId"], &data["namespace"]),
        (&json!("ann"), &json!("/"))
    );

    assert_eq!(ann.ask("go", &Value::Null), json!({}));
    let told = ann.ask("presence", &json!("orders"));
    assert_eq!(told["error"]["code"], "not-a-member");
    let expected = json!({ "error": { "code": "backend-refused", "message": "Sold out." } });
    assert_eq!(ann.ask("no", &Value::Null), expected);
    assert_eq!(
        ann.ask("long", &Value::Null)["error"]["code"],
        "backend-failed"
    );
    // Nobody has asked for an answer: only what went wrong comes.
    ann.say(r#"42["nothing"]"#);
    ann.say(r#"42["no"]"#);
    assert_eq!(ann.event().1["code"], "backend-refused");
    // Binary is refused, and stays here.
    let seen = back_end.events("message").len();
    ann.say(r#"451-9["order",{"_placeholder":true,"num":0}]"#);
    ann.say_bytes(b"b");
    assert!(
        ann.read_packet()
            .starts_with(r#"439[{"error":{"code":"binary-message""#)
    );
    assert_eq!(back_end.events("message").len(), seen);
    ann.say(r#"423["bye"]"#);
    assert_eq!(ann.read_packet(), "433[1]");
    assert_eq!(ann.read_packet(), "41");
    ann.expect_end();
}

#[test]
fn clients_of_both_protocols_get_the_same_from_the_back_end() {
    let back_end = BackEnd::start(|event| match event.kind() {
        "message" => said(&json!({
            "send": [{ "type": "alert", "message": "ahoy" }],
            "publish": [{ "room": "harbour", "event": "e", "data": 1 }],
            "ack": { "n": 1 },
        })),
        _ => said(&json!({ "rooms": ["harbour"] })),
    });
    let server = builder(&back_end).start();
    let mut ann = connected(&server, "ann");
    let mut bob = Member::connect(&server);
    bob.send(&json!({ "type": "hail", "id": 1 }));
    assert_eq!(
        bob.read_foreign(),
        json!({ "type": "alert", "message": "ahoy" })
    );
    assert_eq!(
        bob.read(),
        json!({ "type": "ack", "id": 1, "data": { "n": 1 } })
    );
    assert_eq!(ann.event(), ("e".to_owned(), json!(1)));
    ann.say(r#"421["hail"]"#);
    assert_eq!(ann.event(), ("alert".to_owned(), json!("ahoy")));
    assert_eq!(ann.read_packet(), r#"431[{"n":1}]"#);
    let told = bob.read_timeless();
    assert_eq!(
        told,
        json!({ "type": "message", "room": "harbour", "event": "e", "data": 1 })
    );
}

#[test]
fn events_of_a_client_reach_the_back_end_in_order_and_not_too_many() {
    let (key, gate) = Gate::new();
    let back_end = BackEnd::start(move |event| {
        if event.kind() == "message" && event.data()["message"]["args"][0] == 0 {
            gate.wait();
        }
        nothing()
    });
    let server = builder(&back_end).start();
    for is_polling in [false, true] {
        let before = back_end.events("message").len();
        let events: Vec<_> = (0..50).map(|n| format!("42{n}[\"count\",{n}]")).collect();
        let expected: Vec<_> = (0..50).map(|n| format!("43{n}[{{}}]")).collect();
        if is_polling {
            let session = Polling::open(&server, PATH);
            session.post("40");
            session.packets(1);
            assert_eq!(session.post(&events.join("\x1e")).text(), "ok");
            key.send(()).expect("it waits");
            assert_eq!(session.packets(50), expected);
        } else {
            let mut socket = connected(&server, "ann");
            events.iter().for_each(|event| socket.say(event));
            key.send(()).expect("it waits");
            let told: Vec<_> = (0..50).map(|_| socket.read_packet()).collect();
            assert_eq!(told, expected);
        }
        let told = back_end.events("message").split_off(before);
        let told = told
            .iter()
            .map(|event| event.data()["message"]["args"][0].as_u64());
        assert_eq!(
            told.collect::<Vec<_>>(),
            (0..50).map(Some).collect::<Vec<_>>()
        );
    }
    let mut socket = connected(&server, "ann");
    for n in 0..70 {
        socket.say(&format!("42{n}[\"count\",0]"));
    }
    let told = socket.read_packet();
    assert!(told.contains("\"backend-busy\""), "{told}");
}

#[test]
fn what_a_client_says_before_it_is_in_waits_in_order() {
    let (key, gate) = Gate::new();
    let back_end = BackEnd::start(move |event| {
        if event.kind() == "connect" {
            gate.wait();
        }
        named(event)
    });
    let server = builder(&back_end).start();
    let early = [
        r#"40{"name":"ann"}"#,
        r#"421["presence","harbour"]"#,
        r#"451-2["presence",{"_placeholder":true,"num":0}]"#,
    ];
    let late = [r#"423["hail"]"#, r#"424["leave","harbour"]"#, "41"];
    let answers = [
        r#"431[{"room":"harbour","users":["ann"]}]"#,
        r#"432[{"error":{"code":"binary-message","message":"Messages are text; this one was binary."}}]"#,
        r#"434[{"room":"harbour"}]"#,
    ];
    // By WebSocket, and by POST.
    let (mut socket, _) = Socket::open(&server, PATH);
    early.iter().for_each(|text| socket.say(text));
    socket.say_bytes(b"b");
    late.iter().for_each(|text| socket.say(text));
    back_end.wait_for("connect", 1);
    key.send(()).expect("it waits");
    assert!(socket.read_packet().starts_with("40{\"sid\":"));
    for answer in answers {
        assert_eq!(socket.read_packet(), answer);
    }
    back_end.wait_for("message", 1);
    assert_eq!(
        back_end.wait_for("disconnect", 1)[0].data()["userId"],
        "ann"
    );

    let session = Polling::open(&server, PATH);
    let all = [&early[..], &["bYg=="], &late].concat().join("\x1e");
    assert_eq!(session.post(&all).text(), "ok");
    back_end.wait_for("connect", 2);
    key.send(()).expect("it waits");
    let told = session.packets(4);
    assert_eq!(told[1..], answers);

    // Not without end: neither by number nor by size.
    let ping = r#"42["ping"]"#.to_owned();
    let large = format!("42[\"e\",\"{}\"]", "x".repeat(400_000));
    for (text, count) in [(&ping, 65), (&large, 3)] {
        let (mut socket, _) = Socket::open(&server, PATH);
        socket.say("40{}");
        for _ in 0..count {
            socket.say(text);
        }
        socket.expect_end();
        key.send(()).expect("it waits");
    }
}

#[test]
fn each_namespace_is_asked_about() {
    let (key, gate) = Gate::new();
    let back_end = BackEnd::start(move |event| {
        let data = event.data();
        match (event.kind(), data["namespace"].as_str()) {
            ("connect", Some("/chat")) if data["auth"]["door"] == "closed" => {
                (403, "text/plain", "Members only.".to_owned())
            }
            ("connect", Some("/chat")) => {
                gate.wait();
                // Only the yes counts there.
                said(&json!({ "userId": "eve", "rooms": ["r"], "metadata": { "x": 1 } }))
            }
            ("message", Some(namespace)) => {
                said(&json!({ "send": [{ "type": "heard", "message": namespace }] }))
            }
            _ => named(event),
        }
    });
    let server = builder(&back_end).start();
    let mut ann = connected(&server, "ann");
    ann.say(r#"40/chat,{"door":"closed"}"#);
    let expected =
        r#"44/chat,{"message":"Members only.","data":{"code":"backend-refused","status":403}}"#;
    assert_eq!(ann.read_packet(), expected);
    ann.say("40/chat,");
    ann.say(r#"42/chat,1["ping"]"#);
    ann.say(r#"42["hail"]"#);
    back_end.wait_for("connect", 3);
    // What is for the other namespace does not wait here. (The back end is asked in order, and so later.)
    let told = ann.ask("presence", &json!("harbour"));
    assert_eq!(told["users"], json!(["ann"]));
    key.send(()).expect("it waits");
    assert!(ann.read_packet().starts_with("40/chat,{\"sid\":"));
    assert!(ann.read_packet().starts_with("43/chat,1[{\"timestamp\":"));
    assert_eq!(ann.event(), ("heard".to_owned(), json!("/")));
    ann.say(r#"42/chat,2["hail"]"#);
    assert_eq!(ann.read_packet(), r#"42/chat,["heard","/chat"]"#);
    assert_eq!(ann.read_packet(), "43/chat,2[{}]");
    let data = back_end.events("message")[1].data();
    assert_eq!(data["userId"], "ann");
    assert_eq!(data["metadata"], json!({ "plan": "gold" }));
    // One that does not exist is nobody's business.
    ann.say("40/nowhere,");
    assert_eq!(
        ann.read_packet(),
        r#"44/nowhere,{"message":"Invalid namespace"}"#
    );
    // Who is only there is nobody, and told of by its connection.
    let (mut bob, _) = Socket::open(&server, PATH);
    bob.say("40/chat,");
    key.send(()).expect("it waits");
    assert!(bob.read_packet().starts_with("40/chat,{\"sid\":"));
    bob.say(r#"42/chat,["hail"]"#);
    assert_eq!(bob.read_packet(), r#"42/chat,["heard","/chat"]"#);
    drop(bob);
    let asked = back_end.events("connect");
    assert_eq!(asked.len(), 4);
    let gone = back_end.wait_for("disconnect", 1)[0].data();
    assert_eq!(gone["connectionId"], asked[3].data()["connectionId"]);
    drop(ann);
    assert_eq!(
        back_end.wait_for("disconnect", 2)[1].data()["userId"],
        "ann"
    );
}

#[test]
fn who_has_gone_while_the_back_end_thinks_is_told_of() {
    let (key, gate) = Gate::new();
    let back_end = BackEnd::start(move |event| {
        if event.kind() != "disconnect" {
            gate.wait();
        }
        match event.data()["auth"]["name"].as_str() {
            Some("nobody") => nothing(),
            _ => named(event),
        }
    });
    let server = builder(&back_end).start();
    let mut api = server.connect();
    let mut open = move || look(&mut api, "/api/health").1["activeConnections"].clone();
    let before = open();
    for (index, name) in ["ann", "nobody"].into_iter().enumerate() {
        let (mut socket, _) = Socket::open(&server, PATH);
        socket.say(&format!("40{}", json!({ "name": name })));
        let asked = back_end.wait_for("connect", index + 1);
        drop(socket);
        eventually("the session has ended", || open() == before);
        key.send(()).expect("it waits");
        let gone = back_end.wait_for("disconnect", index + 1)[index].data();
        if name == "nobody" {
            let id = &asked[index].data()["connectionId"];
            assert_eq!(gone["connectionId"], *id);
        } else {
            assert_eq!(gone["userId"], "ann");
        }
    }
    // The same of an event: nobody is there for the answer.
    let (mut socket, _) = Socket::open(&server, PATH);
    socket.say("40{\"name\":\"cid\"}");
    key.send(()).expect("it waits");
    assert!(socket.read_packet().starts_with("40"));
    socket.say(r#"421["hail"]"#);
    back_end.wait_for("message", 1);
    socket.say("41");
    socket.say("40{\"name\":\"cid\"}");
    key.send(()).expect("it waits");
    key.send(()).expect("it waits");
    // Its place in the namespace is another one.
    assert!(socket.read_packet().starts_with("40{\"sid\":"));
    assert!(socket.ask("ping", &Value::Null)["timestamp"].is_string());
}

#[test]
fn the_api_sends_away_who_waits() {
    let (key, gate) = Gate::new();
    let back_end = BackEnd::start(move |event| {
        if event.kind() == "connect" {
            gate.wait();
        }
        named(event)
    });
    let server = builder(&back_end).start();
    let (mut socket, _) = Socket::open(&server, PATH);
    socket.say("40{\"name\":\"ann\"}");
    let asked = back_end.wait_for("connect", 1)[0].data();
    let body = json!({ "connectionId": asked["connectionId"] });
    let (status, _) = call(&mut server.connect(), "/api/disconnect", &body);
    assert_eq!(status, 200);
    socket.expect_end();
    key.send(()).expect("it waits");
    assert_eq!(
        back_end.wait_for("disconnect", 1)[0].data()["userId"],
        "ann"
    );
    assert_eq!(
        look(&mut server.connect(), "/api/users/ann").1["online"],
        false
    );
}

#[test]
fn npm_clients_are_named_refused_and_answered() {
    let back_end = BackEnd::start(|event| {
        let data = event.data();
        match event.kind() {
            "connect" if data["auth"]["name"].is_null() => {
                (403, "text/plain", "Say who you are.".to_owned())
            }
            "connect" => named(event),
            "message" => said(&json!({
                "send": [{ "type": "ordered", "message": data["message"]["args"] }],
                "ack": { "by": data["userId"], "number": 1 },
            })),
            _ => nothing(),
        }
    });
    let server = builder(&back_end).start();
    for options in [
        "{}",
        "{\"transports\":[\"websocket\"]}",
        "{\"transports\":[\"polling\"]}",
    ] {
        let mut command = socketio("client.cjs");
        command.args(["backed", &format!("http://{}", server.address()), options]);
        let expected = json!({
            "refused": { "message": "Say who you are.", "data": { "code": "backend-refused", "status": 403 } },
            "answer": { "by": "ann", "number": 1 },
            "heard": [{ "item": "eel" }, 2],
        });
        assert_eq!(facts(command), expected, "{options}");
    }
}
