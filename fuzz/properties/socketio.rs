//! Engine.IO and Socket.IO: JSON against `serde_json`, packets against what is written of them, the same packets over each
//! transport, queries, offsets that are taken as they are written alone, and a session whose transports, messages and time come in any order.

use serde_json::Value;
use serde_json::value::RawValue;
use tidegate::limits::JSON_DEPTH_MAX;
use tidegate::socketio::Moment;
use tidegate::socketio::engine::handshake::{Request, Transport};
use tidegate::socketio::engine::packet::{Message, Packet};
use tidegate::socketio::engine::payload::{Packets, SEPARATOR};
use tidegate::socketio::engine::{Config, End, Incoming, Session};
use tidegate::socketio::json::{self, JsonError, Shape};
use tidegate::socketio::packet::{self, Body};
use tidegate::socketio::recovery::Offset;
use tidegate::socketio::socket::{self, Sockets};

#[path = "socketio_session.rs"]
mod session;

const NOW: Moment = Moment(1_000);
const BINARY_BYTES_MAX: usize = 100;

/// The first byte chooses what the rest is.
pub fn check(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    if choice % 5 == 4 {
        return session::check(rest);
    }
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    match choice % 5 {
        0 => check_json(text),
        1 => check_packet(text),
        2 => check_transports(text),
        _ => {
            check_request(text);
            check_offset(text);
        }
    }
}

fn check_json(text: &str) {
    let raw = serde_json::from_str::<&RawValue>(text);
    let ours = json::check(text, None);
    match &ours {
        Ok(_) => assert!(raw.is_ok(), "we took what serde_json refuses"),
        Err(JsonError::Malformed) => assert!(raw.is_err(), "we refused what serde_json takes"),
        Err(JsonError::TooDeep) => {
            let depth = text.bytes().filter(|byte| b"[{".contains(byte)).count();
            assert!(depth > JSON_DEPTH_MAX as usize);
        }
        Err(JsonError::Placeholder) => unreachable!("placeholders were data"),
    }
    for count in [0, 1, 3] {
        if json::check(text, Some(count)).is_ok() {
            assert!(ours.is_ok());
            // A lone surrogate is grammatical, but no text. What is nested 128 deep is too deep for it.
            if let Ok(value) = serde_json::from_str(text) {
                let mut used = Vec::new();
                find_placeholders(&value, &mut used);
                used.sort_unstable();
                let all = used.len();
                used.dedup();
                assert_eq!(used.len(), all, "each once");
                assert!(used.iter().all(|&num| num < u64::from(count)));
            }
        }
    }
    if let Ok(Shape::Array(elements)) = ours {
        let [first, rest] = [elements.first, elements.rest].map(|range| text[range].trim());
        let again = [first, rest].map(|part| serde_json::from_str::<&RawValue>(part).is_ok());
        assert_eq!(again[0], !first.is_empty());
        assert!(rest.is_empty() || json::check(&format!("[{rest}]"), None).is_ok());
    }
}

fn find_placeholders(value: &Value, used: &mut Vec<u64>) {
    match value {
        Value::Object(object) if object.get("_placeholder") == Some(&Value::Bool(true)) => {
            assert_eq!(object.len(), 2);
            used.push(object["num"].as_u64().expect("a number"));
        }
        Value::Object(object) => object
            .values()
            .for_each(|value| find_placeholders(value, used)),
        Value::Array(array) => array
            .iter()
            .for_each(|value| find_placeholders(value, used)),
        _ => {}
    }
}

/// A packet that was read is written and read again.
fn check_packet(text: &str) {
    let Ok(packet) = packet::Packet::decode(text) else {
        return;
    };
    let namespace = packet.namespace;
    let mut out = Vec::new();
    match &packet.body {
        Body::Event(event) => {
            let (id, attachments) = (event.id, event.attachments);
            packet::put_event(
                namespace,
                id,
                &event.name,
                event.args,
                attachments,
                &mut out,
            );
        }
        Body::Ack(ack) => packet::put_ack(namespace, ack.id, ack.args, ack.attachments, &mut out),
        Body::Disconnect => packet::put_disconnect(namespace, &mut out),
        Body::Connect { data } => packet::put_connect_error(namespace, text, *data, &mut out),
        Body::ConnectError { data } => {
            packet::put_connect_error(namespace, "", Some(data), &mut out);
        }
    }
    let out = String::from_utf8(out).expect("text");
    let again = packet::Packet::decode(&out).expect("what was written is a packet");
    assert_eq!(again.namespace, namespace);
    match (&packet.body, &again.body) {
        (Body::Event(event), Body::Event(again)) => {
            assert_eq!((event.id, &event.name), (again.id, &again.name));
            assert_eq!(
                (event.args, event.attachments),
                (again.args, again.attachments)
            );
        }
        (Body::Connect { .. } | Body::ConnectError { .. }, Body::ConnectError { .. }) => {}
        (body, again) => assert_eq!(body, again),
    }
}

/// A query reads the same behind fields that say nothing.
fn check_request(query: &str) {
    for (method, is_upgrade) in [("GET", false), ("GET", true), ("POST", false)] {
        let request = Request::read(method, query, is_upgrade);
        let longer = format!("t=1&__proto__=2&{query}");
        assert_eq!(Request::read(method, &longer, is_upgrade), request);
    }
}

/// There is one text for each offset, and it comes off an event as it was put there.
fn check_offset(text: &str) {
    if let Some(offset) = Offset::decode(text) {
        assert_eq!(offset.encode(), text);
        assert!(offset.own.is_none_or(|own| offset.seen.has(own)));
        let mut event = Vec::new();
        Offset::put_behind(text, br#"["e"]"#, &mut event);
        let bare = br#"["e"]"#.to_vec();
        assert_eq!(Offset::take_off(&event), Some((bare, offset)));
    }
    if let Some((bare, offset)) = Offset::take_off(text.as_bytes()) {
        let mut event = Vec::new();
        Offset::put_behind(&offset.encode(), &bare, &mut event);
        assert_eq!(event, text.as_bytes());
    }
}

/// What came of packets.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    heard: Vec<String>,
    end: Option<End>,
}

/// The same packets in one POST, in one POST each, and over a WebSocket.
fn check_transports(text: &str) {
    let packets: Vec<&str> = text.split(char::from(SEPARATOR)).collect();
    let whole = post([text]);
    assert_eq!(post(packets.iter().copied()), whole);
    assert_eq!(over_websocket(&packets), whole);
}

/// A client, and what was heard of it.
struct Heard {
    sockets: Sockets,
    config: socket::Config,
    heard: Vec<String>,
}

impl Heard {
    fn new() -> Self {
        let config = socket::Config {
            binary_bytes_max: BINARY_BYTES_MAX,
            ..socket::Config::default()
        };
        Self {
            sockets: Sockets::new(NOW, &config),
            config,
            heard: Vec::new(),
        }
    }

    fn hear(&mut self, message: &Message<'_>, session: &mut Session) {
        let Self {
            sockets,
            config,
            heard,
        } = self;
        let result = match message {
            Message::Text(text) => sockets.receive_text(text, NOW, config).map(|incoming| {
                let Some(incoming) = incoming else {
                    return;
                };
                heard.push(format!("{incoming:?}"));
                if let socket::Incoming::Connect { namespace, auth } = incoming {
                    match auth {
                        None => sockets.accept(namespace, "sid", None, &mut Vec::new()),
                        Some(_) => sockets.refuse(namespace, "no", None, &mut Vec::new()),
                    };
                }
            }),
            Message::Binary(bytes) => sockets.receive_binary(bytes, NOW, config).map(|assembled| {
                let Some(assembled) = assembled else {
                    return;
                };
                let bytes: usize = assembled.attachments().map(<[u8]>::len).sum();
                assert!(bytes <= BINARY_BYTES_MAX);
                heard.push(format!("{:?} {assembled:?}", sockets.incoming(&assembled)));
            }),
        };
        if result.is_err() {
            session.fail();
        }
    }

    fn outcome(self, session: &Session) -> Outcome {
        Outcome {
            heard: self.heard,
            end: session.end(),
        }
    }
}

fn post<'t>(bodies: impl IntoIterator<Item = &'t str>) -> Outcome {
    let config = Config::default();
    let (mut session, _) = Session::open("sid", Transport::Polling, NOW, &config);
    let mut heard = Heard::new();
    for body in bodies {
        if session.begin_post(false, NOW, &config).is_err() {
            break;
        }
        let mut packets = Packets::new(body.as_bytes(), body.len()).expect("a payload");
        while let Ok(Some(message)) = session.receive_post(&mut packets, NOW, &config) {
            heard.hear(&message, &mut session);
        }
    }
    heard.outcome(&session)
}

fn over_websocket(packets: &[&str]) -> Outcome {
    let config = Config::default();
    let (mut session, id) = Session::open("sid", Transport::WebSocket, NOW, &config);
    let mut heard = Heard::new();
    for packet in packets {
        let decoded = Packet::decode_payload(packet);
        let frame = match &decoded {
            Ok(Packet::Message(Message::Binary(bytes))) => Incoming::Binary(bytes),
            _ => Incoming::Text(packet),
        };
        if let Some(message) = session.receive_websocket(id, frame, NOW, &config) {
            heard.hear(&message, &mut session);
        }
    }
    heard.outcome(&session)
}
