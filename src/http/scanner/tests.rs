use super::*;

/// The result of feeding `bytes` in pieces of `step`.
fn scan_in_steps(
    bytes: &[u8],
    step: usize,
    make: fn() -> HeadScanner,
) -> Result<Option<usize>, HttpError> {
    let mut scanner = make();
    let mut end = 0;
    while end < bytes.len() {
        end = (end + step).min(bytes.len());
        match scanner.scan(&bytes[..end]) {
            Ok(None) => {}
            result => return result,
        }
    }
    Ok(None)
}

/// The result, the same for every cut.
fn scan(bytes: &[u8]) -> Result<Option<usize>, HttpError> {
    let whole = HeadScanner::default().scan(bytes);
    for step in [1, 2, 3, 7, 100] {
        assert_eq!(
            scan_in_steps(bytes, step, HeadScanner::default),
            whole,
            "{step}"
        );
    }
    whole
}

const HEAD: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";

#[test]
fn gives_the_length_and_ignores_what_follows() {
    assert_eq!(scan(HEAD.as_bytes()), Ok(Some(HEAD.len())));
    let with_frame = [HEAD.as_bytes(), &[0x81, 0x80, 0, b'\n', 1, 2]].concat();
    assert_eq!(scan(&with_frame), Ok(Some(HEAD.len())));
    assert_eq!(scan(b"GET / HTTP/1.0\r\n\r\n"), Ok(Some(18)));
}

#[test]
fn every_prefix_wants_more() {
    for end in 0..HEAD.len() {
        assert_eq!(scan(&HEAD.as_bytes()[..end]), Ok(None), "{end}");
    }
}

#[test]
fn a_few_empty_lines_in_front_are_passed_over() {
    let head = format!("{}{HEAD}", "\r\n".repeat(LEADING_EMPTY_LINES_MAX));
    assert_eq!(scan(head.as_bytes()), Ok(Some(head.len())));
    assert_eq!(
        scan(format!("\r\n{head}").as_bytes()),
        Err(HttpError::BadRequest)
    );
    let endless = "\r\n".repeat(10_000);
    assert_eq!(scan(endless.as_bytes()), Err(HttpError::BadRequest));
}

#[test]
fn a_bare_line_feed_is_refused() {
    for bad in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "\nGET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
    ] {
        assert_eq!(scan(bad.as_bytes()), Err(HttpError::LineEnd), "{bad:?}");
    }
}

#[test]
fn a_bare_carriage_return_is_refused() {
    for bad in [
        "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\n\rX",
        "\r\r\n",
        "GET /\r HTTP/1.1",
    ] {
        assert_eq!(scan(bad.as_bytes()), Err(HttpError::LineEnd), "{bad:?}");
    }
}

/// The first byte that shows it is enough: nothing waits for a deadline.
#[test]
fn garbage_is_refused_at_once() {
    for bad in [
        &[0x16, 0x03, 0x01, 0x02, 0x00][..], // TLS ClientHello
        &[0x16],
        b" GET",
        b"GET\t/",
        b"\0",
        b"{\"type\"",
        b"SSH-2.0-x(",
        b"GET /\x01",
        b"GET /\xc3\xa9",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG",
        b"GET / HTTP/1.1 \r\n",
        b"GET /a b HTTP/1.1\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET /\r\n",
        b"GET\r\n",
        b"GET / http/1.1\r\n",
        b"GET / HTTP/1.11\r\n",
        b"GET / HTTP/11\r\n",
    ] {
        assert_eq!(scan(bad), Err(HttpError::BadRequest), "{bad:?}");
    }
}

#[test]
fn other_versions_are_told_apart() {
    for bad in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/0.9\r\n",
        "GET / HTTP/1.2\r\n",
        "GET / HTTP/3.0\r\n",
    ] {
        assert_eq!(scan(bad.as_bytes()), Err(HttpError::Version), "{bad:?}");
    }
}

#[test]
fn control_bytes_and_folded_lines_in_fields_are_refused_at_once() {
    for bad in [
        "X: a\0",
        "X: \x7f",
        "X: \x1b[0m",
        "X: a\r\n ",
        "X: a\r\n\tb",
        " X",
        ": v",
        "(x",
    ] {
        let head = format!("GET / HTTP/1.1\r\n{bad}");
        assert_eq!(scan(head.as_bytes()), Err(HttpError::Field), "{bad:?}");
    }
    assert_eq!(scan("GET / HTTP/1.1\r\nX: \té".as_bytes()), Ok(None));
}

#[test]
fn a_head_of_8_kib_is_the_longest() {
    let head_of = |length: usize| {
        let fixed = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(length - fixed)
        )
    };
    let longest = head_of(HEAD_BYTES_MAX);
    assert_eq!(scan(longest.as_bytes()), Ok(Some(HEAD_BYTES_MAX)));
    assert_eq!(
        scan(head_of(HEAD_BYTES_MAX + 1).as_bytes()),
        Err(HttpError::HeadTooLarge)
    );
    // As soon as the end can no longer come in time, not a byte later.
    assert_eq!(scan(&longest.as_bytes()[..HEAD_BYTES_MAX - 1]), Ok(None));
    let endless = format!("GET /{}", "x".repeat(HEAD_BYTES_MAX));
    assert_eq!(
        scan(&endless.as_bytes()[..HEAD_BYTES_MAX]),
        Err(HttpError::HeadTooLarge)
    );
}

/// ws CVE-2024-37890: 2,000 short headers.
#[test]
fn the_65th_field_is_refused() {
    let head_of = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a:\r\n".repeat(count));
    assert!(matches!(scan(head_of(HEADERS_MAX).as_bytes()), Ok(Some(_))));
    assert_eq!(
        scan(head_of(HEADERS_MAX + 1).as_bytes()),
        Err(HttpError::TooManyHeaders)
    );
    assert_eq!(
        scan(head_of(2_000).as_bytes()),
        Err(HttpError::TooManyHeaders)
    );
    assert_eq!(HttpError::TooManyHeaders.status(), 431);
}

/// tungstenite RUSTSEC-2023-0065: a megabyte header that trickles in, parsed again on each read.
#[test]
fn a_trickled_megabyte_ends_at_the_cap() {
    let mut scanner = HeadScanner::default();
    let mut bytes = b"GET / HTTP/1.1\r\nX: ".to_vec();
    while scanner.scan(&bytes).is_ok() {
        assert!(bytes.len() < 1_000_000, "never refused");
        bytes.push(b'x');
    }
    assert_eq!(bytes.len(), HEAD_BYTES_MAX);
    assert_eq!(scanner.scan(&bytes), Err(HttpError::HeadTooLarge));
}

/// What was looked at is never looked at again: the scanner cannot see a change behind its position.
#[test]
fn work_is_linear_in_the_bytes() {
    let mut scanner = HeadScanner::default();
    let mut bytes = b"GET / HTTP/1.1\r\nX: aaaaaaaaaaaaaaaa".to_vec();
    assert_eq!(scanner.scan(&bytes), Ok(None));
    let seen = bytes.len();
    bytes[..seen].fill(0);
    bytes.extend_from_slice(b"bbb\r\n\r\n");
    assert_eq!(scanner.scan(&bytes), Ok(Some(bytes.len())));
}

#[test]
fn responses_have_their_own_start_line() {
    let scan = |bytes: &[u8]| {
        let whole = HeadScanner::response().scan(bytes);
        for step in [1, 2, 5] {
            assert_eq!(scan_in_steps(bytes, step, HeadScanner::response), whole);
        }
        whole
    };
    let head = b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n\x81\x00";
    assert_eq!(scan(head), Ok(Some(head.len() - 2)));
    assert_eq!(scan(b"HTTP/1"), Ok(None));
    for bad in [
        &b"HTTP/2"[..],
        b"H2",
        b"\r\n",
        b"HTTP\r\n",
        b"GET",
        b"HTTP/1.1 200 \0",
    ] {
        assert_eq!(scan(bad), Err(HttpError::BadRequest), "{bad:?}");
    }
    assert_eq!(scan(b"HTTP/1.1 200 OK\n"), Err(HttpError::LineEnd));
}
