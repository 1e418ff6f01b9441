//! Losses: what a client does when a server goes away, and when it comes back.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::DEADLINE;
use crate::common::ports;
use crate::common::server::Server;
use crate::fake;
use crate::stage::Home;

fn server_at(port: u16) -> Server {
    Server::builder()
        .env("PORT", port)
        .env("DRAIN_PERIOD", "200ms")
        .start()
}

#[test]
fn a_client_at_a_terminal_outlives_its_server() {
    let port = ports::lasting();
    let mut server = server_at(port);
    let home = Home::new();
    let url = format!("ws://127.0.0.1:{port}/ws");
    let mut client = home.at_terminal(&[&url, "--reconnect-interval", "200"]);
    client.wait_for("Connected to ");
    for (signal, says) in [
        (Signal::KILL, "Lost the connection: "),
        (Signal::TERM, "Closed by the server: 1001 (going away)"),
    ] {
        let position = client.output().position();
        server.signal(signal);
        server.wait_exit(DEADLINE);
        client.wait_after(position, DEADLINE, |line| line.contains(says));
        client.wait_after(position, DEADLINE, |line| line.contains("Trying again in "));
        client.wait_after(position, DEADLINE, |line| {
            line.contains("nobody listens at 127.0.0.1:")
        });
        client.type_line("too early");
        client.wait_after(position, DEADLINE, |line| {
            line.contains("Not connected: not sent")
        });
        server = server_at(port);
        client.wait_after(position, DEADLINE, |line| line.contains("Connected to "));
        client.type_line("back");
        client.wait_after(position, DEADLINE, |line| line.contains("< back"));
    }
    client.type_bytes(b"\x03");
    assert_eq!(client.wait_exit().code(), Some(0));
}

#[test]
fn attempts_are_ever_further_apart_until_enter_is_pressed() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = times.clone();
    // Hangs up once it was asked.
    let address = fake::serve(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        seen.lock().expect("no panic").push(Instant::now());
    });
    let home = Home::new();
    let url = format!("ws://{address}/");
    let mut client = home.at_terminal(&[&url, "--reconnect-interval", "100ms"]);
    let count = || times.lock().expect("no panic").len();
    crate::common::eventually("four attempts", || count() >= 4);
    let times = times.lock().expect("no panic").clone();
    // 100, 200 and 400 ms, give or take a quarter.
    for (pair, least) in times.windows(2).zip([75, 150, 300]) {
        assert!(
            pair[1] - pair[0] >= Duration::from_millis(least),
            "{times:?}"
        );
    }
    client.wait_for("the server ended the connection during the handshake");
    client.type_bytes(b"\x03");
    client.wait_for("Left without a connection");
    assert_eq!(client.wait_exit().code(), Some(1));
    let mut client = home.at_terminal(&[&url, "--reconnect-interval", "1h"]);
    client.wait_for("(Enter: now)");
    let position = client.output().position();
    client.type_bytes(b"\r");
    client.wait_after(position, DEADLINE, |line| line.contains("Trying again in "));
}

#[test]
fn a_pipe_reconnects_where_that_is_asked_for() {
    let (status, _, errors) = Home::new().run(&["ws://127.0.0.1:1/", "-x", "hello"]);
    assert_eq!(status, 1);
    assert!(errors.contains("nobody listens at 127.0.0.1:1"), "{errors}");
    let port = ports::lasting();
    let url = format!("ws://127.0.0.1:{port}/ws");
    let arguments = [
        "-w",
        "1",
        "-x",
        "patience",
        "--reconnect",
        "--reconnect-interval",
        "100",
    ];
    let home = Home::new();
    let mut client = home.start(&[&[&url[..]], &arguments[..]].concat());
    let tried = client.errors().wait_for("Trying again in ", DEADLINE);
    tried.expect("it tries");
    let _server = server_at(port);
    assert_eq!(client.wait_exit().code(), Some(0));
    assert_eq!(client.output().text(), "patience\n");
}

#[test]
fn a_terminal_gives_up_where_that_is_asked_for() {
    let home = Home::new();
    let mut client = home.at_terminal(&["ws://127.0.0.1:1/", "--no-reconnect"]);
    client.wait_for("nobody listens at 127.0.0.1:1");
    assert_eq!(client.wait_exit().code(), Some(1));
}

#[test]
fn a_refusal_for_good_is_not_asked_again() {
    let server = Server::builder()
        .env("JWT_SECRET", "a secret of sixteen bytes and more")
        .start();
    let home = Home::new();
    let mut client = home.at_terminal(&[&server.ws_url("/ws")]);
    client.wait_for("401 Unauthorized");
    assert_eq!(client.wait_exit().code(), Some(1));
}

#[test]
fn a_full_server_says_when_to_come_back() {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let address = fake::serve(move |mut stream| {
        if seen.fetch_add(1, Ordering::SeqCst) > 0 {
            let mut socket = tungstenite::accept(stream).expect("a handshake");
            // A Close is answered by the next call.
            while let Ok(message) = socket.read() {
                if !message.is_close() {
                    socket.send(message).expect("written");
                }
            }
            return;
        }
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer);
        let head =
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 5\r\n\r\nFull.";
        let _ = stream.write_all(head.as_bytes());
    });
    let began = Instant::now();
    let url = format!("ws://{address}/");
    let arguments = [
        "-w",
        "1",
        "-x",
        "hello",
        "--reconnect",
        "--reconnect-interval",
        "10",
    ];
    let (status, output, errors) = Home::new().run(&[&[&url[..]], &arguments[..]].concat());
    assert_eq!((status, &output[..]), (0, "hello\n"), "{errors}");
    assert!(
        errors.contains("503 Service Unavailable: Full."),
        "{errors}"
    );
    assert!(errors.contains("Trying again in 1.0 s"), "{errors}");
    assert!(began.elapsed() >= Duration::from_secs(1));
}
