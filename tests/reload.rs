//! SIGHUP: what a running server takes, what waits for the next start, and what is refused whole.

mod common;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use common::client::Client;
use common::frame::{self, PING, binary};
use common::front::Front;
use common::server::{Server, ServerBuilder};
use common::tls::TestCertificate;
use common::{DEADLINE, eventually};
use rustix::process::Signal;

/// A server with a settings file.
struct Reloaded {
    server: Server,
    file: PathBuf,
}

impl Reloaded {
    fn start(builder: ServerBuilder, settings: &str) -> Self {
        let file = builder.directory().join("tidegate.toml");
        fs::write(&file, settings).expect("the file can be written");
        let server = builder.start();
        Self { server, file }
    }

    /// Writes other settings and waits until the server says `says`; gives all that it said until then.
    fn reload(&self, settings: &str, says: &str) -> Vec<String> {
        fs::write(&self.file, settings).expect("the file can be written");
        hang_up(&self.server, says)
    }
}

fn hang_up(server: &Server, says: &str) -> Vec<String> {
    let mut position = server.log().position();
    server.signal(Signal::HUP);
    let mut said = Vec::new();
    loop {
        let line = server.log().wait_after(position, DEADLINE, |_| true);
        let (next, line) = line.unwrap_or_else(|| panic!("no {says:?}: {said:?}"));
        position = next;
        said.push(line);
        if said.last().is_some_and(|line| line.contains(says)) {
            return said;
        }
    }
}

fn status(client: &mut Client, origin: &str) -> u16 {
    client.handshake("/ws", &[("Origin", origin)]).status
}

#[test]
fn origins_limits_and_log_level_change_and_connections_stay() {
    let reloaded = Reloaded::start(
        Server::builder().env("WORKERS", 1),
        "allowed_origins = \"https://old.example\"\nmax_message_size = 1000\n",
    );
    let server = &reloaded.server;
    let mut client = server.connect();
    client.upgrade_with("/ws", &[("Origin", "https://old.example")]);
    client.send_bytes(&binary(&[1; 1000]));
    client.expect_frame(frame::BINARY, &[1; 1000]);
    assert_eq!(status(&mut server.connect(), "https://new.example"), 403);
    assert_eq!(server.log().count("answered"), 0);
    let said = reloaded.reload(
        "allowed_origins = \"https://new.example\"\nmax_message_size = 2000\nlog_level = \"debug\"\n\
         max_connections = 2\n",
        "INFO  server::running: reloaded",
    );
    for name in [
        "ALLOWED_ORIGINS",
        "MAX_MESSAGE_SIZE",
        "LOG_LEVEL",
        "MAX_CONNECTIONS",
    ] {
        let count = said
            .iter()
            .filter(|line| line.contains(&format!(" {name} changes from")))
            .count();
        assert_eq!(count, 1, "{name}: {said:?}");
    }
    let mut second = server.connect();
    eventually("the worker has heard of it", || {
        second = server.connect();
        status(&mut second, "https://new.example") == 101
    });
    // The open connection stays, under the new limit.
    client.send_bytes(&binary(&[1; 2000]));
    client.expect_frame(frame::BINARY, &[1; 2000]);
    assert_eq!(
        server.connect().get("/health").status,
        503,
        "the third of two"
    );
    drop(second);
    eventually("there is room again", || {
        status(&mut server.connect(), "https://old.example") == 403
    });
    server.wait_for_log("answered 403", DEADLINE);
    client.send_bytes(&binary(&[1; 2001]));
    client.expect_close(1009);
}

#[test]
fn wrong_settings_change_nothing_and_say_so() {
    let good = "max_message_size = 1000\n";
    let reloaded = Reloaded::start(Server::builder(), good);
    let mut client = reloaded.server.websocket("/ws");
    for (settings, says) in [
        (
            "max_message_size = 5000\nclose_timeout = \"soon\"\n",
            "CLOSE_TIMEOUT",
        ),
        ("max_message_size = 5000\nunknown = 1\n", "unknown"),
        ("max_message_size = 5000\nnot toml", "tidegate.toml"),
        (
            "max_message_size = 5000\ntls_cert = \"/nowhere/cert.pem\"\ntls_key = \"/nowhere/key.pem\"\n",
            "/nowhere/cert.pem",
        ),
    ] {
        let said = reloaded.reload(settings, "ERROR");
        let line = said.last().expect("a line");
        assert!(
            line.contains("not reloaded: ") && line.contains(says),
            "{line}"
        );
    }
    client.expect_echo("undisturbed");
    client.send_bytes(&binary(&[1; 1001]));
    client.expect_close(1009);
    reloaded.reload(good, "server::running: reloaded");
}

#[test]
fn what_needs_a_start_waits_for_it() {
    let reloaded = Reloaded::start(
        Server::builder().env("WORKERS", 1),
        "subprotocols = \"old\"\n",
    );
    let server = &reloaded.server;
    let changed =
        "subprotocols = \"new\"\ncompression = \"off\"\n[routes]\n\"/other\" = \"echo\"\n";
    // Said again as long as it is true.
    for _ in 0..2 {
        let said = reloaded.reload(changed, "server::running: reloaded");
        for name in ["SUBPROTOCOLS", "COMPRESSION", "ROUTES"] {
            let line = said
                .iter()
                .find(|line| line.contains(&format!(" {name} changes")));
            let line = line.unwrap_or_else(|| panic!("{name}: {said:?}"));
            assert!(line.contains("at the next start"), "{line}");
        }
        let mut client = server.connect();
        let headers = [
            ("Sec-WebSocket-Protocol", "new, old"),
            ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ];
        let response = client.upgrade_with("/ws", &headers);
        assert_eq!(response.header("sec-websocket-protocol"), Some("old"));
        assert!(response.header("sec-websocket-extensions").is_some());
        assert_eq!(server.connect().handshake("/other", &[]).status, 404);
    }
}

#[test]
fn a_heartbeat_that_is_turned_on_reaches_who_is_idle() {
    let reloaded = Reloaded::start(Server::builder(), "heartbeat_interval = \"0\"\n");
    let mut idle = reloaded.server.websocket("/ws");
    idle.expect_echo("idle from here");
    reloaded.reload(
        "heartbeat_interval = \"200ms\"\n",
        "server::running: reloaded",
    );
    let mut fresh = reloaded.server.websocket("/ws");
    for client in [&mut idle, &mut fresh] {
        client.set_deadline(Duration::from_secs(5));
        assert_eq!(client.read_frame().opcode, PING);
    }
}

#[test]
fn a_renewed_certificate_is_shown_to_new_connections() {
    let front = Front::tls(Server::builder());
    let server = front.server();
    let mut before = front.websocket("/ws");
    let renewed = TestCertificate::write_to(server.directory());
    hang_up(server, "server::running: reloaded");
    eventually("the acceptor has heard of it", || {
        let mut client = Client::tls(server.address(), &renewed);
        client.try_send_bytes(b"GET /health").is_ok()
    });
    let mut after = Client::tls(server.address(), &renewed);
    after.upgrade("/ws");
    after.expect_echo("under the new certificate");
    before.expect_echo("under the old one");
    // A client that trusts the old one alone gets nowhere.
    front
        .connect()
        .try_send_bytes(b"GET /health HTTP/1.1\r\n")
        .expect_err("the certificate is another");
    // A key that does not fit changes nothing.
    fs::write(&renewed.key, "no key").expect("the file can be written");
    hang_up(server, "not reloaded");
    let mut still = Client::tls(server.address(), &renewed);
    assert_eq!(still.get("/health").status, 200);
}

#[test]
fn a_listener_stays_plain() {
    let reloaded = Reloaded::start(Server::builder(), "");
    let server = &reloaded.server;
    let certificate = TestCertificate::write_to(server.directory());
    let settings = format!(
        "tls_cert = \"{}\"\ntls_key = \"{}\"\n",
        certificate.chain.display(),
        certificate.key.display()
    );
    let said = reloaded.reload(&settings, "server::running: reloaded");
    let told =
        |line: &&String| line.contains("TLS_CERT changes") && line.contains("at the next start");
    assert!(said.iter().any(|line| told(&line)), "{said:?}");
    server.websocket("/ws").expect_echo("plain");
}

#[test]
fn limits_per_address_and_proxies_change() {
    let reloaded = Reloaded::start(
        Server::builder().env("WORKERS", 1),
        "max_connections_per_ip = 1\n",
    );
    let server = &reloaded.server;
    let claim = [("X-Forwarded-For", "203.0.113.1")];
    let connect = || {
        let mut client = server.connect();
        let status = client.handshake("/ws", &claim).status;
        (client, status)
    };
    let (_first, status) = connect();
    assert_eq!(status, 101);
    assert_eq!(connect().1, 429);
    reloaded.reload("max_connections_per_ip = 2\n", "server::running: reloaded");
    let (_second, status) = connect();
    assert_eq!(status, 101);
    assert_eq!(connect().1, 429);
    // Nobody is believed any more: the two count under the proxy's own address, where there is room for two.
    reloaded.reload(
        "max_connections_per_ip = 2\ntrusted_proxies = \"none\"\n",
        "server::running: reloaded",
    );
    eventually("acceptor and worker have heard of it", || {
        let all = [connect(), connect(), connect()];
        all.map(|(_, status)| status) == [101, 101, 429]
    });
}
