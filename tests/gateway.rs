//! The gateway protocol, on one worker and on several: users, rooms, private messages, everyone.

mod common;

use common::DEADLINE;
use common::eventually;
use common::frame;
use common::gateway::{Member, builder, call, look, on_one_and_on_three};
use serde_json::{Value, json};

fn error(told: &Value) -> &str {
    assert_eq!(told["type"], "error", "{told}");
    assert!(
        told["message"]
            .as_str()
            .is_some_and(|text| text.ends_with('.'))
    );
    told["code"].as_str().expect("a code")
}

#[test]
fn users_talk_to_each_other() {
    on_one_and_on_three(|server| {
        let mut ann = Member::of(server, "ann");
        let mut bob = [Member::of(server, "bob"), Member::of(server, "bob")];
        let data = json!({ "x": [1, null] });
        let told = ann.ask(&json!({
            "type": "notification", "targetUserId": "bob", "action": "poke", "data": data, "id": 7,
        }));
        assert_eq!(told, json!({ "type": "ack", "id": 7, "delivered": 2 }));
        let chat = json!({ "type": "chat", "targetUserId": "bob", "text": "\"hi\"\n", "id": "b" });
        assert_eq!(
            ann.ask(&chat),
            json!({ "type": "ack", "id": "b", "delivered": 2 })
        );
        for bob in &mut bob {
            let poke = json!({
                "type": "notification", "fromUserId": "ann", "action": "poke", "data": data,
            });
            assert_eq!(bob.read_timeless(), poke);
            let chat = json!({ "type": "chat", "fromUserId": "ann", "text": "\"hi\"\n" });
            assert_eq!(bob.read_timeless(), chat);
        }
        let nobody = json!({ "type": "chat", "targetUserId": "eve", "text": "?", "id": 1 });
        assert_eq!(ann.ask(&nobody)["delivered"], 0);
        // Without an id nothing is acknowledged.
        ann.send(&json!({ "type": "chat", "targetUserId": "ann", "text": "to myself" }));
        assert_eq!(ann.read_timeless()["text"], "to myself");
        ann.expect_silence();
    });
}

#[test]
fn rooms_have_members_and_messages() {
    on_one_and_on_three(|server| {
        let mut members: Vec<_> = ["ann", "bob", "cid", "cid"]
            .iter()
            .map(|user| Member::of(server, user))
            .collect();
        for member in &mut members[..3] {
            member.join("harbour");
            member.join("harbour");
        }
        let told = members[0].ask(&json!({ "type": "presence", "room": "harbour", "id": 2 }));
        let users = json!(["ann", "bob", "cid"]);
        let expected = json!({ "type": "presence", "id": 2, "room": "harbour", "users": users });
        assert_eq!(told, expected);
        let mut publish = json!({
            "type": "publish", "room": "harbour", "event": "tide", "data": 3, "id": 3,
        });
        assert_eq!(members[0].ask(&publish)["delivered"], 2);
        let message = json!({
            "type": "message", "room": "harbour", "event": "tide", "data": 3, "fromUserId": "ann",
        });
        for member in &mut members[1..3] {
            assert_eq!(member.read_timeless(), message);
        }
        publish["echo"] = json!(true);
        let told = [members[0].ask(&publish), members[0].read()];
        let delivered = told
            .iter()
            .find(|told| told["type"] == "ack")
            .expect("an ack");
        assert_eq!(delivered["delivered"], 3);
        assert!(told.iter().any(|told| told["type"] == "message"));
        members[1].read_timeless();
        let leave = json!({ "type": "leave", "room": "harbour", "id": 4 });
        assert_eq!(
            members[1].ask(&leave),
            json!({ "type": "ack", "id": 4, "room": "harbour" })
        );
        assert_eq!(error(&members[1].ask(&leave)), "not-a-member");
        let told = members[0].ask(&json!({ "type": "presence", "room": "harbour" }));
        assert_eq!(told["users"], json!(["ann", "cid"]));
        members[3].expect_silence();
    });
}

#[test]
fn who_goes_is_nowhere_any_more() {
    on_one_and_on_three(|server| {
        let mut ann = Member::of(server, "ann");
        ann.join("harbour");
        let mut leavers: Vec<_> = (0..4).map(|_| Member::of(server, "bob")).collect();
        for leaver in &mut leavers {
            leaver.join("harbour");
        }
        let mut leavers = leavers.into_iter();
        let mut polite = leavers.next().expect("one");
        polite.client.send_bytes(&frame::close(1000, ""));
        polite.client.expect_close(1000);
        leavers.next().expect("two").client.reset();
        drop(leavers.next());
        let mut watcher = server.connect();
        eventually("one bob is left", || {
            let (status, bob) = look(&mut watcher, "/api/users/bob");
            assert_eq!(status, 200);
            bob["connections"].as_array().expect("a list").len() == 1
        });
        drop(leavers);
        eventually("no bob is left", || {
            look(&mut watcher, "/api/users/bob").1["online"] == false
        });
        let told = ann.ask(&json!({ "type": "presence", "room": "harbour" }));
        assert_eq!(told["users"], json!(["ann"]));
    });
}

#[test]
fn what_one_sends_reaches_another_in_order() {
    const MESSAGES: usize = 2_000;
    let server = builder(3).start();
    let mut sender = Member::of(&server, "ann");
    let mut readers: Vec<_> = (0..5).map(|_| Member::of(&server, "bob")).collect();
    for reader in &mut readers {
        reader.join("r");
    }
    sender.join("r");
    let mut bytes = Vec::new();
    for number in 0..MESSAGES {
        let message = match number % 3 {
            0 => json!({ "type": "publish", "room": "r", "event": "e", "data": number }),
            1 => json!({
                "type": "notification", "targetUserId": "bob", "action": "a", "data": number,
            }),
            _ => json!({ "type": "chat", "targetUserId": "bob", "text": number.to_string() }),
        };
        bytes.extend(frame::text(&message.to_string()));
    }
    let writer = std::thread::spawn(move || {
        sender.client.send_bytes(&bytes);
        sender
    });
    for reader in &mut readers {
        for number in 0..MESSAGES {
            let message = reader.read();
            let told = message["data"]
                .as_u64()
                .or_else(|| message["text"].as_str()?.parse().ok());
            assert_eq!(told, Some(number as u64), "{message}");
        }
    }
    writer.join().expect("written").expect_silence();
}

#[test]
fn what_cannot_be_followed_is_refused_and_the_connection_stays() {
    let server = builder(1)
        .env("MAX_NAME_LENGTH", 8)
        .env("MAX_ROOMS_PER_CONNECTION", 2)
        .env("MAX_CONNECTIONS_PER_USER", 1)
        .start();
    let mut member = Member::connect(&server);
    for (message, code) in [
        (json!({ "type": "join", "room": "r" }), "not-registered"),
        (
            json!({ "type": "chat", "targetUserId": "a", "text": "" }),
            "not-registered",
        ),
        (json!({ "type": "register" }), "missing-field"),
        (
            json!({ "type": "register", "userId": "123456789" }),
            "bad-field",
        ),
        (json!({ "type": "register", "userId": 7 }), "bad-field"),
        (json!({ "type": "dance" }), "unknown-type"),
        (json!({}), "missing-field"),
        (json!([1]), "bad-json"),
    ] {
        assert_eq!(error(&member.ask(&message)), code, "{message}");
    }
    member.client.send_bytes(&frame::text("{"));
    assert_eq!(error(&member.read()), "bad-json");
    member.client.send_bytes(&frame::binary(b"{}"));
    assert_eq!(error(&member.read()), "binary-message");
    let told = member.ask(&json!({ "type": "dance", "id": "x" }));
    assert_eq!(told["id"], "x");
    let mut member = Member::of(&server, "ann");
    for (message, code) in [
        (
            json!({ "type": "register", "userId": "bob" }),
            "already-registered",
        ),
        (
            json!({ "type": "publish", "room": "r", "event": "e" }),
            "not-a-member",
        ),
        (json!({ "type": "presence", "room": "r" }), "not-a-member"),
        (json!({ "type": "broadcast", "event": "e" }), "forbidden"),
    ] {
        assert_eq!(error(&member.ask(&message)), code, "{message}");
    }
    let again = member.ask(&json!({ "type": "register", "userId": "ann" }));
    assert_eq!(again["type"], "registered");
    member.join("a");
    member.join("b");
    member.join("a");
    let third = member.ask(&json!({ "type": "join", "room": "c" }));
    assert_eq!(error(&third), "too-many-rooms");
    let mut second = Member::connect(&server);
    let told = second.ask(&json!({ "type": "register", "userId": "ann" }));
    assert_eq!(error(&told), "too-many-connections");
    drop(member);
    eventually("the place is free", || {
        second.ask(&json!({ "type": "register", "userId": "ann" }))["type"] == "registered"
    });
}

#[test]
fn whatever_is_over_a_limit_is_counted() {
    let server = builder(1)
        .env("MAX_NAME_LENGTH", 8)
        .env("MAX_ROOMS_PER_CONNECTION", 1)
        .env("MAX_CONNECTIONS_PER_USER", 1)
        .start();
    let mut ann = Member::of(&server, "ann");
    ann.join("a");
    ann.ask(&json!({ "type": "join", "room": "b" }));
    ann.ask(&json!({ "type": "join", "room": "123456789" }));
    Member::connect(&server).ask(&json!({ "type": "register", "userId": "ann" }));
    let mut client = server.connect();
    let (_, told) = call(
        &mut client,
        "/api/join",
        &json!({ "userId": "ann", "room": "b" }),
    );
    assert_eq!(told["connections"], 0);
    let long = json!({ "userId": "123456789", "event": "e" });
    assert_eq!(call(&mut client, "/api/message", &long).0, 422);
    let (_, stats) = look(&mut client, "/api/stats/connections");
    let limits = &stats["limitsReached"];
    for (limit, times) in [
        ("roomsOfConnection", 2),
        ("connectionsOfUser", 1),
        ("nameLength", 2),
        ("messageRate", 0),
    ] {
        assert_eq!(limits[limit], times, "{limit}: {limits}");
    }
}

#[test]
fn a_broadcast_reaches_everyone_where_clients_may() {
    let server = builder(2).env("CLIENT_BROADCAST", "on").start();
    let mut all: Vec<_> = (0..4).map(|_| Member::of(&server, "ann")).collect();
    let mut nobody = Member::connect(&server);
    nobody.expect_silence();
    let told = all[0].ask(&json!({ "type": "broadcast", "event": "e", "data": {}, "id": 1 }));
    let expected = json!({ "type": "broadcast", "event": "e", "data": {}, "fromUserId": "ann" });
    if told["type"] == "ack" {
        assert_eq!(told["delivered"], 5);
        assert_eq!(all[0].read_timeless(), expected);
    } else {
        assert_eq!(all[0].read()["delivered"], 5);
    }
    for one in all[1..].iter_mut().chain([&mut nobody]) {
        assert_eq!(one.read_timeless(), expected);
    }
}

#[test]
fn compressed_and_plain_connections_get_the_same() {
    let server = builder(2).start();
    let mut plain = Member::of(&server, "ann");
    let mut deflated = Member {
        client: server.connect(),
    };
    let offer = [(
        "Sec-WebSocket-Extensions",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    )];
    deflated.client.upgrade_with("/", &offer);
    deflated.send(&json!({ "type": "register", "userId": "bob" }));
    deflated.read();
    let text = "tide ".repeat(1_000);
    for user in ["ann", "bob"] {
        plain.send(&json!({ "type": "chat", "targetUserId": user, "text": text }));
    }
    assert_eq!(plain.read_timeless()["text"], text.as_str());
    let frame = deflated.client.read_frame();
    assert_eq!(frame.rsv, 4, "RSV1: deflated");
    assert!(frame.payload.len() < 200, "{} bytes", frame.payload.len());
}

#[test]
fn farewell_reaches_members_too() {
    let mut server = builder(2).start();
    let mut member = Member::of(&server, "ann");
    member.join("r");
    server.signal(rustix::process::Signal::TERM);
    member.client.expect_close(1001);
    member.client.send_bytes(&frame::close(1001, ""));
    assert_eq!(server.wait_exit(DEADLINE).code(), Some(0));
}
