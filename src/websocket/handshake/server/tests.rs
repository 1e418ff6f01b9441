use super::*;
use crate::http::error::HttpError;
use crate::http::head::HeadRoom;

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
const KEPT: DeflatePolicy = DeflatePolicy {
    context_takeover: true,
    window_bits_max: 15,
};

fn request(start: &str, fields: &[&str]) -> String {
    format!("{start}\r\nHost: a\r\n{}\r\n", fields.concat())
}

/// A valid handshake with these lines besides.
fn valid(fields: &str) -> String {
    request("GET /ws HTTP/1.1", &[UPGRADE, KEY, VERSION, fields])
}

/// The 101 to this request, with these subprotocols of ours.
fn answer(text: &str, ours: &[&str]) -> Result<String, HandshakeError> {
    let mut room = HeadRoom::new();
    let head = RequestHead::parse(text.as_bytes(), &mut room).expect(text);
    let ours: Vec<String> = ours.iter().map(ToString::to_string).collect();
    let accepted = accept(&head, &ours, Some(KEPT))?;
    let mut out = Vec::new();
    accepted.write(&mut out);
    Ok(String::from_utf8(out).expect("text"))
}

fn refusal(text: &str) -> HandshakeError {
    answer(text, &["chat"]).expect_err(text)
}

const PLAIN: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[test]
fn the_smallest_valid_handshake() {
    assert_eq!(answer(&valid(""), &["chat"]).as_deref(), Ok(PLAIN));
}

#[test]
fn names_and_tokens_come_in_any_case_and_in_lists() {
    let text = request(
        "GET / HTTP/1.1",
        &[
            "UPGRADE: h2c, WebSocket\r\nconnection: keep-alive\r\nconnection: upgrade,foo\r\n",
            "sec-websocket-key: \tdGhlIHNhbXBsZSBub25jZQ== \r\nsec-websocket-version:13\r\n",
            "Content-Length: 0\r\n",
        ],
    );
    assert_eq!(answer(&text, &[]).as_deref(), Ok(PLAIN));
}

#[test]
fn what_was_agreed_is_answered() {
    let text = valid(
        "Sec-WebSocket-Protocol: chat, superchat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15\r\n",
    );
    let mut room = HeadRoom::new();
    let head = RequestHead::parse(text.as_bytes(), &mut room).expect("valid");
    let ours = ["superchat".to_owned(), "chat".to_owned()];
    let accepted = accept(&head, &ours, Some(KEPT)).expect("valid");
    assert_eq!(accepted.subprotocol.as_deref(), Some("superchat"));
    assert_eq!(
        accepted.deflate.map(|params| params.server_max_window_bits),
        Some(15)
    );
    let mut out = b"before".to_vec();
    accepted.write(&mut out);
    let expected = "\r\nSec-WebSocket-Protocol: superchat\r\n\
                    Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15\r\n\r\n";
    assert!(out.starts_with(b"beforeHTTP/1.1 101") && out.ends_with(expected.as_bytes()));
}

/// The status of this refusal, whose error is `expected`.
fn refused(start: &str, fields: &[&str], expected: HandshakeError) -> u16 {
    let text = request(start, fields);
    let error = refusal(&text);
    assert_eq!(error, expected, "{text}");
    assert!(error.sentence().ends_with('.') && error.to_string() == error.sentence());
    error.status()
}

#[test]
fn the_method_is_get() {
    for method in ["POST", "get", "HEAD", "PUT", "OPTIONS"] {
        let start = format!("{method} / HTTP/1.1");
        assert_eq!(
            refused(&start, &[UPGRADE, KEY, VERSION], HandshakeError::Method),
            405
        );
    }
    assert_eq!(HandshakeError::Method.headers(), [("Allow", "GET")]);
}

#[test]
fn http_is_1_1() {
    let start = "GET / HTTP/1.0";
    assert_eq!(
        refused(start, &[UPGRADE, KEY, VERSION], HandshakeError::HttpVersion),
        400
    );
}

#[test]
fn there_is_a_host() {
    let empty = format!("GET / HTTP/1.1\r\nHost:\r\n{UPGRADE}{KEY}{VERSION}\r\n");
    assert_eq!(refusal(&empty), HandshakeError::Host);
    let missing = format!("GET / HTTP/1.1\r\n{UPGRADE}{KEY}{VERSION}\r\n");
    assert_eq!(
        RequestHead::parse(missing.as_bytes(), &mut HeadRoom::new()).expect_err("no Host"),
        HttpError::Host
    );
}

#[test]
fn upgrade_has_websocket_and_connection_has_upgrade() {
    let get = "GET / HTTP/1.1";
    for upgrade in [
        "",
        "Upgrade: h2c\r\n",
        "Upgrade: websockets\r\n",
        "Upgrade:\r\n",
    ] {
        let fields = ["Connection: Upgrade\r\n", upgrade, KEY, VERSION];
        assert_eq!(refused(get, &fields, HandshakeError::Upgrade), 426);
    }
    for connection in ["", "Connection: close\r\n", "Connection: upgrades, x\r\n"] {
        let fields = ["Upgrade: websocket\r\n", connection, KEY, VERSION];
        assert_eq!(refused(get, &fields, HandshakeError::Connection), 400);
    }
}

#[test]
fn version_and_key_stand_there_once() {
    let get = "GET / HTTP/1.1";
    assert_eq!(refused(get, &[UPGRADE, KEY], HandshakeError::Version), 426);
    let twice = [UPGRADE, KEY, VERSION, VERSION];
    assert_eq!(refused(get, &twice, HandshakeError::VersionRepeated), 400);
    assert_eq!(refused(get, &[UPGRADE, VERSION], HandshakeError::Key), 400);
    assert_eq!(
        refused(get, &[UPGRADE, VERSION, KEY, KEY], HandshakeError::Key),
        400
    );
}

#[test]
fn the_version_is_exactly_13() {
    for bad in [
        "8", "0", "14", "013", "+13", "13, 8", "13,13", "1 3", "", "255", "abc",
    ] {
        let version = format!("Sec-WebSocket-Version: {bad}\r\n");
        let error = refusal(&request("GET / HTTP/1.1", &[UPGRADE, KEY, &version]));
        assert_eq!(error, HandshakeError::Version, "{bad}");
        assert!(error.headers().contains(&("Sec-WebSocket-Version", "13")));
        assert!(error.headers().contains(&("Upgrade", "websocket")));
    }
}

/// Smuggling (0ang3el): POST with `Upgrade`, or with a body, through a proxy that tunnels anyway.
#[test]
fn an_upgrade_with_another_method_or_a_body_is_refused() {
    let post = request(
        "POST / HTTP/1.1",
        &[UPGRADE, KEY, VERSION, "Content-Length: 3\r\n"],
    );
    assert_eq!(refusal(&post), HandshakeError::Method);
    for fields in [
        "Content-Length: 1\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Content-Length: +0\r\n",
        "Content-Length: 0\r\nContent-Length: 0\r\n",
    ] {
        assert_eq!(refusal(&valid(fields)), HandshakeError::Body, "{fields}");
    }
}

#[test]
fn a_bad_key_is_refused() {
    for key in [
        "",
        "x",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25jZQ==, x",
    ] {
        let key = format!("Sec-WebSocket-Key: {key}\r\n");
        let text = request("GET / HTTP/1.1", &[UPGRADE, VERSION, &key]);
        assert_eq!(refusal(&text), HandshakeError::Key, "{text}");
    }
}

#[test]
fn the_server_prefers_among_what_the_client_asks_for() {
    let chosen = |lines: &str, ours: &[&str]| -> Option<String> {
        let text = answer(&valid(lines), ours).expect(lines);
        let (_, after) = text.split_once("Sec-WebSocket-Protocol: ")?;
        after.split_once("\r\n").map(|(name, _)| name.to_owned())
    };
    let both = "Sec-WebSocket-Protocol: a, b\r\n";
    assert_eq!(chosen(both, &["b", "a"]).as_deref(), Some("b"));
    assert_eq!(chosen(both, &["c", "a"]).as_deref(), Some("a"));
    assert_eq!(chosen(both, &["A", "ab"]), None, "names have a case");
    assert_eq!(chosen(both, &[]), None);
    assert_eq!(chosen("", &["a"]), None);
    let lines = "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: ,b,\r\n";
    assert_eq!(chosen(lines, &["b"]).as_deref(), Some("b"));
}

#[test]
fn a_bad_list_of_subprotocols_is_refused() {
    let many: String = (0..=SUBPROTOCOLS_OFFERED_MAX)
        .map(|n| format!("p{n},"))
        .collect();
    for value in [
        "",
        ",",
        "a, a",
        "a b",
        "a/b",
        "\"a\"",
        "a;b",
        "\u{e9}",
        many.as_str(),
    ] {
        let text = valid(&format!("Sec-WebSocket-Protocol: {value}\r\n"));
        assert_eq!(refusal(&text), HandshakeError::Subprotocol, "{value}");
    }
    let twice = valid("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n");
    assert_eq!(refusal(&twice), HandshakeError::Subprotocol);
    let most: String = (0..SUBPROTOCOLS_OFFERED_MAX)
        .map(|n| format!("p{n},"))
        .collect();
    assert!(answer(&valid(&format!("Sec-WebSocket-Protocol: {most}\r\n")), &[]).is_ok());
}

/// ws CVE-2021-32640: spaces in `Sec-WebSocket-Protocol`, as many as a head can hold and far more.
#[test]
fn spaces_and_commas_cost_linear_time() {
    for unit in [" ", ",", ", ", "\t"] {
        for name in ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"] {
            let filling = unit.repeat(200_000 / unit.len());
            let text = valid(&format!("{name}: a{filling}b\r\n"));
            let begin = std::time::Instant::now();
            let _ = answer(&text, &["a"]);
            assert!(begin.elapsed().as_secs() < 5, "{name} {unit:?}");
        }
    }
}

/// undici CVE-2026-1527: only configured subprotocols are echoed, and nothing else that a peer sent.
#[test]
fn nothing_of_the_peer_is_echoed() {
    let injected = valid("Sec-WebSocket-Protocol: chat\rX: y\r\n");
    assert_eq!(
        RequestHead::parse(injected.as_bytes(), &mut HeadRoom::new()).expect_err("a bare CR"),
        HttpError::Field
    );
    let text = valid(
        "Origin: http://peer-origin\r\nSec-WebSocket-Protocol: peer-protocol\r\n\
         Sec-WebSocket-Extensions: peer-extension, permessage-deflate; peer-parameter\r\n",
    );
    assert_eq!(answer(&text, &["chat"]).as_deref(), Ok(PLAIN));
}

/// undici CVE-2026-2229: names such as `constructor` are ignored, garbage is 400.
#[test]
fn extensions_are_ignored_declined_or_refused() {
    let with = |value: &str| {
        answer(
            &valid(&format!("Sec-WebSocket-Extensions: {value}\r\n")),
            &[],
        )
    };
    for value in [
        "constructor",
        "toString; valueOf=1",
        "permessage-deflate; server_max_window_bits=07",
        "",
    ] {
        assert_eq!(with(value).as_deref(), Ok(PLAIN), "{value}");
    }
    for value in [
        "permessage-deflate;",
        "a b",
        "permessage-deflate; x=\"",
        "=",
        "{}",
    ] {
        assert_eq!(with(value), Err(HandshakeError::Extensions), "{value}");
    }
}

#[test]
fn compression_can_be_off() {
    let text = valid("Sec-WebSocket-Extensions: permessage-deflate\r\n");
    let mut room = HeadRoom::new();
    let head = RequestHead::parse(text.as_bytes(), &mut room).expect("valid");
    assert_eq!(accept(&head, &[], None).expect("valid").deflate, None);
}

#[test]
fn is_upgrade_looks_at_the_upgrade_field_alone() {
    for (fields, expected) in [
        ("Upgrade: WebSocket\r\n", true),
        ("Upgrade: foo, websocket\r\n", true),
        ("Connection: Upgrade\r\n", false),
        ("Upgrade: websocket/13\r\n", false),
    ] {
        let text = request("POST / HTTP/1.0", &[fields]);
        let mut room = HeadRoom::new();
        let head = RequestHead::parse(text.as_bytes(), &mut room).expect("valid");
        assert_eq!(is_upgrade(&head), expected, "{fields}");
    }
}
