//! As many connections as two processes may have open: a broadcast reaches each of them once, whichever node it comes from.
//!
//! The clients live in two processes of their own, which have a limit of open files as the nodes have: this test runs itself again
//! with [`HOLD`] in its environment.

mod common;

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::client::Client;
use common::cluster::{await_listeners, status};
use common::gateway::{self, call};
use common::lines::Lines;
use common::redis::Redis;
use common::server::Server;
use common::{DEADLINE, eventually, frame};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

/// Connections of a node, all of which one process holds.
const CONNECTIONS: usize = 18_000;
const NODES: usize = 2;
/// What else a process has open.
const FILES_MORE: u64 = 150;
/// Messages that everybody gets. The last one shows that no other came twice.
const BROADCASTS: usize = 3;
/// Handshakes under way at a time, in each of the processes that hold connections.
const OPENING_MAX: usize = 8;
/// Connections of one source address: each takes a port of it.
const PER_SOURCE: usize = 6_000;
/// A node needs no more than this for each connection, in a debug build: an idle one owns no buffer.
const NODE_BYTES_MAX: u64 = CONNECTIONS as u64 * 2_048;
/// Time in which all of them are open, or all have got a message.
const ALL: Duration = Duration::from_secs(120);
/// Says that this process is to hold connections: to which address, and which of the sources are its own.
const HOLD: &str = "TIDEGATE_TEST_HOLD";
const NAME: &str = "a_broadcast_reaches_36_000_connections_of_two_nodes_once";

#[test]
fn a_broadcast_reaches_36_000_connections_of_two_nodes_once() {
    raise_open_files();
    if let Ok(job) = env::var(HOLD) {
        let (address, number) = job.split_once(' ').expect("an address and a number");
        let address = address.parse().expect("an address");
        return hold(address, number.parse().expect("a number"));
    }
    let redis = Redis::start();
    let start = |_| {
        gateway::builder(2)
            .env("REDIS_ENABLED", true)
            .env("REDIS_URL", redis.url())
            .env("HEARTBEAT_INTERVAL", "10m")
            .start()
    };
    let nodes: Vec<Server> = (0..NODES).map(start).collect();
    for node in &nodes {
        eventually("it is well", || status(node) == "ok");
    }
    let holders = nodes.iter().enumerate();
    let holders: Vec<_> = holders
        .map(|(number, node)| Holder::start(node.address(), number))
        .collect();
    for holder in &holders {
        holder.wait_for("all are open");
    }
    await_listeners(&redis, "tidegate:e:", NODES as i64);
    for number in 0..BROADCASTS {
        let mut client = nodes[number % NODES].connect();
        let message = json!({ "event": "e", "data": number });
        let (_, told) = call(&mut client, "/api/broadcast", &message);
        let all = NODES * CONNECTIONS;
        assert_eq!(told, json!({ "success": true, "delivered": all }));
    }
    for holder in &holders {
        holder.wait_for("all got all");
    }
    for node in &nodes {
        let bytes = node.resident_bytes();
        assert!(bytes < NODE_BYTES_MAX, "a node takes {bytes} bytes");
    }
}

/// Lets this process, and those that it starts, open as many files as the machine allows.
fn raise_open_files() {
    let needed = CONNECTIONS as u64 + FILES_MORE;
    let limit = getrlimit(Resource::Nofile);
    assert!(
        limit.maximum.is_none_or(|maximum| maximum >= needed),
        "this test needs a hard limit of {needed} open files (ulimit -Hn), not of {:?}",
        limit.maximum
    );
    if limit.current.is_some_and(|current| current < needed) {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised).expect("up to the hard limit it may be raised");
    }
}

/// A process that holds all connections of a node. Dropping it ends it.
struct Holder {
    child: Child,
    told: Lines,
}

impl Holder {
    fn start(address: SocketAddr, number: usize) -> Self {
        let mut child = Command::new(env::current_exe().expect("this test has a path"))
            .args(["--exact", NAME, "--nocapture"])
            .env(HOLD, format!("{address} {number}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test runs");
        let told = Lines::collect(child.stdout.take().expect("stdout is piped"));
        Self { child, told }
    }

    fn wait_for(&self, line: &str) {
        let told = self.told.wait_for(line, ALL);
        assert!(told.is_some(), "no {line:?}:\n{}", self.told.text());
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Both fail where the process has ended, which is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that is held.
struct Held {
    stream: TcpStream,
    /// Of a frame that has not come wholly.
    received: Vec<u8>,
    messages: usize,
}

/// Opens all connections to a node, and reads what comes until each has got all messages, in order and once.
fn hold(address: SocketAddr, number: usize) {
    let openers: Vec<_> = (0..OPENING_MAX)
        .map(|opener| thread::spawn(move || open(address, number, opener)))
        .collect();
    let opened = openers
        .into_iter()
        .flat_map(|opener| opener.join().expect("all are let in"));
    let mut poll = Poll::new().expect("a poll");
    let mut held = Vec::with_capacity(CONNECTIONS);
    for mut stream in opened {
        let token = Token(held.len());
        let registry = poll.registry();
        registry
            .register(&mut stream, token, Interest::READABLE)
            .expect("it can be watched");
        held.push(Held {
            stream,
            received: Vec::new(),
            messages: 0,
        });
    }
    tell("all are open");
    let mut events = Events::with_capacity(1024);
    let mut missing = CONNECTIONS;
    let end = Instant::now() + ALL;
    while missing > 0 {
        assert!(Instant::now() < end, "{missing} have not got everything");
        poll.poll(&mut events, Some(DEADLINE)).expect("events");
        for event in &events {
            if held[event.token().0].read() {
                missing -= 1;
            }
        }
    }
    tell("all got all");
}

/// Says a line to the process that has started this one.
fn tell(line: &str) {
    writeln!(io::stdout(), "{line}").expect("it listens");
}

/// One part of the connections, one after the other.
fn open(address: SocketAddr, number: usize, opener: usize) -> Vec<TcpStream> {
    let sources = CONNECTIONS.div_ceil(PER_SOURCE);
    let mine = (opener..CONNECTIONS).step_by(OPENING_MAX);
    let open = |connection: usize| {
        let source = 2 + number * sources + connection % sources;
        let source = u8::try_from(source).expect("few sources");
        let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, source));
        let mut client = Client::tcp_from(source, address);
        client.upgrade("/");
        let stream = client.into_tcp();
        // Ended by a reset: the ports would be kept for a minute after a good end, and the next run would look for free ones.
        let socket = socket2::SockRef::from(&stream);
        socket
            .set_linger(Some(Duration::ZERO))
            .expect("SO_LINGER can be set");
        stream
            .set_nonblocking(true)
            .expect("a socket need not block");
        TcpStream::from_std(stream)
    };
    mine.map(open).collect()
}

impl Held {
    /// Reads what has come; whether that was the last.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the node has closed a connection"),
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("reading from the node: {error}"),
            }
        }
        let before = self.messages;
        while let Some((frame, length)) = frame::parse(&self.received) {
            self.received.drain(..length);
            assert_eq!(frame.opcode, frame::TEXT, "{frame:?}");
            let message: Value = serde_json::from_slice(&frame.payload).expect("a JSON message");
            assert_eq!(message["type"], "broadcast", "{message}");
            assert_eq!(message["data"], self.messages, "{message}");
            self.messages += 1;
        }
        before < BROADCASTS && self.messages == BROADCASTS
    }
}
