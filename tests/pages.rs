//! The pages as files, and what a dashboard hears: what Chromium makes of both is in tests/pages_browser.rs.

mod common;

use std::fs;

use common::client::{Client, Response};
use common::gateway::{API_KEY, Member, builder, look};
use common::metrics::Samples;
use common::server::Server;
use common::{DEADLINE, eventually, frame};
use rustix::process::Signal;
use serde_json::{Value, json};

const LIVE: &str = "/dashboard/live";

fn is_page(response: &Response) -> bool {
    response.header("content-type") == Some("text/html; charset=utf-8")
}

/// The files that a text asks for, by the two ways in which pages, styles and scripts do.
fn files_of(text: &str) -> Vec<String> {
    let absolute = text.split("\"/pages/").skip(1).map(|rest| rest.split('"'));
    let relative = text.split("from './").skip(1).map(|rest| rest.split('\''));
    let names = absolute.filter_map(|mut rest| rest.next());
    let names = names.chain(relative.filter_map(|mut rest| rest.next()));
    names.map(|name| format!("/pages/{name}")).collect()
}

#[test]
fn pages_and_all_that_they_are_made_of_come_from_here_and_under_a_strict_policy() {
    let server = Server::start();
    let mut client = server.connect();
    let mut paths = vec!["/".to_owned(), "/dashboard".to_owned()];
    let mut seen = 0;
    while seen < paths.len() {
        let path = paths[seen].clone();
        seen += 1;
        let response = client.get(&path);
        assert_eq!(response.status, 200, "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-cache"),
            ("cross-origin-resource-policy", "same-origin"),
            ("connection", "keep-alive"),
        ] {
            assert_eq!(response.header(name), Some(value), "{path}");
        }
        let policy = response
            .header("content-security-policy")
            .expect("a policy");
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(policy.contains(directive), "{path}: {directive}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for file in files_of(response.text()) {
            if !paths.contains(&file) {
                paths.push(file);
            }
        }
    }
    assert!(seen > 15, "{paths:?}");
}

#[test]
fn a_page_that_a_browser_has_is_not_sent_again() {
    let server = Server::start();
    let mut client = server.connect();
    let whole = client.get("/pages/base.css");
    let tag = whole.header("etag").expect("a tag").to_owned();
    let other = client.get("/pages/demo.css");
    assert_ne!(other.header("etag"), Some(&*tag));
    for known in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        "*".to_owned(),
    ] {
        client.request("GET", "/pages/base.css", &[("If-None-Match", &known)]);
        let response = client.read_response();
        assert_eq!((response.status, response.body.len()), (304, 0), "{known}");
        assert_eq!(response.header("etag"), Some(&*tag));
    }
    client.request("GET", "/pages/base.css", &[("If-None-Match", "\"x\"")]);
    assert_eq!(client.read_response().body, whole.body);
    client.request("HEAD", "/pages/base.css", &[]);
    let head = client.read_response_to_head();
    let length = whole.body.len().to_string();
    assert_eq!(head.header("content-length"), Some(&*length));
    assert_eq!(client.get("/health").status, 200, "kept alive");
}

#[test]
fn what_is_no_page_is_refused() {
    let server = Server::start();
    for (method, path, status) in [
        ("GET", "/pages/nothing.js", 404),
        ("GET", "/pages/../base.css", 404),
        ("GET", "/pages/", 404),
        ("GET", "/dashboard/", 404),
        ("POST", "/dashboard", 405),
        ("DELETE", "/pages/base.css", 405),
        ("POST", "/pages/demo.json", 405),
        // Routes, to which only WebSockets come.
        ("POST", "/", 405),
        ("GET", "/ws", 426),
        ("GET", LIVE, 426),
    ] {
        let mut client = server.connect();
        client.request(method, path, &[]);
        let response = client.read_response();
        assert_eq!(response.status, status, "{method} {path}");
        if status == 405 {
            assert!(response.header("allow").expect("Allow").contains("GET"));
        }
    }
}

/// A proxy that takes `Upgrade` away must not make a page of a handshake: who looks for the fault would look in vain.
#[test]
fn a_handshake_that_lost_its_upgrade_gets_no_page() {
    let server = Server::start();
    let mut client = server.connect();
    let lost = [
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    client.request("GET", "/", &lost);
    assert_eq!(client.read_response().status, 426);
    assert!(is_page(&server.connect().get("/?from=a")));
}

#[test]
fn the_demo_page_is_where_the_gateway_is_and_can_be_turned_off() {
    let server = Server::builder()
        .env("ROUTES", "/a=gateway,/=echo,/b=broadcast")
        .env("SUBPROTOCOLS", "chat")
        .env("MAX_MESSAGE_SIZE", "64KiB")
        .start();
    assert!(is_page(&server.connect().get("/a")));
    assert_eq!(server.connect().get("/").status, 426);
    let facts = server.connect().get("/pages/demo.json");
    assert_eq!(facts.header("content-type"), Some("application/json"));
    let facts: Value = serde_json::from_slice(&facts.body).expect("JSON");
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "routes": [
            { "path": "/a", "endpoint": "gateway" },
            { "path": "/", "endpoint": "echo" },
            { "path": "/b", "endpoint": "broadcast" },
        ],
        "messageBytesMax": 65536,
        "subprotocols": ["chat"],
        "tokens": false,
        "tokenRequired": false,
        "clientsBroadcast": false,
    });
    assert_eq!(facts, expected);
    let builder = Server::builder();
    let file = builder.directory().join("tidegate.toml");
    let server = builder.start();
    let mut client = server.connect();
    assert!(is_page(&client.get("/")));
    fs::write(file, "demo_page = false\n").expect("the file can be written");
    server.signal(Signal::HUP);
    server.wait_for_log("reloaded", DEADLINE);
    assert_eq!(server.connect().get("/").status, 426);
    assert_eq!(server.connect().get("/pages/demo.json").status, 404);
    assert!(is_page(&server.connect().get("/dashboard")));
}

/// A dashboard's connection.
struct Dashboard(Client);

impl Dashboard {
    fn open(server: &Server) -> Self {
        Self(server.websocket(LIVE))
    }

    /// One that has shown the key.
    fn known(server: &Server) -> Self {
        let mut dashboard = Self::open(server);
        dashboard.say(&json!({ "key": API_KEY }));
        dashboard
    }

    /// The same, with the first things that it is told: the last hour, and what is now.
    fn signed_in(server: &Server) -> (Self, Value, Value) {
        let mut dashboard = Self::known(server);
        let [history, now] = [dashboard.read(), dashboard.read()];
        assert_eq!(
            (&history["type"], &now["type"]),
            (&json!("history"), &json!("now"))
        );
        (dashboard, history, now)
    }

    fn say(&mut self, message: &Value) {
        self.0.send_bytes(&frame::text(&message.to_string()));
    }

    fn read(&mut self) -> Value {
        let frame = self.0.read_frame();
        assert_eq!(frame.opcode, frame::TEXT, "{frame:?}");
        serde_json::from_slice(&frame.payload).expect("JSON")
    }
}

#[test]
fn a_dashboard_hears_the_last_hour_and_then_what_is() {
    let server = builder(2).start();
    let (mut dashboard, history, now) = Dashboard::signed_in(&server);
    let columns = history["columns"].as_array().expect("columns").clone();
    assert_eq!(
        (&history["step"], &columns[1]),
        (&json!(5), &json!("connections"))
    );
    let value = |told: &Value, name: &str| {
        let at = columns.iter().position(|column| column == name);
        told["row"][at.expect("a column")].clone()
    };
    assert_eq!(value(&now, "connections"), 0, "who looks on is not counted");
    assert_eq!((&now["rooms"], &now["users"]), (&json!([]), &json!([])));
    let mut ann = Member::of(&server, "ann");
    ann.join("harbour");
    let mut echo = server.websocket("/ws");
    let mut messages = 0.0;
    eventually("all of it is told", || {
        echo.expect_echo("hello");
        let told = dashboard.read();
        messages += value(&told, "received").as_f64().expect("a number");
        let is_whole = value(&told, "connections") == 2
            && value(&told, "users") == 1
            && value(&told, "rooms") == 1
            && value(&told, "turnP99").is_number()
            && told["rooms"] == json!([["harbour", 1]])
            && told["users"] == json!([["ann", 1]]);
        if is_whole {
            assert_eq!(
                told["endpoints"],
                json!({ "echo": 1, "broadcast": 0, "gateway": 1, "socketio": 0, "engineio-echo": 0, "dashboard": 1 })
            );
            assert_eq!(told["workers"].as_array().expect("workers").len(), 2);
            assert_eq!(told["redis"], Value::Null);
            assert!(told["process"]["residentBytes"].as_u64() > Some(1 << 20));
        }
        is_whole
    });
    assert!(messages > 0.0);
    echo.send_bytes(&frame::close(4000, ""));
    eventually("how it ended is told", || {
        let closes = dashboard.read()["closes"].clone();
        closes == json!([{ "initiator": "peer", "code": "4xxx", "hour": 1, "total": 1 }])
    });
}

#[test]
fn dashboards_are_told_alike_and_leave_the_figures_alone() {
    let server = builder(2).start();
    let (mut first, _, _) = Dashboard::signed_in(&server);
    let (mut second, _, _) = Dashboard::signed_in(&server);
    let mut ann = Member::of(&server, "ann");
    let before = Samples::of(&server);
    let at = |told: &Value| told["row"][0].as_u64();
    let (mut one, mut other) = (first.read(), second.read());
    eventually("both hear of one time", || {
        if at(&one) < at(&other) {
            one = first.read();
        } else if at(&other) < at(&one) {
            other = second.read();
        }
        at(&one) == at(&other)
    });
    assert_eq!(one, other);
    let risen = Samples::of(&server);
    let risen = risen.risen_since(&before);
    assert!(risen.is_empty(), "{risen:?}");
    let mut client = server.connect();
    let (_, status) = look(&mut client, "/api/status");
    assert_eq!(status["totals"]["users"], 1);
    let paths = status["routes"].as_array().expect("routes");
    assert!(paths.iter().all(|route| route["path"] != LIVE), "{paths:?}");
    let body = json!({ "event": "e" });
    let (_, told) = common::gateway::call(&mut client, "/api/broadcast", &body);
    assert_eq!(told["delivered"], 1);
    assert_eq!(ann.read()["event"], "e");
}

#[test]
fn who_does_not_show_the_key_hears_why_and_nothing_else() {
    let server = builder(1).start();
    for (said, why) in [
        (r#"{"key":"not the key"}"#, "the API key is wrong"),
        (r#"{"key":""}"#, "the API key is wrong"),
        ("", "the first message has to be {\"key\": API key}"),
        ("[]", "the first message has to be {\"key\": API key}"),
        (
            r#"{"key":7}"#,
            "the first message has to be {\"key\": API key}",
        ),
        (
            r#"{"key":"a key for tests","more":1}"#,
            "the first message has to be {\"key\": API key}",
        ),
    ] {
        let mut dashboard = Dashboard::open(&server);
        dashboard.0.send_bytes(&frame::text(said));
        let frame = dashboard.0.read_frame();
        assert_eq!(frame.opcode, frame::CLOSE, "{said}: {frame:?}");
        assert_eq!(frame.payload[..2], 1008u16.to_be_bytes(), "{said}");
        assert_eq!(str::from_utf8(&frame.payload[2..]), Ok(why), "{said}");
    }
    let (mut dashboard, _, _) = Dashboard::signed_in(&server);
    dashboard.say(&json!({ "key": API_KEY }));
    let why = dashboard.0.expect_close(1008);
    assert_eq!(why, "a dashboard says nothing but its key");
    assert!(
        !server.log().text().contains("not the key"),
        "no key is logged"
    );

    let keyless = Server::builder().env("HANDSHAKE_TIMEOUT", "300ms").start();
    let mut dashboard = Dashboard::open(&keyless);
    dashboard.say(&json!({ "key": "any key at all" }));
    let why = dashboard.0.expect_close(1008);
    assert_eq!(why, "no API key is set on this server (API_KEY)");
    let why = Dashboard::open(&keyless).0.expect_close(1008);
    assert_eq!(why, "no API key came in time");
}

#[test]
fn a_dashboard_needs_no_token_and_no_origin_but_the_key_of_today() {
    let server = builder(1)
        .env("JWT_SECRET", "a secret of at least thirty-two bytes")
        .env("ALLOWED_ORIGINS", "https://example.com")
        .start();
    let good = [("Origin", "https://example.com")];
    assert_eq!(server.connect().handshake("/ws", &good).status, 401);
    assert_eq!(server.connect().handshake("/ws", &[]).status, 403);
    let mut client = server.connect();
    client.upgrade_with(LIVE, &[("Origin", "http://localhost:3000")]);
    let mut dashboard = Dashboard(client);
    dashboard.say(&json!({ "key": API_KEY }));
    assert_eq!(dashboard.read()["type"], "history");
    server.signal(Signal::HUP);
    server.wait_for_log("reloaded", DEADLINE);
    let why = dashboard.0.expect_close(1012);
    assert_eq!(why, "the settings were reloaded");
}

#[test]
fn so_many_dashboards_are_open_and_no_more() {
    let server = builder(2).start();
    let mut all: Vec<_> = (0..64).map(|_| Dashboard::known(&server)).collect();
    for dashboard in &mut all {
        assert_eq!(dashboard.read()["type"], "history");
    }
    let why = Dashboard::known(&server).0.expect_close(1013);
    assert_eq!(why, "this server has all the dashboards it may have");
    drop(all);
    eventually("there is room again", || {
        let mut dashboard = Dashboard::known(&server);
        dashboard.0.read_frame().opcode == frame::TEXT
    });
}
