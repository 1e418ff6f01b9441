//! The real server behind Debian's nginx with `deploy/nginx/tidegate.conf`.

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use common::client::Client;
use common::nginx::{self, Nginx};
use common::peer::{Peer, facts, node, python, wscat};
use common::server::{Server, run_to_end};
use common::{DEADLINE, frame};
use rustix::process::Signal;
use serde_json::{Value, json};

/// An address that is loopback too and yet not the one that everything else comes from.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn ws(scenario: &str, url: &str, options: &Value) -> Value {
    let mut command = node("ws_client.cjs");
    command.args([scenario, url, &options.to_string()]);
    facts(command)
}

/// What `nginx -t` says of the configuration in front of servers on these ports.
fn judge(ports: impl IntoIterator<Item = u16>) {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let upstreams: Vec<_> = ports.into_iter().map(at).collect();
    let directory = nginx::write_configuration(&nginx::configuration(), at(8080), &upstreams);
    let mut command = nginx::command(directory.path());
    command.arg("-t");
    let (status, _, errors) = run_to_end(command, DEADLINE);
    assert!(status.success(), "{errors}");
    assert!(!errors.contains("[warn]"), "{errors}");
    assert!(errors.contains("test is successful"), "{errors}");
}

#[test]
fn nginx_finds_no_fault_in_the_configuration() {
    judge([3000]);
}

#[test]
fn nginx_finds_no_fault_in_the_upstream_of_five() {
    let five = || 3001..=3005;
    let servers: Vec<_> = five()
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .collect();
    assert_eq!(
        nginx::upstream(&servers),
        nginx::committed("tidegate-upstream.conf"),
        "the tests write what is committed"
    );
    judge(five());
}

#[test]
fn the_readme_takes_the_one_upstream_out_as_the_tests_do() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("tidegate.conf");
    std::fs::write(&path, nginx::configuration()).expect("a copy can be written");
    let readme = include_str!("../deploy/README.md");
    let line = readme.lines().find(|line| line.starts_with("sudo sed -i "));
    let line = line.expect("a line of sed").replace("sudo ", "");
    let mut command = std::process::Command::new("/bin/sh");
    let line = line.replace("/etc/nginx/conf.d/tidegate.conf", "\"$0\"");
    command.args(["-c", &line]).arg(&path);
    let (status, _, errors) = run_to_end(command, DEADLINE);
    assert!(status.success(), "{errors}");
    let mut expected = nginx::configuration();
    nginx::without_upstream(&mut expected);
    let left = std::fs::read_to_string(&path).expect("the copy can be read");
    assert_eq!(left, expected);
}

#[test]
fn every_kind_of_message_comes_back() {
    let server = Server::start();
    let nginx = Nginx::start(server.address());
    for compress in [false, true] {
        let facts = ws("echo", &nginx.ws_url("/ws"), &json!({"compress": compress}));
        let negotiated = facts["extensions"]
            .as_str()
            .expect("a string")
            .contains("permessage-deflate");
        assert_eq!(negotiated, compress, "{facts}");
        assert_eq!(facts["close"], json!({"code": 1000, "reason": ""}));
    }
    let mut command = python("client.py");
    command.args(["echo", &nginx.ws_url("/ws"), r#"{"compress": true}"#]);
    assert_eq!(facts(command)["close"]["code"], 1000);
}

#[test]
fn documents_of_every_size_come_back_compressed() {
    let server = Server::builder().env("COMPRESSION_THRESHOLD", "0").start();
    let nginx = Nginx::start(server.address());
    let facts = ws(
        "documents",
        &nginx.ws_url("/ws"),
        &json!({"compress": true}),
    );
    assert!(facts["share"].as_f64() < Some(0.4), "{facts}");
    assert_eq!(facts["close"]["code"], 1000, "{facts}");
}

#[test]
fn wscat_echoes_on_a_terminal() {
    let server = Server::start();
    let nginx = Nginx::start(server.address());
    let mut peer = Peer::start(wscat(&nginx.ws_url("/ws")));
    peer.wait_for("Connected");
    peer.type_line("through a proxy");
    peer.wait_for("< through a proxy");
}

#[test]
fn the_dashboard_is_for_this_machine_and_the_demo_page_for_all() {
    const KEY: &str = "a key for tests";
    let server = Server::builder().env("API_KEY", KEY).start();
    let nginx = Nginx::start(server.address());
    let get = |source: Option<IpAddr>, path: &str| {
        let mut client = match source {
            Some(source) => Client::tcp_from(source, nginx.address()),
            None => nginx.connect(),
        };
        client.get(path).status
    };
    for path in ["/", "/pages/base.css"] {
        assert_eq!((get(None, path), get(Some(OTHER), path)), (200, 200));
    }
    assert_eq!(get(None, "/dashboard"), 200);
    for path in [
        "/dashboard",
        "//dashboard",
        "/%64ashboard",
        "/x/../dashboard",
    ] {
        assert_eq!(get(Some(OTHER), path), 403, "{path}");
    }
    let mut stranger = Client::tcp_from(OTHER, nginx.address());
    assert_eq!(stranger.handshake("/dashboard/live", &[]).status, 403);
    let mut operator = nginx.connect();
    operator.upgrade("/dashboard/live");
    operator.send_bytes(&frame::text(&json!({ "key": KEY }).to_string()));
    let told = operator.read_frame().payload;
    assert!(told.starts_with(b"{"), "{told:?}");
}

#[test]
fn close_codes_pass_in_both_directions() {
    let mut server = Server::builder().env("DRAIN_PERIOD", "1s").start();
    let nginx = Nginx::start(server.address());
    let mut client = nginx.connect();
    client.upgrade("/ws");
    client.send_bytes(&frame::close(4321, "enough"));
    client.expect_close(4321);
    client.expect_eof();
    let mut client = nginx.connect();
    client.upgrade("/ws");
    client.expect_echo("ready");
    server.signal(Signal::TERM);
    client.expect_close(1001);
    client.send_bytes(&frame::close(1001, ""));
    client.expect_eof();
    assert_eq!(server.wait_exit(DEADLINE).code(), Some(0));
}

#[test]
fn a_refusal_of_the_server_reaches_the_client() {
    let server = Server::builder()
        .env("ALLOWED_ORIGINS", "https://good.example")
        .start();
    let nginx = Nginx::start(server.address());
    let response = nginx
        .connect()
        .handshake("/ws", &[("Origin", "https://bad.example")]);
    assert_eq!(response.status, 403);
    assert!(!response.body.is_empty(), "a refusal says why");
    let response = nginx.connect().handshake("/nowhere", &[]);
    assert_eq!(response.status, 404);
    nginx
        .connect()
        .upgrade_with("/ws", &[("Origin", "https://good.example")]);
}

#[test]
fn more_than_a_hundred_requests_a_minute_get_429() {
    let server = Server::start();
    let nginx = Nginx::start(server.address());
    let mut client = nginx.connect();
    // One more is let in each 0.6 s, so a slow machine gets more than 100 in before the first refusal.
    let mut passed = 0;
    let refusal = loop {
        let response = client.get("/health");
        if response.status != 200 {
            break response;
        }
        passed += 1;
        assert!(passed < 300, "nothing is ever refused");
    };
    assert!(passed >= 100, "{passed} requests passed");
    assert_eq!(refusal.status, 429);
    assert!(refusal.header("retry-after").is_some(), "{refusal:?}");
    assert!(refusal.text().contains("100 a minute"), "{refusal:?}");
    // An opening handshake is a request like any other, and who has one keeps it.
    let mut other = Client::tcp_from(OTHER, nginx.address());
    other.upgrade("/ws");
    while nginx.connect().handshake("/ws", &[]).status != 429 {}
    other.expect_echo("an address of its own has a budget of its own");
}

#[test]
fn a_connection_is_not_cut_by_the_limit_on_requests() {
    let server = Server::start();
    let nginx = Nginx::start(server.address());
    let mut client = nginx.connect();
    client.upgrade("/ws");
    for index in 0..500 {
        client.expect_echo(&format!("message {index}"));
    }
}

#[test]
fn plain_requests_share_a_kept_connection() {
    let server = Server::start();
    let nginx = Nginx::start(server.address());
    let before = server.descriptors();
    for _ in 0..20 {
        assert_eq!(nginx.connect().get("/health").status, 200);
    }
    let held = server.descriptors() - before;
    assert_eq!(held, 1, "connections between nginx and the server");
}

#[test]
fn the_server_learns_the_address_of_the_client() {
    let server = Server::builder()
        .env("TRUSTED_PROXIES", "127.0.0.1")
        .env("LOG_LEVEL", "debug")
        .start();
    let nginx = Nginx::start(server.address());
    let mut client = Client::tcp_from(OTHER, nginx.address());
    // What the client itself claims stands to the left of what nginx saw, and is not believed.
    client.upgrade_with("/ws", &[("X-Forwarded-For", "203.0.113.9")]);
    client.expect_echo("ready");
    client.send_bytes(&frame::close(1000, ""));
    client.expect_close(1000);
    server.wait_for_log("127.0.0.2", DEADLINE);
    assert_eq!(
        server.log().count("203.0.113.9"),
        0,
        "{}",
        server.log().text()
    );
}

#[test]
fn heartbeats_keep_an_idle_connection_open_past_the_time_limit_of_nginx() {
    let server = Server::builder()
        .env("HEARTBEAT_INTERVAL", "500ms")
        .env("HEARTBEAT_TIMEOUT", "10s")
        .start();
    let nginx = Nginx::builder()
        .replace("proxy_read_timeout    90s;", "proxy_read_timeout 2s;")
        .replace("proxy_send_timeout    90s;", "proxy_send_timeout 2s;")
        .start(server.address());
    let mut client = nginx.connect();
    client.upgrade("/ws");
    // Ten pings, half a second of silence before each: more than twice the limit.
    for _ in 0..10 {
        let ping = client.read_frame();
        assert_eq!(ping.opcode, frame::PING, "{ping:?}");
        client.send_bytes(&frame::frame(true, frame::PONG, &ping.payload));
    }
    client.expect_echo("still here");
}

#[test]
fn the_time_limits_of_nginx_are_longer_than_the_heartbeat() {
    const HEARTBEAT_S: u32 = 30 + 10;
    let configuration = nginx::configuration();
    for name in ["proxy_read_timeout", "proxy_send_timeout"] {
        let line = configuration
            .lines()
            .find_map(|line| line.trim().strip_prefix(name));
        let seconds = line.and_then(|line| line.trim().strip_suffix("s;")?.parse::<u32>().ok());
        assert!(seconds > Some(HEARTBEAT_S + 30), "{name}: {seconds:?}");
    }
}

#[test]
fn an_upgrade_of_the_wrong_version_opens_no_tunnel() {
    let server = Server::start();
    let nginx = Nginx::start(server.address());
    let mut client = nginx.connect();
    client.request(
        "GET",
        "/ws",
        &[
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", common::client::KEY),
            ("Sec-WebSocket-Version", "1777"),
        ],
    );
    let response = client.read_response();
    assert_eq!(response.status, 426);
    assert_eq!(response.header("sec-websocket-version"), Some("13"));
    // What follows on the same connection is a request to nginx, and appears in its log as one.
    client.request("GET", "/health?second", &[]);
    assert_eq!(client.read_response().status, 200);
    nginx.wait_for_access("/health?second", DEADLINE);
}

#[test]
fn an_upgrade_to_something_else_is_a_plain_request() {
    let server = Server::start();
    let nginx = Nginx::start(server.address());
    let mut client = nginx.connect();
    client.request(
        "GET",
        "/health",
        &[
            ("Upgrade", "h2c"),
            ("Connection", "Upgrade, HTTP2-Settings"),
        ],
    );
    assert_eq!(client.read_response().status, 200);
}
