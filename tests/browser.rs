//! Chromium on pages that open WebSockets to the real server: directly, over TLS and through nginx.

mod common;

use common::asyncapi;
use common::gateway::{API_KEY, builder};
use common::nginx::Nginx;
use common::peer::{facts, node};
use common::server::Server;
use serde_json::{Value, json};

fn browse(url: &str, options: &Value) -> Value {
    let mut command = node("browser.cjs");
    command.args([url, &options.to_string()]);
    facts(command)
}

fn assert_echoes(facts: &Value) {
    for what in [
        "open",
        "text",
        "empty",
        "binary",
        "megabyte",
        "megabyteOfText",
        "documents",
    ] {
        assert_eq!(facts[what], true, "{what}: {facts}");
    }
    let extensions = facts["extensions"].as_str().expect("a string");
    assert!(extensions.contains("permessage-deflate"), "{facts}");
    assert_eq!(facts["close"]["wasClean"], true, "{facts}");
}

#[test]
fn a_page_echoes() {
    let server = Server::start();
    let facts = browse(&server.ws_url("/ws"), &json!({"closeCode": 4000}));
    assert_echoes(&facts);
    assert_eq!(facts["close"]["code"], 4000, "{facts}");
}

/// However short a message is and however small the window: what our encoder makes, Chromium's zlib understands.
#[test]
fn a_page_echoes_with_everything_compressed() {
    for bits in ["9", "15"] {
        let server = Server::builder()
            .env("COMPRESSION_THRESHOLD", "0")
            .env("COMPRESSION_WINDOW_BITS", bits)
            .start();
        assert_echoes(&browse(&server.ws_url("/ws"), &json!({})));
    }
}

#[test]
fn a_page_echoes_through_nginx() {
    let server = Server::start();
    let nginx = Nginx::start(server.address());
    let facts = browse(&nginx.ws_url("/ws"), &json!({"closeCode": 1000}));
    assert_echoes(&facts);
    assert_eq!(facts["close"]["code"], 1000, "{facts}");
}

#[test]
fn a_page_echoes_over_tls() {
    let server = Server::builder().tls().start();
    let facts = browse(&server.ws_url("/ws"), &json!({"ignoreCertificate": true}));
    assert_echoes(&facts);
}

#[test]
fn a_page_of_a_foreign_origin_gets_no_connection() {
    let server = Server::builder()
        .env("ALLOWED_ORIGINS", "https://good.example")
        .start();
    let facts = browse(&server.ws_url("/ws"), &json!({}));
    assert_eq!(facts["open"], false, "{facts}");
    assert_eq!(facts["close"]["code"], 1006, "{facts}");
}

/// What they say, and what has to come, is written in `chat.cjs`: private messages, a room, a back end's calls, 200 chats in order.
#[test]
fn two_tabs_chat_through_nginx() {
    let server = builder(2).start();
    let nginx = Nginx::start(server.address());
    let mut command = node("chat.cjs");
    command.args([&nginx.address().to_string(), API_KEY]);
    let facts = facts(command);
    let connections = facts["connections"].as_array().expect("two");
    let workers: Vec<_> = connections
        .iter()
        .map(|id| id.as_str().and_then(|id| id.split('-').next()))
        .collect();
    assert!(
        workers[0] != workers[1],
        "on different workers: {connections:?}"
    );
    let seen = &facts["seen"];
    assert_eq!(seen["online"], true, "{seen}");
    assert_eq!(seen["connections"][0]["rooms"], json!(["harbour"]));
    assert_eq!(seen["connections"][0]["connectionId"], connections[1]);
    assert_eq!(facts["alone"], json!(["ann"]));
    assert_eq!(facts["gone"]["online"], false, "{}", facts["gone"]);
    assert_eq!(facts["close"]["code"], 1000, "{}", facts["close"]);
    assert_eq!(facts["close"]["wasClean"], true, "{}", facts["close"]);
    for message in facts["heard"].as_array().expect("messages") {
        asyncapi::assert_told(message);
    }
}
