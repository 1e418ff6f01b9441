use super::*;
use crate::http::head::{HeadRoom, RequestHead};
use crate::http::scanner::HeadScanner;
use crate::websocket::handshake::{DeflatePolicy, accept};

const REQUEST: ClientRequest<'static> = ClientRequest {
    host: "localhost:3000",
    target: "/ws?x",
    key: *b"the sample nonce",
    origin: None,
    subprotocols: &[],
    deflate: None,
    headers: &[],
};

fn full() -> ClientRequest<'static> {
    ClientRequest {
        origin: Some("http://localhost"),
        subprotocols: &["chat", "superchat"],
        deflate: Some(DeflateOffer::default()),
        headers: &[("Authorization", "Bearer x"), ("X-Y", "z")],
        ..REQUEST
    }
}

fn written(request: &ClientRequest<'_>) -> String {
    let mut out = Vec::new();
    request.write(&mut out).expect("valid");
    String::from_utf8(out).expect("text")
}

/// A valid response with these lines besides.
fn response(fields: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{fields}\r\n"
    )
}

#[test]
fn writes_the_request_of_the_rfc() {
    assert_eq!(
        written(&full()),
        "GET /ws?x HTTP/1.1\r\nHost: localhost:3000\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Origin: http://localhost\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
         Authorization: Bearer x\r\nX-Y: z\r\n\r\n"
    );
}

/// Nothing of a request that would break the head is written.
fn refuses(expected: InvalidRequest, change: impl FnOnce(&mut ClientRequest<'static>)) {
    let mut request = REQUEST;
    change(&mut request);
    let mut out = Vec::new();
    assert_eq!(request.write(&mut out), Err(expected), "{request:?}");
    assert!(out.is_empty() && !expected.to_string().is_empty());
}

#[test]
fn what_would_break_the_head_is_not_written() {
    for host in ["", "a\r\nX: y", "a b"] {
        refuses(InvalidRequest::Host, |request| request.host = host);
    }
    for target in ["", "ws", "/a b", "/a\r\n", "/a#b", "/\u{e9}"] {
        refuses(InvalidRequest::Target, |request| request.target = target);
    }
    refuses(InvalidRequest::Header, |request| {
        request.origin = Some("a\nb");
    });
    refuses(InvalidRequest::Header, |request| {
        request.headers = &[("a b", "c")];
    });
    refuses(InvalidRequest::Header, |request| {
        request.headers = &[("a", "c\r\nd: e")];
    });
    refuses(InvalidRequest::Subprotocol, |request| {
        request.subprotocols = &["a,b"];
    });
    refuses(InvalidRequest::Subprotocol, |request| {
        request.subprotocols = &[""];
    });
}

#[test]
fn valid_responses_establish() {
    let plain = Established {
        deflate: None,
        subprotocol: None,
    };
    assert_eq!(REQUEST.verify(response("").as_bytes()), Ok(plain));
    let established = full()
        .verify(
            response(
                "Sec-WebSocket-Protocol: superchat\r\n\
                 Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10\r\n",
            )
            .as_bytes(),
        )
        .expect("valid");
    assert_eq!(established.subprotocol, Some("superchat"));
    assert_eq!(
        established
            .deflate
            .map(|params| params.client_max_window_bits),
        Some(10)
    );
}

#[test]
fn every_check_of_the_client_has_its_refusal() {
    let good = response("");
    for (text, expected) in [
        (
            good.replace("HTTP/1.1 101", "HTTP/1.1 200"),
            ResponseError::Status(200),
        ),
        (
            good.replace("HTTP/1.1 101", "HTTP/1.0 403"),
            ResponseError::Status(403),
        ),
        (
            good.replace("HTTP/1.1", "HTTP/1.0"),
            ResponseError::HttpVersion,
        ),
        (
            good.replace("HTTP/1.1", "HTTP/2.0"),
            ResponseError::Head(HttpError::BadRequest),
        ),
        (
            good.replace("Upgrade: WebSocket", "Upgrade: h2c"),
            ResponseError::Upgrade,
        ),
        (
            good.replace("Connection: upgrade", "Connection: close"),
            ResponseError::Connection,
        ),
        (good.replace("s3pP", "S3pP"), ResponseError::Accept),
        (
            good.replace("Sec-WebSocket-Accept", "X"),
            ResponseError::Accept,
        ),
        (
            response("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            ResponseError::Accept,
        ),
        (
            response("Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            ResponseError::Extensions,
        ),
        (
            response("Sec-WebSocket-Protocol: chat\r\n"),
            ResponseError::Subprotocol,
        ),
    ] {
        assert_eq!(REQUEST.verify(text.as_bytes()), Err(expected), "{text}");
        assert!(!expected.to_string().is_empty());
    }
    for fields in [
        "Sec-WebSocket-Protocol: other\r\n",
        "Sec-WebSocket-Protocol: chat, superchat\r\n",
        "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n",
        "Sec-WebSocket-Protocol:\r\n",
    ] {
        let result = full().verify(response(fields).as_bytes());
        assert_eq!(result, Err(ResponseError::Subprotocol), "{fields}");
    }
}

/// Our two sides agree with each other, whatever is offered and allowed.
#[test]
fn client_and_server_agree() {
    let windows = [None, Some(9), Some(12), Some(15)];
    for (server_max_window_bits, client_max_window_bits) in windows
        .iter()
        .flat_map(|&server| windows.iter().map(move |&client| (server, client)))
    {
        for flags in 0..8u8 {
            let offer = DeflateOffer {
                server_no_context_takeover: flags & 1 != 0,
                client_no_context_takeover: flags & 2 != 0,
                server_max_window_bits,
                client_max_window_bits,
            };
            let request = ClientRequest {
                deflate: Some(offer),
                ..full()
            };
            for window_bits_max in [9, 11, 15] {
                let context_takeover = flags & 4 != 0;
                let policy = DeflatePolicy {
                    context_takeover,
                    window_bits_max,
                };
                let text = written(&request);
                let mut room = HeadRoom::new();
                let head = RequestHead::parse(text.as_bytes(), &mut room).expect("valid");
                let ours = ["superchat".to_owned()];
                let accepted = accept(&head, &ours, Some(policy)).expect("valid");
                let mut out = Vec::new();
                accepted.write(&mut out);
                assert_eq!(HeadScanner::response().scan(&out), Ok(Some(out.len())));
                let established = request.verify(&out).expect("a valid answer");
                assert_eq!(
                    established.deflate, accepted.deflate,
                    "{offer:?} {policy:?}"
                );
                assert_eq!(established.subprotocol, accepted.subprotocol.as_deref());
            }
        }
    }
}
