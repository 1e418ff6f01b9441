//! What must hold for any bytes that come as an opening handshake, to the server and to the client: what is accepted
//! is answered with one well-formed 101 that carries nothing of the peer, and our two sides agree with each other.

use tidegate::auth::origin::OriginPolicy;
use tidegate::http::forwarded::TrustedProxies;
use tidegate::http::head::{HeadRoom, HeadScanner, RequestHead};
use tidegate::http::response_head::ResponseHead;
use tidegate::websocket::handshake::{
    ClientRequest, DeflateOffer, DeflatePolicy, HandshakeError, accept, is_upgrade,
};

/// The first three bytes choose policy and offer, the rest is what arrives.
pub fn check(data: &[u8]) {
    let Some((&[policy, flags, windows], bytes)) = data.split_first_chunk() else {
        return;
    };
    let policy = (policy & 1 == 0).then_some(DeflatePolicy {
        context_takeover: policy & 2 != 0,
        window_bits_max: window(policy >> 2),
    });
    let offer = (flags & 1 == 0).then_some(DeflateOffer {
        server_no_context_takeover: flags & 2 != 0,
        client_no_context_takeover: flags & 4 != 0,
        server_max_window_bits: (flags & 8 != 0).then_some(window(windows)),
        client_max_window_bits: (flags & 16 != 0).then_some(window(windows >> 4)),
    });
    check_server(bytes, policy);
    check_client(bytes, policy, offer);
    check_origin(bytes);
}

/// 9 to 15.
fn window(bits: u8) -> u8 {
    9 + bits % 7
}

fn ours() -> Vec<String> {
    vec!["chat".to_owned(), "v2.chat".to_owned()]
}

fn check_server(bytes: &[u8], policy: Option<DeflatePolicy>) {
    let Ok(Some(length)) = HeadScanner::default().scan(bytes) else {
        return;
    };
    let mut room = HeadRoom::new();
    let Ok(head) = RequestHead::parse(&bytes[..length], &mut room) else {
        return;
    };
    let ours = ours();
    let accepted = match accept(&head, &ours, policy) {
        Ok(accepted) => accepted,
        Err(error) => return check_refusal(error),
    };
    assert!(head.method == "GET" && head.minor_version() == 1 && is_upgrade(&head));
    assert!(accepted.deflate.is_none() || policy.is_some());
    if let (Some(params), Some(policy)) = (accepted.deflate, policy) {
        assert!((9..=policy.window_bits_max).contains(&params.server_max_window_bits));
        assert!((8..=15).contains(&params.client_max_window_bits));
        assert!(policy.context_takeover || params.server_no_context_takeover);
        assert!(policy.context_takeover || params.client_no_context_takeover);
    }
    let mut out = Vec::new();
    accepted.write(&mut out);
    let mut room = HeadRoom::new();
    let answer = ResponseHead::parse(&out, &mut room).expect("a well-formed answer");
    assert_eq!(answer.status, 101);
    let chosen = answer.header("sec-websocket-protocol");
    assert_eq!(chosen, accepted.subprotocol.as_deref().map(str::as_bytes));
    assert!(chosen.is_none_or(|chosen| ours.iter().any(|name| name.as_bytes() == chosen)));
    let is_compressed = answer.header("sec-websocket-extensions").is_some();
    assert_eq!(is_compressed, accepted.deflate.is_some());
}

fn check_refusal(error: HandshakeError) {
    assert!(matches!(error.status(), 400 | 405 | 426));
    assert!(!error.sentence().is_empty());
}

fn check_client(bytes: &[u8], policy: Option<DeflatePolicy>, offer: Option<DeflateOffer>) {
    let request = ClientRequest {
        host: "localhost",
        target: "/",
        key: *b"the sample nonce",
        origin: None,
        subprotocols: &["v2.chat", "other"],
        deflate: offer,
        headers: &[],
    };
    // Any answer at all.
    if let Ok(Some(length)) = HeadScanner::response().scan(bytes)
        && let Ok(established) = request.verify(&bytes[..length])
    {
        assert!(established.deflate.is_none() || offer.is_some());
        assert!(
            established
                .subprotocol
                .is_none_or(|name| request.subprotocols.contains(&name))
        );
    }
    // Our own answer to what we offer.
    let mut sent = Vec::new();
    request.write(&mut sent).expect("a valid request");
    assert_eq!(HeadScanner::default().scan(&sent), Ok(Some(sent.len())));
    let mut room = HeadRoom::new();
    let head = RequestHead::parse(&sent, &mut room).expect("a valid request");
    let ours = ours();
    let accepted = accept(&head, &ours, policy).expect("a valid request");
    let mut out = Vec::new();
    accepted.write(&mut out);
    let established = request.verify(&out).expect("an answer to the offer");
    assert_eq!(established.deflate, accepted.deflate);
    assert_eq!(established.subprotocol, Some("v2.chat"));
    // A target of any bytes is written whole or refused: never a second line.
    if let Ok(text) = str::from_utf8(bytes) {
        let odd = ClientRequest {
            target: text,
            host: text,
            origin: Some(text),
            ..request
        };
        assert!(odd.write(&mut Vec::new()).is_err() || !text.contains(['\r', '\n']));
    }
}

fn check_origin(bytes: &[u8]) {
    let exact = OriginPolicy::parse(["https://example.com"]).expect("valid");
    let below = OriginPolicy::parse(["https://*.example.com"]).expect("valid");
    if exact.allows(Some(bytes)) {
        let lower = bytes.to_ascii_lowercase();
        assert!(lower == b"https://example.com" || lower == b"https://example.com:443");
    }
    if below.allows(Some(bytes)) {
        let lower = bytes.to_ascii_lowercase();
        let host = lower.strip_prefix(b"https://").expect("the scheme");
        let host = host.strip_suffix(b":443").unwrap_or(host);
        assert!(host.ends_with(b".example.com") && host.len() > b".example.com".len());
        assert!(
            host.iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        );
    }
    if let Ok(text) = str::from_utf8(bytes) {
        let _ = OriginPolicy::parse(text.split(','));
        let _ = TrustedProxies::parse(text.split(','));
    }
    let trusted = TrustedProxies::parse(["10.0.0.0/8"]).expect("valid");
    let peer = std::net::IpAddr::from([203, 0, 113, 9]);
    assert_eq!(trusted.client_address(peer, [bytes].into_iter()), peer);
    let proxy = std::net::IpAddr::from([10, 0, 0, 1]);
    let _ = trusted.client_address(proxy, [bytes, bytes].into_iter());
}
