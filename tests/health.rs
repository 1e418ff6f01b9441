//! `tidegate health` on the real binary: what a container's health check and probes go by.

mod common;

use std::io::Read;
use std::net::TcpListener;
use std::process::Command;

use common::server::{Address, Server, run_to_end};
use common::{DEADLINE, ports};
use socket2::{Domain, SockAddr, Socket, Type};

/// Exit status and everything that is said, with these settings.
fn health(environment: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    command
        .arg("health")
        .args(arguments)
        .current_dir(directory.path())
        .env_clear()
        .envs(environment.iter().copied());
    let (status, output, errors) = run_to_end(command, DEADLINE);
    (status.code().expect("it ended by itself"), output + &errors)
}

#[test]
fn a_server_is_found_by_url_and_by_the_settings() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = format!("unix:{}", directory.path().join("t.sock").display());
    let server = Server::builder()
        .env("HOST", format!("127.0.0.1,{socket}"))
        .listeners(2)
        .start();
    let port = server.address().port().to_string();
    let url = format!("http://127.0.0.1:{port}");
    let well = |place: &str| (0, format!("{place} is well\n"));
    assert_eq!(health(&[], &[&url]), well(&url));
    assert_eq!(health(&[], &[&format!("{url}/health")]), well(&url));
    assert_eq!(health(&[], &[&socket]), well(&socket));
    assert_eq!(health(&[], &[&socket, "--alive"]).0, 0);
    // What listens at every address of the machine is asked at loopback.
    for host in ["127.0.0.1", "0.0.0.0"] {
        assert_eq!(health(&[("HOST", host), ("PORT", &port)], &[]), well(&url));
    }
    assert_eq!(health(&[], &["--host", &socket]), well(&socket));
}

#[test]
fn behind_tls_a_unix_socket_is_asked() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = format!("unix:{}", directory.path().join("t.sock").display());
    let host = format!("127.0.0.1,{socket}");
    let server = Server::builder()
        .env("HOST", &host)
        .listeners(2)
        .tls()
        .start();
    assert!(matches!(server.addresses()[0], Address::Https(_)));
    let certificate = server.certificate();
    let (chain, key) = (&certificate.chain, &certificate.key);
    let (chain, key) = (chain.to_str().expect("UTF-8"), key.to_str().expect("UTF-8"));
    let tls = [("TLS_CERT", chain), ("TLS_KEY", key)];
    let well = (0, format!("{socket} is well\n"));
    assert_eq!(health(&[&tls[..], &[("HOST", &host)]].concat(), &[]), well);
    let (status, told) = health(&tls, &[]);
    assert_eq!(status, 2, "{told}");
    assert!(
        told.contains("every listener of the settings speaks TLS"),
        "{told}"
    );
}

#[test]
fn a_full_server_is_not_well_and_yet_alive() {
    let server = Server::builder().env("MAX_CONNECTIONS", 1).start();
    let url = format!("http://{}", server.address());
    let _only = server.websocket("/ws");
    let (status, told) = health(&[], &[&url]);
    assert_eq!(
        (status, told),
        (1, format!("tidegate: {url}: the answer is 503\n"))
    );
    assert_eq!(
        health(&[], &[&url, "--alive"]),
        (0, format!("{url} is alive\n"))
    );
}

#[test]
fn nobody_and_silence_are_neither_well_nor_alive() {
    let url = format!("http://127.0.0.1:{}", ports::lasting());
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let quiet = format!("http://{}", silent.local_addr().expect("an address"));
    let holds = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = silent.accept().expect("a question");
            let mut asked = Vec::new();
            // Until the one who asks gives up.
            let _ = stream.read_to_end(&mut asked);
            assert!(asked.starts_with(b"GET /health HTTP/1.1\r\n"));
        }
    });
    for arguments in [&[][..], &["--alive"]] {
        let (status, told) = health(&[], &[&[url.as_str()], arguments].concat());
        assert_eq!(status, 1, "{told}");
        assert!(told.contains("refused"), "{told}");
        let (status, told) = health(&[], &[&[quiet.as_str()], arguments].concat());
        assert_eq!(status, 1, "{told}");
        assert!(told.contains("no answer within 2 seconds"), "{told}");
    }
    holds.join().expect("both have asked");
}

#[test]
fn a_unix_socket_where_nobody_accepts_keeps_nobody_waiting() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("t.sock");
    let address = SockAddr::unix(&path).expect("an address");
    let socket = || Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    let deaf = socket();
    deaf.bind(&address)
        .and_then(|()| deaf.listen(0))
        .expect("it listens");
    let mut waiting = Vec::new();
    loop {
        let client = socket();
        client.set_nonblocking(true).expect("set");
        if client.connect(&address).is_err() {
            break;
        }
        waiting.push(client);
    }
    let (status, told) = health(&[], &[&format!("unix:{}", path.display())]);
    assert_eq!(status, 1, "{told}");
    assert!(told.contains("no answer within 2 seconds"), "{told}");
}

#[test]
fn who_cannot_be_asked_is_a_wrong_use() {
    for (environment, url, says) in [
        (&[][..], &["https://127.0.0.1:3000"][..], "behind TLS"),
        (
            &[],
            &["http://127.0.0.1"],
            "a host, a port and nothing else",
        ),
        (&[("PORT", "http")], &[], "PORT"),
    ] {
        let (status, told) = health(environment, url);
        assert_eq!(status, 2, "{told}");
        assert!(told.contains(says), "{told}");
    }
}
