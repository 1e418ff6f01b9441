//! What we did not write: npm `ws` and `wscat` and Python `websockets` against the real server, the parser of AsyncAPI over our
//! document of the gateway protocol.

mod common;

use common::asyncapi::Protocol;
use common::peer::{Peer, asyncapi, facts, node, python, wscat};
use common::server::Server;
use rustix::process::Signal;
use serde_json::{Value, json};

const MESSAGE_BYTES_MAX: usize = 1 << 20;

fn ws(scenario: &str, url: &str, options: &Value) -> Value {
    let mut command = node("ws_client.cjs");
    command.args([scenario, url, &options.to_string()]);
    facts(command)
}

fn websockets(scenario: &str, url: &str, options: &Value) -> Value {
    let mut command = python("client.py");
    command.args([scenario, url, &options.to_string()]);
    facts(command)
}

#[test]
fn ws_echoes_without_compression() {
    let server = Server::start();
    let facts = ws("echo", &server.ws_url("/ws"), &json!({"compress": false}));
    assert_eq!(facts["extensions"], "");
    assert_eq!(facts["close"], json!({"code": 1000, "reason": ""}));
    let message = 13 * (MESSAGE_BYTES_MAX / 16);
    assert!(
        facts["wire"]["read"].as_u64() > Some(message as u64),
        "{facts}"
    );
}

#[test]
fn ws_echoes_with_compression_in_both_directions() {
    let server = Server::start();
    let facts = ws("echo", &server.ws_url("/ws"), &json!({"compress": true}));
    let extensions = facts["extensions"].as_str().expect("a string");
    assert!(extensions.contains("permessage-deflate"), "{facts}");
    assert_eq!(facts["close"], json!({"code": 1000, "reason": ""}));
    // 850 KB of one repeated word: where either side did not deflate, it shows.
    for direction in ["read", "written"] {
        assert!(
            facts["wire"][direction].as_u64() < Some(64 * 1024),
            "{facts}"
        );
    }
}

/// However short a message is and however small the window: what our encoder makes, zlib understands.
#[test]
fn ws_gets_documents_of_every_size_compressed() {
    let server = Server::builder().env("COMPRESSION_THRESHOLD", "0").start();
    for bits in [9, 12, 15] {
        let options = json!({"compress": true, "windowBits": bits});
        let facts = ws("documents", &server.ws_url("/ws"), &options);
        assert_eq!(facts["windowBits"], bits, "{facts}");
        assert!(facts["share"].as_f64() < Some(0.4), "{facts}");
        assert_eq!(facts["close"]["code"], 1000, "{facts}");
    }
}

#[test]
fn ws_does_not_get_compression_where_it_is_off() {
    let server = Server::builder().env("COMPRESSION", "off").start();
    let facts = ws("echo", &server.ws_url("/ws"), &json!({"compress": true}));
    assert_eq!(facts["extensions"], "");
}

#[test]
fn ws_gets_five_thousand_messages_in_flight_back_in_order() {
    let server = Server::start();
    for compress in [false, true] {
        let facts = ws(
            "pipelined",
            &server.ws_url("/ws"),
            &json!({"compress": compress}),
        );
        assert_eq!(facts["count"], 5000);
    }
}

#[test]
fn ws_echoes_over_tls() {
    let server = Server::builder().tls().start();
    let options = json!({"compress": true, "ca": server.certificate().chain});
    let url = server.ws_url("/ws").replace("127.0.0.1", "localhost");
    let facts = ws("echo", &url, &options);
    assert_eq!(facts["close"], json!({"code": 1000, "reason": ""}));
}

#[test]
fn ws_gets_a_pong_with_its_own_payload() {
    let server = Server::start();
    let facts = ws("ping", &server.ws_url("/ws"), &json!({}));
    assert_eq!(facts["pong"], "are you there?");
}

#[test]
fn ws_gets_its_own_close_code_back() {
    let server = Server::start();
    for code in [1000, 1001, 3000, 4321] {
        let options = json!({"code": code, "reason": "enough"});
        let facts = ws("close", &server.ws_url("/ws"), &options);
        assert_eq!(facts["echoed"], code, "{facts}");
        assert_eq!(facts["close"]["code"], code, "{facts}");
    }
}

#[test]
fn ws_is_closed_with_1009_one_byte_past_the_limit() {
    let server = Server::start();
    let options = json!({"bytes": MESSAGE_BYTES_MAX + 1});
    let facts = ws("oversize", &server.ws_url("/ws"), &options);
    assert_eq!(facts["close"]["code"], 1009, "{facts}");
    assert_ne!(facts["close"]["reason"], "", "a refusal says why");
    let options = json!({"bytes": MESSAGE_BYTES_MAX + 1, "compress": true});
    let facts = ws("oversize", &server.ws_url("/ws"), &options);
    assert_eq!(facts["close"]["code"], 1009, "{facts}");
}

#[test]
fn ws_is_closed_with_1001_when_the_server_drains() {
    let mut server = Server::builder().env("DRAIN_PERIOD", "1s").start();
    let mut command = node("ws_client.cjs");
    command.args(["wait", &server.ws_url("/ws"), "{}"]);
    let peer = Peer::start(command);
    peer.wait_for("READY");
    server.signal(Signal::TERM);
    assert_eq!(peer.facts()["close"]["code"], 1001);
    assert_eq!(server.wait_exit(common::DEADLINE).code(), Some(0));
}

#[test]
fn ws_is_refused_with_403_from_a_foreign_origin() {
    let server = Server::builder()
        .env("ALLOWED_ORIGINS", "https://good.example")
        .start();
    let options = json!({"origin": "https://bad.example"});
    let facts = ws("refused", &server.ws_url("/ws"), &options);
    assert_eq!(facts["status"], 403, "{facts}");
    assert_ne!(facts["body"], "", "a refusal says why");
}

#[test]
fn ws_is_refused_with_404_on_an_unknown_path() {
    let server = Server::start();
    let facts = ws("refused", &server.ws_url("/nowhere"), &json!({}));
    assert_eq!(facts["status"], 404, "{facts}");
}

#[test]
fn websockets_echoes_without_compression() {
    let server = Server::start();
    let facts = websockets("echo", &server.ws_url("/ws"), &json!({"compress": false}));
    assert_eq!(facts["extensions"], json!([]));
    assert_eq!(facts["close"]["code"], 1000);
}

#[test]
fn websockets_echoes_with_compression() {
    let server = Server::start();
    let facts = websockets("echo", &server.ws_url("/ws"), &json!({"compress": true}));
    assert_eq!(facts["extensions"], json!(["permessage-deflate"]));
    assert_eq!(facts["close"]["code"], 1000);
}

#[test]
fn websockets_gets_documents_of_every_size_compressed() {
    let server = Server::builder().env("COMPRESSION_THRESHOLD", "0").start();
    for bits in [9, 12, 15] {
        let options = json!({"compress": true, "windowBits": bits});
        let facts = websockets("documents", &server.ws_url("/ws"), &options);
        assert_eq!(facts["windowBits"], bits, "{facts}");
        assert_eq!(facts["close"]["code"], 1000, "{facts}");
    }
}

#[test]
fn websockets_echoes_over_tls() {
    let server = Server::builder().tls().start();
    let options = json!({"compress": true, "ca": server.certificate().chain});
    let url = server.ws_url("/ws").replace("127.0.0.1", "localhost");
    let facts = websockets("echo", &url, &options);
    assert_eq!(facts["close"]["code"], 1000);
}

#[test]
fn websockets_gets_a_pong() {
    let server = Server::start();
    let facts = websockets("ping", &server.ws_url("/ws"), &json!({}));
    assert_eq!(facts["pong"], true);
}

#[test]
fn websockets_gets_its_own_close_code_back() {
    let server = Server::start();
    for code in [1000, 3000, 4999] {
        let options = json!({"code": code, "reason": "enough"});
        let facts = websockets("close", &server.ws_url("/ws"), &options);
        assert_eq!(facts["close"]["code"], code, "{facts}");
        assert_eq!(facts["close"]["serverFirst"], false, "{facts}");
    }
}

#[test]
fn websockets_is_closed_with_1009_past_the_limit() {
    let server = Server::start();
    for compress in [false, true] {
        let options = json!({"bytes": MESSAGE_BYTES_MAX + 1, "compress": compress});
        let facts = websockets("oversize", &server.ws_url("/ws"), &options);
        assert_eq!(facts["close"]["code"], 1009, "{facts}");
        assert_eq!(facts["close"]["serverFirst"], true, "{facts}");
    }
}

#[test]
fn websockets_is_closed_with_1001_when_the_server_drains() {
    let mut server = Server::builder().env("DRAIN_PERIOD", "1s").start();
    let mut command = python("client.py");
    command.args(["wait", &server.ws_url("/ws"), "{}"]);
    let peer = Peer::start(command);
    peer.wait_for("READY");
    server.signal(Signal::TERM);
    let facts = peer.facts();
    assert_eq!(facts["close"]["code"], 1001, "{facts}");
    assert_eq!(facts["close"]["serverFirst"], true, "{facts}");
    assert_eq!(server.wait_exit(common::DEADLINE).code(), Some(0));
}

#[test]
fn wscat_echoes_on_a_terminal() {
    let server = Server::start();
    let mut peer = Peer::start(wscat(&server.ws_url("/ws")));
    peer.wait_for("Connected");
    peer.type_line("hello from a terminal");
    peer.wait_for("< hello from a terminal");
    peer.type_line("grüße");
    peer.wait_for("< grüße");
}

#[test]
fn the_parser_of_asyncapi_has_nothing_against_the_document() {
    let mut command = asyncapi("parse.cjs");
    command.arg(common::asyncapi::PATH);
    let facts = facts(command);
    assert_eq!(facts["diagnostics"], json!([]), "{facts}");
    let length = |name: &str| facts[name].as_array().map_or(0, Vec::len);
    let messages = Protocol::get().messages().len();
    assert_eq!(length("messages"), messages, "{facts}");
    assert_eq!(length("securitySchemes"), 3, "{facts}");
    assert!(length("operations") >= 10, "{facts}");
}
