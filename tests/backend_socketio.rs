//! A back end behind clients of Socket.IO: who may be in a namespace, and whom it is told has gone.

#[path = "backend_socketio/clients.rs"]
mod clients;
mod common;

use clients::{PATH, asking, builder, connected, named};
use common::back_end::{BackEnd, Event, Gate, json as said, nothing};
use common::eventually;
use common::gateway::{call, look};
use common::socketio::{Polling, Socket};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

/// Why it is refused.
fn refusal(told: &str) -> Value {
    let told = told.strip_prefix("44").expect("a refusal");
    serde_json::from_str(told).expect("JSON")
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
    let (key, silent) = BackEnd::gated("connect", |_| nothing());
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
    let (key, back_end) = BackEnd::gated("connect", named);
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
fn one_connection_too_many_of_a_user_tells_nobody_that_the_user_has_gone() {
    let back_end = BackEnd::start(|event| match event.kind() {
        "connect" => {
            let name = event.data()["query"].as_str().map(str::to_owned);
            let name = name.filter(|query| !query.starts_with("EIO"));
            said(&json!({ "userId": name.unwrap_or_else(|| "ann".to_owned()) }))
        }
        _ => nothing(),
    });
    let server = builder(&back_end)
        .env("MAX_CONNECTIONS_PER_USER", 1)
        .start();
    let _ann = connected(&server, "ann");
    let (_socket, told) = asking(&server, &json!({}));
    let data = json!({ "code": "too-many-connections" });
    assert_eq!(refusal(&told)["data"], data);
    server.websocket("/?ann").expect_close(1008);
    // Whoever has gone after them is told of alone.
    drop(server.websocket("/?eve"));
    let gone = back_end.wait_for("disconnect", 1);
    assert_eq!(gone[0].data()["userId"], "eve");
    assert_eq!(gone.len(), 1);
}
