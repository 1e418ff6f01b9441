//! The 25 cases of the suite of Engine.IO 4. The suite of Socket.IO 5 has 16 of them as well, against its own endpoint.

use super::*;

fn world() -> World {
    World::new(Endpoint::Echo)
}

/// A server of either suite.
fn both() -> [World; 2] {
    [Endpoint::Echo, Endpoint::SocketIo].map(World::new)
}

fn check_open(json: &str, upgrades: &[&str]) {
    let open: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let keys: Vec<&String> = open.as_object().expect("an object").keys().collect();
    let expected = [
        "maxPayload",
        "pingInterval",
        "pingTimeout",
        "sid",
        "upgrades",
    ];
    assert_eq!(keys, expected);
    assert!(open["sid"].is_string());
    assert_eq!(open["upgrades"], serde_json::json!(upgrades));
    assert_eq!(open["pingInterval"], PING_INTERVAL);
    assert_eq!(open["pingTimeout"], PING_TIMEOUT);
    assert_eq!(open["maxPayload"], 1_000_000);
}

#[test]
fn polling_opens_a_session() {
    for mut world in both() {
        let (status, body) = world.get("EIO=4&transport=polling");
        assert_eq!(status, 200);
        check_open(
            body.strip_prefix('0').expect("an open packet"),
            &["websocket"],
        );
    }
}

#[test]
fn polling_fails_with_another_version() {
    for query in ["transport=polling", "EIO=abc&transport=polling"] {
        assert_eq!(world().get(query).0, 400, "{query}");
    }
}

#[test]
fn polling_fails_with_another_transport() {
    for query in ["EIO=4", "EIO=4&transport=abc"] {
        assert_eq!(world().get(query).0, 400, "{query}");
    }
}

#[test]
fn polling_fails_with_another_method() {
    for method in ["POST", "PUT"] {
        let mut world = world();
        let number = world.begin(method, "EIO=4&transport=polling", b"");
        assert_eq!(world.answer(number).expect("answered").0, 400, "{method}");
    }
}

#[test]
fn a_websocket_opens_a_session() {
    for mut world in both() {
        let client = world
            .connect("EIO=4&transport=websocket")
            .expect("accepted");
        let inbox = world.take(client);
        let [Received::Text(open)] = &inbox[..] else {
            panic!("one packet: {inbox:?}");
        };
        check_open(open.strip_prefix('0').expect("an open packet"), &[]);
    }
}

#[test]
fn a_websocket_fails_with_another_version() {
    for query in ["transport=websocket", "EIO=abc&transport=websocket"] {
        let refusal = world().connect(query).expect_err("refused");
        assert_eq!(refusal, Refusal::UnsupportedVersion, "{query}");
    }
}

#[test]
fn a_websocket_fails_with_another_transport() {
    for query in ["EIO=4", "EIO=4&transport=abc"] {
        let refusal = world().connect(query).expect_err("refused");
        assert_eq!(refusal, Refusal::UnknownTransport, "{query}");
    }
}

/// Posts `payload` and polls what comes back.
fn check_payload(payload: &str) {
    let mut world = world();
    let sid = world.open_polling();
    assert_eq!(world.post_text(&sid, payload), (200, "ok".to_owned()));
    assert_eq!(world.get(&with_sid(&sid)), (200, payload.to_owned()));
}

#[test]
fn polling_carries_one_text_packet() {
    check_payload("4hello");
}

#[test]
fn polling_carries_several_text_packets() {
    check_payload("4test1\x1e4test2\x1e4test3");
}

#[test]
fn polling_carries_text_and_binary_packets() {
    check_payload("4hello\x1ebAQIDBA==");
}

#[test]
fn polling_closes_the_session_upon_an_invalid_packet() {
    let mut world = world();
    let sid = world.open_polling();
    let (status, body) = world.post_text(&sid, "abc");
    assert_eq!(
        (status, &*body),
        (400, r#"{"code":3,"message":"Bad request"}"#)
    );
    let (status, body) = world.get(&with_sid(&sid));
    assert_eq!(status, 400);
    assert_eq!(body, r#"{"code":1,"message":"Session ID unknown"}"#);
}

#[test]
fn polling_closes_the_session_upon_a_second_poll() {
    let mut world = world();
    let sid = world.open_polling();
    let first = world.begin("GET", &with_sid(&sid), b"");
    world.sleep(5);
    assert_eq!(world.answer(first), None);
    let second = world.begin("GET", &format!("{}&t=burst", with_sid(&sid)), b"");
    assert_eq!(world.answer(first), Some((200, "1")));
    assert_eq!(world.answer(second).expect("answered").0, 400);
    assert_eq!(world.get(&with_sid(&sid)).0, 400);
}

#[test]
fn a_websocket_carries_text() {
    let mut world = world();
    let client = world.open_websocket();
    world.say(client, "4hello");
    assert_eq!(world.take(client), [text("4hello")]);
}

#[test]
fn a_websocket_carries_bytes() {
    let mut world = world();
    let client = world.open_websocket();
    world.say_frame(client, Incoming::Binary(&[1, 2, 3, 4]));
    assert_eq!(world.take(client), [Received::Binary(vec![1, 2, 3, 4])]);
}

#[test]
fn a_websocket_is_closed_upon_an_invalid_packet() {
    let mut world = world();
    let client = world.open_websocket();
    world.say(client, "abc");
    assert!(world.is_closed(client));
    assert!(world.sessions.is_empty());
}

#[test]
fn polling_sends_pings_and_takes_pongs() {
    for mut world in both() {
        let sid = world.open_polling();
        for _ in 0..3 {
            let begun = world.now;
            let ping = world.get_within(&sid, PING_INTERVAL);
            assert_eq!(ping, (200, "2".to_owned()));
            assert_eq!(world.now, begun.after(PING_INTERVAL));
            assert_eq!(world.post_text(&sid, "3").0, 200);
        }
    }
}

#[test]
fn polling_finds_no_session_at_the_very_moment_of_the_ping_timeout() {
    for mut world in both() {
        let sid = world.open_polling();
        // Nobody has called when the ping was due: the poll itself has to notice.
        world.now = world.now.after(PING_INTERVAL + PING_TIMEOUT);
        assert_eq!(world.get(&with_sid(&sid)).0, 400);
    }
}

#[test]
fn a_websocket_sends_pings_and_takes_pongs() {
    for mut world in both() {
        let client = world.open_websocket();
        for _ in 0..3 {
            world.sleep(PING_INTERVAL - 1);
            assert_eq!(world.take(client), []);
            world.sleep(1);
            assert_eq!(world.take(client), [text("2")]);
            world.say(client, "3");
        }
    }
}

#[test]
fn a_websocket_is_closed_upon_the_ping_timeout() {
    for mut world in both() {
        let client = world.open_websocket();
        world.sleep(PING_INTERVAL + PING_TIMEOUT - 1);
        assert!(!world.is_closed(client));
        world.sleep(1);
        assert!(world.is_closed(client));
    }
}

#[test]
fn polling_closes_the_session() {
    for mut world in both() {
        let sid = world.open_polling();
        let poll = world.begin("GET", &with_sid(&sid), b"");
        assert_eq!(world.post_text(&sid, "1"), (200, "ok".to_owned()));
        assert_eq!(world.answer(poll), Some((200, "6")));
        assert_eq!(world.get(&with_sid(&sid)).0, 400);
    }
}

#[test]
fn a_websocket_closes_the_session() {
    for mut world in both() {
        let client = world.open_websocket();
        world.say(client, "1");
        assert!(world.is_closed(client));
    }
}

#[test]
fn a_session_changes_to_a_websocket() {
    let mut world = world();
    let sid = world.open_polling();
    let client = world.connect(&upgrade_of(&sid)).expect("accepted");
    world.say(client, "2probe");
    assert_eq!(world.take(client), [text("3probe")]);
    assert_eq!(world.get_within(&sid, 200), (200, "6".to_owned()));
    world.say(client, "5");
    world.say(client, "4hello");
    assert_eq!(world.take(client), [text("4hello")]);
}

#[test]
fn requests_after_the_change_are_refused() {
    let mut world = world();
    let sid = world.open_polling();
    let client = world.connect(&upgrade_of(&sid)).expect("accepted");
    world.say(client, "2probe");
    world.say(client, "5");
    let (status, body) = world.get(&with_sid(&sid));
    assert_eq!(
        (status, &*body),
        (400, r#"{"code":3,"message":"Bad request"}"#)
    );
    world.take(client);
    world.say(client, "4hello");
    assert_eq!(world.take(client), [text("4hello")]);
}

#[test]
fn another_websocket_after_the_change_is_closed() {
    let mut world = world();
    let sid = world.open_polling();
    let client = world.connect(&upgrade_of(&sid)).expect("accepted");
    world.say(client, "2probe");
    world.say(client, "5");
    let second = world
        .connect(&upgrade_of(&sid))
        .expect("opened, then closed");
    assert!(world.is_closed(second));
    world.take(client);
    world.say(client, "4hello");
    assert_eq!(world.take(client), [text("4hello")]);
}
