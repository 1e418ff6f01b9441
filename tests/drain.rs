//! The farewell: SIGTERM turns `/health`, sends everyone away in order and in time, and ends with status 0.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use common::client::Client;
use common::frame::{self, CLOSE, close};
use common::front::Front;
use common::server::{Server, ServerBuilder};
use common::{DEADLINE, eventually};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

const GOING_AWAY: u16 = 1001;

fn builder(drain_period: &str) -> ServerBuilder {
    Server::builder().env("DRAIN_PERIOD", drain_period)
}

/// A peer that waits for the server's Close, answers it, and waits for the end.
struct Leaver {
    /// Dropped, which closes it, at the server's end.
    stream: Option<TcpStream>,
    received: Vec<u8>,
    told: Option<Instant>,
}

impl Leaver {
    fn new(client: Client) -> Self {
        let stream = client.into_tcp();
        stream.set_nonblocking(true).expect("a socket");
        Self {
            stream: Some(stream),
            received: Vec::new(),
            told: None,
        }
    }

    fn look(&mut self) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let mut buffer = [0; 256];
        match stream.read(&mut buffer) {
            Ok(0) => {
                assert!(self.told.is_some(), "ended without a Close");
                assert!(self.received.is_empty(), "bytes behind the Close");
                self.stream = None;
            }
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                let Some((frame, length)) = frame::parse(&self.received) else {
                    return;
                };
                self.received.drain(..length);
                assert_eq!(frame.opcode, CLOSE, "{frame:?}");
                assert_eq!(frame.payload[..2], GOING_AWAY.to_be_bytes());
                assert!(self.told.replace(Instant::now()).is_none(), "told twice");
                stream
                    .write_all(&close(GOING_AWAY, ""))
                    .expect("the server waits for the answer");
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("not a clean end: {error}"),
        }
    }
}

/// Waits until everyone has been told and has seen the end; gives the times between the signal and each Close, sorted.
fn see_off(server: &Server, peers: &mut [Leaver]) -> Vec<Duration> {
    let begun = Instant::now();
    server.signal(Signal::TERM);
    eventually("everyone has been sent away", || {
        peers.iter_mut().for_each(Leaver::look);
        peers.iter().all(|peer| peer.stream.is_none())
    });
    let mut told: Vec<_> = peers
        .iter()
        .filter_map(|peer| Some(peer.told? - begun))
        .collect();
    told.sort_unstable();
    told
}

fn expect_success(server: &mut Server, deadline: Duration) {
    let status = server.wait_exit(deadline);
    assert_eq!(status.code(), Some(0), "{}", server.log().text());
}

#[test]
fn health_says_so_first_and_nobody_new_is_upgraded() {
    for mut front in Front::own(|| builder("20s")) {
        let server = front.server();
        let mut kept = front.connect();
        assert_eq!(kept.get("/health").status, 200);
        let mut other = front.connect();
        assert_eq!(other.get("/health").status, 200);
        // Not taken before the grace is over, and answered then.
        let mut halfway = front.connect();
        halfway.send_bytes(b"GET /health HTTP/1.1\r\nHost: ");
        server.signal(Signal::TERM);
        server.wait_for_log("draining", DEADLINE);
        for client in [&mut kept, &mut front.connect()] {
            let response = client.get("/health");
            assert_eq!(response.status, 503, "{}", front.name);
            assert_eq!(response.text(), "{\"status\":\"draining\"}\n");
            assert_eq!(response.header("connection"), Some("close"));
            client.expect_eof();
        }
        assert_eq!(front.connect().handshake("/ws", &[]).status, 503);
        // An idle connection ends without a word.
        other.expect_eof();
        // A request under way is answered.
        halfway.send_bytes(b"localhost\r\n\r\n");
        assert_eq!(halfway.read_response().status, 503);
        halfway.expect_eof();
        drop((kept, other, halfway));
        expect_success(front.server_mut(), DEADLINE);
    }
}

#[test]
fn an_idle_server_ends_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = builder("1s").start();
        assert_eq!(server.connect().get("/health").status, 200);
        server.signal(signal);
        expect_success(&mut server, DEADLINE);
        server.wait_for_log("stopped", DEADLINE);
    }
}

#[test]
fn connections_are_sent_away_one_after_the_other() {
    let mut server = builder("3s").env("WORKERS", 2).start();
    let paths = ["/ws", "/broadcast"];
    let mut peers: Vec<_> = (0..60)
        .map(|index| Leaver::new(server.websocket(paths[index % 2])))
        .collect();
    let told = see_off(&server, &mut peers);
    expect_success(&mut server, DEADLINE);
    let over = told[59] - told[0];
    assert!(over >= Duration::from_secs(1), "all at once: {over:?}");
    let middle = told[30] - told[0];
    assert!(
        middle > over / 4 && middle < over * 3 / 4,
        "{middle:?} of {over:?}"
    );
}

#[test]
fn the_farewell_comes_behind_what_was_owed() {
    let mut server = builder("2s").start();
    let mut tls = Front::tls(builder("2s"));
    let mut client = tls.websocket("/ws");
    tls.server().signal(Signal::TERM);
    client.expect_close(GOING_AWAY);
    client.send_bytes(&close(GOING_AWAY, ""));
    client.expect_eof();
    expect_success(tls.server_mut(), DEADLINE);
    // What was sent before the farewell is answered before it.
    let mut client = server.websocket("/ws");
    client.send_bytes(&frame::text("last words"));
    client.expect_frame(frame::TEXT, b"last words");
    server.signal(Signal::TERM);
    client.expect_close(GOING_AWAY);
    // The peer may finish its sentence; nobody hears it.
    client.send_bytes(&frame::text("too late"));
    client.send_bytes(&close(GOING_AWAY, ""));
    client.expect_eof();
    expect_success(&mut server, DEADLINE);
}

#[test]
fn ten_thousand_connections_are_sent_away_without_a_reset() {
    const THREADS: usize = 4;
    const PERIOD: Duration = Duration::from_secs(10);
    // Both ends are processes of their own, each with this limit.
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit,
            maximum: limit,
        },
    )
    .expect("the soft limit can be raised");
    let count = limit.map_or(10_000, |limit| 10_000.min(limit as usize - 500)) / THREADS * THREADS;
    let mut server = builder("10s").env("HEARTBEAT_INTERVAL", 0).start();
    let address = server.address();
    let connecting: Vec<_> = (0..THREADS)
        .map(|thread| {
            let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + thread as u8));
            thread::spawn(move || {
                let connect = |_| {
                    let mut client = Client::tcp_from(source, address);
                    client.upgrade("/ws");
                    Leaver::new(client)
                };
                (0..count / THREADS).map(connect).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut peers: Vec<_> = connecting
        .into_iter()
        .flat_map(|thread| thread.join().expect("connected"))
        .collect();
    assert_eq!(peers.len(), count);
    let begun = Instant::now();
    let told = see_off(&server, &mut peers);
    expect_success(&mut server, DEADLINE);
    let took = begun.elapsed();
    assert!(took <= PERIOD, "{took:?} for {count} connections");
    let over = told[count - 1] - told[0];
    assert!(over >= PERIOD / 3, "all at once: {over:?}");
}

#[test]
fn peers_that_do_not_answer_hold_nothing_up() {
    // The close time ends the wait for each.
    let mut server = builder("60s").env("CLOSE_TIMEOUT", "300ms").start();
    let mut silent = server.websocket("/ws");
    server.signal(Signal::TERM);
    silent.expect_close(GOING_AWAY);
    silent.expect_eof();
    expect_success(&mut server, DEADLINE);
    // The drain period ends the wait for all, also for those who do not even read.
    let mut server = builder("2s").env("CLOSE_TIMEOUT", "60s").start();
    let mut silent = server.websocket("/ws");
    let mut stalled = Client::tcp_narrow(server.address());
    stalled.upgrade("/ws");
    stalled.send_bytes(&frame::binary(&[7; 300_000]));
    let begun = Instant::now();
    server.signal(Signal::TERM);
    silent.expect_close(GOING_AWAY);
    expect_success(&mut server, DEADLINE);
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(2100), "{took:?}");
    drop(stalled);
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = builder("60s").env("CLOSE_TIMEOUT", "60s").start();
    let mut client = server.websocket("/ws");
    server.signal(Signal::TERM);
    client.expect_close(GOING_AWAY);
    // A reload in between changes nothing about it.
    server.signal(Signal::HUP);
    server.wait_for_log("not reloaded", DEADLINE);
    server.signal(Signal::TERM);
    let status = server.wait_exit(DEADLINE);
    assert_eq!(status.code(), Some(1));
    server.wait_for_log("tidegate: stopped before", DEADLINE);
}
