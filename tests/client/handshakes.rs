//! Handshakes: who one is, TLS, refusals, and what is no WebSocket server at all.

use std::fs;
use std::io::Write;
use std::process::Command;

use crate::common::DEADLINE;
use crate::common::server::{Server, run_to_end};
use crate::common::tls::TestCertificate;
use crate::fake;
use crate::stage::{Home, told};

const WAIT: [&str; 4] = ["-q", "-w", "1", "-x"];

fn run(url: &str, arguments: &[&str]) -> (i32, String, String) {
    Home::new().run(&[&[url], &WAIT[..], &["hello"], arguments].concat())
}

fn assert_refused(run: &(i32, String, String), says: &[&str]) {
    assert_eq!(told(run), (1, ""), "{}", run.2);
    for says in says {
        assert!(run.2.contains(says), "{says:?} is not in {}", run.2);
    }
}

#[test]
fn a_subprotocol_is_agreed_on() {
    let server = Server::builder()
        .env("SUBPROTOCOLS", "chat.v2,chat.v1")
        .start();
    let url = server.ws_url("/ws");
    let arguments = ["-s", "other", "-s", "chat.v1", "-w", "1", "-x", "hello"];
    let (status, output, errors) = Home::new().run(&[&[&url[..]], &arguments[..]].concat());
    assert_eq!((status, &output[..]), (0, "hello\n"));
    assert!(errors.contains("/ws as chat.v1\n"), "{errors}");
}

#[test]
fn a_token_opens_what_is_closed_without() {
    const SECRET: &str = "a secret of sixteen bytes and more";
    let server = Server::builder().env("JWT_SECRET", SECRET).start();
    let url = server.ws_url("/ws");
    assert_refused(&run(&url, &[]), &["401 Unauthorized", "--token"]);
    assert_refused(&run(&url, &["--token", "forged"]), &["401 Unauthorized"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["token", "ann"]).env("JWT_SECRET", SECRET);
    let (_, token, _) = run_to_end(command, DEADLINE);
    let token = token.trim();
    assert_eq!(told(&run(&url, &["--token", token])), (0, "hello\n"));
    let header = format!("Authorization: Bearer {token}");
    assert_eq!(told(&run(&url, &["-H", &header])), (0, "hello\n"));
}

#[test]
fn an_origin_is_shown() {
    let server = Server::builder()
        .env("ALLOWED_ORIGINS", "https://example.com")
        .start();
    let url = server.ws_url("/ws");
    let refused = run(&url, &["--origin", "https://example.org"]);
    assert_refused(&refused, &["403 Forbidden"]);
    let allowed = run(&url, &["--origin", "https://example.com"]);
    assert_eq!(told(&allowed), (0, "hello\n"));
}

#[test]
fn what_was_asked_for_is_in_the_request() {
    let (sender, requests) = std::sync::mpsc::channel();
    let address = fake::serve(move |mut stream| {
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let read = std::io::Read::read(&mut stream, &mut buffer).expect("a request");
            request.extend_from_slice(&buffer[..read]);
        }
        let request = String::from_utf8(request).expect("ASCII");
        sender.send(request).expect("the test waits");
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n");
    });
    let url = format!("ws://{address}/a?b=c");
    let arguments = [
        "-H",
        "X-One: 1",
        "-H",
        "X-Two: a: b",
        "--auth",
        "ann:secret",
    ];
    assert_refused(&run(&url, &arguments), &["404"]);
    let request = requests.recv_timeout(DEADLINE).expect("a request");
    for line in [
        "GET /a?b=c HTTP/1.1\r\n",
        &format!("Host: {address}\r\n"),
        "X-One: 1\r\n",
        "X-Two: a: b\r\n",
        "Authorization: Basic YW5uOnNlY3JldA==\r\n",
        "Sec-WebSocket-Extensions: permessage-deflate",
    ] {
        assert!(request.contains(line), "{line:?} is not in {request}");
    }
    assert_refused(&run(&url, &["--no-compress"]), &["404"]);
    let request = requests.recv_timeout(DEADLINE).expect("a request");
    assert!(!request.contains("Extensions"), "{request}");
}

#[test]
fn refusals_are_told_in_words() {
    let server = Server::start();
    assert_refused(
        &run(&server.ws_url("/nowhere"), &[]),
        &["404 Not Found: ", "nothing is at this path"],
    );
    let server = Server::builder().env("MAX_CONNECTIONS_PER_IP", 1).start();
    let _other = server.websocket("/ws");
    assert_refused(&run(&server.ws_url("/ws"), &[]), &["429 Too Many Requests"]);
    for (head, says) in [
        (
            "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n",
            &["426 Upgrade Required", "this version of WebSocket"][..],
        ),
        (
            "HTTP/1.1 301 Moved Permanently\r\nLocation: https://example.com/\r\nContent-Length: 0\r\n\r\n",
            &["301", "it is at https://example.com/ now"],
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n<html></html>\n",
            &["200 OK (no WebSocket is at this path)"],
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/problem+json\r\nContent-Length: 25\r\n\r\n{\"detail\":\"Nobody home.\"}",
            &["502 Bad Gateway: Nobody home. (the proxy does not reach"],
        ),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", &["Upgrade"]),
        ("SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n", &["no HTTP/1.1"]),
    ] {
        let address = fake::bare_accept(head);
        assert_refused(&run(&format!("ws://{address}/"), &[]), says);
    }
}

#[test]
fn a_server_that_says_nothing_or_far_too_much_is_left() {
    let silent = fake::serve(|stream| {
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut &stream, &mut rest);
    });
    let limit = ["--connect-timeout", "300ms"];
    for scheme in ["ws", "wss"] {
        let url = format!("{scheme}://{silent}/");
        assert_refused(&run(&url, &limit), &["did not answer within 0.3 s"]);
    }
    let trickle = fake::serve(|mut stream| {
        for _ in 0..1_000 {
            if stream.write_all(b"H").is_err() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    // Told by its first bytes or by its slowness: it ends either way.
    let (status, ..) = run(&format!("ws://{trickle}/"), &limit);
    assert_eq!(status, 1);
    let flood = fake::serve(|mut stream| {
        let head = format!("HTTP/1.1 101 x\r\nX: {}", "x".repeat(100_000));
        let _ = stream.write_all(head.as_bytes());
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
    });
    assert_refused(&run(&format!("ws://{flood}/"), &[]), &["too large"]);
}

#[test]
fn tls_is_believed_where_there_is_reason() {
    let server = Server::builder().tls().start();
    let url = server.ws_url("/ws");
    let certificate = server.certificate().chain.display().to_string();
    let by_name = format!("wss://localhost:{}/ws", server.address().port());
    for url in [&url, &by_name] {
        let believed = run(url, &["--ca", &certificate]);
        assert_eq!(told(&believed), (0, "hello\n"), "{}", believed.2);
    }
    // By the system nobody knows it.
    assert_refused(
        &run(&url, &[]),
        &["its certificate is not believed", "--ca"],
    );
    let home = Home::new();
    let other = TestCertificate::write_to(home.path());
    let other = other.chain.display().to_string();
    assert_refused(
        &run(&url, &["--ca", &other]),
        &["its certificate is not believed"],
    );
    let (status, output, errors) = run(&url, &["--insecure"]);
    assert_eq!((status, &output[..]), (0, "hello\n"));
    assert!(
        errors.contains("warning: --insecure believes any"),
        "{errors}"
    );
    let plain = format!("ws://{}/ws", server.address());
    let (status, ..) = run(&plain, &[]);
    assert_eq!(status, 1);
    let plain = Server::start();
    let secure = format!("wss://{}/ws", plain.address());
    assert_refused(&run(&secure, &["-k"]), &["no TLS with 127.0.0.1"]);
}

#[test]
fn a_certificate_has_to_name_the_host() {
    let server = Server::builder().tls().env("HOST", "127.0.0.2").start();
    let certificate = server.certificate().chain.display().to_string();
    // The certificate is for localhost and 127.0.0.1.
    let refused = run(&server.ws_url("/ws"), &["--ca", &certificate]);
    assert_refused(&refused, &["its certificate is not believed"]);
}

#[test]
fn files_of_certificates_that_are_none() {
    let home = Home::new();
    let file = home.path().join("none.pem");
    fs::write(&file, "nothing\n").expect("written");
    for (path, says) in [
        (file.display().to_string(), "no certificate in PEM is in it"),
        ("/nowhere.pem".to_owned(), "/nowhere.pem: "),
    ] {
        let (status, _, errors) = home.run(&["wss://localhost/", "--ca", &path]);
        assert_eq!(status, 2);
        assert!(errors.contains(says), "{errors}");
    }
}
