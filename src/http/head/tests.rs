use super::*;
use crate::limits::HEADERS_MAX;

fn error(head: &str) -> HttpError {
    RequestHead::parse(head.as_bytes(), &mut HeadRoom::new())
        .map(|_| ())
        .expect_err(head)
}

/// A GET with these field lines after its Host.
fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn reads_the_parts() {
    let bytes =
        b"GET /ws?a=b?c HTTP/1.1\r\nHost: localhost:3000\r\nX:  one \t\r\nx: two\r\nEmpty:\r\n\r\n";
    let mut room = HeadRoom::new();
    let head = RequestHead::parse(bytes, &mut room).expect("valid");
    assert_eq!((head.method, head.target), ("GET", "/ws?a=b?c"));
    assert_eq!((head.path(), head.query()), ("/ws", Some("a=b?c")));
    assert_eq!(head.minor_version(), 1);
    assert_eq!(head.host(), Some("localhost:3000"));
    assert_eq!(head.header("X"), Some(&b"one"[..]));
    assert_eq!(head.headers("x").collect::<Vec<_>>(), [&b"one"[..], b"two"]);
    assert_eq!(head.header("empty"), Some(&b""[..]));
    assert_eq!(head.header("missing"), None);
    assert!(head.keep_alive());
    assert_eq!(head.body(), Ok(BodyFraming::None));
    assert_eq!(head.expects_continue(), Ok(false));
}

#[test]
fn targets_of_every_form() {
    let mut room = HeadRoom::new();
    let absolute = RequestHead::parse(
        b"GET http://b.example?q HTTP/1.1\r\nHost: a\r\n\r\n",
        &mut room,
    )
    .expect("valid");
    assert_eq!(
        (absolute.path(), absolute.query(), absolute.host()),
        ("/", Some("q"), Some("b.example"))
    );
    let mut room = HeadRoom::new();
    let asterisk =
        RequestHead::parse(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &mut room).expect("valid");
    assert_eq!((asterisk.path(), asterisk.query()), ("*", None));
    assert_eq!(
        error("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
        HttpError::Target
    );
    assert_eq!(
        error("GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        HttpError::Target
    );
    assert_eq!(
        error("GET /#f HTTP/1.1\r\nHost: a\r\n\r\n"),
        HttpError::Target
    );
}

#[test]
fn empty_lines_in_front_are_passed_over() {
    let mut room = HeadRoom::new();
    let head =
        RequestHead::parse(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &mut room).expect("valid");
    assert_eq!(head.method, "GET");
}

#[test]
fn a_head_must_be_whole_and_alone() {
    assert_eq!(
        error("GET / HTTP/1.1\r\nHost: a\r\n"),
        HttpError::BadRequest
    );
    assert_eq!(
        error("GET / HTTP/1.1\r\nHost: a\r\n\r\nx"),
        HttpError::BadRequest
    );
    assert_eq!(error(""), HttpError::BadRequest);
}

/// The parser does not lean on the scanner for what smuggling is made of.
#[test]
fn malformed_heads_are_refused_without_the_scanner_too() {
    for (head, expected) in [
        ("GET / HTTP/1.1\nHost: a\n\n", HttpError::LineEnd),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n",
            HttpError::LineEnd,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
            HttpError::Field,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
            HttpError::Field,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
            HttpError::Field,
        ),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", HttpError::Field),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", HttpError::Field),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", HttpError::Field),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
            HttpError::Field,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
            HttpError::Field,
        ),
        (" / HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::BadRequest),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::BadRequest),
        ("GET HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::BadRequest),
        ("GET / HTTQ/1.1\r\nHost: a\r\n\r\n", HttpError::BadRequest),
        ("PRI * HTTP/2.0\r\n\r\n", HttpError::Version),
        ("\r\nGET / HTTP/1.2\r\nHost: a\r\n\r\n", HttpError::Version),
    ] {
        assert_eq!(error(head), expected, "{head:?}");
    }
}

/// ws CVE-2024-37890.
#[test]
fn more_than_64_fields_are_431() {
    let fields = |count: usize| get(&"a: b\r\n".repeat(count - 1));
    assert!(RequestHead::parse(fields(HEADERS_MAX).as_bytes(), &mut HeadRoom::new()).is_ok());
    assert_eq!(error(&fields(HEADERS_MAX + 1)).status(), 431);
    assert_eq!(error(&fields(2_000)), HttpError::TooManyHeaders);
}

#[test]
fn http_1_1_needs_exactly_one_valid_host() {
    for fields in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a, b\r\n",
        "Host: u@a\r\n",
        "Host: a/x\r\n",
        "Host: \u{e9}\r\n",
    ] {
        assert_eq!(
            error(&format!("GET / HTTP/1.1\r\n{fields}\r\n")),
            HttpError::Host,
            "{fields}"
        );
    }
    assert!(
        RequestHead::parse(b"GET / HTTP/1.1\r\nHost:\r\n\r\n", &mut HeadRoom::new()).is_ok(),
        "no authority to name"
    );
    assert!(RequestHead::parse(b"GET / HTTP/1.0\r\n\r\n", &mut HeadRoom::new()).is_ok());
    assert_eq!(
        error("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
        HttpError::Host
    );
}

#[test]
fn lists_are_searched_in_any_case_over_all_lines() {
    let text = get("Connection: keep-alive,  UpGrade\r\nConnection: x\r\n");
    let mut room = HeadRoom::new();
    let head = RequestHead::parse(text.as_bytes(), &mut room).expect("valid");
    assert!(head.list_contains("connection", "upgrade"));
    assert!(head.list_contains("CONNECTION", "X"));
    assert!(!head.list_contains("connection", "keep"));
    assert!(!head.list_contains("upgrade", "x"));
}

#[test]
fn persistence_follows_version_and_connection() {
    for (version, connection, expected) in [
        (1, "", true),
        (1, "Connection: close\r\n", false),
        (1, "Connection: keep-alive, Close\r\n", false),
        (0, "", false),
        (0, "Connection: Keep-Alive\r\n", true),
        (0, "Connection: keep-alive\r\nConnection: close\r\n", false),
    ] {
        let text = format!("GET / HTTP/1.{version}\r\nHost: a\r\n{connection}\r\n");
        let mut room = HeadRoom::new();
        let head = RequestHead::parse(text.as_bytes(), &mut room).expect("valid");
        assert_eq!(head.keep_alive(), expected, "{text:?}");
    }
}

#[test]
fn lengths() {
    for (fields, expected) in [
        ("Content-Length: 0\r\n", BodyFraming::Length(0)),
        (
            "Content-Length: 18446744073709551615\r\n",
            BodyFraming::Length(u64::MAX),
        ),
        ("Transfer-Encoding: Chunked\r\n", BodyFraming::Chunked),
    ] {
        let text = get(fields);
        assert_eq!(
            RequestHead::parse(text.as_bytes(), &mut HeadRoom::new())
                .expect("valid")
                .body(),
            Ok(expected)
        );
    }
}

/// hyper CVE-2021-32715, -32714, RUSTSEC-2021-0020.
#[test]
fn ambiguous_bodies_are_refused() {
    for (fields, expected) in [
        ("Content-Length: +5\r\n", HttpError::ContentLength),
        ("Content-Length: -1\r\n", HttpError::ContentLength),
        ("Content-Length: 5,5\r\n", HttpError::ContentLength),
        ("Content-Length: 5 5\r\n", HttpError::ContentLength),
        ("Content-Length: 0x5\r\n", HttpError::ContentLength),
        ("Content-Length:\r\n", HttpError::ContentLength),
        (
            "Content-Length: 18446744073709551616\r\n",
            HttpError::ContentLength,
        ),
        (
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            HttpError::ContentLength,
        ),
        (
            "Content-Length: 5\r\ncontent-length: 5\r\n",
            HttpError::ContentLength,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            HttpError::TransferEncoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            HttpError::TransferEncoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            HttpError::TransferEncoding,
        ),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            HttpError::TransferEncoding,
        ),
        (
            "Transfer-Encoding: chunked, chunked\r\n",
            HttpError::TransferEncoding,
        ),
        (
            "Transfer-Encoding: identity\r\n",
            HttpError::TransferEncoding,
        ),
        ("Transfer-Encoding: \x0bchunked\r\n", HttpError::Field),
        (
            "Transfer-Encoding: \"chunked\"\r\n",
            HttpError::TransferEncoding,
        ),
        (
            "Transfer-Encoding: chunked;q=1\r\n",
            HttpError::TransferEncoding,
        ),
        ("Transfer-Encoding:\r\n", HttpError::TransferEncoding),
    ] {
        let text = get(fields);
        let result =
            RequestHead::parse(text.as_bytes(), &mut HeadRoom::new()).and_then(|head| head.body());
        assert_eq!(result, Err(expected), "{fields:?}");
        assert_eq!(expected.status(), 400);
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        RequestHead::parse(old, &mut HeadRoom::new())
            .expect("valid")
            .body(),
        Err(HttpError::TransferEncoding)
    );
}

#[test]
fn expectations() {
    let expects = |version: u8, value: &str| {
        let text = format!("PUT / HTTP/1.{version}\r\nHost: a\r\nExpect: {value}\r\n\r\n");
        RequestHead::parse(text.as_bytes(), &mut HeadRoom::new())
            .expect("valid")
            .expects_continue()
    };
    assert_eq!(expects(1, "100-Continue"), Ok(true));
    assert_eq!(expects(0, "100-continue"), Ok(false));
    assert_eq!(expects(1, "tea"), Err(HttpError::Expectation));
    assert_eq!(expects(1, "100-continue, tea"), Err(HttpError::Expectation));
    assert_eq!(HttpError::Expectation.status(), 417);
}

#[test]
fn every_refusal_has_status_and_sentence() {
    let all = [
        (HttpError::BadRequest, 400),
        (HttpError::LineEnd, 400),
        (HttpError::Target, 400),
        (HttpError::Field, 400),
        (HttpError::Host, 400),
        (HttpError::ContentLength, 400),
        (HttpError::TransferEncoding, 400),
        (HttpError::Chunk, 400),
        (HttpError::BodyTooLarge, 413),
        (HttpError::Expectation, 417),
        (HttpError::HeadTooLarge, 431),
        (HttpError::TooManyHeaders, 431),
        (HttpError::Version, 505),
    ];
    for (error, status) in all {
        assert_eq!(error.status(), status);
        assert!(error.sentence().ends_with('.') && error.to_string() == error.sentence());
        assert_ne!(crate::http::response::reason(status), "Unknown");
    }
}
