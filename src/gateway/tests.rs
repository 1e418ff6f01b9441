//! Whole connections over memory, under a clock that the test moves.

mod dashboard;
mod delivery;
mod metrics;
mod rates;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::id::ConnKey;
use crate::limits::MESSAGE_AGE_MAX;
use crate::reactor::{Engine, Limits, MemoryPeer, MemoryTransport, Readiness, Session, Tick};
use crate::websocket::frame::{Opcode, encode_header};

const HANDSHAKE: &str = "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const TICK: Duration = Duration::from_millis(8);

fn config() -> GatewayConfig {
    let route = |path: &str, endpoint| Route {
        path: path.into(),
        endpoint,
    };
    GatewayConfig {
        routes: vec![
            route("/ws", EndpointKind::Echo),
            route("/broadcast", EndpointKind::Broadcast),
            route("/", EndpointKind::Gateway),
        ],
        heartbeat_interval: None,
        ..GatewayConfig::default()
    }
}

struct Bench {
    engine: Engine<GatewaySession, MemoryTransport>,
    now: Tick,
    /// What the poller would say in the next turn.
    edges: Vec<(ConnKey, Readiness)>,
}

struct Peer {
    key: ConnKey,
    end: Arc<Mutex<MemoryPeer>>,
}

impl Peer {
    /// What the server has written since the last call.
    fn take(&self) -> Vec<u8> {
        let mut end = self.end.lock().expect("peer");
        std::mem::take(&mut end.from_engine)
    }

    fn set_room(&self, room: usize) {
        self.end.lock().expect("peer").room = room;
    }

    fn is_ended(&self) -> bool {
        self.end.lock().expect("peer").engine_ended
    }
}

impl Bench {
    fn new(config: GatewayConfig) -> Self {
        Self::of(&Self::node(1), 0, config)
    }

    fn node(workers: usize) -> Arc<Node> {
        let admission = Admission::new(workers, 1000, AddressLimits::default());
        Arc::new(Node::new(workers, admission))
    }

    /// One of several workers of a node; what it sends to the others goes nowhere.
    fn of(node: &Arc<Node>, worker: usize, config: GatewayConfig) -> Self {
        let shard = Shard::new(worker, Arc::new(config), Arc::clone(node));
        Self {
            engine: Engine::new(shard, Limits::default(), Tick(0)),
            now: Tick(0),
            edges: Vec::new(),
        }
    }

    /// A connection that has said nothing.
    fn connect(&mut self) -> Peer {
        self.connect_from(ClientAddress::UNIX)
    }

    fn connect_from(&mut self, client: ClientAddress) -> Peer {
        let (transport, end) = MemoryTransport::pair(usize::MAX);
        let node = Arc::clone(&self.engine.shard().node);
        let verdict = node.admission.enter(None, Tick(0));
        node.admission.assign();
        let session = GatewaySession::new(client, verdict, None);
        let key = self
            .engine
            .insert(transport, session, |_, _| Ok::<(), ()>(()))
            .expect("inserted");
        Peer { key, end }
    }

    /// A WebSocket at `path`.
    fn websocket(&mut self, path: &str) -> Peer {
        let peer = self.connect();
        self.send(
            &peer,
            format!("GET {path} HTTP/1.1\r\n{HANDSHAKE}").as_bytes(),
        );
        assert!(peer.take().starts_with(b"HTTP/1.1 101 "));
        peer
    }

    fn arrive(&mut self, peer: &Peer, bytes: &[u8]) {
        peer.end.lock().expect("peer").to_engine.extend(bytes);
        self.edges
            .push((peer.key, Readiness::edge(true, false, false)));
    }

    fn send(&mut self, peer: &Peer, bytes: &[u8]) {
        self.arrive(peer, bytes);
        self.turn();
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

    fn pass(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        while !until.is_reached(self.now) {
            self.turn();
        }
    }
}

/// A frame of a client whose masking key is zero.
fn frame(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let header = encode_header(opcode, fin, false, payload.len() as u64, Some([0; 4]));
    [header.as_slice(), payload].concat()
}

fn expect_close(peer: &Peer, code: u16) {
    let bytes = peer.take();
    assert_eq!(bytes.first(), Some(&0x88), "{bytes:?}");
    assert_eq!(bytes[2..4], code.to_be_bytes());
    assert!(peer.is_ended());
}

#[test]
fn an_unfinished_message_is_given_its_time_and_no_more() {
    let whole = frame(Opcode::Text, true, &[b'x'; 1000]);
    for begun in [
        &frame(Opcode::Text, false, b"begun")[..],
        &whole[..1],
        &whole[..500],
    ] {
        let mut bench = Bench::new(config());
        let peer = bench.websocket("/ws");
        bench.pass(Duration::from_secs(1000));
        bench.send(&peer, begun);
        bench.pass(MESSAGE_AGE_MAX - 2 * TICK);
        assert_eq!(peer.take(), b"", "closed before its time");
        // Control frames between the fragments give no more time.
        if begun.len() == 11 {
            bench.send(&peer, &frame(Opcode::Ping, true, b""));
            assert_eq!(peer.take(), [0x8a, 0]);
        }
        bench.pass(4 * TICK);
        expect_close(&peer, 1008);
    }
}

#[test]
fn a_message_that_ends_in_time_gives_the_next_its_own() {
    let mut bench = Bench::new(config());
    let peer = bench.websocket("/ws");
    // Every read ends in the middle of a message, for longer than one may take.
    let message = frame(Opcode::Binary, true, &[7; 1000]);
    bench.send(&peer, &message[..500]);
    let shifted = [&message[500..], &message[..500]].concat();
    for _ in 0..10 {
        bench.pass(MESSAGE_AGE_MAX / 4);
        bench.send(&peer, &shifted);
        assert_eq!(peer.take().len(), 1004, "one echo");
    }
    bench.pass(MESSAGE_AGE_MAX - 2 * TICK);
    assert_eq!(peer.take(), b"");
    bench.pass(4 * TICK);
    expect_close(&peer, 1008);
}

#[test]
fn nothing_follows_the_farewell() {
    let mut bench = Bench::new(config());
    let sender = bench.websocket("/broadcast");
    let leaver = bench.websocket("/broadcast");
    // Both in one turn: the publication goes out at its end, behind the Close.
    bench.arrive(&sender, &frame(Opcode::Text, true, b"to all"));
    bench.now = Tick(bench.now.0 + 1);
    bench.engine.begin_turn(bench.now);
    for (key, edge) in bench.edges.drain(..) {
        bench.engine.handle(key, edge);
    }
    bench.engine.run_waiting();
    let key = leaver.key;
    bench.engine.visit(key, GatewaySession::on_drain);
    bench.engine.end_turn();
    bench.send(&sender, &frame(Opcode::Text, true, b"and again"));
    assert_eq!(sender.take(), b"\x81\x06to all\x81\x09and again");
    let close = leaver.take();
    assert_eq!((close[0], &close[2..4]), (0x88, &1001u16.to_be_bytes()[..]));
    assert_eq!(
        close.len(),
        usize::from(close[1]) + 2,
        "bytes behind a Close"
    );
    // What the peer sends before it answers is read, and goes nowhere.
    bench.send(&leaver, &frame(Opcode::Text, true, b"too late"));
    assert_eq!((sender.take(), leaver.take()), (vec![], vec![]));
    bench.send(&leaver, &frame(Opcode::Close, true, &1001u16.to_be_bytes()));
    assert_eq!(leaver.take(), b"");
    assert!(leaver.is_ended());
}

#[test]
fn a_peer_that_does_not_answer_the_farewell_has_the_close_time() {
    let mut bench = Bench::new(config());
    let peer = bench.websocket("/ws");
    let key = peer.key;
    bench.engine.visit(key, GatewaySession::on_drain);
    peer.take();
    bench.pass(Duration::from_millis(4900));
    assert!(!peer.is_ended());
    bench.pass(Duration::from_millis(200));
    assert!(peer.is_ended());
    assert!(!bench.engine.is_empty(), "the peer may still end in order");
    bench.pass(Duration::from_secs(5));
    assert!(bench.engine.is_empty());
}

#[test]
fn the_heartbeat_asks_the_silent_and_closes_the_dead() {
    let mut bench = Bench::new(GatewayConfig {
        heartbeat_interval: Some(Duration::from_secs(30)),
        ..config()
    });
    let (silent, answering, talking) = (
        bench.websocket("/ws"),
        bench.websocket("/ws"),
        bench.websocket("/ws"),
    );
    for round in 0..60 {
        bench.pass(Duration::from_secs(5));
        if round % 4 == 0 {
            bench.send(&talking, &frame(Opcode::Pong, true, b""));
        }
        if answering.take().first() == Some(&0x89) {
            bench.send(&answering, &frame(Opcode::Pong, true, b"tidegate"));
        }
    }
    let told = silent.take();
    assert_eq!((told[0], told[10]), (0x89, 0x88), "a ping, then a Close");
    assert_eq!(told[12..14], 1011u16.to_be_bytes());
    assert!(silent.is_ended());
    assert!(!answering.is_ended());
    assert_eq!(talking.take(), b"", "who talks is not asked");
}

#[test]
fn a_slow_reader_is_alive_as_long_as_it_takes_something() {
    let mut bench = Bench::new(GatewayConfig {
        heartbeat_interval: Some(Duration::from_secs(30)),
        ..config()
    });
    let peer = bench.websocket("/ws");
    peer.set_room(0);
    bench.send(&peer, &frame(Opcode::Binary, true, &[7; 50_000]));
    for _ in 0..40 {
        bench.pass(Duration::from_secs(9));
        peer.set_room(1000);
        bench
            .edges
            .push((peer.key, Readiness::edge(false, true, false)));
        bench.turn();
    }
    assert!(!peer.is_ended(), "closed although it reads");
    assert_eq!(peer.take().len(), 40_000);
    bench.pass(Duration::from_secs(41));
    bench.pass(Duration::from_secs(5));
    assert!(bench.engine.is_empty(), "it takes nothing any more");
}

#[test]
fn a_listener_that_moves_to_another_worker_is_heard_and_hears_there() {
    let mut first = Bench::new(config());
    let mut second = Bench::new(config());
    let mover = first.websocket("/broadcast");
    let (stayer, neighbour) = (
        first.websocket("/broadcast"),
        second.websocket("/broadcast"),
    );
    let detached = first.engine.detach(mover.key).expect("open");
    let key = second.engine.attach(detached, |_, _| Ok::<(), ()>(()));
    let mover = Peer {
        key: key.expect("attached"),
        end: mover.end,
    };
    first.send(&stayer, &frame(Opcode::Text, true, b"here"));
    assert_eq!(
        (stayer.take(), mover.take()),
        (b"\x81\x04here".to_vec(), vec![])
    );
    second.send(&mover, &frame(Opcode::Text, true, b"there"));
    assert_eq!(neighbour.take(), b"\x81\x05there");
    assert_eq!(mover.take(), b"\x81\x05there");
}

#[test]
fn a_back_end_waits_while_publications_pile_up() {
    use std::sync::atomic::Ordering;
    const PILE: usize = 1 << 30;
    let mut bench = Bench::new(GatewayConfig {
        api_key: Some(crate::auth::api_key::ApiKey::new("a key for tests")),
        ..config()
    });
    let peer = bench.connect();
    let node = Arc::clone(&bench.engine.shard().node);
    node.publication_bytes().fetch_add(PILE, Ordering::Relaxed);
    let body = r#"{"event":"e"}"#;
    let request = format!(
        "POST /api/broadcast HTTP/1.1\r\nHost: x\r\nX-API-Key: a key for tests\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    bench.send(&peer, request.as_bytes());
    bench.pass(Duration::from_millis(100));
    assert_eq!(peer.take(), b"", "answered in spite of the pile");
    node.publication_bytes().fetch_sub(PILE, Ordering::Relaxed);
    bench.pass(Duration::from_millis(100));
    assert!(peer.take().starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn a_call_that_waits_for_other_workers_is_answered_before_the_server_goes() {
    let config = || GatewayConfig {
        api_key: Some(crate::auth::api_key::ApiKey::new("a key for tests")),
        ..config()
    };
    let node = Bench::node(2);
    let mut other = Bench::of(&node, 1, config());
    let _member = delivery::member(&mut other, "eve", &["r"]);
    let mut bench = Bench::of(&node, 0, config());
    let caller = bench.connect();
    let request = "GET /api/rooms/r HTTP/1.1\r\nHost: x\r\nX-API-Key: a key for tests\r\n\r\n";
    bench.send(&caller, request.as_bytes());
    assert_eq!(caller.take(), b"", "answered without the other worker");
    node.begin_draining();
    bench.engine.visit(caller.key, GatewaySession::on_drain);
    bench.turn();
    assert!(!caller.is_ended(), "the answer is still to come");
    let part = Box::new(ask::Gathered {
        users: [("eve".into(), 1)].into(),
        ..ask::Gathered::default()
    });
    bench.engine.deliver(Mail::Answer { number: 0, part });
    bench.turn();
    let told = String::from_utf8(caller.take()).expect("text");
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    assert!(told.contains("Connection: close"), "{told}");
    assert!(told.contains(r#""userId":"eve""#), "{told}");
    assert!(caller.is_ended());
}
