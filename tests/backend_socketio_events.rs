//! A back end behind clients of Socket.IO: whose events it answers, and how, and in which order.

#[path = "backend_socketio/clients.rs"]
mod clients;
mod common;

use clients::{PATH, builder, connected, named};
use common::back_end::{Answer, BackEnd, Event, Gate, json as said, nothing};
use common::gateway::Member;
use common::peer::{facts, socketio};
use common::socketio::{Polling, Socket};
use serde_json::{Value, json};

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
    let (key, back_end) = BackEnd::gated("connect", named);
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
    back_end.wait_for("disconnect", 2);
    for (nth, (text, count)) in (3..).zip([(&ping, 65), (&large, 3)]) {
        let (mut socket, _) = Socket::open(&server, PATH);
        socket.say("40{}");
        for _ in 0..count {
            socket.say(text);
        }
        socket.expect_end();
        key.send(()).expect("it waits");
        // Only then nobody waits any more whom the next key would let in.
        back_end.wait_for("disconnect", nth);
    }
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
