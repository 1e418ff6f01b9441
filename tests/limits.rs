//! Limits of the process, of an address, of a message, of a send queue, of descriptors: what is beyond them is refused with
//! its reason, and what is within them goes on. And starts that cannot work.

mod common;

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use common::client::{Client, Response};
use common::frame::{BINARY, CONTINUATION, TEXT, binary, frame};
use common::front::Front;
use common::nginx::Nginx;
use common::server::{Server, ServerBuilder, run_to_end};
use common::{DEADLINE, eventually};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

const MIB: u64 = 1 << 20;

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

fn expect_busy(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    let after = response.header("retry-after").expect("Retry-After");
    assert!(
        after.parse::<u32>().is_ok_and(|seconds| seconds > 0),
        "{after}"
    );
    let text = response.text();
    assert!(
        text.contains("all the connections") || text.contains("connects too often"),
        "{response:?}"
    );
}

#[test]
fn more_connections_than_allowed_get_503_until_one_goes() {
    let builder = || Server::builder().env("MAX_CONNECTIONS", 5);
    for front in Front::own(builder) {
        let server = front.server();
        let mut peers: Vec<_> = (0..5).map(|_| front.websocket("/ws")).collect();
        let full = server.descriptors();
        for path in ["/ws", "/health"] {
            let mut client = front.connect();
            expect_busy(&client.handshake(path, &[]), 503);
            client.expect_eof();
        }
        server.wait_descriptors(full, DEADLINE);
        peers.pop();
        eventually("a place is free", || {
            front.connect().handshake("/ws", &[]).status == 101
        });
        for peer in &mut peers {
            peer.expect_echo("undisturbed");
        }
    }
    let front = Front::nginx(builder());
    let _peers: Vec<_> = (0..5).map(|_| front.websocket("/ws")).collect();
    expect_busy(&front.connect().handshake("/ws", &[]), 503);
}

#[test]
fn refusals_wait_in_bounded_number() {
    const WAITING_MAX: usize = 32;
    let server = Server::builder().env("MAX_CONNECTIONS", 1).start();
    let mut peer = server.websocket("/ws");
    let full = server.descriptors();
    // None of them asks for anything.
    let silent: Vec<_> = (0..300).map(|_| Client::tcp(server.address())).collect();
    eventually("refusals wait", || {
        server.descriptors() == full + WAITING_MAX
    });
    peer.expect_echo("undisturbed");
    drop(silent);
    server.wait_descriptors(full, DEADLINE);
    drop(peer);
    eventually("there is room again", || {
        server.connect().handshake("/ws", &[]).status == 101
    });
}

#[test]
fn an_address_has_its_own_limit() {
    for front in Front::own(|| {
        Server::builder()
            .env("MAX_CONNECTIONS_PER_IP", 2)
            .env("TRUSTED_PROXIES", "none")
    }) {
        let peers = [front.websocket("/ws"), front.websocket("/ws")];
        // What a peer that is no proxy says of itself counts for nothing.
        let claim = [("X-Forwarded-For", "203.0.113.7")];
        let mut client = front.connect();
        expect_busy(&client.handshake("/ws", &claim), 429);
        client.expect_eof();
        expect_busy(&front.connect().get("/health"), 429);
        drop(peers);
        eventually("there is room again", || {
            front.connect().get("/health").status == 200
        });
    }
    let server = Server::builder()
        .env("MAX_CONNECTIONS_PER_IP", 2)
        .env("TRUSTED_PROXIES", "none")
        .start();
    let mut peers = Vec::new();
    for last in [2, 3, 4] {
        for status in [101, 101, 429, 429] {
            let mut client = Client::tcp_from(address(last), server.address());
            assert_eq!(
                client.handshake("/ws", &[]).status,
                status,
                "127.0.0.{last}"
            );
            peers.push(client);
        }
    }
}

#[test]
fn behind_a_proxy_the_client_is_counted() {
    let server = Server::builder()
        .env("MAX_CONNECTIONS_PER_IP", 2)
        .env("TRUSTED_PROXIES", "127.0.0.1")
        .start();
    let nginx = Nginx::start(server.address());
    let mut peers = Vec::new();
    for last in [2, 3] {
        for status in [101, 101, 429] {
            let mut client = Client::tcp_from(address(last), nginx.address());
            // Each claims to be another; nginx knows better.
            let claim = format!("203.0.113.{}", peers.len());
            let response = client.handshake("/ws", &[("X-Forwarded-For", &claim)]);
            assert_eq!(response.status, status, "127.0.0.{last}");
            if status == 429 {
                expect_busy(&response, 429);
            } else {
                peers.push(client);
            }
        }
    }
    // Plain requests through the proxy are not connections of the client.
    let mut client = Client::tcp_from(address(2), nginx.address());
    assert_eq!(client.get("/health").status, 200);
    drop(peers);
    eventually("there is room again", || {
        let mut client = Client::tcp_from(address(2), nginx.address());
        client.handshake("/ws", &[]).status == 101
    });
}

#[test]
fn an_address_that_connects_too_often_waits() {
    let builder = || {
        Server::builder()
            .env("MAX_CONNECTION_RATE_PER_IP", 1)
            .env("RATE_LIMIT_BURST", "60s")
    };
    let server = builder().env("TRUSTED_PROXIES", "none").start();
    let came = Instant::now();
    let mut served = 0;
    // Whether they stay or not.
    while server.connect().get("/health").status == 200 {
        served += 1;
    }
    let late = came.elapsed().as_secs() as usize + 1;
    assert!((60..=60 + late).contains(&served), "{served}");
    let response = server.connect().get("/health");
    expect_busy(&response, 429);
    let line = server.wait_for_log("connected more often than it may", DEADLINE);
    assert!(line.contains("times=1 last=127.0.0.1"), "{line}");
    let another = Client::tcp_from(address(9), server.address()).get("/health");
    assert_eq!(another.status, 200);

    let server = builder().env("TRUSTED_PROXIES", "127.0.0.1").start();
    let nginx = Nginx::start(server.address());
    let connect = |last| {
        let mut client = Client::tcp_from(address(last), nginx.address());
        client.handshake("/ws", &[]).status
    };
    let came = Instant::now();
    let served = std::iter::repeat_with(|| connect(2)).take_while(|&status| status == 101);
    let served = served.count();
    let late = came.elapsed().as_secs() as usize + 1;
    assert!((60..=60 + late).contains(&served), "{served}");
    assert_eq!(connect(3), 101);
}

#[test]
fn forwarded_addresses_are_read_from_the_right() {
    let server = Server::builder().env("MAX_CONNECTIONS_PER_IP", 1).start();
    let mut peers = Vec::new();
    for (forwarded, status) in [
        ("203.0.113.1", 101),
        ("203.0.113.1", 429),
        ("198.51.100.1, 203.0.113.1", 429),
        ("203.0.113.1, 198.51.100.1", 101),
        ("203.0.113.1, 127.0.0.1", 429),
        ("2001:db8::1", 101),
        ("2001:DB8:0::1", 429),
    ] {
        let mut client = server.connect();
        let response = client.handshake("/ws", &[("X-Forwarded-For", forwarded)]);
        assert_eq!(response.status, status, "{forwarded}");
        peers.push(client);
    }
}

#[test]
fn a_message_may_have_the_limit_and_no_byte_more() {
    for front in Front::all(|| Server::builder().env("MAX_MESSAGE_SIZE", "100000")) {
        let halves = |second: usize| {
            let first = frame(false, BINARY, &vec![1; 50_000]);
            [first, frame(true, CONTINUATION, &vec![1; second])].concat()
        };
        let mut client = front.websocket("/ws");
        for bytes in [binary(&vec![1; 100_000]), halves(50_000)] {
            client.send_bytes(&bytes);
            client.expect_frame(BINARY, &vec![1; 100_000]);
        }
        for bytes in [binary(&vec![1; 100_001]), halves(50_001)] {
            let mut client = front.websocket("/ws");
            client.send_bytes(&bytes);
            client.expect_close(1009);
            client.expect_eof();
        }
    }
}

/// Sends `count` numbered messages of 32 KiB, each of which every reader gets.
fn broadcast(sender: &mut Client, readers: &mut [Client], numbers: std::ops::Range<usize>) {
    for number in numbers {
        let mut payload = vec![b'x'; 32 * 1024];
        payload[..8].copy_from_slice(format!("{number:08}").as_bytes());
        sender.send_bytes(&frame(true, TEXT, &payload));
        sender.expect_frame(TEXT, &payload);
        for reader in &mut *readers {
            reader.expect_frame(TEXT, &payload);
        }
    }
}

fn slow_consumers(builder: ServerBuilder) -> (Server, Client, Vec<Client>, Client) {
    let server = builder
        .env("MAX_MESSAGE_SIZE", "64KiB")
        .env("HEARTBEAT_INTERVAL", 0)
        .start();
    let sender = server.websocket("/broadcast");
    let readers = (0..4).map(|_| server.websocket("/broadcast")).collect();
    let mut stalled = Client::tcp_narrow(server.address());
    stalled.upgrade("/broadcast");
    (server, sender, readers, stalled)
}

#[test]
fn a_stalled_reader_is_dropped_at_the_hard_limit_and_delays_nobody() {
    const LIMIT: u64 = 4 * MIB;
    let (server, mut sender, mut readers, stalled) = slow_consumers(
        Server::builder()
            .env("SEND_QUEUE_SOFT", "2MiB")
            .env("SEND_QUEUE_HARD", "4MiB")
            .env("SEND_QUEUE_SOFT_FOR", "1h"),
    );
    broadcast(&mut sender, &mut readers, 0..10);
    let before = (server.resident_bytes(), server.descriptors());
    let mut sent = 10;
    while server.log().count("reads too slowly") == 0 {
        broadcast(&mut sender, &mut readers, sent..sent + 10);
        sent += 10;
        assert!(sent < 1000, "never dropped");
    }
    assert!(sent as u64 * 32 * 1024 > LIMIT, "dropped after {sent}");
    let grown = server.resident_bytes().saturating_sub(before.0);
    assert!(grown < LIMIT + 2 * MIB, "{grown} bytes");
    server.wait_descriptors(before.1 - 1, DEADLINE);
    broadcast(&mut sender, &mut readers, sent..sent + 10);
    let line = server.wait_for_log("reads too slowly", DEADLINE);
    assert!(line.contains("code=1013"), "{line}");
    assert_eq!(server.log().count("reads too slowly"), 1, "nobody else");
    drop(stalled);
}

#[test]
fn a_stalled_reader_is_dropped_when_the_soft_limit_has_lasted() {
    let (server, mut sender, mut readers, stalled) = slow_consumers(
        Server::builder()
            .env("SEND_QUEUE_SOFT", "64KiB")
            .env("SEND_QUEUE_SOFT_FOR", "500ms"),
    );
    let descriptors = server.descriptors();
    let begun = Instant::now();
    broadcast(&mut sender, &mut readers, 0..30);
    assert_eq!(server.log().count("reads too slowly"), 0, "far from 8 MiB");
    server.wait_for_log("reads too slowly", DEADLINE);
    assert!(begun.elapsed() >= Duration::from_millis(490), "at once");
    server.wait_descriptors(descriptors - 1, DEADLINE);
    broadcast(&mut sender, &mut readers, 30..40);
    drop(stalled);
}

#[test]
fn the_reserve_of_descriptors_holds() {
    const OPEN_FILES: u64 = 200;
    // 64 are reserved, and 4 for each worker.
    const PLACES: usize = 200 - 64 - 2 * 4;
    let server = Server::builder()
        .env("WORKERS", 2)
        .open_files(OPEN_FILES)
        .start();
    let before = server.descriptors();
    let mut peers: Vec<_> = (0..PLACES).map(|_| server.websocket("/ws")).collect();
    expect_busy(&server.connect().get("/health"), 503);
    let more: Vec<_> = (0..200).map(|_| Client::tcp(server.address())).collect();
    for peer in &mut peers {
        peer.expect_echo("undisturbed");
    }
    assert_eq!(server.log().count("cannot be accepted"), 0);
    drop((more, peers));
    server.wait_descriptors(before, DEADLINE);
    assert_eq!(server.connect().get("/health").status, 200);
}

#[test]
fn without_descriptors_the_server_waits_and_does_not_spin() {
    let server = Server::start();
    server.websocket("/ws").expect_echo("warm");
    let before = server.descriptors();
    eventually("the first one has gone", || server.descriptors() <= before);
    // Only the soft limit: the server has raised it to the hard one before.
    let limit = |current: u64| {
        let id = Pid::from_raw(i32::try_from(server.id()).expect("a pid")).expect("a pid");
        let limit = Rlimit {
            current: Some(current),
            maximum: Some(20_000),
        };
        prlimit(Some(id), Resource::Nofile, limit).expect("the limit can be lowered");
    };
    limit(server.descriptors() as u64 + 10);
    // The kernel completes all of these; the server can take ten.
    let mut clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.request(
            "GET",
            "/ws",
            &[
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Key", common::client::KEY),
                ("Sec-WebSocket-Version", "13"),
            ],
        );
    }
    server.wait_for_log("cannot be accepted", DEADLINE);
    for client in &mut clients[..10] {
        assert_eq!(client.read_response().status, 101);
        client.expect_echo("served");
    }
    let spent = server.cpu_time();
    thread::sleep(Duration::from_secs(1));
    let spent = server.cpu_time() - spent;
    assert!(spent < Duration::from_millis(150), "{spent:?} in a second");
    assert!(
        server.log().count("cannot be accepted") <= 2,
        "a log full of it"
    );
    // Each that goes lets one in, without a new connection to wake the listener.
    for round in [10..20, 20..30] {
        drop(clients.drain(..10));
        for client in &mut clients[..10] {
            assert_eq!(client.read_response().status, 101, "{round:?}");
            client.expect_echo("served");
        }
    }
    limit(1000);
    server.websocket("/ws").expect_echo("as before");
}

/// The start fails with one line and this status.
fn expect_no_start(builder: &ServerBuilder, status: i32, says: &str) {
    let (ended, output, errors) = run_to_end(builder.command(), DEADLINE);
    assert_eq!(ended.code(), Some(status), "{errors}");
    assert_eq!(output, "");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.starts_with("tidegate: "), "{errors}");
    assert!(errors.contains(says), "{errors}");
}

#[test]
fn a_start_that_cannot_work_says_why_in_one_line() {
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let taken = holder.local_addr().expect("an address");
    let builder = Server::builder().env("PORT", taken.port());
    expect_no_start(&builder, 1, "cannot listen on 127.0.0.1:");
    // The first address works; what it made is gone afterwards.
    let builder = Server::builder();
    let path = builder.directory().join("a.sock");
    let builder = builder.env("HOST", format!("unix:{},{taken}", path.display()));
    expect_no_start(&builder, 1, "in use");
    assert!(!path.exists(), "left behind");
    for (host, says) in [
        ("unix:/proc/tidegate.sock", "cannot listen on unix:/proc/"),
        (
            "unix:/nowhere/tidegate.sock",
            "cannot listen on unix:/nowhere",
        ),
        ("192.0.2.1", "cannot listen on 192.0.2.1"),
    ] {
        expect_no_start(&Server::builder().env("HOST", host), 1, says);
    }
    for (name, value) in [
        ("PORT", "65536"),
        ("MAX_CONNECTIONS", "many"),
        ("MAX_MESSAGE_SIZE", "-1"),
        ("TLS_CERT", "/nowhere/cert.pem"),
    ] {
        expect_no_start(&Server::builder().env(name, value), 2, name);
    }
    let builder = Server::builder()
        .env("TLS_CERT", "/nowhere/cert.pem")
        .env("TLS_KEY", "/nowhere/key.pem");
    expect_no_start(&builder, 1, "/nowhere/cert.pem cannot be read");
}
