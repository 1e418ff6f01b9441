//! One turn of a worker's loop, without the system: the engine over a transport in memory, with the gateway's sessions
//! on the echo endpoint. The transport's own cost is part of it: a lock and two copies for each direction.

use std::sync::{Arc, Mutex, MutexGuard};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate::gateway::{
    AddressLimits, Admission, ClientAddress, EndpointKind, GatewayConfig, GatewaySession, Node,
    Route, Shard, Verdict,
};
use tidegate::id::ConnKey;
use tidegate::reactor::{Engine, Limits, MemoryPeer, MemoryTransport, Readiness, Tick};
use tidegate::websocket::codec::{Codec, Config};
use tidegate::websocket::protocol::{MessageKind, Protocol, Role};

type Peer = Arc<Mutex<MemoryPeer>>;

const CODEC: Config = Config {
    message_bytes_max: 1 << 20,
    compression_bytes_min: 1024,
    compression_level: 1,
};
const HANDSHAKE: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn engine() -> Engine<GatewaySession, MemoryTransport> {
    let routes = vec![Route {
        path: "/ws".to_owned(),
        endpoint: EndpointKind::Echo,
    }];
    let node = Node::new(1, Admission::new(1, 100_000, AddressLimits::default()));
    let config = GatewayConfig {
        routes,
        codec: CODEC,
        ..GatewayConfig::default()
    };
    let shard = Shard::new(0, Arc::new(config), Arc::new(node));
    Engine::new(shard, Limits::default(), Tick(0))
}

fn at(peer: &Peer) -> MutexGuard<'_, MemoryPeer> {
    peer.lock().expect("nobody panicked")
}

/// The peer sends `bytes` and takes what has come back; gives how much that was.
fn exchange(peer: &Peer, bytes: &[u8]) -> usize {
    let mut peer = at(peer);
    peer.to_engine.extend(bytes);
    let came = peer.from_engine.len();
    peer.from_engine.clear();
    peer.room = usize::MAX;
    came
}

fn turn(engine: &mut Engine<GatewaySession, MemoryTransport>, keys: &[ConnKey], now: Tick) {
    engine.begin_turn(now);
    for key in keys {
        engine.handle(*key, Readiness::edge(true, true, false));
    }
    engine.run_waiting();
    engine.end_turn();
}

/// Connections on the echo endpoint, their handshakes done.
fn connect(
    engine: &mut Engine<GatewaySession, MemoryTransport>,
    count: usize,
) -> (Vec<ConnKey>, Vec<Peer>) {
    let (mut keys, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (transport, peer) = MemoryTransport::pair(usize::MAX);
        let session = GatewaySession::new(ClientAddress::UNIX, Verdict::Admitted, None);
        let key = engine.insert(transport, session, |_, _| Ok::<_, ()>(()));
        keys.push(key.expect("registered"));
        exchange(&peer, HANDSHAKE);
        peers.push(peer);
    }
    turn(engine, &keys, Tick(1));
    for peer in &peers {
        let mut peer = at(peer);
        assert!(peer.from_engine.starts_with(b"HTTP/1.1 101 "));
        peer.from_engine.clear();
    }
    (keys, peers)
}

fn frames(len: usize, count: usize) -> Vec<u8> {
    let mut codec = Codec::with_mask_seed(CODEC, [1; 32]);
    let mut client = Protocol::new(Role::Client, None);
    let payload = b"{\"type\":\"chat\",\"text\":\"wide waters\"},".repeat(len);
    let mut out = Vec::new();
    for _ in 0..count {
        client.send_message(MessageKind::Text, &payload[..len], &mut codec, &mut out);
    }
    out
}

fn turns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn");
    for (name, connections, count, len) in [
        ("a message of 128 B", 1, 1, 128),
        ("a message of 128 B on each of 100", 100, 1, 128),
        ("16 messages of 128 B", 1, 16, 128),
        ("4 messages of 16 KiB", 1, 4, 16 * 1024),
    ] {
        group.throughput(Throughput::Elements((connections * count) as u64));
        let bytes = frames(len, count);
        let mut engine = engine();
        let (keys, peers) = connect(&mut engine, connections);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for peer in &peers {
                    exchange(peer, &bytes);
                }
                turn(&mut engine, &keys, Tick(2));
            });
        });
        for peer in &peers {
            assert!(exchange(peer, &[]) > count * len, "it was an echo");
        }
    }
    group.finish();
}

criterion_group!(benches, turns);
criterion_main!(benches);
