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

fn with_policies(policies: &[&str]) -> GatewayConfig {
    let policies = crate::hub::RoomPolicies::parse(policies.iter().copied());
    GatewayConfig {
        room_policies: Arc::new(policies.expect("policies")),
        ..config()
    }
}

/// What the peer is told once it reads again: events and gaps.
fn caught_up(bench: &mut Bench, peer: &Peer) -> Vec<String> {
    peer.set_room(usize::MAX);
    bench
        .edges
        .push((peer.key, Readiness::edge(false, true, false)));
    bench.turn();
    let told = told(peer);
    let short = |told: &serde_json::Value| match told["type"].as_str() {
        Some("gap") => format!(
            "{}-{}",
            told["room"].as_str().unwrap_or("?"),
            told["missed"]
        ),
        _ => told["event"].as_str().unwrap_or("?").to_owned(),
    };
    told.iter().map(short).collect()
}

#[test]
fn who_reads_too_slowly_gets_the_latest_of_a_room_and_is_told_what_it_misses() {
    let mut bench = Bench::new(with_policies(&["ticker.*=latest"]));
    let speaker = member(&mut bench, "ann", &["ticker.gold", "chat"]);
    let slow = member(&mut bench, "bob", &["ticker.gold", "chat"]);
    let fast = member(&mut bench, "eve", &["ticker.gold"]);
    slow.set_room(30);
    for number in 1..=5 {
        say(
            &mut bench,
            &speaker,
            &[&publish("ticker.gold", &number.to_string())],
        );
    }
    say(&mut bench, &speaker, &[&publish("chat", "hello")]);
    let (six, seven) = (publish("ticker.gold", "6"), publish("ticker.gold", "7"));
    say(&mut bench, &speaker, &[&six, &seven]);
    // The first was under way already.
    let expected = ["1", "ticker.gold-5", "hello", "7"];
    assert_eq!(caught_up(&mut bench, &slow), expected);
    let events: Vec<_> = told(&fast)
        .iter()
        .map(|told| told["event"].to_string())
        .collect();
    assert_eq!(events.len(), 7, "{events:?}");
    assert_eq!(
        bench.engine.shard().node.tally.count(Limit::RoomMessages),
        5
    );
    assert_eq!(caught_up(&mut bench, &slow), [""; 0]);
    say(&mut bench, &speaker, &[&publish("ticker.gold", "8")]);
    assert_eq!(caught_up(&mut bench, &slow), ["8"]);
}

#[test]
fn beyond_the_soft_limit_the_oldest_are_dropped_and_the_connection_stays() {
    let mut bench = Bench::new(with_policies(&["news=drop-oldest"]));
    let speaker = member(&mut bench, "ann", &["news"]);
    let slow = member(&mut bench, "bob", &["news"]);
    slow.set_room(0);
    let long = "x".repeat(1000);
    for number in 0..3_000 {
        let text =
            format!(r#"{{"type":"publish","room":"news","event":"{number}","data":"{long}"}}"#);
        say(&mut bench, &speaker, &[&text]);
    }
    bench.pass(Duration::from_secs(60));
    assert!(!slow.is_ended());
    let told = caught_up(&mut bench, &slow);
    let missed: usize = told[0]
        .strip_prefix("news-")
        .expect("a gap")
        .parse()
        .expect("a number");
    assert_eq!(told.len() - 1 + missed, 3_000);
    assert!(told.len() > 400, "{} were kept", told.len());
    let numbers: Vec<_> = (missed..3_000).map(|number| number.to_string()).collect();
    assert_eq!(told[1..], numbers, "in order, without another gap");
}

#[test]
fn a_room_without_a_policy_ends_who_reads_too_slowly() {
    let mut bench = Bench::new(with_policies(&["ticker.*=latest"]));
    let speaker = member(&mut bench, "ann", &["chat"]);
    let slow = member(&mut bench, "bob", &["chat"]);
    slow.set_room(0);
    let long = "x".repeat(100_000);
    for _ in 0..15 {
        let text = format!(r#"{{"type":"publish","room":"chat","event":"e","data":"{long}"}}"#);
        say(&mut bench, &speaker, &[&text]);
    }
    bench.pass(Duration::from_secs(9));
    assert!(!slow.end.lock().expect("peer").is_dropped);
    bench.pass(Duration::from_secs(2));
    assert!(slow.end.lock().expect("peer").is_dropped);
    assert_eq!(bench.engine.shard().node.tally.count(Limit::SendQueue), 1);
}

#[test]
fn a_reload_brings_a_policy_to_rooms_that_are_there() {
    let mut bench = Bench::new(config());
    let speaker = member(&mut bench, "ann", &["a"]);
    let slow = member(&mut bench, "bob", &["a"]);
    let config = with_policies(&["*=latest"]);
    bench.engine.deliver(Mail::Configure(Arc::new(config)));
    slow.set_room(0);
    for event in ["1", "2", "3"] {
        say(&mut bench, &speaker, &[&publish("a", event)]);
    }
    assert_eq!(caught_up(&mut bench, &slow), ["a-2", "3"]);
}
