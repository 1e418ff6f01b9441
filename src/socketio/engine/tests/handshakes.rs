//! Requests, right and wrong.

use super::*;
use crate::socketio::engine::handshake::Request;

fn read<'q>(method: &str, query: &'q str, is_upgrade: bool) -> Result<Request<'q>, Refusal> {
    Request::read(method, query, is_upgrade)
}

#[test]
fn requests_are_told_apart() {
    let polling = "EIO=4&transport=polling";
    let websocket = "EIO=4&transport=websocket";
    let with = |query: &str| format!("{query}&sid=a%2Bb&t=x&b64=1");
    let sid = || Cow::Borrowed("a+b");
    assert_eq!(
        read("GET", polling, false),
        Ok(Request::Open(Transport::Polling))
    );
    assert_eq!(
        read("GET", websocket, true),
        Ok(Request::Open(Transport::WebSocket))
    );
    assert_eq!(read("GET", &with(polling), false), Ok(Request::Poll(sid())));
    assert_eq!(
        read("POST", &with(polling), false),
        Ok(Request::Post(sid()))
    );
    assert_eq!(
        read("GET", &with(websocket), true),
        Ok(Request::Upgrade(sid()))
    );
    let empty = "sid=&EIO=4&transport=polling";
    assert_eq!(
        read("GET", empty, false),
        Ok(Request::Open(Transport::Polling))
    );
}

#[test]
fn wrong_requests_are_refused() {
    use Refusal::*;
    for (method, query, is_upgrade, refusal) in [
        ("GET", "", false, UnknownTransport),
        ("GET", "EIO=4", false, UnknownTransport),
        (
            "GET",
            "EIO=4&transport=webtransport",
            false,
            UnknownTransport,
        ),
        ("GET", "EIO=4&transport=Polling", false, UnknownTransport),
        (
            "GET",
            "EIO=4&transport=constructor",
            false,
            UnknownTransport,
        ),
        ("POST", "EIO=4&transport=polling", false, BadHandshakeMethod),
        (
            "OPTIONS",
            "EIO=4&transport=polling",
            false,
            BadHandshakeMethod,
        ),
        (
            "POST",
            "EIO=3&transport=websocket",
            true,
            BadHandshakeMethod,
        ),
        ("GET", "EIO=4&transport=websocket", false, BadRequest),
        ("GET", "EIO=4&transport=polling", true, BadRequest),
        ("GET", "EIO=4&transport=websocket&sid=a", false, BadRequest),
        ("GET", "EIO=4&transport=polling&sid=a", true, BadRequest),
        ("PUT", "EIO=4&transport=polling&sid=a", false, BadRequest),
        ("POST", "EIO=4&transport=websocket&sid=a", true, BadRequest),
        ("GET", "transport=polling", false, UnsupportedVersion),
        ("GET", "EIO=3&transport=polling", false, UnsupportedVersion),
        ("GET", "EIO=04&transport=polling", false, UnsupportedVersion),
        ("GET", "EIO=4&EIO=4&transport=polling", false, BadRequest),
        (
            "GET",
            "EIO=4&transport=polling&transport=websocket",
            false,
            BadRequest,
        ),
        (
            "GET",
            "EIO=4&transport=polling&sid=a&sid=b",
            false,
            BadRequest,
        ),
    ] {
        assert_eq!(
            read(method, query, is_upgrade),
            Err(refusal),
            "{method} {query}"
        );
    }
}

/// A session of one version that goes on in another killed the process.
#[test]
fn cve_2022_21676_the_version_cannot_change_in_a_session() {
    for (query, is_upgrade) in [
        ("EIO=3&transport=websocket&sid=a", true),
        ("transport=websocket&sid=a", true),
        ("EIO=3&transport=polling&sid=a", false),
    ] {
        let refused = read("GET", query, is_upgrade);
        assert_eq!(refused, Err(Refusal::UnsupportedVersion), "{query}");
    }
}

#[test]
fn a_sid_is_a_name_like_any_other() {
    let query = "EIO=4&transport=polling&sid=__proto__&__proto__=1&constructor";
    let sid = Cow::Borrowed("__proto__");
    assert_eq!(read("GET", query, false), Ok(Request::Poll(sid)));
}

#[test]
fn refusals_are_what_clients_know() {
    for (refusal, status, body) in [
        (
            Refusal::UnknownTransport,
            400,
            r#"{"code":0,"message":"Transport unknown"}"#,
        ),
        (
            Refusal::UnknownSession,
            400,
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            Refusal::BadHandshakeMethod,
            400,
            r#"{"code":2,"message":"Bad handshake method"}"#,
        ),
        (
            Refusal::BadRequest,
            400,
            r#"{"code":3,"message":"Bad request"}"#,
        ),
        (
            Refusal::Forbidden,
            403,
            r#"{"code":4,"message":"Forbidden"}"#,
        ),
        (
            Refusal::UnsupportedVersion,
            400,
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ),
    ] {
        assert_eq!(refusal.status(), status);
        assert_eq!(refusal.body(), body.as_bytes());
    }
    let own = Refusal::Forbidden.body_saying("not \"you\"");
    assert_eq!(own, br#"{"code":4,"message":"not \"you\""}"#);
}

#[test]
fn the_open_packet_tells_what_was_configured() {
    let (mut session, _) = Session::open("a\"b", Transport::Polling, NOW, &CONFIG);
    assert_eq!(
        body(&mut session),
        r#"0{"sid":"a\"b","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000}"#
    );
    let config = Config {
        allows_upgrades: false,
        ..CONFIG
    };
    let (mut session, _) = Session::open("a", Transport::Polling, NOW, &config);
    assert!(body(&mut session).contains(r#""upgrades":[]"#));
}
