mod closing;

use super::*;
use crate::reactor::memory::{MemoryPeer, MemoryTransport};
use crate::reactor::session::Initiator;
use crate::websocket::close::CloseCode;
use crate::websocket::protocol::Input;
use std::sync::{Arc, Mutex, MutexGuard};

/// What the sessions of a test did, in order.
#[derive(Debug, Default)]
struct Log {
    events: Vec<String>,
    recycled: usize,
    last_reason: Option<CloseReason>,
}

/// Echoes bytes; some bytes are commands.
#[derive(Debug, Default)]
struct Probe {
    inputs: usize,
    is_paused: bool,
    is_leaving: bool,
}

impl Session for Probe {
    type Shard = Log;
    type Mail = (ConnKey, Vec<Shared>);

    fn on_open(&mut self, cx: &mut Context<'_, Self>) {
        cx.shard.events.push("open".into());
    }

    fn on_input(&mut self, input: &mut Input<'_>, cx: &mut Context<'_, Self>) {
        self.inputs += 1;
        while !input.is_empty() && !cx.out.is_congested() && !self.is_leaving {
            let byte = input.remaining()[0];
            input.advance(1);
            match byte {
                b'F' => cx.finish(CloseReason::peer(CloseCode::NORMAL, "asked to")),
                b'Q' => cx.close(CloseReason::server(CloseCode::NORMAL, "asked to")),
                b'A' => cx.abort(CloseReason::server(CloseCode::NORMAL, "asked to, now")),
                b'L' => cx.set_deadline(Duration::from_secs(3_600)),
                b'T' => cx.set_deadline(Duration::from_millis(100)),
                b'P' => {
                    self.is_paused = true;
                    cx.set_deadline(Duration::from_millis(100));
                    return cx.pause_input();
                }
                b'M' => {
                    self.is_leaving = true;
                    cx.hand_over(3);
                }
                b'O' => cx.out.owned(b"..owned".to_vec(), 2),
                b'B' => cx.out.cork().extend_from_slice(&[b'b'; 1000]),
                byte => cx.out.cork().push(byte),
            }
        }
    }

    fn on_end(&mut self, cx: &mut Context<'_, Self>) {
        cx.shard.events.push("end".into());
        cx.close(CloseReason::transport("end"));
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Self>) {
        cx.shard.events.push("deadline".into());
        cx.out.cork().extend_from_slice(b"T");
        if std::mem::take(&mut self.is_paused) {
            cx.resume_input();
        }
    }

    fn on_drained(&mut self, cx: &mut Context<'_, Self>) {
        cx.shard.events.push("drained".into());
    }

    fn on_drain(&mut self, _: &mut Context<'_, Self>) {}

    fn on_close(&mut self, reason: CloseReason, cx: &mut Context<'_, Self>) {
        cx.shard.events.push("close".into());
        cx.shard.last_reason = Some(reason);
        cx.out.cork().extend_from_slice(b"bye");
    }

    fn on_detach(&mut self, _: ConnKey, _: &mut Log) -> Vec<u8> {
        if std::mem::take(&mut self.is_leaving) {
            b"again, ".to_vec()
        } else {
            Vec::new()
        }
    }

    fn released(self, shard: &mut Log) {
        shard.events.push("released".into());
    }

    fn on_mail<T: Transport>(engine: &mut Engine<Self, T>, (key, frames): Self::Mail) {
        engine.send_shared(key, &frames);
    }

    fn on_turn_end<T: Transport>(_: &mut Engine<Self, T>) {}

    fn recycle(shard: &mut Log, _: Vec<u8>) {
        shard.recycled += 1;
    }
}

struct Bench {
    engine: Engine<Probe, MemoryTransport>,
    now: Tick,
    /// What the poller would say in the next turn.
    edges: Vec<(ConnKey, Readiness)>,
}

type Peer = Arc<Mutex<MemoryPeer>>;

fn at(peer: &Peer) -> MutexGuard<'_, MemoryPeer> {
    peer.lock().expect("peer")
}

/// What the peer sees now, without keeping it locked.
fn seen(peer: &Peer) -> MemoryPeer {
    at(peer).clone()
}

impl Bench {
    fn new(limits: Limits) -> Self {
        Self {
            engine: Engine::new(Log::default(), limits, Tick(0)),
            now: Tick(0),
            edges: Vec::new(),
        }
    }

    fn connect(&mut self, room: usize) -> (ConnKey, Peer) {
        let (transport, peer) = MemoryTransport::pair(room);
        let key = self
            .engine
            .insert(transport, Probe::default(), |_, _| Ok::<(), ()>(()));
        (key.expect("inserted"), peer)
    }

    fn turn(&mut self) {
        self.now = Tick(self.now.0 + 1);
        self.engine.begin_turn(self.now);
        for (key, edge) in self.edges.drain(..) {
            self.engine.handle(key, edge);
        }
        self.engine.run_waiting();
        self.engine.end_turn();
    }

    fn send(&mut self, key: ConnKey, peer: &Peer, bytes: &[u8]) {
        at(peer).to_engine.extend(bytes);
        self.edges.push((key, Readiness::edge(true, false, false)));
        self.turn();
    }

    fn pass(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        while !until.is_reached(self.now) {
            self.turn();
        }
    }

    fn events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.engine.shard().events)
    }
}

#[test]
fn one_read_and_one_write_for_what_arrives_together() {
    let mut bench = Bench::new(Limits::default());
    let (key, peer) = bench.connect(usize::MAX);
    bench.send(key, &peer, b"hell O world O!");
    assert_eq!(seen(&peer).from_engine, b"hell owned world owned!");
    assert_eq!((seen(&peer).reads, seen(&peer).writes), (1, 1));
    assert_eq!(bench.engine.shard().recycled, 2);
}

#[test]
fn a_stale_key_is_ignored() {
    let mut bench = Bench::new(Limits::default());
    let (old, peer) = bench.connect(usize::MAX);
    bench.send(old, &peer, b"A");
    assert!(seen(&peer).is_dropped && bench.engine.is_empty());
    let (new, peer) = bench.connect(usize::MAX);
    assert_eq!(new.index, old.index, "the place is used again");
    at(&peer).to_engine.extend(b"x");
    bench.edges.push((old, Readiness::edge(true, true, true)));
    bench.turn();
    assert_eq!(seen(&peer).reads, 0);
    assert!(
        !bench
            .engine
            .visit(old, |_, _| panic!("visited a stale key"))
    );
    assert!(
        !bench
            .engine
            .send_shared(old, &[Shared::from(b"x".to_vec())])
    );
}

#[test]
fn a_stalled_reader_stops_being_read_and_goes_on_where_it_was() {
    let mut bench = Bench::new(Limits {
        congested_bytes: 2_000,
        ..Limits::default()
    });
    let (key, peer) = bench.connect(500);
    bench.send(key, &peer, &[b'B'; 10]);
    assert_eq!(seen(&peer).from_engine.len(), 500);
    bench.send(key, &peer, b"more");
    assert_eq!(
        seen(&peer).to_engine.len(),
        4,
        "not read while its replies pile up"
    );
    assert_eq!(bench.events(), ["open"]);
    while seen(&peer).from_engine.len() < 10_004 {
        at(&peer).room = 700;
        bench.edges.push((key, Readiness::edge(false, true, false)));
        bench.turn();
    }
    let mut expected = vec![b'b'; 10_000];
    expected.extend_from_slice(b"more");
    assert_eq!(
        seen(&peer).from_engine,
        expected,
        "nothing lost, nothing twice"
    );
    assert!(bench.events().contains(&"drained".to_owned()));
}

#[test]
fn a_hot_peer_gives_way_after_its_budget() {
    let limits = Limits {
        read_bytes_max: 64,
        turn_bytes_max: 128,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits);
    let (hot, hot_peer) = bench.connect(usize::MAX);
    let (calm, calm_peer) = bench.connect(usize::MAX);
    at(&hot_peer).to_engine.extend([b'x'; 1_000]);
    at(&calm_peer).to_engine.extend(b"y");
    bench.edges.push((hot, Readiness::edge(true, false, false)));
    bench
        .edges
        .push((calm, Readiness::edge(true, false, false)));
    bench.turn();
    assert_eq!(seen(&hot_peer).from_engine.len(), 128);
    assert_eq!(seen(&calm_peer).from_engine, b"y");
    while bench.engine.has_waiting() {
        bench.turn();
    }
    assert_eq!(
        seen(&hot_peer).from_engine.len(),
        1_000,
        "the edge does not repeat; the engine does"
    );
}

#[test]
fn a_socket_that_is_full_is_watched_for_room_from_then_on_and_once() {
    let mut bench = Bench::new(Limits::default());
    let watched = |bench: &mut Bench, allowed: Result<(), ()>| {
        let mut keys = Vec::new();
        bench.engine.watch_room(|_, key| {
            keys.push(key);
            allowed
        });
        keys
    };
    let (roomy, roomy_peer) = bench.connect(usize::MAX);
    let (full, full_peer) = bench.connect(2);
    bench.send(roomy, &roomy_peer, b"xxxx");
    bench.send(full, &full_peer, b"xxxx");
    assert_eq!(watched(&mut bench, Ok(())), [full]);
    for _ in 0..2 {
        at(&full_peer).room = 3;
        bench
            .edges
            .push((full, Readiness::edge(false, true, false)));
        bench.turn();
        bench.send(full, &full_peer, b"xxxx");
        assert_eq!(watched(&mut bench, Ok(())), []);
    }
    // Nothing would ever be said to one that cannot be watched.
    let (lost, lost_peer) = bench.connect(2);
    bench.send(lost, &lost_peer, b"xxxx");
    assert_eq!(watched(&mut bench, Err(())), [lost]);
    bench.turn();
    assert!(seen(&lost_peer).is_dropped && !seen(&full_peer).is_dropped);
}

#[test]
fn a_reset_is_the_transports_doing() {
    let mut bench = Bench::new(Limits::default());
    let (key, peer) = bench.connect(usize::MAX);
    at(&peer).is_reset = true;
    bench.edges.push((key, Readiness::edge(true, true, true)));
    bench.turn();
    assert!(seen(&peer).is_dropped);
    let reason = bench.engine.shard().last_reason.expect("a reason");
    assert_eq!(
        (reason.initiator, reason.code),
        (Initiator::Transport, CloseCode::ABNORMAL)
    );
    assert_eq!(bench.events(), ["open", "close", "released"]);
}

#[test]
fn deadlines_come_once_and_in_time() {
    let mut bench = Bench::new(Limits::default());
    let (key, peer) = bench.connect(usize::MAX);
    bench.send(key, &peer, b"T");
    bench.pass(Duration::from_millis(60));
    bench.send(key, &peer, b"T");
    bench.pass(Duration::from_millis(60));
    assert_eq!(
        bench.events(),
        ["open"],
        "a deadline that moved on does not fire at its old place"
    );
    bench.pass(Duration::from_millis(60));
    assert_eq!(bench.events(), ["deadline"]);
    assert_eq!(seen(&peer).from_engine, b"T");
    bench.pass(Duration::from_secs(5));
    assert!(bench.events().is_empty() && bench.engine.next_due().is_none());
}

#[test]
fn the_send_queue_has_a_hard_limit_at_once_and_a_soft_one_for_a_time() {
    let limits = Limits {
        send_queue_soft_bytes_max: 1_000,
        send_queue_hard_bytes_max: 5_000,
        send_queue_soft_for: Duration::from_secs(1),
        ..Limits::default()
    };
    let frame = |len: usize| vec![Shared::from(vec![b'f'; len])];
    let mut bench = Bench::new(limits);
    let (hard, hard_peer) = bench.connect(0);
    let (soft, soft_peer) = bench.connect(0);
    let (saved, saved_peer) = bench.connect(0);
    bench.engine.deliver((hard, frame(5_001)));
    bench.engine.deliver((soft, frame(1_001)));
    bench.engine.deliver((saved, frame(1_001)));
    bench.turn();
    assert!(seen(&hard_peer).is_dropped && !seen(&soft_peer).is_dropped);
    assert_eq!(
        bench.engine.shard().last_reason,
        Some(CloseReason::SLOW_CONSUMER)
    );
    bench.pass(Duration::from_millis(500));
    at(&saved_peer).room = 500;
    bench
        .edges
        .push((saved, Readiness::edge(false, true, false)));
    bench.turn();
    bench.pass(Duration::from_millis(600));
    assert!(
        seen(&soft_peer).is_dropped,
        "over the soft limit for its time"
    );
    bench.pass(Duration::from_secs(2));
    assert!(
        !seen(&saved_peer).is_dropped,
        "came below the soft limit in time"
    );
}

#[test]
fn shared_frames_leave_in_order_behind_what_waits() {
    let mut bench = Bench::new(Limits::default());
    let (key, peer) = bench.connect(3);
    let frames = [Shared::from(b"one".to_vec()), Shared::from(b"two".to_vec())];
    bench.engine.deliver((key, frames.to_vec()));
    bench
        .engine
        .deliver((key, vec![Shared::from(b"three".to_vec())]));
    assert_eq!(seen(&peer).from_engine, b"one");
    at(&peer).room = 100;
    bench.edges.push((key, Readiness::edge(false, true, false)));
    bench.turn();
    assert_eq!(seen(&peer).from_engine, b"onetwothree");
    assert_eq!(
        seen(&peer).writes,
        3,
        "one that fits, one in vain, one of the rest"
    );
}

#[test]
fn a_connection_moves_to_another_engine_with_all_that_waits() {
    let limits = Limits {
        congested_bytes: 1_000,
        ..Limits::default()
    };
    let mut first = Bench::new(limits);
    let mut second = Bench::new(limits);
    let (key, peer) = first.connect(100);
    first.send(key, &peer, b"BBBxyzT");
    let detached = first.engine.detach(key).expect("open");
    assert!(first.engine.is_empty() && first.engine.detach(key).is_none());
    at(&peer).room = usize::MAX;
    let key = second
        .engine
        .attach(detached, |_, _| Ok::<(), ()>(()))
        .expect("attached");
    second.turn();
    second.send(key, &peer, b"!");
    let mut expected = vec![b'b'; 3_000];
    expected.extend_from_slice(b"xyz!");
    assert_eq!(
        seen(&peer).from_engine,
        expected,
        "unread and unsent bytes came along"
    );
    second.pass(Duration::from_millis(200));
    assert_eq!(second.events(), ["drained", "deadline"]);
}

#[test]
fn a_session_hands_its_connection_over_and_is_offered_again_what_it_gives_back() {
    let mut first = Bench::new(Limits::default());
    let mut second = Bench::new(Limits::default());
    for rest in [&b"and the rest"[..], b""] {
        let (key, peer) = first.connect(usize::MAX);
        first.send(key, &peer, &[b"oneM", rest].concat());
        assert_eq!(first.engine.next_leaving(), Some((key, 3)));
        assert_eq!(first.engine.next_leaving(), None);
        let detached = first.engine.detach(key).expect("open");
        let attached = second.engine.attach(detached, |_, _| Ok::<(), ()>(()));
        attached.expect("attached");
        second.turn();
        let expected = [b"oneagain, ", rest].concat();
        assert_eq!(seen(&peer).from_engine, expected);
    }
}

#[test]
fn thousands_of_connections_leave_nothing_behind() {
    let mut bench = Bench::new(Limits::default());
    for round in 0..3 {
        let connections: Vec<_> = (0..2_000).map(|_| bench.connect(10)).collect();
        for (index, (key, peer)) in connections.iter().enumerate() {
            let bytes: &[u8] = [&b"TQ"[..], b"BT", b"A", b"T"][(index + round) % 4];
            at(peer).to_engine.extend(bytes);
            bench
                .edges
                .push((*key, Readiness::edge(true, false, false)));
        }
        bench.turn();
        bench.engine.abort_all(CloseReason::RESET);
        bench.turn();
        assert!(bench.engine.is_empty());
        assert!(connections.iter().all(|(_, peer)| seen(peer).is_dropped));
    }
    bench.pass(Duration::from_secs(20));
    assert_eq!(bench.engine.next_due(), None);
    let events = bench.events();
    let count = |name: &str| events.iter().filter(|event| *event == name).count();
    assert_eq!(
        (count("open"), count("close"), count("released")),
        (6_000, 6_000, 6_000)
    );
}

#[test]
fn far_deadlines_come_in_time_and_leave_no_entry_for_long() {
    let mut bench = Bench::new(Limits::default());
    let (key, peer) = bench.connect(usize::MAX);
    bench.send(key, &peer, b"L");
    bench.pass(Duration::from_secs(3_599));
    assert_eq!(bench.events(), ["open"]);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.events(), ["deadline"]);
    for _ in 0..100 {
        let (key, peer) = bench.connect(usize::MAX);
        bench.send(key, &peer, b"LA");
        assert!(seen(&peer).is_dropped);
    }
    bench.pass(Duration::from_secs(61));
    assert_eq!(bench.engine.next_due(), None);
}

#[test]
fn a_paused_connection_is_not_read_and_loses_nothing() {
    let mut bench = Bench::new(Limits::default());
    let (key, peer) = bench.connect(usize::MAX);
    bench.send(key, &peer, b"onePtwo");
    assert_eq!(seen(&peer).from_engine, b"one");
    let reads = seen(&peer).reads;
    bench.send(key, &peer, b"three");
    assert_eq!(
        seen(&peer).reads,
        reads,
        "what comes meanwhile stays with the kernel"
    );
    bench.pass(Duration::from_millis(200));
    assert_eq!(seen(&peer).from_engine, b"oneTtwothree");
    bench.send(key, &peer, b"P!");
    bench.engine.abort(key, CloseReason::RESET);
    bench.turn();
    assert!(bench.engine.is_empty(), "a paused one can be ended");
}

#[test]
fn a_paused_connection_stays_so_on_its_way_to_another_engine() {
    let mut bench = Bench::new(Limits::default());
    let (key, peer) = bench.connect(usize::MAX);
    bench.send(key, &peer, b"Ptwo");
    let detached = bench.engine.detach(key).expect("open");
    let mut other = Bench::new(Limits::default());
    let attached = other.engine.attach(detached, |_, _| Ok::<(), ()>(()));
    attached.expect("attached");
    other.turn();
    other.turn();
    assert_eq!(seen(&peer).from_engine, b"");
    other.pass(Duration::from_millis(200));
    assert_eq!(seen(&peer).from_engine, b"Ttwo");
}
