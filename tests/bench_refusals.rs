//! `tidegate bench` and what it refuses: wrong usage, and servers that do not do what they should. Each refusal is one clear
//! line, and an exit status.

mod common;

#[path = "bench/fake.rs"]
mod fake;
#[path = "bench/run.rs"]
mod run;

use std::io::Write;
use std::net::TcpListener;

use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use common::frame;
use common::server::Server;
use run::{fails, refused};

#[test]
fn wrong_usage_is_refused_before_anything_is_opened() {
    let unused = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/ws", unused.local_addr().expect("an address"));
    for (line, says) in [
        (&["echo", "127.0.0.1:3000"][..], "ws://127.0.0.1:3000/ws"),
        (&["echo", "wss://127.0.0.1:3000/"], "no TLS"),
        (&["echo", "http://127.0.0.1:3000/"], "it begins with ws://"),
        (&["echo", "ws://127.0.0.1/a b"], "the path"),
        (&["echo", "tcp://127.0.0.1:9/path"], "no path"),
        (&["echo", "tcp://127.0.0.1:9", "--compress"], "no handshake"),
        (&["echo", &url, "--header", "Nothing"], "'Name: value'"),
        (&["echo", &url, "--header", "a b: c"], "a header"),
        (&["echo", &url, "--connections", "0"], "from 1 to"),
        (&["echo", &url, "--depth", "0"], "from 1 to"),
        (
            &["echo", &url, "--seconds", "0"],
            "nothing would be measured",
        ),
        (&["echo", &url, "--seconds", "-1"], "from 0 to"),
        (&["echo", &url, "--pid", "4294967295"], "no such process"),
        (
            &["echo", &url, "--payload", "json", "--size", "8"],
            "at least 32",
        ),
        (&["fanout", &url, "--size", "8"], "at least 12"),
        (&["rate", &url, "--rate", "0"], "messages a second"),
        (&["idle", &url], "--pid"),
        (&["idle", &url, "--pid", "1", "--plot", "a.svg"], "--plot"),
        (&["sing", &url], "unrecognized subcommand"),
    ] {
        let errors = refused(line, 2);
        assert!(errors.contains(says), "{line:?}: {errors}");
    }
    unused.set_nonblocking(true).expect("an option");
    let nobody = unused.accept().expect_err("nobody came");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn servers_that_do_not_open_are_told_apart() {
    let server = Server::start();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address")
    };
    for scheme in ["ws", "tcp"] {
        fails(
            &["echo", &format!("{scheme}://{closed}")],
            "Connection refused",
        );
    }
    fails(
        &["echo", &server.ws_url("/nowhere")],
        "the server answered 404 Not Found",
    );
    fails(
        &["connect", &server.ws_url("/nowhere")],
        "the server answered 404 Not Found",
    );
    let mute = fake::serve(drop);
    fails(&["echo", &format!("ws://{mute}")], "the server");
    let other = fake::bare_accept("SSH-2.0-OpenSSH\r\n\r\n");
    fails(&["echo", &format!("ws://{other}")], "no HTTP/1.1");
    fails(
        &["connect", &format!("tcp://{other}")],
        "does not answer a request with a 101",
    );
    let plain = fake::serve_messages(|socket, _, message| socket.send(message).is_ok());
    fails(
        &["echo", &format!("ws://{plain}"), "--compress"],
        "does not accept permessage-deflate",
    );
    let chatty = fake::serve(|stream| {
        if let Ok(mut socket) = tungstenite::accept(stream) {
            let _ = socket.send(Message::text("hello"));
            let _ = socket.read();
        }
    });
    fails(
        &["fanout", &format!("ws://{chatty}"), "--dialect", "socketio"],
        "does not greet as Socket.IO 5 does: hello",
    );
    fails(
        &["echo", "ws://no-such-host.invalid/"],
        "no-such-host.invalid",
    );
}

#[test]
fn servers_that_do_not_echo_end_the_run() {
    let garbage = fake::serve_messages(|socket, number, message| {
        let reply = if number < 20 {
            message
        } else {
            Message::text("garbage")
        };
        socket.send(reply).is_ok()
    });
    let says = "something else than what it was sent: 7 bytes that begin with \"garbage\"";
    fails(&["echo", &format!("ws://{garbage}")], says);
    let says = "something else than what was published";
    fails(&["fanout", &format!("ws://{garbage}"), "-c", "1"], says);
    let masked = fake::bare_echo(|_| ());
    let handshake_only = fake::serve_messages(|socket, _, message| {
        let bytes = frame::text(message.to_text().expect("text"));
        socket.get_mut().write_all(&bytes).is_ok()
    });
    fails(
        &["echo", &format!("ws://{handshake_only}")],
        "the server broke the protocol",
    );
    fails(
        &["echo", &format!("ws://{masked}")],
        "the server's answer is no HTTP/1.1",
    );
    let twice = fake::serve_messages(|socket, number, message| {
        let again = number == 30 && socket.send(message.clone()).is_err();
        !again && socket.send(message).is_ok()
    });
    fails(
        &["echo", &format!("ws://{twice}"), "-c", "1"],
        "nobody asked for",
    );
}

#[test]
fn servers_that_go_away_end_the_run() {
    let dropping =
        fake::serve_messages(|socket, number, message| number < 50 && socket.send(message).is_ok());
    for command in ["echo", "rate"] {
        fails(
            &[command, &format!("ws://{dropping}"), "-c", "1"],
            "connection 0: the server",
        );
    }
    let leaving = fake::serve_messages(|socket, number, message| {
        let frame = CloseFrame {
            code: CloseCode::Away,
            reason: "low tide".into(),
        };
        let sent = if number < 50 {
            socket.send(message)
        } else {
            socket.close(Some(frame))
        };
        sent.is_ok()
    });
    let says = "the server closed the connection (1001: low tide)";
    fails(&["echo", &format!("ws://{leaving}"), "-c", "2"], says);
    fails(&["fanout", &format!("ws://{leaving}"), "-c", "1"], says);
    let abrupt = fake::serve(|stream| {
        if let Ok(mut socket) = tungstenite::accept(stream) {
            let _ = socket.read();
        }
    });
    let says = "connection 0: the server ended the connection without a Close frame";
    fails(&["connect", &format!("ws://{abrupt}"), "-c", "1"], says);
}
