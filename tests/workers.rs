//! Listeners of every kind, connections spread over workers, and broadcasts between them.

mod common;

use std::collections::HashMap;
use std::fs;
use std::os::unix::net::UnixListener;

use common::DEADLINE;
use common::client::Client;
use common::eventually;
use common::frame::{self, BINARY, binary};
use common::server::{Address, Server, run_to_end};
use flate2::{Decompress, FlushDecompress};
use rustix::process::Signal;

const DEFLATE: (&str, &str) = ("Sec-WebSocket-Extensions", "permessage-deflate");

#[test]
fn every_listener_serves() {
    let builder = Server::builder();
    let path = builder.directory().join("tidegate.sock");
    let hosts = format!("127.0.0.1,127.0.0.2:0,unix:{}", path.display());
    let mut server = builder.env("HOST", hosts).listeners(3).start();
    assert_eq!(server.addresses().len(), 3);
    for address in server.addresses() {
        let mut client = match address {
            Address::Http(address) => Client::tcp(*address),
            Address::Unix(path) => Client::unix(path),
            Address::Https(_) => panic!("no certificate was given"),
        };
        assert_eq!(client.get("/health").status, 200, "{address:?}");
        client.upgrade("/ws");
        client.expect_echo("through any door");
        client.send_bytes(&binary(&[7; 300_000]));
        client.expect_frame(BINARY, &[7; 300_000]);
        client.send_bytes(&frame::close(1000, ""));
        client.expect_close(1000);
        client.expect_eof();
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(DEADLINE).code(), Some(0));
    assert!(!path.exists(), "the socket file is left behind");
}

#[test]
fn a_unix_socket_file_is_taken_over_from_the_dead_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("tidegate.sock");
    let builder = || Server::builder().env("HOST", format!("unix:{}", path.display()));
    let mut killed = builder().start();
    killed.signal(Signal::KILL);
    killed.wait_exit(DEADLINE);
    assert!(path.exists());
    let server = builder().start();
    assert_eq!(Client::unix(&path).get("/health").status, 200);
    // One that is alive keeps it.
    let (status, _, errors) = run_to_end(builder().command(), DEADLINE);
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("in use"), "{errors}");
    assert_eq!(Client::unix(&path).get("/health").status, 200);
    drop(server);
    // Something else of that name is left alone.
    fs::remove_file(&path).expect("the file is there");
    fs::write(&path, "precious").expect("a file");
    let (status, _, errors) = run_to_end(builder().command(), DEADLINE);
    assert_eq!(status.code(), Some(1), "{errors}");
    assert_eq!(fs::read(&path).expect("the file"), b"precious");
    fs::remove_file(&path).expect("the file is there");
    let _other = UnixListener::bind(&path).expect("a listener");
    let (status, _, errors) = run_to_end(builder().command(), DEADLINE);
    assert_eq!(status.code(), Some(1), "{errors}");
}

#[test]
fn peers_on_a_unix_socket_are_known_by_what_their_proxy_says() {
    let builder = Server::builder().env("MAX_CONNECTIONS_PER_IP", 1);
    let path = builder.directory().join("tidegate.sock");
    let server = builder
        .env("HOST", format!("unix:{}", path.display()))
        .start();
    let mut clients = Vec::new();
    for (claim, status) in [
        ("203.0.113.1", 101),
        ("203.0.113.1", 429),
        ("203.0.113.2", 101),
    ] {
        let mut client = Client::unix(&path);
        let response = client.handshake("/ws", &[("X-Forwarded-For", claim)]);
        assert_eq!(response.status, status, "{claim}");
        clients.push(client);
    }
    server.wait_for_log("address=203.0.113.2 ", DEADLINE);
}

/// The worker of each connection, in the order in which they were opened.
fn workers(server: &Server) -> Vec<String> {
    let lines = server.log().text();
    let opened = lines
        .lines()
        .filter_map(|line| line.split_once(" opened: "));
    opened
        .map(|(before, _)| before.rsplit(' ').next().expect("an id"))
        .map(|id| id.split_once('-').expect("worker-key").0.to_owned())
        .collect()
}

fn counts(workers: &[String]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for worker in workers {
        *counts.entry(&worker[..]).or_default() += 1;
    }
    counts
}

#[test]
fn connections_are_spread_exactly() {
    let server = Server::builder().env("WORKERS", 3).start();
    let empty = server.descriptors();
    let mut clients: Vec<_> = (0..30).map(|_| Some(server.websocket("/ws"))).collect();
    eventually("all are logged", || workers(&server).len() == 30);
    let first = workers(&server);
    assert_eq!(
        counts(&first),
        HashMap::from([("0", 10), ("1", 10), ("2", 10)])
    );
    // Nine of worker 0 go; the next nine take their places.
    let mut gone = 0;
    for (client, worker) in clients.iter_mut().zip(&first) {
        if worker == "0" && gone < 9 {
            *client = None;
            gone += 1;
        }
    }
    eventually("they are gone", || server.descriptors() == empty + 21);
    let more: Vec<_> = (0..9).map(|_| server.websocket("/ws")).collect();
    eventually("all are logged", || workers(&server).len() == 39);
    assert_eq!(counts(&workers(&server)[30..]), HashMap::from([("0", 9)]));
    drop(more);
}

/// One of many at `/broadcast`, with compression or without.
struct Member {
    client: Client,
    deflates: bool,
}

impl Member {
    fn new(server: &Server, deflates: bool) -> Self {
        let mut client = server.connect();
        let headers = if deflates { &[DEFLATE][..] } else { &[] };
        let response = client.upgrade_with("/broadcast", headers);
        let agreed = response.header("sec-websocket-extensions");
        assert_eq!(agreed.is_some(), deflates);
        if let Some(agreed) = agreed {
            assert!(agreed.contains("server_no_context_takeover"), "{agreed}");
        }
        Self { client, deflates }
    }

    /// The next message; whether it came compressed.
    fn read(&mut self) -> (Vec<u8>, bool) {
        let frame = self.client.read_frame();
        assert!(frame.fin && frame.opcode == BINARY, "{frame:?}");
        match frame.rsv {
            0 => (frame.payload, false),
            4 if self.deflates => (inflate(&frame.payload), true),
            rsv => panic!("RSV bits {rsv}"),
        }
    }
}

/// RFC 7692 section 7.2.2, with a fresh window.
fn inflate(payload: &[u8]) -> Vec<u8> {
    let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut message = Vec::with_capacity(64 * 1024);
    Decompress::new(false)
        .decompress_vec(&whole, &mut message, FlushDecompress::Sync)
        .expect("deflated");
    assert!(message.len() < message.capacity(), "room for all of it");
    message
}

/// Message number `index` of `sender`: mostly small, some worth compressing. All of them together fit into what a kernel
/// keeps for a peer, because a sender that does not read is not read either.
fn numbered(sender: usize, index: usize) -> Vec<u8> {
    let mut payload = format!("{sender} {index} ").into_bytes();
    payload.resize(if index % 10 == 9 { 3_000 } else { 60 }, b'x');
    payload
}

#[test]
fn a_broadcast_reaches_everyone_once_and_in_order() {
    const MEMBERS: usize = 50;
    const SENDERS: usize = 5;
    const MESSAGES: usize = 40;
    let server = Server::builder()
        .env("WORKERS", 2)
        .env("COMPRESSION_THRESHOLD", "1000")
        .start();
    let mut members: Vec<_> = (0..MEMBERS)
        .map(|index| Member::new(&server, index % 3 == 0))
        .collect();
    // Somebody on another route hears nothing of it.
    let mut stranger = server.websocket("/ws");
    for index in 0..MESSAGES {
        for (sender, member) in members[..SENDERS].iter_mut().enumerate() {
            member.client.send_bytes(&binary(&numbered(sender, index)));
        }
    }
    for (place, member) in members.iter_mut().enumerate() {
        let mut next = [0; SENDERS];
        for _ in 0..SENDERS * MESSAGES {
            let (message, was_compressed) = member.read();
            let text = String::from_utf8_lossy(&message);
            let sender: usize = text
                .split(' ')
                .next()
                .expect("a sender")
                .parse()
                .expect("a number");
            assert!(
                message == numbered(sender, next[sender]),
                "{place}: {sender} out of order"
            );
            next[sender] += 1;
            assert_eq!(was_compressed, member.deflates && message.len() > 1000);
        }
        assert_eq!(next, [MESSAGES; SENDERS]);
    }
    // Nothing came twice: the next that everyone gets is this one.
    members[MEMBERS - 1].client.send_bytes(&binary(b"the end"));
    for member in &mut members {
        assert_eq!(member.read(), (b"the end".to_vec(), false));
    }
    stranger.expect_echo("alone");
    // Who has left is not written to, and who stays hears on.
    let stay = members.split_off(25);
    drop(members);
    let mut members = stay;
    members[0].client.send_bytes(&binary(b"fewer"));
    for member in &mut members {
        assert_eq!(member.read().0, b"fewer");
    }
}

#[test]
fn broadcasts_of_many_senders_at_once_are_neither_lost_nor_doubled() {
    const SENDERS: usize = 4;
    const MESSAGES: usize = 2_000;
    let server = Server::builder().env("WORKERS", 2).start();
    let mut listeners = [
        Member::new(&server, false),
        Member::new(&server, true),
        Member::new(&server, false),
    ];
    let address = server.address();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            std::thread::spawn(move || {
                let mut client = Client::tcp(address);
                client.upgrade("/broadcast");
                let mut seen = 0;
                for index in 0..MESSAGES {
                    client.send_bytes(&binary(format!("{sender} {index}").as_bytes()));
                    // Its own come back among those of the others, which are read as they come.
                    if index % 50 == 49 {
                        let own = format!("{sender} {index}");
                        while client.read_frame().payload != own.as_bytes() {
                            seen += 1;
                        }
                        seen += 1;
                    }
                }
                seen
            })
        })
        .collect();
    for listener in &mut listeners {
        let mut next = [0; SENDERS];
        while next.iter().sum::<usize>() < SENDERS * MESSAGES {
            let message = String::from_utf8(listener.read().0).expect("text");
            let (sender, index) = message.split_once(' ').expect("two numbers");
            let sender: usize = sender.parse().expect("a number");
            assert_eq!(index, next[sender].to_string(), "of {sender}");
            next[sender] += 1;
        }
    }
    for sender in senders {
        assert!(sender.join().expect("a sender") >= MESSAGES);
    }
}
