//! Requests that are refused, each with its name and the status that it gets.

use super::common::client::KEY;

/// Name, bytes, status.
pub(crate) type Row = (&'static str, Vec<u8>, u16);

/// The beginning of a TLS 1.3 ClientHello.
pub(crate) const CLIENT_HELLO: &[u8] =
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x1f\x8b\xe0\x00\x00\x00\x00\x00\x00";

/// A head with `Host`, from its first line on.
fn head(first: &str, fields: &[&str]) -> Vec<u8> {
    let mut text = format!("{first}\r\nHost: localhost\r\n");
    for field in fields {
        text.extend([*field, "\r\n"]);
    }
    (text + "\r\n").into_bytes()
}

/// A correct opening handshake with further fields.
pub(crate) fn upgrade(fields: &[&str]) -> Vec<u8> {
    upgrade_by("GET /ws HTTP/1.1", "13", KEY, fields)
}

pub(crate) fn upgrade_by(first: &str, version: &str, key: &str, fields: &[&str]) -> Vec<u8> {
    let version = format!("Sec-WebSocket-Version: {version}");
    let key = format!("Sec-WebSocket-Key: {key}");
    let mut all = vec!["Upgrade: websocket", "Connection: Upgrade", &version, &key];
    all.extend_from_slice(fields);
    head(first, &all)
}

/// Requests that are refused before anyone looks at what they ask for.
pub(crate) fn malformed_requests() -> Vec<Row> {
    [oversized_heads(), unclear_bodies(), broken_heads()].concat()
}

fn health(fields: &[&str]) -> Vec<u8> {
    head("GET /health HTTP/1.1", fields)
}

fn oversized_heads() -> Vec<Row> {
    let many = |count| vec!["A: b"; count];
    let spaces = format!("Sec-WebSocket-Protocol: {}", " ".repeat(16 * 1024));
    let long = format!("Cookie: {}", "x".repeat(8 * 1024));
    vec![
        ("2,000 headers", health(&many(2_000)), 431),
        ("65 headers", health(&many(64)), 431),
        ("a head over 8 KiB", health(&[&long]), 431),
        ("16 KiB of spaces", upgrade(&[&spaces]), 431),
    ]
}

/// What requests are smuggled with: bodies whose end can be read in two ways.
fn unclear_bodies() -> Vec<Row> {
    const LENGTH: &str = "Content-Length: 5";
    const CODING: &str = "Transfer-Encoding: chunked";
    let fields: [(&str, &[&str]); 15] = [
        ("a signed length", &["Content-Length: +5"]),
        ("a negative length", &["Content-Length: -1"]),
        ("a list of lengths", &["Content-Length: 5, 5"]),
        ("a hexadecimal length", &["Content-Length: 0x5"]),
        ("an empty length", &["Content-Length:"]),
        (
            "a length over 2^64",
            &["Content-Length: 18446744073709551616"],
        ),
        ("two lengths", &[LENGTH, LENGTH]),
        ("a length beside a coding", &[LENGTH, CODING]),
        ("a coding beside a length", &[CODING, LENGTH]),
        ("a second coding", &["Transfer-Encoding: gzip, chunked"]),
        ("a coding twice", &["Transfer-Encoding: chunked, chunked"]),
        ("two coding fields", &[CODING, CODING]),
        ("an unknown coding", &["Transfer-Encoding: identity"]),
        ("a vertical tab", &["Transfer-Encoding: \x0bchunked"]),
        ("a space before the colon", &["Content-Length : 5"]),
    ];
    let rows = fields
        .into_iter()
        .map(|(name, fields)| (name, health(fields), 400));
    let old = (
        "a coding in HTTP/1.0",
        head("GET /health HTTP/1.0", &[CODING]),
        400,
    );
    rows.chain([old]).collect()
}

fn broken_heads() -> Vec<Row> {
    let raw = |text: &[u8]| text.to_vec();
    vec![
        ("a folded line", health(&["A: b", " c"]), 400),
        ("a NUL", health(&["A: b\0c"]), 400),
        ("a lone CR", health(&["A: b\rC: d"]), 400),
        (
            "bare LF",
            raw(b"GET /health HTTP/1.1\nHost: localhost\n\n"),
            400,
        ),
        ("no Host", raw(b"GET /health HTTP/1.1\r\n\r\n"), 400),
        ("two Hosts", health(&["Host: other"]), 400),
        (
            "a target that is none",
            head("GET health HTTP/1.1", &[]),
            400,
        ),
        ("garbage", raw(b"\x00\xff\xfe garbage \r\n\r\n"), 400),
        ("a TLS ClientHello", raw(CLIENT_HELLO), 400),
        ("HTTP/2", raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505),
    ]
}

/// Opening handshakes that break a rule, and requests for what is not there.
pub(crate) fn refused_upgrades() -> Vec<Row> {
    [wrong_upgrades(), wrong_fields(), wrong_requests()].concat()
}

fn wrong_upgrades() -> Vec<Row> {
    const GET: &str = "GET /ws HTTP/1.1";
    let by = |first: &str, fields: &[&str]| upgrade_by(first, "13", KEY, fields);
    let body = "Content-Length: 40";
    let second_key = format!("Sec-WebSocket-Key: {KEY}");
    vec![
        ("another version", upgrade_by(GET, "12", KEY, &[]), 426),
        ("an odd version", upgrade_by(GET, "1777x", KEY, &[]), 426),
        ("two versions", upgrade(&["Sec-WebSocket-Version: 13"]), 400),
        ("POST with Upgrade", by("POST /ws HTTP/1.1", &[]), 405),
        ("POST with a body", by("POST /ws HTTP/1.1", &[body]), 405),
        ("GET with a body", upgrade(&[body]), 400),
        (
            "GET with chunks",
            upgrade(&["Transfer-Encoding: chunked"]),
            400,
        ),
        ("HTTP/1.0", by("GET /ws HTTP/1.0", &[]), 400),
        ("a short key", upgrade_by(GET, "13", "c2hvcnQ=", &[]), 400),
        ("two keys", upgrade(&[&second_key]), 400),
        ("no Connection", head(GET, &["Upgrade: websocket"]), 400),
        ("no Upgrade", head(GET, &[]), 426),
        ("HEAD", by("HEAD /ws HTTP/1.1", &[]), 405),
        ("another path", by("GET /nowhere HTTP/1.1", &[]), 404),
        ("POST to /health", by("POST /health HTTP/1.1", &[]), 405),
    ]
}

fn wrong_fields() -> Vec<Row> {
    let fields: [(&str, &str, u16); 5] = [
        (
            "an extension without a name",
            "Sec-WebSocket-Extensions: ; server_max_window_bits=10",
            400,
        ),
        (
            "a quote that does not end",
            "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=\"10",
            400,
        ),
        (
            "a repeated subprotocol",
            "Sec-WebSocket-Protocol: chat, chat",
            400,
        ),
        (
            "a quoted subprotocol",
            "Sec-WebSocket-Protocol: \"chat\"",
            400,
        ),
        (
            "an origin that is not allowed",
            "Origin: https://elsewhere.example",
            403,
        ),
    ];
    let rows = fields.into_iter();
    rows.map(|(name, field, status)| (name, upgrade(&[field]), status))
        .collect()
}

/// Bodies that nobody reads: what they hold is not taken for requests.
fn wrong_requests() -> Vec<Row> {
    let post = |body: &[u8]| {
        let head = head("POST /health HTTP/1.1", &["Transfer-Encoding: chunked"]);
        [&head, body].concat()
    };
    vec![
        ("a chunk over 2^64", post(b"10000000000000000\r\n"), 405),
        ("chunks with bare LF", post(b"5\nhello\n0\n\n"), 405),
        ("a chunk that ends early", post(b"0\r\n\r\n"), 405),
    ]
}
