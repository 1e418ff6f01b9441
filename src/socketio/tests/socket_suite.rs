//! The 16 cases of the suite of Socket.IO 5 that are not of Engine.IO, and packets over long-polling and across the change.

use super::*;

fn world() -> World {
    World::new(Endpoint::SocketIo)
}

/// A client in the main namespace.
fn connected(world: &mut World) -> usize {
    let client = world.open_websocket();
    world.say(client, "40");
    assert_eq!(
        world.take(client),
        [text(r#"40{"sid":"abc"}"#), text(r#"42["auth",{}]"#)]
    );
    client
}

/// What is answered to a first packet.
fn answers_to(packet: &str) -> Vec<Received> {
    let mut world = world();
    let client = world.open_websocket();
    world.say(client, packet);
    assert!(!world.is_closed(client), "{packet}");
    world.take(client)
}

#[test]
fn the_main_namespace_lets_in() {
    let expected = [text(r#"40{"sid":"abc"}"#), text(r#"42["auth",{}]"#)];
    assert_eq!(answers_to("40"), expected);
}

#[test]
fn the_main_namespace_lets_in_with_a_payload() {
    let expected = [
        text(r#"40{"sid":"abc"}"#),
        text(r#"42["auth",{"token":"123"}]"#),
    ];
    assert_eq!(answers_to(r#"40{"token":"123"}"#), expected);
}

#[test]
fn a_custom_namespace_lets_in() {
    let expected = [
        text(r#"40/custom,{"sid":"abc"}"#),
        text(r#"42/custom,["auth",{}]"#),
    ];
    assert_eq!(answers_to("40/custom,"), expected);
}

#[test]
fn a_custom_namespace_lets_in_with_a_payload() {
    let expected = [
        text(r#"40/custom,{"sid":"abc"}"#),
        text(r#"42/custom,["auth",{"token":"abc"}]"#),
    ];
    assert_eq!(answers_to(r#"40/custom,{"token":"abc"}"#), expected);
}

#[test]
fn an_unknown_namespace_refuses() {
    let expected = [text(r#"44/random,{"message":"Invalid namespace"}"#)];
    assert_eq!(answers_to("40/random"), expected);
}

#[test]
fn an_invalid_handshake_closes() {
    let mut world = world();
    let client = world.open_websocket();
    world.say(client, "4abc");
    assert!(world.is_closed(client));
}

#[test]
fn no_handshake_closes() {
    let mut world = world();
    let client = world.open_websocket();
    // It does answer pings.
    let end = world.now.after(999);
    while world.now < end {
        world.sleep(1);
        if !world.take(client).is_empty() {
            world.say(client, "3");
        }
    }
    assert!(!world.is_closed(client));
    world.sleep(1);
    assert!(world.is_closed(client), "after the time to connect");
}

#[test]
fn the_main_namespace_is_left() {
    let mut world = world();
    let client = connected(&mut world);
    world.say(client, "41");
    world.sleep(PING_INTERVAL);
    assert_eq!(world.take(client), [text("2")]);
    assert!(!world.is_closed(client));
}

#[test]
fn a_custom_namespace_is_left() {
    let mut world = world();
    let client = connected(&mut world);
    world.sleep(PING_INTERVAL);
    assert_eq!(world.take(client), [text("2")]);
    world.say(client, "40/custom");
    assert_eq!(world.take(client).len(), 2);
    world.say(client, "41/custom");
    world.say(client, r#"42["message","message to main namespace"]"#);
    assert_eq!(
        world.take(client),
        [text(r#"42["message-back","message to main namespace"]"#)]
    );
}

#[test]
fn an_event_is_answered() {
    let mut world = world();
    let client = connected(&mut world);
    world.say(client, r#"42["message",1,"2",{"3":[true]}]"#);
    assert_eq!(
        world.take(client),
        [text(r#"42["message-back",1,"2",{"3":[true]}]"#)]
    );
}

/// Sends a packet with two attachments and gives what comes back.
fn with_attachments(packet: &str) -> Vec<Received> {
    let mut world = world();
    let client = connected(&mut world);
    world.say(client, packet);
    world.say_frame(client, Incoming::Binary(&[1, 2, 3]));
    assert_eq!(world.take(client), []);
    world.say_frame(client, Incoming::Binary(&[4, 5, 6]));
    world.take(client)
}

#[test]
fn an_event_with_attachments_is_answered() {
    let packet = r#"452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let back =
        r#"452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let expected = [
        text(back),
        Received::Binary(vec![1, 2, 3]),
        Received::Binary(vec![4, 5, 6]),
    ];
    assert_eq!(with_attachments(packet), expected);
}

#[test]
fn an_event_is_acknowledged() {
    let mut world = world();
    let client = connected(&mut world);
    world.say(client, r#"42456["message-with-ack",1,"2",{"3":[false]}]"#);
    assert_eq!(world.take(client), [text(r#"43456[1,"2",{"3":[false]}]"#)]);
}

#[test]
fn an_event_with_attachments_is_acknowledged() {
    let packet = r#"452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let ack = r#"462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let expected = [
        text(ack),
        Received::Binary(vec![1, 2, 3]),
        Received::Binary(vec![4, 5, 6]),
    ];
    assert_eq!(with_attachments(packet), expected);
}

/// A packet of a client that is in the main namespace, after which nobody listens to it.
fn closes(packet: &str) {
    let mut world = world();
    let client = connected(&mut world);
    world.say(client, packet);
    assert!(world.is_closed(client), "{packet}");
    assert!(world.sessions.is_empty());
}

#[test]
fn an_unknown_packet_type_closes() {
    closes("4abc");
}

#[test]
fn an_invalid_payload_closes() {
    closes("42{}");
}

#[test]
fn an_invalid_ack_id_closes() {
    closes(r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#);
}

#[test]
fn a_session_changes_to_a_websocket_with_its_namespaces() {
    let mut world = world();
    let sid = world.open_polling();
    assert_eq!(world.post_text(&sid, "40").0, 200);
    let client = world.connect(&upgrade_of(&sid)).expect("accepted");
    world.say(client, "2probe");
    assert_eq!(world.take(client), [text("3probe")]);
    world.say(client, "5");
    assert_eq!(
        world.take(client),
        [text(r#"40{"sid":"abc"}"#), text(r#"42["auth",{}]"#)]
    );
    assert_eq!(world.get(&with_sid(&sid)).0, 400);
    let second = world
        .connect(&upgrade_of(&sid))
        .expect("opened, then closed");
    assert!(world.is_closed(second));
    world.say(client, r#"42["message",1]"#);
    assert_eq!(world.take(client), [text(r#"42["message-back",1]"#)]);
}

#[test]
fn attachments_pass_through_long_polling() {
    let mut world = world();
    let sid = world.open_polling();
    let payload = "40\x1e451-[\"message\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID";
    assert_eq!(world.post_text(&sid, payload).0, 200);
    let (status, body) = world.get(&with_sid(&sid));
    let back = "451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID";
    assert_eq!(status, 200);
    assert!(body.ends_with(back), "{body}");
}

#[test]
fn a_post_that_breaks_socket_io_is_refused_and_ends_the_session() {
    for payload in ["42{}", "42[\"early\"]", "40[]", "b=", "bAQID"] {
        let mut world = world();
        let sid = world.open_polling();
        let poll = world.begin("GET", &with_sid(&sid), b"");
        let (status, body) = world.post_text(&sid, payload);
        assert_eq!(
            (status, &*body),
            (400, r#"{"code":3,"message":"Bad request"}"#)
        );
        assert_eq!(world.answer(poll), Some((200, "1")), "{payload}");
        assert!(world.sessions.is_empty());
    }
}
