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
