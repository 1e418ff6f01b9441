use super::*;
use crate::auth::api_key::ApiKey;

const KEY: &str = r#"{"key":"a key for tests"}"#;

fn watched() -> GatewayConfig {
    let mut config = config();
    config.routes.push(Route {
        path: LIVE_PATH.into(),
        endpoint: EndpointKind::Dashboard,
    });
    config.api_key = Some(ApiKey::new("a key for tests"));
    config
}

/// A worker of a node whose teller is this test.
fn bench() -> (Bench, std::sync::mpsc::Receiver<Arrival>) {
    let node = Bench::node(2);
    let (sender, arrivals) = std::sync::mpsc::sync_channel(1);
    node.set_dashboards(sender);
    (Bench::of(&node, 1, watched()), arrivals)
}

fn say(bench: &mut Bench, peer: &Peer, text: &str) {
    bench.send(peer, &frame(Opcode::Text, true, text.as_bytes()));
}

fn watchers(bench: &mut Bench) -> usize {
    bench.engine.shard().watchers.len()
}

fn tell_history(bench: &mut Bench, peer: &Peer) {
    bench.engine.deliver(Mail::Dashboard {
        connection: peer.key,
        text: "history".into(),
    });
    bench.turn();
}

/// Text messages of the server, all shorter than 126 bytes.
fn texts(bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while let [0x81, length, more @ ..] = rest {
        let (text, behind) = more.split_at(usize::from(*length));
        found.push(String::from_utf8(text.to_vec()).expect("UTF-8"));
        rest = behind;
    }
    assert_eq!(rest, b"", "nothing else");
    found
}

#[test]
fn a_dashboard_that_shows_no_key_is_sent_away_in_time() {
    let (mut bench, arrivals) = bench();
    let silent = bench.websocket(LIVE_PATH);
    let known = bench.websocket(LIVE_PATH);
    say(&mut bench, &known, KEY);
    arrivals.try_recv().expect("it is announced");
    bench.pass(Duration::from_millis(9_900));
    assert!(!silent.is_ended());
    bench.pass(Duration::from_millis(200));
    expect_close(&silent, 1008);
    assert!(silent.is_ended());
    bench.pass(Duration::from_secs(60));
    assert_eq!(known.take(), b"");
    assert!(!known.is_ended());
}

#[test]
fn nothing_is_heard_after_a_wrong_key() {
    let (mut bench, arrivals) = bench();
    let peer = bench.websocket(LIVE_PATH);
    let wrong = frame(Opcode::Text, true, br#"{"key":"another key"}"#);
    let right = frame(Opcode::Text, true, KEY.as_bytes());
    bench.send(&peer, &[wrong, right].concat());
    expect_close(&peer, 1008);
    assert!(arrivals.try_recv().is_err());
    assert_eq!(watchers(&mut bench), 0);
}

#[test]
fn a_dashboard_that_does_not_read_misses_what_is_old_by_then() {
    let (mut bench, _arrivals) = bench();
    let (slow, quick) = (bench.websocket(LIVE_PATH), bench.websocket(LIVE_PATH));
    for peer in [&slow, &quick] {
        say(&mut bench, peer, KEY);
        if watchers(&mut bench) == 1 {
            // The second finds no room with a teller that does not listen.
            slow.set_room(b"..history..te".len());
        }
    }
    expect_close(&quick, 1013);
    assert_eq!(watchers(&mut bench), 1);
    bench.engine.deliver(Mail::Dashboards("too early".into()));
    tell_history(&mut bench, &slow);
    for number in 0..100 {
        let text = format!("telling number {number}");
        bench.engine.deliver(Mail::Dashboards(text.into()));
        bench.turn();
    }
    let mut told = slow.take();
    slow.set_room(usize::MAX);
    bench
        .edges
        .push((slow.key, Readiness::edge(false, true, false)));
    bench.turn();
    told.extend(slow.take());
    assert_eq!(texts(&told), ["history", "telling number 0"]);
    let last = Mail::Dashboards("the last one".into());
    bench.engine.deliver(last);
    bench.turn();
    assert_eq!(texts(&slow.take()), ["the last one"]);
}

#[test]
fn a_dashboard_that_moves_to_another_worker_is_told_there() {
    let node = Bench::node(2);
    let (sender, _arrivals) = std::sync::mpsc::sync_channel(1);
    node.set_dashboards(sender);
    let mut first = Bench::of(&node, 0, watched());
    let mut second = Bench::of(&node, 1, watched());
    let mut peer = first.websocket(LIVE_PATH);
    say(&mut first, &peer, KEY);
    let detached = first.engine.detach(peer.key).expect("it is there");
    let attached = second
        .engine
        .attach(detached, |_, _| Ok::<(), ()>(()))
        .expect("it has room");
    peer.key = attached;
    assert_eq!((watchers(&mut first), watchers(&mut second)), (0, 1));
    for bench in [&mut first, &mut second] {
        tell_history(bench, &peer);
        bench.engine.deliver(Mail::Dashboards("now".into()));
        bench.turn();
    }
    assert_eq!(texts(&peer.take()), ["history", "now"]);
    second.send(&peer, &frame(Opcode::Close, true, &1000u16.to_be_bytes()));
    assert_eq!(watchers(&mut second), 0);
}

#[test]
fn other_settings_want_the_key_again() {
    let (mut bench, _arrivals) = bench();
    let peer = bench.websocket(LIVE_PATH);
    say(&mut bench, &peer, KEY);
    bench.engine.deliver(Mail::Configure(Arc::new(watched())));
    bench.turn();
    expect_close(&peer, 1012);
    assert_eq!(watchers(&mut bench), 0);
}
