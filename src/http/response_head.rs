//! The head of a response, for the client side of a handshake (RFC 9112 section 4).

use super::error::HttpError;
use super::fields::{self, Fields, HeadRoom};

/// A response head, borrowed from the bytes that it was parsed from ([`super::scanner::HeadScanner::response`] finds
/// its end).
#[derive(Debug)]
pub struct ResponseHead<'b> {
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase; empty where it is not ASCII.
    pub reason: &'b str,
    minor_version: u8,
    fields: Fields<'b>,
}

impl<'b> ResponseHead<'b> {
    /// Parses one whole head. Its fields are kept in `room`.
    ///
    /// # Errors
    /// What is no HTTP/1.x response, or has too many fields. The status of the error means nothing here.
    pub fn parse(head: &'b [u8], room: &'b mut HeadRoom<'b>) -> Result<Self, HttpError> {
        fields::check_line_ends(head)?;
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            head,
            &mut room.0,
        );
        match parsed {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(HttpError::BadRequest),
            Err(error) => return Err(fields::refusal(error)),
        }
        let (Some(status @ 100..), Some(minor_version)) = (response.code, response.version) else {
            return Err(HttpError::BadRequest);
        };
        let reason = response.reason.unwrap_or_default();
        Ok(Self {
            status,
            reason,
            minor_version,
            fields: Fields(response.headers),
        })
    }

    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub fn minor_version(&self) -> u8 {
        self.minor_version
    }

    /// The first value under `name` (any case), white space trimmed.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.fields.first(name)
    }

    /// All values under `name` (any case), in order.
    pub fn headers<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'b [u8]> + 's {
        self.fields.all(name)
    }

    /// Whether a comma-separated list header contains `token` (any case).
    pub fn list_contains(&self, name: &str, token: &str) -> bool {
        self.fields.list_contains(name, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_status_reason_and_fields() {
        let bytes =
            b"HTTP/1.1 403 Forbidden\r\nContent-Length:  2 \r\nVary: a\r\nvary: b, c\r\n\r\n";
        let mut room = HeadRoom::new();
        let head = ResponseHead::parse(bytes, &mut room).expect("valid");
        assert_eq!(
            (head.status, head.reason, head.minor_version()),
            (403, "Forbidden", 1)
        );
        assert_eq!(head.header("content-length"), Some(&b"2"[..]));
        assert!(head.list_contains("vary", "C"));
        assert_eq!(head.headers("vary").count(), 2);
    }

    #[test]
    fn refuses_what_is_no_response() {
        for bad in [
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 099 x\r\n\r\n",
            "HTTP/1.1 20 x\r\n\r\n",
            "HTTP/1.1 200 OK\n\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nx",
            "HTTP/1.1 200 OK\r\n",
            "GET / HTTP/1.1\r\n\r\n",
        ] {
            assert!(
                ResponseHead::parse(bad.as_bytes(), &mut HeadRoom::new()).is_err(),
                "{bad:?}"
            );
        }
    }
}
