//! How it ends: close codes and exit statuses, and servers that do not answer.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::common::frame;
use crate::common::server::Server;
use crate::fake;
use crate::stage::Home;

#[test]
fn the_close_code_is_the_exit_status() {
    for (code, status) in [
        (1000, 0),
        (1001, 0),
        (1008, 18),
        (1013, 23),
        (3005, 30),
        (4401, 44),
    ] {
        let address = fake::serve_messages(move |socket, _, _| {
            let frame = CloseFrame {
                code: CloseCode::from(code),
                reason: "enough".into(),
            };
            socket.close(Some(frame)).expect("written");
            true
        });
        let url = format!("ws://{address}/");
        let (left, output, errors) = Home::new().run(&[&url, "-x", "hello"]);
        assert_eq!((left, &output[..]), (status, ""), "{code}: {errors}");
        let says = format!("Closed by the server: {code}");
        assert!(
            errors.contains(&says) && errors.contains("enough"),
            "{errors}"
        );
    }
}

#[test]
fn a_code_of_ones_own_is_the_exit_status_too() {
    let server = Server::start();
    let home = Home::new();
    for (line, says, status) in [
        ("/close", "Closed: 1000 (normal)", 0),
        ("/close 4321 so long", "Closed: 4321: so long", 43),
    ] {
        let mut client = home.at_terminal(&[&server.ws_url("/ws")]);
        client.wait_for("Connected to ");
        client.type_line(line);
        client.wait_for(says);
        assert_eq!(client.wait_exit().code(), Some(status));
    }
    server.wait_for_log("code=4321", crate::common::DEADLINE);
}

/// Takes the handshake and then only reads.
pub(crate) fn mute() -> String {
    let address = fake::serve(|stream| {
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        let mut buffer = [0; 1024];
        while std::io::Read::read(socket.get_mut(), &mut buffer).is_ok_and(|read| read > 0) {}
    });
    format!("ws://{address}/")
}

#[test]
fn a_server_that_does_not_answer_close_is_left() {
    let began = Instant::now();
    let (status, _, errors) = Home::new().run(&[&mute(), "-x", "hello", "-w", "0"]);
    assert_eq!(status, 1);
    assert!(
        errors.contains("did not answer Close within 5 s"),
        "{errors}"
    );
    assert!(began.elapsed() >= Duration::from_secs(5));
}

#[test]
fn who_is_impatient_asks_twice() {
    let url = mute();
    let home = Home::new();
    let mut client = home.start(&[&url]);
    let connected = client
        .errors()
        .wait_for("Connected", crate::common::DEADLINE);
    connected.expect("it connects");
    let id = Pid::from_raw(client.id().cast_signed()).expect("a process");
    kill_process(id, Signal::TERM).expect("it runs");
    kill_process(id, Signal::INT).expect("it runs");
    assert_eq!(client.wait_exit().code(), Some(130));
    let home = Home::new();
    let mut client = home.at_terminal(&[&url]);
    client.wait_for("Connected to ");
    let status = client.press_until_exit(b"\x03");
    assert_eq!(status.code(), Some(130));
}

/// Sends these bytes after the handshake, and then reads.
fn says(bytes: &'static [u8]) -> String {
    let address = fake::serve(move |stream| {
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        std::io::Write::write_all(socket.get_mut(), bytes).expect("written");
        let mut buffer = [0; 1024];
        while std::io::Read::read(socket.get_mut(), &mut buffer).is_ok_and(|read| read > 0) {}
    });
    format!("ws://{address}/")
}

#[test]
fn a_server_that_breaks_the_protocol_is_told_so_and_left() {
    for (bytes, status, sentence) in [
        (&b"\x83\x00"[..], 12, "reserved opcode"),
        (b"\x81\x01\xff", 17, "not UTF-8"),
        (b"\x82\x7f\0\0\x01\0\0\0\0\0", 19, "larger than is accepted"),
        // Nobody agreed on compression.
        (b"\xc1\x02\xff\xff", 12, "reserved bits"),
    ] {
        let (left, _, errors) = Home::new().run(&[&says(bytes), "-w", "forever"]);
        assert_eq!(left, status, "{errors}");
        assert!(errors.contains("broke the protocol"), "{errors}");
        assert!(errors.contains(sentence), "{errors}");
    }
}

/// Takes Close for the end, and says nothing to it.
#[test]
fn a_server_that_hangs_up_instead_of_answering_close_has_answered() {
    let address = fake::serve(|stream| {
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        while socket.read().is_ok_and(|message| !message.is_close()) {}
        let stream = socket.get_ref();
        stream.shutdown(std::net::Shutdown::Both).expect("open");
    });
    let url = format!("ws://{address}/");
    let (status, _, errors) = Home::new().run(&[&url, "-x", "hello", "-w", "0"]);
    assert_eq!(status, 0, "{errors}");
    assert!(errors.contains("Closed: 1000 (normal)"), "{errors}");
}

#[test]
fn a_message_beyond_the_limit_ends_it() {
    let address = fake::serve_messages(|socket, _, _| {
        let large = frame::raw(
            frame::first_byte(true, 0, frame::TEXT),
            None,
            &[b'x'; 5_000],
        );
        std::io::Write::write_all(socket.get_mut(), &large).is_ok()
    });
    let url = format!("ws://{address}/");
    let limit = ["--max-message-size", "4k"];
    let (status, output, errors) = Home::new().run(&[&url, "-x", "go", limit[0], limit[1]]);
    assert_eq!((status, &output[..]), (19, ""), "{errors}");
}
