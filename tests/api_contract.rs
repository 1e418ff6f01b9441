//! The HTTP API says and does what its document promises, where foreign generators of requests found that it did not.

mod common;

use common::client::{Client, Response};
use common::gateway::{API_KEY, Member, builder, call, json_of, post};
use serde_json::{Value, json};

const KEY: (&str, &str) = ("X-API-Key", API_KEY);

/// The answer must be problem details of its own status.
fn expect_problem(response: &Response, status: u16) -> Value {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(
        response.header("content-type"),
        Some("application/problem+json"),
        "{response:?}"
    );
    let problem = json_of(response);
    assert_eq!(problem["status"], status);
    problem
}

#[test]
fn a_name_may_have_as_many_characters_as_the_document_says() {
    let server = builder(2).env("MAX_NAME_LENGTH", 8).start();
    let mut client = server.connect();
    let document = json_of(&client.get("/api/openapi.json"));
    let most = document["components"]["schemas"]["Name"]["maxLength"].as_u64();
    assert_eq!(most, Some(8), "the limit of this server");
    let mut member = Member::of(&server, "水水水水水水水水");
    member.join("üüüüüüüü");
    let publish = |room: &str| json!({ "room": room, "event": "🌊🌊🌊🌊🌊🌊🌊🌊" });
    let (status, told) = call(&mut client, "/api/publish", &publish("üüüüüüüü"));
    assert_eq!((status, &told["delivered"]), (200, &json!(1)));
    assert_eq!(member.read()["event"], "🌊🌊🌊🌊🌊🌊🌊🌊");
    let (status, _) = call(&mut client, "/api/publish", &publish("üüüüüüüüü"));
    assert_eq!(status, 422);
}

#[test]
fn a_reason_may_have_as_many_characters_as_the_document_says() {
    let server = builder(1).start();
    let mut client = server.connect();
    let mut disconnect = |reason: &str| {
        let body = json!({ "userId": "ann", "code": 4000, "reason": reason });
        call(&mut client, "/api/disconnect", &body).0
    };
    assert_eq!(disconnect(&"x".repeat(124)), 422);
    for (reason, heard) in [("x", 123), ("ü", 122), ("水", 123), ("🌊", 120)] {
        let mut ann = Member::of(&server, "ann");
        assert_eq!(disconnect(&reason.repeat(123)), 200);
        let told = ann.client.expect_close(4000);
        assert_eq!(told, reason.repeat(heard / reason.len()));
    }
}

#[test]
fn an_id_that_no_connection_has_is_nobodys() {
    let server = builder(2).start();
    let mut client = server.connect();
    for (id, status) in [
        ("0-0.0", 200),
        ("1-4294967295.4294967295", 200),
        ("99999-9999999999.0000000001", 200),
        ("0-0", 422),
        ("100000-0.0", 422),
        ("0-99999999999.0", 422),
        ("0-0.+1", 422),
        ("0-0.", 422),
    ] {
        for (path, body) in [
            ("/api/disconnect", json!({ "connectionId": id })),
            ("/api/join", json!({ "connectionId": id, "room": "r" })),
        ] {
            let (told, answer) = call(&mut client, path, &body);
            assert_eq!(told, status, "{path} {id}: {answer}");
            assert!(
                status != 200 || answer["connections"] == 0,
                "{id}: {answer}"
            );
        }
    }
}

#[test]
fn null_is_no_way_to_leave_something_out() {
    let server = builder(1).start();
    for (path, body) in [
        (
            "/api/send-to-user",
            json!({ "userId": "a", "message": 1, "type": null }),
        ),
        (
            "/api/publish",
            json!({ "room": "r", "rooms": null, "event": "e" }),
        ),
        (
            "/api/publish",
            json!({ "room": null, "rooms": ["r"], "event": "e" }),
        ),
        (
            "/api/join",
            json!({ "userId": "a", "connectionId": null, "room": "r" }),
        ),
        (
            "/api/leave",
            json!({ "userId": null, "connectionId": "0-0.0", "room": "r" }),
        ),
        ("/api/disconnect", json!({ "userId": "a", "code": null })),
        ("/api/disconnect", json!({ "userId": "a", "reason": null })),
        (
            "/api/disconnect",
            json!({ "userId": "a", "connectionId": null }),
        ),
    ] {
        let (status, problem) = call(&mut server.connect(), path, &body);
        assert_eq!(status, 422, "{path} {body}: {problem}");
    }
    let nothing = json!({ "userId": "a", "event": "e", "data": null });
    assert_eq!(
        call(&mut server.connect(), "/api/message", &nothing).0,
        200,
        "data may be anything"
    );
}

#[test]
fn an_integer_is_one_by_its_value() {
    let server = builder(1).start();
    for (code, status) in [
        ("4000", 200),
        ("4000.0", 200),
        ("4e3", 200),
        ("4000.5", 422),
        ("-4000", 422),
        ("69536", 422),
        ("1e300", 422),
        ("\"4000\"", 422),
    ] {
        let body = format!("{{\"userId\":\"ann\",\"code\":{code}}}");
        let response = post(&mut server.connect(), "/api/disconnect", &[KEY], &body);
        assert_eq!(response.status, status, "{code}: {response:?}");
    }
}

#[test]
fn everything_that_is_refused_under_api_is_a_problem() {
    let server = builder(1)
        .env("HANDSHAKE_TIMEOUT", "3s")
        .env("MAX_CONNECTIONS_PER_IP", 2)
        .env("TRUSTED_PROXIES", "none")
        .start();
    let mut slow = server.connect();
    let headers = [
        KEY,
        ("Content-Type", "application/json"),
        ("Content-Length", "9"),
    ];
    slow.request("POST", "/api/message", &headers);
    slow.send_bytes(b"{");
    let mut other = server.connect();
    assert_eq!(other.get("/api/health").status, 200);

    let mut third: Client = server.connect();
    let refused = third.get("/api/health");
    expect_problem(&refused, 429);
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    third.expect_eof();

    other.request("GET", "/api/health", &[("Content-Length", "+1")]);
    let problem = expect_problem(&other.read_response(), 400);
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|text| text.contains("Content-Length")),
        "{problem}"
    );
    other.expect_eof();

    expect_problem(&slow.read_response(), 408);
    slow.expect_eof();
}

#[test]
fn a_full_server_tells_so_in_the_words_of_the_api() {
    let server = builder(1).env("MAX_CONNECTIONS", 1).start();
    let mut only = server.connect();
    assert_eq!(only.get("/api/health").status, 200);
    let headers = [("Origin", "https://app.example.com"), KEY];
    let mut refused = server.connect();
    refused.request("GET", "/api/status", &headers);
    let response = refused.read_response();
    expect_problem(&response, 503);
    assert!(response.header("retry-after").is_some(), "{response:?}");
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    let mut refused = server.connect();
    assert_eq!(
        refused.get("/health").header("content-type"),
        Some("text/plain; charset=utf-8")
    );
}

#[test]
fn a_space_is_not_visible() {
    let server = builder(1).start();
    let body = json!({ "event": "e" }).to_string();
    let headers = [KEY, ("Idempotency-Key", "a b")];
    let response = post(&mut server.connect(), "/api/broadcast", &headers, &body);
    expect_problem(&response, 400);
}
