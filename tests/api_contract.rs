//! The HTTP API says and does what its document promises, where foreign generators of requests found that it did not.

mod common;

use common::client::{Client, Response};
use common::gateway::{API_KEY, builder, json_of};
use serde_json::Value;

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
