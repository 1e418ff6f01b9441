//! Packets, payloads and handshakes; sessions are in the files below.

mod closing;
mod handshakes;
mod sending;
mod upgrade;

use std::borrow::Cow;

use super::handshake::{Refusal, Transport};
use super::packet::{Message, Packet, PacketError};
use super::payload::{Packets, PayloadError};
use super::*;
use crate::socketio::Moment;
use proptest::prelude::*;

const NOW: Moment = Moment(1_000);
const CONFIG: Config = Config {
    ping_interval_ms: 300,
    ping_timeout_ms: 200,
    upgrade_timeout_ms: 250,
    payload_bytes_max: 1_000,
    queue_bytes_max: 1_000,
    allows_upgrades: true,
};

/// A session that long-polling opened, and whose open packet was fetched.
fn polling() -> Session {
    let (mut session, _) = Session::open("abc", Transport::Polling, NOW, &CONFIG);
    assert!(body(&mut session).starts_with("0{"));
    session
}

/// A session that a WebSocket opened, and its open packet sent.
fn direct() -> (Session, WebSocketId) {
    let (mut session, id) = Session::open("abc", Transport::WebSocket, NOW, &CONFIG);
    let sent = sent(&mut session, id);
    assert!(sent[0].starts_with("0{"), "{sent:?}");
    (session, id)
}

/// All that is to be done.
fn outputs(session: &mut Session) -> Vec<Output> {
    std::iter::from_fn(|| {
        let is_told = session.has_output();
        let output = session.poll_output();
        assert_eq!(output.is_some(), is_told, "{session:?}");
        output
    })
    .collect()
}

/// The answer to the request that waits, and nothing else is to be done.
#[track_caller]
fn body(session: &mut Session) -> String {
    match &outputs(session)[..] {
        [Output::Poll(body)] => String::from_utf8(body.clone()).expect("UTF-8"),
        other => panic!("no answer alone: {other:?}"),
    }
}

/// What the WebSocket is to send, and nothing else is to be done; binary messages in brackets.
#[track_caller]
fn sent(session: &mut Session, id: WebSocketId) -> Vec<String> {
    match &outputs(session)[..] {
        [Output::Send(to, frames)] if *to == id => frames.iter().map(shown).collect(),
        other => panic!("nothing sent alone: {other:?}"),
    }
}

fn shown(frame: Frame<'_>) -> String {
    match frame {
        Frame::Text(text) => std::str::from_utf8(text).expect("UTF-8").to_owned(),
        Frame::Binary(bytes) => format!("{bytes:?}"),
    }
}

fn poll(session: &mut Session, now: Moment) -> Result<(), Refusal> {
    session.handle_poll(now, &CONFIG)
}

/// The messages of a POST, and how it ended.
fn post(session: &mut Session, body: &str, now: Moment) -> (Vec<String>, Result<(), Refusal>) {
    let mut messages = Vec::new();
    if let Err(refusal) = session.begin_post(false, now, &CONFIG) {
        return (messages, Err(refusal));
    }
    let mut packets = Packets::new(body.as_bytes(), CONFIG.payload_bytes_max).expect("a payload");
    loop {
        match session.receive_post(&mut packets, now, &CONFIG) {
            Ok(Some(Message::Text(text))) => messages.push(text.to_owned()),
            Ok(Some(Message::Binary(bytes))) => messages.push(format!("{bytes:?}")),
            Ok(None) => return (messages, Ok(())),
            Err(refusal) => return (messages, Err(refusal)),
        }
    }
}

fn say(session: &mut Session, id: WebSocketId, text: &str, now: Moment) -> Option<String> {
    match session.receive_websocket(id, Incoming::Text(text), now, &CONFIG)? {
        Message::Text(text) => Some(text.to_owned()),
        Message::Binary(bytes) => Some(format!("{bytes:?}")),
    }
}

#[test]
fn an_idle_session_owns_no_memory_and_is_small() {
    use crate::socketio::socket::Sockets;
    assert!(size_of::<Session>() + size_of::<Sockets>() <= 256);
    let (mut session, _) = direct();
    session.send_text(b"hello", &CONFIG).expect("sent");
    assert!(session.queue.capacity() > 0);
    outputs(&mut session);
    assert_eq!(session.queue.capacity(), 0);
}

fn decode_all(body: &str) -> Vec<Result<Packet<'_>, PacketError>> {
    let packets = Packets::new(body.as_bytes(), CONFIG.payload_bytes_max).expect("a payload");
    packets.collect()
}

#[test]
fn packets_of_each_type_are_read() {
    let texts = ["0{}", "1", "2", "2probe", "3probe", "4", "4hello", "5", "6"];
    let expected = [
        Packet::Open("{}"),
        Packet::Close,
        Packet::Ping(""),
        Packet::Ping("probe"),
        Packet::Pong("probe"),
        Packet::Message(Message::Text("")),
        Packet::Message(Message::Text("hello")),
        Packet::Upgrade,
        Packet::Noop,
    ];
    for (text, packet) in texts.into_iter().zip(&expected) {
        assert_eq!(Packet::decode_text(text).as_ref(), Ok(packet));
    }
    let all: Vec<_> = expected.into_iter().map(Ok).collect();
    assert_eq!(decode_all(&texts.join("\x1e")), all);
}

#[test]
fn what_is_no_packet_ends_a_payload() {
    for (body, before) in [
        ("", 0),
        ("\x1e4a", 0),
        ("abc", 0),
        ("7", 0),
        ("é", 0),
        ("4a\x1e", 1),
        ("4a\x1e\x1e4b", 1),
        ("4a\x1e9\x1e4b", 1),
    ] {
        let packets = decode_all(body);
        assert_eq!(packets.len(), before + 1, "{body:?}");
        assert_eq!(packets[before], Err(PacketError::Type), "{body:?}");
    }
    assert_eq!(Packet::decode_text("bAQID"), Err(PacketError::Type));
}

#[test]
fn base64_is_strict() {
    let bytes = |bytes: &[u8]| Ok(Packet::Message(Message::Binary(Cow::Owned(bytes.to_vec()))));
    assert_eq!(decode_all("bAQIDBA=="), [bytes(&[1, 2, 3, 4])]);
    assert_eq!(decode_all("b"), [bytes(&[])]);
    for body in [
        "bA",
        "bAQIDBA",
        "bAQIDBA=",
        "bAQIDBB==",
        "bAQ-_",
        "bAQID\n",
        "b AQID",
        "b=",
        "bé",
    ] {
        assert_eq!(decode_all(body), [Err(PacketError::Base64)], "{body}");
    }
}

#[test]
fn a_payload_has_a_limit_in_bytes_and_is_utf_8() {
    let umlauts = "4".to_owned() + &"é".repeat(499);
    assert_eq!(umlauts.len(), 999);
    assert!(Packets::new(umlauts.as_bytes(), 999).is_ok());
    let refused = Packets::new(umlauts.as_bytes(), 998).expect_err("too large");
    assert_eq!((refused, refused.status()), (PayloadError::TooLarge, 413));
    let refused = Packets::new(b"4\xff", 999).expect_err("no text");
    assert_eq!((refused, refused.status()), (PayloadError::Text, 400));
}

fn packet() -> impl Strategy<Value = Packet<'static>> {
    let text = || "[^\x1e]{0,20}".prop_map(|text| &*text.leak());
    prop_oneof![
        text().prop_map(Packet::Open),
        Just(Packet::Close),
        text().prop_map(Packet::Ping),
        text().prop_map(Packet::Pong),
        text().prop_map(|text| Packet::Message(Message::Text(text))),
        any::<Vec<u8>>().prop_map(|bytes| Packet::Message(Message::Binary(Cow::Owned(bytes)))),
        Just(Packet::Upgrade),
        Just(Packet::Noop),
    ]
}

proptest! {
    #[test]
    fn a_payload_that_was_written_is_read(packets in prop::collection::vec(packet(), 1..8)) {
        let mut body = Vec::new();
        for packet in &packets {
            if !body.is_empty() {
                body.push(payload::SEPARATOR);
            }
            packet.put_payload(&mut body);
        }
        let read: Result<Vec<_>, _> = Packets::new(&body, body.len()).expect("a payload").collect();
        prop_assert_eq!(read, Ok(packets));
    }

    #[test]
    fn whatever_is_posted_is_harmless(body in any::<Vec<u8>>()) {
        if let Ok(packets) = Packets::new(&body, body.len()) {
            let count = packets.count();
            prop_assert!((1..=body.len() + 1).contains(&count));
        }
    }
}
