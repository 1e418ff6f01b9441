//! How connections end in good order.

use super::*;

#[test]
fn a_close_sends_its_last_words_then_ends_then_waits_for_the_peer() {
    let mut bench = Bench::new(Limits::default());
    let (key, peer) = bench.connect(usize::MAX);
    bench.send(key, &peer, b"xQ");
    assert_eq!(seen(&peer).from_engine, b"xbye");
    assert!(seen(&peer).engine_ended && !seen(&peer).is_dropped);
    bench.send(key, &peer, b"late words are read and dropped");
    assert!(seen(&peer).to_engine.is_empty() && !seen(&peer).is_dropped);
    at(&peer).has_ended = true;
    bench.edges.push((key, Readiness::edge(true, false, true)));
    bench.turn();
    assert!(seen(&peer).is_dropped);
    assert_eq!(bench.events(), ["open", "close", "released"]);
}

#[test]
fn a_peer_that_is_done_is_not_waited_for() {
    let mut bench = Bench::new(Limits::default());
    let (key, peer) = bench.connect(usize::MAX);
    at(&peer).ends_by_drop = true;
    bench.send(key, &peer, b"xF");
    assert_eq!(seen(&peer).from_engine, b"xbye");
    assert!(seen(&peer).is_dropped && !seen(&peer).engine_ended);
    assert_eq!(seen(&peer).reads, 1);
    assert_eq!(bench.events(), ["open", "close", "released"]);
    assert_eq!(bench.engine.next_due(), None, "no timer for the close time");
}

#[test]
fn a_peer_that_is_done_is_waited_for_where_a_drop_could_lose_something() {
    // The transport has a farewell of its own; the last words do not leave at once; bytes of the peer may be unread.
    for (ends_by_drop, room, has_ended) in [
        (false, usize::MAX, false),
        (true, 2, false),
        (true, usize::MAX, true),
    ] {
        let mut bench = Bench::new(Limits::default());
        let (key, peer) = bench.connect(room);
        at(&peer).ends_by_drop = ends_by_drop;
        at(&peer).to_engine.extend(b"xxF");
        bench
            .edges
            .push((key, Readiness::edge(true, false, has_ended)));
        bench.turn();
        assert!(!seen(&peer).is_dropped);
        at(&peer).room = usize::MAX;
        at(&peer).has_ended = true;
        bench.edges.push((key, Readiness::edge(true, true, true)));
        bench.turn();
        assert_eq!(seen(&peer).from_engine, b"xxbye");
        assert!(seen(&peer).engine_ended && seen(&peer).is_dropped);
        assert_eq!(bench.events(), ["open", "close", "released"]);
    }
}

#[test]
fn last_words_wait_for_a_slow_reader_as_long_as_the_close_time() {
    for answers in [true, false] {
        let mut bench = Bench::new(Limits::default());
        let (key, peer) = bench.connect(2);
        bench.send(key, &peer, b"xxxxQ");
        assert_eq!(seen(&peer).from_engine, b"xx");
        assert!(!seen(&peer).engine_ended);
        if answers {
            at(&peer).room = 100;
            bench.edges.push((key, Readiness::edge(false, true, false)));
            bench.turn();
            assert_eq!(seen(&peer).from_engine, b"xxxxbye");
            assert!(seen(&peer).engine_ended);
        }
        bench.pass(Duration::from_secs(4));
        assert!(!seen(&peer).is_dropped);
        bench.pass(Duration::from_secs(2));
        assert!(seen(&peer).is_dropped, "the close time is over");
        assert_eq!(bench.events(), ["open", "close", "released"]);
        assert_eq!(bench.engine.next_due(), None, "no timer is left behind");
    }
}

#[test]
fn the_end_of_a_peer_is_noticed_behind_its_last_bytes() {
    let mut bench = Bench::new(Limits::default());
    let (key, peer) = bench.connect(usize::MAX);
    at(&peer).to_engine.extend(b"last");
    at(&peer).has_ended = true;
    bench.edges.push((key, Readiness::edge(true, true, true)));
    bench.turn();
    assert_eq!(seen(&peer).from_engine, b"lastbye");
    assert!(seen(&peer).engine_ended && seen(&peer).is_dropped);
    assert_eq!(bench.events(), ["open", "end", "close", "released"]);
}

#[test]
fn beyond_the_total_a_long_queue_ends_and_a_short_one_stays() {
    let mut bench = Bench::new(Limits {
        congested_bytes: 1_000,
        send_queue_total_bytes_max: 5_000,
        ..Limits::default()
    });
    let account = Arc::new(Account::default());
    bench.engine.set_account(Arc::clone(&account));
    let (short, _short_peer) = bench.connect(0);
    let (long, long_peer) = bench.connect(0);
    let frame = |bytes: usize| [Shared::on(&account, vec![b'f'; bytes])];
    bench.engine.send_shared(short, &frame(500));
    bench.engine.send_shared(long, &frame(4_000));
    bench.turn();
    assert_eq!(account.bytes(), 4_500);
    let large = frame(600);
    bench.engine.send_shared(short, &large[..0]);
    bench.engine.send_shared(long, &large);
    bench.turn();
    assert!(seen(&long_peer).is_dropped, "5,100 bytes are held");
    assert_eq!(bench.engine.len(), 1);
    let reason = bench.engine.shard().last_reason;
    assert_eq!(reason, Some(CloseReason::SEND_QUEUES_FULL));
    drop(large);
    assert_eq!(account.bytes(), 500, "what the other waits for");
    bench.engine.abort(short, CloseReason::RESET);
    bench.turn();
    assert_eq!(account.bytes(), 0);
}

#[test]
fn replies_that_wait_are_on_the_account_until_they_have_left() {
    let mut bench = Bench::new(Limits::default());
    let account = Arc::new(Account::default());
    bench.engine.set_account(Arc::clone(&account));
    let (key, peer) = bench.connect(3);
    bench.send(key, &peer, b"hello O world");
    let waiting = "hello owned world".len() - 3;
    assert_eq!(account.bytes(), waiting);
    at(&peer).room = 4;
    bench.edges.push((key, Readiness::edge(false, true, false)));
    bench.turn();
    assert_eq!(account.bytes(), waiting - 4);
    let detached = bench.engine.detach(key).expect("open");
    assert_eq!(account.bytes(), waiting - 4);
    assert!(bench.engine.attach(detached, |_, _| Err(())).is_err());
    assert_eq!(account.bytes(), 0);
}
