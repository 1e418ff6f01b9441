//! What Socket.IO nodes say to each other: what is read is written and read again, what clients are sent of it is a packet, and
//! JSON comes back from MessagePack as what it was.

use serde_json::Value as Tree;
use tidegate::limits::SOCKETIO_ATTACHMENTS_MAX;
use tidegate::socketio::adapter::{
    Answer, Ask, Broadcast, Channel, Channels, EventData, Request, Response, Value,
};
use tidegate::socketio::packet::{self, Body, Packet};

/// No JSON is so many times as long as the MessagePack that it was made of: `false` and its comma are one byte there, and so
/// is a control character.
const GROWTH_MAX: usize = 6;

/// The first byte chooses what the rest is.
pub fn check(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    match choice % 5 {
        0 => check_broadcast(rest),
        1 => check_request(rest),
        2 => check_response(rest),
        3 => check_json(rest),
        _ => check_channel(rest),
    }
}

fn check_broadcast(bytes: &[u8]) {
    let Ok(broadcast) = Broadcast::decode(bytes) else {
        return;
    };
    check_event(bytes, &broadcast.data);
    let mut again = Vec::new();
    broadcast.encode(&mut again);
    assert_eq!(Broadcast::decode(&again), Ok(broadcast));
}

fn check_request(bytes: &[u8]) {
    let Ok(request) = Request::decode(bytes) else {
        return;
    };
    if let Ask::Broadcast { data, .. } = &request.ask {
        check_event(bytes, data);
    }
    if let Some(least) = request.least_answer() {
        assert_eq!(Some(&least.id), request.id.as_ref());
        assert!(Response::decode(&least.encode()).is_ok());
    }
    assert_eq!(Request::decode(&request.encode("/")), Ok(request));
}

fn check_response(bytes: &[u8]) {
    let Ok(response) = Response::decode(bytes) else {
        return;
    };
    if let Answer::ClientAck(value) = &response.answer {
        check_value(bytes, value);
    }
    assert_eq!(Response::decode(&response.encode()), Ok(response));
}

fn check_value(bytes: &[u8], value: &Value<'_>) {
    assert!(value.attachments().len() <= usize::from(SOCKETIO_ATTACHMENTS_MAX));
    let placeholders = 40 * value.attachments().len();
    assert!(value.text().len() <= GROWTH_MAX * bytes.len() + placeholders);
}

/// What clients are sent of an event is a packet.
fn check_event(bytes: &[u8], data: &EventData<'_>) {
    let event = data.event();
    let placeholders = 40 * data.attachments().len();
    assert!(event.data.len() <= GROWTH_MAX * bytes.len() + placeholders);
    let mut out = Vec::new();
    packet::put_event(
        "/",
        None,
        &event.name,
        event.args,
        event.attachments,
        &mut out,
    );
    let text = String::from_utf8(out).expect("text");
    match Packet::decode(&text).expect("a packet").body {
        Body::Event(again) => assert_eq!((again.name, again.args), (event.name, event.args)),
        body => panic!("no event: {body:?}"),
    }
}

/// JSON, behind its number of attachments.
fn check_json(bytes: &[u8]) {
    let Some((&count, text)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let numbers: Vec<u8> = (0..count % 12).collect();
    let attachments: Vec<&[u8]> = numbers.chunks(1).collect();
    let Ok(value) = Value::new(text, attachments.clone()) else {
        return;
    };
    let response = Response {
        id: "id".to_owned(),
        answer: Answer::ClientAck(value),
    };
    let bytes = response.encode();
    let Answer::ClientAck(again) = Response::decode(&bytes).expect("what was written").answer
    else {
        panic!("no answer of a client");
    };
    let mut used: Vec<&[u8]> = again.attachments().to_vec();
    used.sort_unstable();
    assert_eq!(used, attachments, "each once");
    // Half of a pair is no text to serde_json, and some numbers are too large for it.
    if let Ok(tree) = serde_json::from_str(text) {
        let again_tree = serde_json::from_str(again.text()).expect("JSON");
        assert_same(&tree, &again_tree, &attachments, again.attachments());
    }
}

/// The same values. `-0` may become `0`, and attachments are numbered as they come.
fn assert_same(one: &Tree, other: &Tree, ones: &[&[u8]], others: &[&[u8]]) {
    match (one, other) {
        (Tree::Number(one), Tree::Number(other)) => {
            assert_eq!(one.as_f64(), other.as_f64());
            assert!(one == other || one.as_f64() == Some(0.0));
        }
        (Tree::Array(one), Tree::Array(other)) => {
            assert_eq!(one.len(), other.len());
            for (one, other) in one.iter().zip(other) {
                assert_same(one, other, ones, others);
            }
        }
        (Tree::Object(one), Tree::Object(other)) => {
            assert_eq!(one.len(), other.len());
            let number = |tree: &Tree| tree.as_u64().expect("a number") as usize;
            if !ones.is_empty() && one.get("_placeholder") == Some(&Tree::Bool(true)) {
                let [one, other] = [one, other].map(|object| number(&object["num"]));
                assert_eq!(ones[one], others[other]);
                return;
            }
            for (key, one) in one {
                assert_same(one, &other[key], ones, others);
            }
        }
        (one, other) => assert_eq!(one, other),
    }
}

/// A channel is what its name was made of.
fn check_channel(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (namespace, room) = text.split_once('\n').unwrap_or((&text, ""));
    let channels = Channels::new("socket.io", namespace, "uid");
    for channel in [
        channels.everyone(),
        channels.requests(),
        channels.responses(),
    ] {
        assert!(channels.classify(channel.as_bytes()).is_some());
    }
    let channel = channels.room(room);
    match channels.classify(channel.as_bytes()) {
        Some(Channel::Broadcast { room: told }) => assert_eq!(told.unwrap_or_default(), room),
        other => panic!("no broadcast: {other:?}"),
    }
    let _ = channels.classify(bytes);
}
