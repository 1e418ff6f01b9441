use super::*;

/// A connection of that user, in those rooms.
pub(super) fn member(bench: &mut Bench, user: &str, rooms: &[&str]) -> Peer {
    let peer = bench.websocket("/");
    say(
        bench,
        &peer,
        &[&format!(r#"{{"type":"register","userId":"{user}"}}"#)],
    );
    for room in rooms {
        say(
            bench,
            &peer,
            &[&format!(r#"{{"type":"join","room":"{room}"}}"#)],
        );
    }
    peer.take();
    peer
}

/// Sends texts that arrive together.
pub(super) fn say(bench: &mut Bench, peer: &Peer, texts: &[&str]) {
    let frames = texts
        .iter()
        .map(|text| frame(Opcode::Text, true, text.as_bytes()));
    let frames: Vec<u8> = frames.flatten().collect();
    bench.send(peer, &frames);
}

/// The messages that a peer was sent since the last call.
pub(super) fn told(peer: &Peer) -> Vec<serde_json::Value> {
    let bytes = peer.take();
    let mut rest = bytes.as_slice();
    let mut found = Vec::new();
    while let [0x81, length, more @ ..] = rest {
        let (length, more) = match length {
            126 => (
                usize::from(u16::from_be_bytes([more[0], more[1]])),
                &more[2..],
            ),
            length => (usize::from(*length), more),
        };
        let (payload, others) = more.split_at(length);
        found.push(serde_json::from_slice(payload).expect("JSON"));
        rest = others;
    }
    assert_eq!(rest, b"", "whole text messages of less than 64 KiB");
    found
}

fn writes(peer: &Peer) -> usize {
    peer.end.lock().expect("peer").writes
}

pub(super) fn publish(room: &str, event: &str) -> String {
    format!(r#"{{"type":"publish","room":"{room}","event":"{event}"}}"#)
}

#[test]
fn what_one_turn_sends_to_several_rooms_reaches_a_member_in_one_write() {
    let mut bench = Bench::new(config());
    let speaker = member(&mut bench, "ann", &["a", "b"]);
    let both = member(&mut bench, "bob", &["a", "b"]);
    let one = member(&mut bench, "eve", &["b"]);
    let before = (writes(&both), writes(&one));
    let texts = [
        publish("a", "1"),
        publish("b", "2"),
        publish("a", "3"),
        publish("b", "4"),
    ];
    say(&mut bench, &speaker, &texts.each_ref().map(String::as_str));
    let events = |peer: &Peer| -> Vec<String> {
        told(peer)
            .iter()
            .map(|told| told["event"].to_string())
            .collect()
    };
    assert_eq!(events(&both), ["\"1\"", "\"2\"", "\"3\"", "\"4\""]);
    assert_eq!(events(&one), ["\"2\"", "\"4\""]);
    assert_eq!((writes(&both), writes(&one)), (before.0 + 1, before.1 + 1));
    assert_eq!(events(&speaker), [""; 0]);
}

#[test]
fn what_is_held_for_a_full_socket_waits_in_order() {
    let mut bench = Bench::new(config());
    let speaker = member(&mut bench, "ann", &["a", "b"]);
    let slow = member(&mut bench, "bob", &["a", "b"]);
    slow.set_room(10);
    let texts = [publish("a", "1"), publish("b", "2")];
    for _ in 0..3 {
        say(&mut bench, &speaker, &texts.each_ref().map(String::as_str));
    }
    slow.set_room(usize::MAX);
    bench
        .edges
        .push((slow.key, Readiness::edge(false, true, false)));
    bench.turn();
    let events: Vec<_> = told(&slow)
        .iter()
        .map(|told| told["event"].to_string())
        .collect();
    assert_eq!(
        events,
        ["\"1\"", "\"2\"", "\"1\"", "\"2\"", "\"1\"", "\"2\""]
    );
}
