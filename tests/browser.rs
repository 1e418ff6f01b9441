//! Chromium on a page that opens a WebSocket to the real server: directly, over TLS and through nginx.

mod common;

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
