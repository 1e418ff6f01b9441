//! Responses: one status line, few headers, a body (RFC 9112 section 4).

/// What a request that waits with its body is told (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A response that is complete in memory.
#[derive(Debug, Clone, Default)]
pub struct Response<'a> {
    /// Status code, 200 to 599: 100 is [`CONTINUE`], and a 101 is written by the opening handshake of `websocket` alone.
    pub status: u16,
    /// `Content-Type`; none where empty.
    pub content_type: &'a str,
    /// Further headers, trusted: never a value that a peer sent.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; `Content-Length` is always sent, except with 204 and 304, which have no body.
    pub body: &'a [u8],
    /// Announces `Connection: close` where false, `keep-alive` where true (which HTTP/1.0 needs to hear).
    pub keep_alive: bool,
    /// Answers a HEAD: length of the body without the body.
    pub head_only: bool,
    /// IMF-fixdate for `Date`; left out where empty.
    pub date: &'a str,
}

impl Response<'_> {
    /// Appends the response to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        debug_assert!(
            (200..=599).contains(&self.status),
            "an interim response has its own writer"
        );
        let has_body = !matches!(self.status, 204 | 304);
        out.extend_from_slice(b"HTTP/1.1 ");
        write_decimal(usize::from(self.status), out);
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        if !self.date.is_empty() {
            write_field("Date", self.date, out);
        }
        if !self.content_type.is_empty() {
            write_field("Content-Type", self.content_type, out);
        }
        if has_body {
            out.extend_from_slice(b"Content-Length: ");
            write_decimal(self.body.len(), out);
            out.extend_from_slice(b"\r\n");
        }
        for &(name, value) in self.headers {
            write_field(name, value, out);
        }
        write_field(
            "Connection",
            if self.keep_alive {
                "keep-alive"
            } else {
                "close"
            },
            out,
        );
        out.extend_from_slice(b"\r\n");
        if has_body && !self.head_only {
            out.extend_from_slice(self.body);
        }
    }
}

/// The reason phrase of a status code; `Unknown` for one that this server never sends by itself.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

fn write_field(name: &str, value: &str, out: &mut Vec<u8>) {
    debug_assert!(
        super::grammar::is_token(name.as_bytes())
            && super::grammar::is_field_content(value.as_bytes()),
        "a header that would break the response: {name}: {value}"
    );
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `u64::MAX` has 20 digits.
fn write_decimal(value: usize, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(response: &Response<'_>) -> String {
        let mut out = Vec::new();
        response.write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn writes_everything_in_order() {
        let text = written(&Response {
            status: 405,
            content_type: "text/plain",
            headers: &[("Allow", "GET"), ("Vary", "Origin")],
            body: b"no\n",
            keep_alive: false,
            head_only: false,
            date: "Sun, 06 Nov 1994 08:49:37 GMT",
        });
        assert_eq!(
            text,
            "HTTP/1.1 405 Method Not Allowed\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Type: text/plain\r\nContent-Length: 3\r\nAllow: GET\r\nVary: Origin\r\n\
             Connection: close\r\n\r\nno\n"
        );
    }

    #[test]
    fn an_empty_body_still_has_its_length() {
        let text = written(&Response {
            status: 200,
            keep_alive: true,
            ..Response::default()
        });
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"
        );
    }

    #[test]
    fn head_gets_the_length_without_the_body() {
        let body = vec![b'x'; 12_345];
        let text = written(&Response {
            status: 200,
            body: &body,
            head_only: true,
            ..Response::default()
        });
        assert!(text.contains("\r\nContent-Length: 12345\r\n"));
        assert!(text.ends_with("\r\n\r\n"));
    }

    #[test]
    fn statuses_without_body_have_no_length() {
        for status in [204, 304] {
            let text = written(&Response {
                status,
                body: b"x",
                ..Response::default()
            });
            assert!(
                !text.contains("Content-Length") && text.ends_with("\r\n\r\n"),
                "{text}"
            );
        }
    }

    #[test]
    fn writing_appends() {
        let mut out = CONTINUE.to_vec();
        Response {
            status: 204,
            ..Response::default()
        }
        .write(&mut out);
        assert!(out.starts_with(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n"));
    }

    #[test]
    fn every_status_of_ours_has_its_phrase() {
        for status in [
            100, 101, 200, 204, 400, 401, 403, 404, 405, 408, 413, 417, 426, 429, 431, 500, 501,
            503, 505,
        ] {
            assert_ne!(reason(status), "Unknown", "{status}");
        }
        assert_eq!(reason(299), "Unknown");
    }

    #[test]
    fn decimals() {
        for value in [0, 9, 10, 4096, usize::MAX] {
            let mut out = Vec::new();
            write_decimal(value, &mut out);
            assert_eq!(out, value.to_string().into_bytes());
        }
    }

    #[test]
    #[should_panic(expected = "would break the response")]
    #[cfg(debug_assertions)]
    fn a_value_with_a_line_end_is_a_bug_of_the_caller() {
        written(&Response {
            status: 200,
            headers: &[("X", "a\r\nb: c")],
            ..Response::default()
        });
    }
}
