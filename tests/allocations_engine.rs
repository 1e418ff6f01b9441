//! The steady state of the loop allocates nothing: whole connections, from the bytes that arrive to the bytes that leave, over
//! memory. And an idle connection owns no buffer.
#![allow(unsafe_code, reason = "a global allocator cannot be written without")]

#[path = "common/counting.rs"]
mod counting;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use counting::{live_bytes, steady_state};
use tidegate::gateway::{
    AddressLimits, Admission, ClientAddress, EndpointKind, GatewayConfig, GatewaySession, Node,
    Route, Shard, SocketIoConfig,
};
use tidegate::id::ConnKey;
use tidegate::reactor::{Engine, Limits, MemoryPeer, MemoryTransport, Readiness, Tick};
use tidegate::websocket::codec::{self, Codec};
use tidegate::websocket::extension::{DeflateParams, DeflatePolicy};
use tidegate::websocket::frame::{Opcode, encode_header};
use tidegate::websocket::protocol::{MessageKind, Protocol, Role};

const CODEC: codec::Config = codec::Config {
    message_bytes_max: 1 << 20,
    compression_bytes_min: 32,
    compression_level: 1,
};
const DEFLATE: DeflateParams = DeflateParams {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};
const ECHO: &str = "/ws";
const SOCKETIO: &str = "/socket.io/?EIO=4&transport=websocket";
const HANDSHAKE: &str = " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
/// Room that the peer's side has from the beginning: nothing of it is counted.
const PEER_BYTES: usize = 2 << 20;

fn config() -> GatewayConfig {
    GatewayConfig {
        routes: vec![
            Route {
                path: "/ws".into(),
                endpoint: EndpointKind::Echo,
            },
            Route {
                path: "/socket.io/".into(),
                endpoint: EndpointKind::SocketIo,
            },
        ],
        socketio: SocketIoConfig {
            is_conformance: true,
            ..SocketIoConfig::default()
        },
        deflate: Some(DeflatePolicy {
            context_takeover: false,
            window_bits_max: 15,
        }),
        codec: CODEC,
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

impl Bench {
    fn new() -> Self {
        let config = config();
        let node = Node::new(1, Admission::new(1, 100_000, AddressLimits::default()));
        let shard = Shard::new(0, Arc::new(config), Arc::new(node));
        Self {
            engine: Engine::new(shard, Limits::default(), Tick(0)),
            now: Tick(0),
            edges: Vec::new(),
        }
    }

    /// A WebSocket whose peer may be written to without an allocation, or has room of its own for nothing.
    fn websocket(&mut self, deflates: bool, peer_bytes: usize) -> Peer {
        self.websocket_at(ECHO, deflates, peer_bytes)
    }

    fn websocket_at(&mut self, path: &str, deflates: bool, peer_bytes: usize) -> Peer {
        let (transport, end) = MemoryTransport::pair(usize::MAX);
        {
            let mut end = end.lock().expect("peer");
            end.to_engine.reserve(peer_bytes);
            end.from_engine.reserve(peer_bytes);
        }
        let node = Arc::clone(&self.engine.shard().node);
        let verdict = node.admission.enter(None, Tick(0));
        node.admission.assign();
        let session = GatewaySession::new(ClientAddress::UNIX, verdict, None);
        let key = self
            .engine
            .insert(transport, session, |_, _| Ok::<(), ()>(()))
            .expect("inserted");
        let peer = Peer { key, end };
        let offer = if deflates { OFFER } else { "" };
        self.arrive(
            &peer,
            format!("GET {path}{HANDSHAKE}{offer}\r\n").as_bytes(),
        );
        self.turn();
        assert!(peer.taken() > 100, "no answer to the handshake");
        peer
    }

    fn arrive(&mut self, peer: &Peer, bytes: &[u8]) {
        peer.end.lock().expect("peer").to_engine.extend(bytes);
        self.edges
            .push((peer.key, Readiness::edge(true, false, false)));
    }

    /// A turn; time stands still, so that no timer is counted among the messages.
    fn turn(&mut self) {
        self.engine.begin_turn(self.now);
        for (key, edge) in self.edges.drain(..) {
            self.engine.handle(key, edge);
        }
        self.engine.run_waiting();
        self.engine.end_turn();
    }

    /// Turns until nothing is left to do without an event.
    fn settle(&mut self) {
        self.turn();
        while self.engine.has_waiting() {
            self.turn();
        }
    }

    /// `bytes` arrive in pieces of `size`, a turn for each; gives how many bytes were answered.
    fn exchange(&mut self, peer: &Peer, bytes: &[u8], size: usize) -> usize {
        for piece in bytes.chunks(size) {
            self.arrive(peer, piece);
            self.settle();
        }
        peer.taken()
    }
}

impl Peer {
    /// Bytes that the server has written since the last call.
    fn taken(&self) -> usize {
        let mut end = self.end.lock().expect("peer");
        let taken = end.from_engine.len();
        end.from_engine.clear();
        taken
    }

    /// Gives back what the peer's side has allocated.
    fn shrink(&self) {
        let mut end = self.end.lock().expect("peer");
        end.to_engine.shrink_to(0);
        end.from_engine.shrink_to(0);
    }
}

/// A text frame of a client whose masking key is not zero.
fn frame(len: usize) -> Vec<u8> {
    frame_of(&vec![b'x'; len])
}

fn frame_of(text: &[u8]) -> Vec<u8> {
    let mut codec = Codec::with_mask_seed(CODEC, [1; 32]);
    let mut bytes = Vec::new();
    Protocol::new(Role::Client, None).send_message(MessageKind::Text, text, &mut codec, &mut bytes);
    bytes
}

/// The same, compressed.
fn deflated(len: usize) -> Vec<u8> {
    let mut codec = Codec::with_mask_seed(CODEC, [1; 32]);
    let mut bytes = Vec::new();
    let payload: Vec<u8> = (0..len)
        .map(|index| b'a' + (index * index % 23) as u8)
        .collect();
    Protocol::new(Role::Client, Some(DEFLATE)).send_message(
        MessageKind::Text,
        &payload,
        &mut codec,
        &mut bytes,
    );
    assert_eq!(bytes[0], 0xc1, "not compressed");
    bytes
}

/// Bytes of an echo: the header without a mask, and the payload.
fn echoed(len: usize) -> usize {
    encode_header(Opcode::Text, true, false, len as u64, None)
        .as_slice()
        .len()
        + len
}

#[test]
fn whole_frames_alone_and_sixteen_at_once() {
    let mut bench = Bench::new();
    let peer = bench.websocket(false, PEER_BYTES);
    for len in [0, 1, 128, 1000, 60_000] {
        for depth in [1, 16] {
            let bytes = frame(len).repeat(depth);
            let round = || {
                assert_eq!(
                    bench.exchange(&peer, &bytes, bytes.len()),
                    echoed(len) * depth
                );
            };
            assert_eq!(0, steady_state(round), "{depth} times {len}");
        }
    }
}

#[test]
fn frames_in_pieces() {
    let mut bench = Bench::new();
    let peer = bench.websocket(false, PEER_BYTES);
    for (len, size) in [
        (128, 1),
        (128, 50),
        (1000, 333),
        (100_000, 1460),
        (200_000, 65_536),
    ] {
        let bytes = frame(len);
        let round = || assert_eq!(bench.exchange(&peer, &bytes, size), echoed(len));
        assert_eq!(0, steady_state(round), "{len} in pieces of {size}");
    }
}

#[test]
fn a_message_larger_than_the_read_buffer() {
    let mut bench = Bench::new();
    let peer = bench.websocket(false, PEER_BYTES);
    let bytes = frame(200_000);
    let round = || assert_eq!(bench.exchange(&peer, &bytes, bytes.len()), echoed(200_000));
    assert_eq!(0, steady_state(round));
}

#[test]
fn compressed_messages() {
    let mut bench = Bench::new();
    let peer = bench.websocket(true, PEER_BYTES);
    for len in [128, 5_000, 100_000] {
        let bytes = deflated(len);
        for size in [bytes.len(), 40] {
            let round = || assert!(bench.exchange(&peer, &bytes, size) > 10);
            assert_eq!(0, steady_state(round), "{len} in pieces of {size}");
        }
    }
}

#[test]
fn pings() {
    let mut bench = Bench::new();
    let peer = bench.websocket(false, PEER_BYTES);
    let mut codec = Codec::with_mask_seed(CODEC, [1; 32]);
    let mut bytes = Vec::new();
    Protocol::new(Role::Client, None).send_ping(&[7; 125], &mut codec, &mut bytes);
    let round = || assert_eq!(bench.exchange(&peer, &bytes, bytes.len()), 127);
    assert_eq!(0, steady_state(round));
}

/// Turns until so many bytes have come, however long that takes.
fn heard(bench: &mut Bench, peer: &Peer, bytes: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut taken = 0;
    while taken < bytes {
        assert!(Instant::now() < deadline, "{taken} of {bytes} bytes came");
        bench.settle();
        taken += peer.taken();
        std::thread::yield_now();
    }
}

#[test]
fn events_of_socketio_that_are_answered() {
    let mut bench = Bench::new();
    let peer = bench.websocket_at(SOCKETIO, false, PEER_BYTES);
    bench.arrive(&peer, &frame_of(b"40"));
    // That it is in, and what it showed.
    heard(&mut bench, &peer, echoed(br#"40{"sid":""}"#.len() + 20));
    heard(&mut bench, &peer, echoed(br#"42["auth",{}]"#.len()));
    let register = frame_of(br#"42["register",{"userId":"u"}]"#);
    assert!(bench.exchange(&peer, &register, register.len()) > 0);
    let text = "x".repeat(128);
    for (said, answer) in [
        (format!("42[\"message\",\"{text}\"]"), text.len() + 21),
        (
            format!("421234[\"message-with-ack\",\"{text}\"]"),
            text.len() + 10,
        ),
        // What a server without a program of its own answers to anybody.
        (
            "427[\"ping\"]".to_owned(),
            "437[{\"timestamp\":\"2026-11-22T00:00:00.000Z\"}]".len(),
        ),
        (
            "428[\"join\",{\"room\":\"r\"}]".to_owned(),
            "438[{\"room\":\"r\"}]".len(),
        ),
    ] {
        for depth in [1, 16] {
            let bytes = frame_of(said.as_bytes()).repeat(depth);
            let round = || {
                let answered = bench.exchange(&peer, &bytes, bytes.len());
                assert_eq!(answered, echoed(answer) * depth, "{said}");
            };
            assert_eq!(0, steady_state(round), "{depth} times {said}");
        }
    }
}

#[test]
fn a_reader_that_takes_its_echoes_in_bits() {
    let mut bench = Bench::new();
    let peer = bench.websocket(false, PEER_BYTES);
    let bytes = frame(1000).repeat(30);
    let round = || {
        peer.end.lock().expect("peer").room = 700;
        bench.arrive(&peer, &bytes);
        bench.settle();
        while peer.end.lock().expect("peer").from_engine.len() < echoed(1000) * 30 {
            peer.end.lock().expect("peer").room = 5_000;
            bench
                .edges
                .push((peer.key, Readiness::edge(false, true, false)));
            bench.settle();
        }
        assert_eq!(peer.taken(), echoed(1000) * 30);
    };
    assert_eq!(0, steady_state(round));
}

#[test]
fn an_idle_connection_owns_no_buffer() {
    const PEERS: usize = 256;
    /// Process memory of an idle connection, its place in the tables included.
    const BYTES_MAX: i64 = 600;
    let mut bench = Bench::new();
    // What is allocated once, and kept for the next use, is not any connection's.
    let warm = bench.websocket(true, 0);
    let traffic = [deflated(5_000), frame(200_000), frame(100)];
    let talk = |bench: &mut Bench, peer: &Peer| {
        for bytes in &traffic {
            assert!(bench.exchange(peer, bytes, bytes.len()) > 2);
            assert!(bench.exchange(peer, bytes, 1460) > 2);
        }
        peer.shrink();
    };
    talk(&mut bench, &warm);
    let before = live_bytes();
    let mut peers = Vec::with_capacity(PEERS);
    for _ in 0..PEERS {
        let peer = bench.websocket(true, 0);
        peer.shrink();
        peers.push(peer);
    }
    let fresh = live_bytes();
    for peer in &peers {
        talk(&mut bench, peer);
    }
    let used = live_bytes();
    let kept = (used - fresh) / PEERS as i64;
    assert!(
        kept < 16,
        "{kept} bytes a connection are kept after its messages"
    );
    // The peers' own ends are the test's.
    let ends = (PEERS * (size_of::<Peer>() + size_of::<Mutex<MemoryPeer>>() + 16)) as i64;
    let each = (used - before - ends) / PEERS as i64;
    assert!(each <= BYTES_MAX, "{each} bytes for each idle connection");
    eprintln!("{each} bytes for each idle connection");
}
