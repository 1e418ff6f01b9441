use super::*;

fn limited(messages: u32, bytes: u64, policy: RatePolicy) -> GatewayConfig {
    GatewayConfig {
        rate: RateLimits {
            messages,
            bytes,
            burst: Duration::from_secs(1),
            policy,
        },
        ..config()
    }
}

fn count(bench: &mut Bench, limit: Limit) -> u64 {
    bench.engine.shard().node.tally.count(limit)
}

#[test]
fn who_sends_too_many_messages_waits_and_loses_none() {
    for path in ["/ws", "/broadcast"] {
        let mut bench = Bench::new(limited(10, 0, RatePolicy::Throttle));
        let peer = bench.websocket(path);
        let flood: Vec<u8> = (0..25u8)
            .flat_map(|number| frame(Opcode::Binary, true, &[number]))
            .collect();
        bench.send(&peer, &flood);
        assert_eq!(peer.take().len(), 10 * 3, "the burst");
        bench.pass(Duration::from_millis(500));
        let told = peer.take().len() / 3;
        assert!((4..=6).contains(&told), "{told} in half a second");
        bench.pass(Duration::from_secs(2));
        let rest = peer.take();
        assert_eq!(rest.len(), (15 - told) * 3);
        assert_eq!(rest.last(), Some(&24), "in order");
        assert!(count(&mut bench, Limit::ConnectionRate) >= 10);
        assert!(!peer.is_ended());
    }
}

#[test]
fn who_sends_too_many_messages_is_closed() {
    for (path, message) in [
        ("/ws", frame(Opcode::Binary, true, b"")),
        ("/broadcast", frame(Opcode::Text, true, b"")),
        ("/ws", frame(Opcode::Ping, true, b"")),
    ] {
        let mut bench = Bench::new(limited(3, 0, RatePolicy::Close));
        let peer = bench.websocket(path);
        bench.send(&peer, &message.repeat(4));
        let told = peer.take();
        let told = String::from_utf8_lossy(&told);
        assert!(
            told.contains("messages come faster than they may"),
            "{told:?}"
        );
        assert_eq!(count(&mut bench, Limit::ConnectionRate), 1);
        assert!(peer.is_ended());
    }
}

#[test]
fn who_keeps_to_the_rate_may_say_goodbye() {
    for policy in [RatePolicy::Close, RatePolicy::Throttle] {
        let mut bench = Bench::new(limited(2, 0, policy));
        let peer = bench.websocket("/ws");
        let close = frame(Opcode::Close, true, &1000u16.to_be_bytes());
        let all = [frame(Opcode::Text, true, b"").repeat(2), close].concat();
        bench.send(&peer, &all);
        bench.pass(Duration::from_secs(1));
        assert_eq!(peer.take(), b"\x81\0\x81\0\x88\x02\x03\xe8");
        assert!(peer.is_ended());
    }
}

#[test]
fn who_sends_too_many_bytes_waits_also_in_the_middle_of_a_message() {
    let mut bench = Bench::new(GatewayConfig {
        heartbeat_interval: Some(Duration::from_secs(2)),
        heartbeat_timeout: Duration::from_secs(1),
        ..limited(0, 10_000, RatePolicy::Throttle)
    });
    let peer = bench.websocket("/ws");
    let whole = frame(Opcode::Binary, true, &vec![7; 1 << 20]);
    bench.arrive(&peer, &whole);
    bench.turn();
    bench.pass(Duration::from_secs(5));
    assert!(
        !peer.end.lock().expect("peer").to_engine.is_empty(),
        "all was read"
    );
    assert_eq!(
        peer.take(),
        b"",
        "asked for a sign of life, while it is not read"
    );
    // As long as it takes at that rate: nobody is late whom we make wait.
    bench.pass(Duration::from_secs(89));
    assert_eq!(peer.take(), b"");
    bench.pass(Duration::from_secs(11));
    assert_eq!(peer.take().len(), (1 << 20) + 10, "the echo, and no ping");
    assert!(!peer.is_ended());
}

#[test]
fn who_sends_too_many_bytes_is_closed() {
    let mut bench = Bench::new(limited(0, 10_000, RatePolicy::Close));
    let peer = bench.websocket("/ws");
    bench.send(&peer, &frame(Opcode::Binary, true, &[7; 9_000]));
    assert_eq!(peer.take().len(), 9_004);
    bench.send(&peer, &frame(Opcode::Binary, true, &[7; 9_000]));
    peer.take();
    bench.send(&peer, &frame(Opcode::Binary, true, &[7; 100]));
    expect_close(&peer, 1008);
    let peer = bench.websocket("/ws");
    bench.arrive(&peer, &frame(Opcode::Binary, true, &vec![7; 1 << 20]));
    bench.pass(Duration::from_millis(100));
    expect_close(&peer, 1008);
}

#[test]
fn a_reload_takes_the_limit_away_and_brings_one() {
    let mut bench = Bench::new(limited(1, 0, RatePolicy::Throttle));
    let peer = bench.websocket("/ws");
    let message = frame(Opcode::Text, true, b"");
    bench.send(&peer, &message.repeat(10));
    assert_eq!(peer.take().len(), 2);
    bench.engine.deliver(Mail::Configure(Arc::new(config())));
    bench.turn();
    bench.turn();
    assert_eq!(peer.take().len(), 18, "nothing waits any more");
    let config = limited(1, 0, RatePolicy::Throttle);
    bench.engine.deliver(Mail::Configure(Arc::new(config)));
    bench.send(&peer, &message.repeat(10));
    assert_eq!(peer.take().len(), 2);
}

#[test]
fn a_connection_that_waits_can_be_sent_away() {
    let mut bench = Bench::new(limited(1, 0, RatePolicy::Throttle));
    let peer = bench.websocket("/ws");
    bench.send(&peer, &frame(Opcode::Text, true, b"").repeat(5));
    peer.take();
    bench.engine.visit(peer.key, GatewaySession::on_drain);
    bench.arrive(&peer, &frame(Opcode::Close, true, &1001u16.to_be_bytes()));
    bench.turn();
    bench.turn();
    assert!(peer.is_ended(), "its Close is read at once");
}
