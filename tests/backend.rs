//! A back end behind the gateway: who may connect, whose messages it answers, whom it is told has gone.

mod common;

use std::thread;
use std::time::Duration;

use common::back_end::{BackEnd, Event, json as said, nothing};
use common::frame;
use common::gateway::{API_KEY, Member, call, look};
use common::server::{Server, ServerBuilder};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

fn builder(back_end: &BackEnd) -> ServerBuilder {
    Server::builder()
        .env("WORKERS", 2)
        .env("API_KEY", API_KEY)
        .env("BACKEND_URL", back_end.url())
        .env("BACKEND_DISCONNECT_DELAY", "200ms")
        .env("LOG_LEVEL", "debug")
}

/// A connection on `/`, where the back end lets it in.
fn connect(server: &Server) -> Member {
    Member {
        client: server.websocket("/"),
    }
}

/// The answer to a handshake that is refused.
fn refused(server: &Server, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let answer = server.connect().handshake(path, headers);
    (answer.status, answer.text().to_owned())
}

#[test]
fn who_may_connect_is_asked_and_named_and_put_into_rooms() {
    let back_end = BackEnd::start(|event| match event.kind() {
        "connect" => said(&json!({ "userId": "ann", "rooms": ["harbour", "mole"] })),
        _ => nothing(),
    });
    let server = builder(&back_end).start();
    let mut client = server.connect();
    client.upgrade_with(
        "/?a=1",
        &[("Origin", "https://tide.example"), ("X-Other", "x")],
    );
    let mut ann = Member { client };
    let told = ann.ask(&json!({ "type": "presence", "room": "mole" }));
    assert_eq!(told["users"], json!(["ann"]));
    let mut api = server.connect();
    let (_, user) = look(&mut api, "/api/users/ann");
    assert_eq!(user["connections"][0]["rooms"], json!(["harbour", "mole"]));

    let asked = &back_end.wait_for("connect", 1)[0];
    let data = asked.data();
    assert_eq!(data["event"], "connect");
    assert_eq!(data["path"], "/");
    assert_eq!(data["query"], "a=1");
    assert_eq!(data["address"], "127.0.0.1");
    assert_eq!(data["headers"], json!({ "origin": "https://tide.example" }));
    assert_eq!(data["connectionId"], user["connections"][0]["connectionId"]);
    assert_eq!(data["userId"], Value::Null);
    assert_eq!(data["claims"], Value::Null);
    assert_eq!(asked.header("ce-specversion"), "1.0");
    assert_eq!(asked.header("ce-subject"), data["connectionId"]);
    assert_eq!(asked.header("ce-id"), asked.header("webhook-id"));
}

#[test]
fn what_comes_behind_the_handshake_is_not_lost() {
    let back_end = BackEnd::start(|_| {
        thread::sleep(Duration::from_millis(50));
        nothing()
    });
    let server = builder(&back_end).start();
    let mut client = server.connect();
    let head = "GET / HTTP/1.1\r\nHost: tide\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let ping = frame::text(r#"{"type":"ping","id":1}"#);
    client.send_bytes(&[head.as_bytes(), &ping].concat());
    assert_eq!(client.read_response().status, 101);
    let mut member = Member { client };
    assert_eq!(member.read()["type"], "pong");
}

#[test]
fn the_client_sees_the_no_of_the_back_end() {
    let back_end = BackEnd::start(|event| match event.data()["query"].as_str() {
        Some("pay") => (402, "text/plain", "Pay first.".to_owned()),
        Some("problem") => (
            403,
            "application/problem+json",
            json!({ "title": "No", "detail": "Not on Sundays." }).to_string(),
        ),
        Some("bare") => (401, "", String::new()),
        Some("broken") => (500, "", String::new()),
        Some("moved") => (302, "", String::new()),
        Some("garbage") => (200, "application/json", "{".to_owned()),
        Some("html") => (200, "text/html", "<p>".to_owned()),
        Some("unknown") => said(&json!({ "userid": "ann" })),
        Some("control") => said(&json!({ "userId": "a\nb" })),
        Some("long") => said(&json!({ "userId": "a".repeat(129) })),
        Some("crowd") => {
            said(&json!({ "rooms": (0..101).map(|n| n.to_string()).collect::<Vec<_>>() }))
        }
        Some("protocol") => said(&json!({ "subprotocol": "never.offered" })),
        _ => (200, "application/json", " ".repeat(2 << 20)),
    });
    let server = builder(&back_end).env("BACKEND_RETRIES", 0).start();
    let descriptors = server.descriptors();
    for (query, status, sentence) in [
        ("pay", 402, "Pay first.\n"),
        ("problem", 403, "Not on Sundays.\n"),
        (
            "bare",
            401,
            "The service behind this server refuses the connection.\n",
        ),
    ] {
        let path = format!("/?{query}");
        assert_eq!(refused(&server, &path, &[]), (status, sentence.to_owned()));
    }
    for query in [
        "broken", "moved", "garbage", "html", "unknown", "control", "long", "crowd", "protocol",
        "large",
    ] {
        let (status, sentence) = refused(&server, &format!("/?{query}"), &[]);
        assert_eq!(status, 503, "{query}");
        assert_eq!(
            sentence,
            "The service behind this server does not answer.\n"
        );
    }
    // Whoever it may have let in is told of as gone; what it has answered no to is not.
    let gone = back_end.wait_for("disconnect", 8);
    let mut ids: Vec<_> = gone
        .iter()
        .map(|gone| gone.data()["connectionId"].to_string())
        .collect();
    let asked = back_end.events("connect").split_off(5);
    let mut expected: Vec<_> = asked
        .iter()
        .map(|asked| asked.data()["connectionId"].to_string())
        .collect();
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
    // Connections to the back end stay for a while.
    server.wait_descriptors(descriptors + 2, common::DEADLINE);
}

#[test]
fn a_user_whose_connection_was_not_taken_in_is_told_of() {
    let back_end = BackEnd::start(|event| {
        if event.kind() != "connect" {
            return nothing();
        }
        let rooms: Vec<_> = (0..101).map(|n| n.to_string()).collect();
        let query = event.data()["query"].clone();
        match query.as_str() {
            Some("ann") => said(&json!({ "userId": "ann", "rooms": rooms })),
            Some("bob") => said(&json!({ "userId": "bob", "subprotocol": "never.offered" })),
            Some("eve") => {
                thread::sleep(Duration::from_millis(400));
                nothing()
            }
            _ => said(&json!({ "userId": "here" })),
        }
    });
    let server = builder(&back_end)
        .env("JWT_SECRET", "a secret of the tests")
        .env("AUTH_REQUIRED", false)
        .env("BACKEND_TIMEOUT", "300ms")
        .start();
    let _here = server.websocket("/?here");
    // Who is there with another connection has not gone.
    let key = EncodingKey::from_secret(b"a secret of the tests");
    let claims = |user: &str| json!({ "sub": user, "exp": 4_000_000_000_u64 });
    let bearer = |user: &str| {
        let token = encode(&Header::default(), &claims(user), &key).expect("a token");
        format!("Bearer {token}")
    };
    for (query, token) in [("eve", "here"), ("eve", "eve"), ("ann", ""), ("bob", "")] {
        let bearer = bearer(token);
        let headers = [("Authorization", bearer.as_str())];
        let headers = if token.is_empty() { &[][..] } else { &headers };
        assert_eq!(refused(&server, &format!("/?{query}"), headers).0, 503);
    }
    let gone = back_end.wait_for("disconnect", 3);
    let mut users: Vec<_> = gone
        .iter()
        .map(|gone| gone.data()["userId"].clone())
        .collect();
    users.sort_by_key(Value::to_string);
    assert_eq!(users, ["ann", "bob", "eve"]);
    // It is clear what came first.
    let asked = back_end.events("connect");
    let last = asked.last().expect("four").header("ce-sequence");
    let gone = gone.iter().find(|gone| gone.data()["userId"] == "bob");
    assert!(gone.expect("bob has gone").header("ce-sequence") > last);
}

#[test]
fn a_back_end_that_is_away_or_silent_costs_a_wait_with_a_limit() {
    let server = Server::builder()
        .env(
            "BACKEND_URL",
            format!("http://127.0.0.1:{}/", common::ports::lasting()),
        )
        .start();
    assert_eq!(refused(&server, "/", &[]).0, 503);
    // What is not asked about is served all the same.
    server.websocket("/ws");

    let back_end = BackEnd::start(|_| {
        thread::sleep(Duration::from_secs(60));
        nothing()
    });
    let server = builder(&back_end).env("BACKEND_TIMEOUT", "200ms").start();
    assert_eq!(refused(&server, "/", &[]).0, 503);
}

#[test]
fn a_token_is_told_and_cannot_be_renamed() {
    const SECRET: &str = "a secret of the tests";
    let back_end = BackEnd::start(|event| match event.data()["query"].as_str() {
        Some("rename") => said(&json!({ "userId": "eve" })),
        _ => nothing(),
    });
    let server = builder(&back_end).env("JWT_SECRET", SECRET).start();
    let claims = json!({ "sub": "ann", "exp": 4_000_000_000_u64, "plan": "gold" });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = encode(&Header::default(), &claims, &key).expect("a token");
    let mut client = server.connect();
    client.upgrade(&format!("/?token={token}&a=b"));
    let mut ann = Member { client };
    assert_eq!(ann.ask(&json!({ "type": "register" }))["userId"], "ann");
    let data = back_end.wait_for("connect", 1)[0].data();
    assert_eq!(data["userId"], "ann");
    assert_eq!(data["claims"], claims);
    assert_eq!(data["query"], "a=b");
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    assert_eq!(refused(&server, "/?rename", &headers).0, 503);
    // Who has no token is not asked about.
    assert_eq!(refused(&server, "/", &[]).0, 401);
    assert_eq!(back_end.events("connect").len(), 2);
}

#[test]
fn a_subprotocol_that_was_offered_may_be_agreed_on() {
    let back_end = BackEnd::start(|_| said(&json!({ "subprotocol": "v2.tide" })));
    let server = builder(&back_end).start();
    let mut client = server.connect();
    let offered = [("Sec-WebSocket-Protocol", "v1.tide, v2.tide")];
    let answer = client.upgrade_with("/", &offered);
    assert_eq!(answer.header("sec-websocket-protocol"), Some("v2.tide"));
    let data = back_end.wait_for("connect", 1)[0].data();
    assert_eq!(data["subprotocols"], json!(["v1.tide", "v2.tide"]));
}

/// What the back end of the next test makes of a message.
fn obey(event: &Event) -> common::back_end::Answer {
    if event.kind() == "connect" {
        return said(&json!({ "userId": "ann", "metadata": { "plan": "gold" } }));
    }
    let data = event.data();
    let message = &data["message"];
    match message["type"].as_str() {
        Some("order") => said(&json!({
            "join": ["orders"],
            "send": [{ "type": "price", "of": message["item"], "for": data["metadata"]["plan"] }, { "type": "thanks" }],
            "publish": [{ "room": "orders", "event": "new", "data": 7, "echo": true }],
        })),
        Some("go") => said(&json!({ "leave": ["orders"] })),
        Some("bye") => said(&json!({ "close": { "code": 4001, "reason": "as you wish" } })),
        Some("no") => (409, "text/plain", "Sold out.".to_owned()),
        Some("bad") => said(&json!({ "send": "text" })),
        Some("long") => said(&json!({ "join": ["r".repeat(129)] })),
        _ => nothing(),
    }
}

#[test]
fn messages_that_the_gateway_does_not_know_are_answered_by_the_back_end() {
    let back_end = BackEnd::start(obey);
    let server = builder(&back_end).start();
    let mut ann = connect(&server);
    // What the gateway knows stays here.
    assert_eq!(ann.ask(&json!({ "type": "ping" }))["type"], "pong");
    ann.send(&json!({ "type": "order", "item": "eel", "id": "o1" }));
    let frames: Vec<Value> = (0..2).map(|_| ann.read_foreign()).collect();
    assert_eq!(
        frames[0],
        json!({ "type": "price", "of": "eel", "for": "gold" })
    );
    assert_eq!(frames[1], json!({ "type": "thanks" }));
    assert_eq!(ann.read(), json!({ "type": "ack", "id": "o1" }));
    let told = ann.read_timeless();
    assert_eq!(
        told,
        json!({ "type": "message", "room": "orders", "event": "new", "data": 7 })
    );
    let event = &back_end.events("message")[0];
    let data = event.data();
    assert_eq!(data["userId"], "ann");
    assert_eq!(
        data["message"],
        json!({ "type": "order", "item": "eel", "id": "o1" })
    );
    assert_eq!(event.header("ce-subject"), data["connectionId"]);

    assert_eq!(
        ann.ask(&json!({ "type": "go", "id": 2 })),
        json!({ "type": "ack", "id": 2 })
    );
    let told = ann.ask(&json!({ "type": "presence", "room": "orders" }));
    assert_eq!(told["code"], "not-a-member");
    let told = ann.ask(&json!({ "type": "no", "id": 3 }));
    let expected =
        json!({ "type": "error", "id": 3, "code": "backend-refused", "message": "Sold out." });
    assert_eq!(told, expected);
    for kind in ["bad", "long"] {
        assert_eq!(
            ann.ask(&json!({ "type": kind, "id": 4 }))["code"],
            "backend-failed"
        );
    }
    // Without an id only errors and what is sent come.
    ann.send(&json!({ "type": "nothing" }));
    ann.send(&json!({ "type": "bye" }));
    assert_eq!(ann.client.expect_close(4001), "as you wish");
}

#[test]
fn messages_of_a_connection_reach_the_back_end_in_order() {
    let back_end = BackEnd::start(|event| {
        if event.kind() == "message" && event.data()["message"]["n"].as_u64() == Some(0) {
            thread::sleep(Duration::from_millis(100));
        }
        nothing()
    });
    let server = builder(&back_end).start();
    let mut ann = connect(&server);
    for n in 0..50 {
        ann.send(&json!({ "type": "count", "n": n, "id": n }));
    }
    for n in 0..50 {
        assert_eq!(ann.read(), json!({ "type": "ack", "id": n }));
    }
    let events = back_end.events("message");
    let numbers: Vec<_> = events
        .iter()
        .map(|event| event.data()["message"]["n"].as_u64())
        .collect();
    assert_eq!(numbers, (0..50).map(Some).collect::<Vec<_>>());
    // More than may wait for one connection is refused, and told.
    let back_end = BackEnd::start(|event| {
        if event.kind() == "message" {
            thread::sleep(Duration::from_millis(300));
        }
        nothing()
    });
    let server = builder(&back_end).start();
    let mut ann = connect(&server);
    for n in 0..100 {
        ann.send(&json!({ "type": "count", "id": n }));
    }
    assert_eq!(ann.read()["code"], "backend-busy");
}

#[test]
fn a_user_has_gone_when_the_last_connection_has_and_is_not_back() {
    let back_end = BackEnd::start(|event| match event.data()["query"].as_str() {
        Some("nobody") => nothing(),
        _ if event.kind() == "connect" => said(&json!({ "userId": "ann" })),
        _ => nothing(),
    });
    let server = builder(&back_end).start();
    let (one, other) = (connect(&server), connect(&server));
    drop(one);
    let mut api = server.connect();
    common::eventually("one is left", || {
        look(&mut api, "/api/users/ann").1["connections"]
            .as_array()
            .map(Vec::len)
            == Some(1)
    });
    drop(other);
    // Back in time.
    let third = connect(&server);
    let nameless = builder(&back_end)
        .env("BACKEND_EVENTS", "disconnect")
        .start();
    drop(Member::of(&nameless, "eve"));
    let told = back_end.wait_for("disconnect", 1);
    assert_eq!(told[0].data()["userId"], "eve", "ann is there");
    drop(third);
    let told = back_end.wait_for("disconnect", 2);
    assert_eq!(told[1].data()["userId"], "ann");
    assert_eq!(told[1].header("ce-subject"), "ann");
    assert_eq!(told[1].header("ce-sequence").len(), 20);
    // Whoever is nobody's is told of by its connection.
    let mut client = server.connect();
    client.upgrade("/?nobody");
    drop(client);
    let told = back_end.wait_for("disconnect", 3);
    let id = told[2].data()["connectionId"].clone();
    let opened = back_end.events("connect");
    assert_eq!(opened.last().expect("events").data()["connectionId"], id);
}

#[test]
fn sequences_of_a_user_rise() {
    let back_end = BackEnd::start(|event| match event.kind() {
        "connect" => said(&json!({ "userId": "ann" })),
        _ => nothing(),
    });
    let server = builder(&back_end)
        .env("BACKEND_DISCONNECT_DELAY", "0s")
        .start();
    for round in 1..=3 {
        drop(connect(&server));
        back_end.wait_for("disconnect", round);
    }
    let sequences = |kind| -> Vec<String> {
        let events = back_end.events(kind);
        events
            .iter()
            .map(|event| event.header("ce-sequence").to_owned())
            .collect()
    };
    let both = sequences("connect")
        .into_iter()
        .zip(sequences("disconnect"));
    let all: Vec<String> = both.flat_map(|(come, gone)| [come, gone]).collect();
    assert!(all.is_sorted() && all.len() == 6, "{all:?}");
}

#[test]
fn a_disconnect_is_told_until_the_back_end_knows() {
    let failures = std::sync::atomic::AtomicU32::new(3);
    let back_end = BackEnd::start(move |event| {
        let left = failures.fetch_sub(
            u32::from(event.kind() == "disconnect"),
            std::sync::atomic::Ordering::Relaxed,
        );
        match event.kind() {
            "connect" => said(&json!({ "userId": "ann" })),
            _ if left > 0 && left < 4 => (503, "", String::new()),
            _ => nothing(),
        }
    });
    let server = builder(&back_end)
        .env("BACKEND_DISCONNECT_DELAY", "0s")
        .start();
    drop(connect(&server));
    let told = back_end.wait_for("disconnect", 4);
    let ids: Vec<_> = told
        .iter()
        .map(|event| event.header("webhook-id"))
        .collect();
    assert!(ids.windows(2).all(|two| two[0] == two[1]), "{ids:?}");
}

#[test]
fn who_is_connected_at_the_end_of_the_process_is_told_of() {
    let back_end = BackEnd::start(|event| match event.kind() {
        "connect" => said(&json!({ "userId": event.data()["query"] })),
        _ => nothing(),
    });
    let mut server = builder(&back_end)
        .env("BACKEND_DISCONNECT_DELAY", "1h")
        .env("DRAIN_PERIOD", "0s")
        .start();
    let clients: Vec<_> = (0..20)
        .map(|number| {
            let mut client = server.connect();
            client.upgrade(&format!("/?user-{number}"));
            client
        })
        .collect();
    server.signal(rustix::process::Signal::TERM);
    drop(clients);
    assert!(server.wait_exit(common::DEADLINE).success());
    assert_eq!(back_end.events("disconnect").len(), 20);
}

#[test]
fn the_api_acts_on_whom_the_back_end_has_let_in() {
    let back_end = BackEnd::start(|event| match event.kind() {
        "connect" => said(&json!({ "userId": "ann" })),
        _ => nothing(),
    });
    let server = builder(&back_end).start();
    let mut ann = connect(&server);
    let mut api = server.connect();
    let (status, told) = call(
        &mut api,
        "/api/message",
        &json!({ "userId": "ann", "event": "e" }),
    );
    assert_eq!((status, &told["delivered"]), (200, &json!(1)));
    assert_eq!(ann.read()["event"], "e");
}
