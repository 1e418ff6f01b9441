//! Tokens of clients: where they are shown, what they let their bearer do, how they end.

mod common;

use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::client::Client;
use common::frame;
use common::gateway::Member;
use common::server::{Server, ServerBuilder};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

const SECRET: &str = "a secret of the tests";

fn builder() -> ServerBuilder {
    Server::builder()
        .env("WORKERS", 2)
        .env("JWT_SECRET", SECRET)
        .env("JWT_LEEWAY", "0s")
        .env("LOG_LEVEL", "debug")
}

fn seconds_from_now(seconds: f64) -> f64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    now.as_secs_f64() + seconds
}

/// A token of ann's, good for `seconds`, with further claims.
fn token(seconds: f64, more: &Value) -> String {
    let mut claims = json!({ "sub": "ann", "exp": seconds_from_now(seconds) });
    let all = claims.as_object_mut().expect("an object");
    all.extend(more.as_object().expect("an object").clone());
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .expect("a token")
}

fn bearing(server: &Server, token: &str) -> Member {
    let mut client = server.connect();
    client.upgrade(&format!("/?token={token}"));
    Member { client }
}

fn code(told: &Value) -> &str {
    assert_eq!(told["type"], "error", "{told}");
    told["code"].as_str().expect("a code")
}

#[test]
fn a_token_is_shown_in_one_of_three_places() {
    let server = builder().env("SUBPROTOCOLS", "tide.v1").start();
    let good = token(60.0, &json!({}));
    let bearer = format!("Bearer {good}");
    let subprotocol = format!("tide.v1, bearer.{good}");
    let query = format!("/?a=b&token={good}");
    for (path, headers) in [
        ("/", vec![("Authorization", bearer.as_str())]),
        (query.as_str(), vec![]),
        ("/", vec![("Sec-WebSocket-Protocol", subprotocol.as_str())]),
        ("/ws?a=b", vec![("authorization", bearer.as_str())]),
    ] {
        let mut client = server.connect();
        let answer = client.upgrade_with(path, &headers);
        let agreed = answer.header("sec-websocket-protocol");
        assert!(matches!(agreed, None | Some("tide.v1")), "{agreed:?}");
        if path != "/ws?a=b" {
            let mut member = Member { client };
            let told = member.ask(&json!({ "type": "register" }));
            assert_eq!(
                (&told["type"], &told["userId"]),
                (&json!("registered"), &json!("ann"))
            );
        }
    }
    assert!(!server.log().text().contains(&good), "a token in the log");
}

#[test]
fn without_a_good_token_there_is_no_connection() {
    let server = builder().start();
    let refused = |path: &str, headers: &[(&str, &str)]| {
        let mut client: Client = server.connect();
        let answer = client.handshake(path, headers);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        client.expect_eof();
        (answer.status, answer.text().to_owned())
    };
    let forged = {
        let claims = json!({ "sub": "ann", "exp": seconds_from_now(60.0) });
        encode(
            &Header::default(),
            &claims,
            &EncodingKey::from_secret(b"another"),
        )
        .expect("a token")
    };
    let (status, sentence) = refused("/", &[]);
    assert!(status == 401 && sentence.contains("token"), "{sentence}");
    for bad in [
        forged,
        token(-1.0, &json!({})),
        token(60.0, &json!({ "nbf": seconds_from_now(60.0) })),
        "nonsense".to_owned(),
        String::new(),
    ] {
        for path in ["/", "/ws", "/broadcast"] {
            assert_eq!(refused(&format!("{path}?token={bad}"), &[]).0, 401);
        }
        let header = format!("Bearer {bad}");
        assert_eq!(refused("/", &[("Authorization", &header)]).0, 401);
    }
    // Where none is needed, a wrong one is still wrong.
    let open = builder().env("AUTH_REQUIRED", "off").start();
    assert_eq!(open.connect().handshake("/?token=x", &[]).status, 401);
    let mut nobody = Member::connect(&open);
    let told = nobody.ask(&json!({ "type": "register", "userId": "ann" }));
    assert_eq!(code(&told), "not-authenticated");
    let told = nobody.ask(&json!({ "type": "auth", "token": token(60.0, &json!({})), "id": 1 }));
    assert_eq!(
        (&told["type"], &told["userId"]),
        (&json!("authenticated"), &json!("ann"))
    );
}

#[test]
fn a_token_is_of_a_user_whom_others_can_name() {
    let server = builder().env("AUTH_REQUIRED", "off").start();
    let mut nobody = Member::connect(&server);
    for sub in [String::new(), "a\u{7}".to_owned(), "a".repeat(129)] {
        let token = token(60.0, &json!({ "sub": sub }));
        let path = format!("/?token={token}");
        let answer = server.connect().handshake(&path, &[]);
        assert_eq!(answer.status, 401);
        assert!(answer.text().contains("`sub`"), "{}", answer.text());
        let told = nobody.ask(&json!({ "type": "auth", "token": token }));
        assert_eq!(code(&told), "bad-token", "{told}");
    }
    let longest = token(60.0, &json!({ "sub": "a".repeat(128) }));
    bearing(&server, &longest).expect_silence();
}

#[test]
fn a_token_says_who_its_bearer_is_and_what_that_may() {
    let server = builder().env("CLIENT_BROADCAST", "on").start();
    let claims = json!({ "rooms": ["lobby", "team-*"], "publish": false, "broadcast": false });
    let mut ann = bearing(&server, &token(60.0, &claims));
    let told = ann.ask(&json!({ "type": "register", "userId": "bob" }));
    assert_eq!(code(&told), "already-registered");
    ann.join("lobby");
    ann.join("team-7");
    for message in [
        json!({ "type": "join", "room": "vault" }),
        json!({ "type": "publish", "room": "lobby", "event": "e" }),
        json!({ "type": "broadcast", "event": "e" }),
    ] {
        assert_eq!(code(&ann.ask(&message)), "forbidden", "{message}");
    }
    // Another token of the same user's may let it do more; one of somebody else is refused.
    let told = ann.ask(&json!({ "type": "auth", "token": token(60.0, &json!({})) }));
    assert_eq!(told["type"], "authenticated");
    ann.join("vault");
    let other = token(60.0, &json!({ "sub": "bob" }));
    assert_eq!(
        code(&ann.ask(&json!({ "type": "auth", "token": other }))),
        "already-registered"
    );
    assert_eq!(
        code(&ann.ask(&json!({ "type": "auth", "token": "x" }))),
        "bad-token"
    );
    assert_eq!(code(&ann.ask(&json!({ "type": "auth" }))), "missing-field");
    let plain = Server::start();
    let mut nobody = Member::connect(&plain);
    assert_eq!(
        code(&nobody.ask(&json!({ "type": "auth", "token": "x" }))),
        "bad-token"
    );
}

#[test]
fn a_connection_ends_with_its_token_unless_it_shows_another() {
    // Long enough for every handshake on a loaded machine.
    const SECONDS: f64 = 4.0;
    let server = builder().start();
    let begun = Instant::now();
    let mut refreshed = bearing(&server, &token(SECONDS, &json!({})));
    let told = refreshed.ask(&json!({ "type": "auth", "token": token(60.0, &json!({})) }));
    assert_eq!(told["type"], "authenticated");
    let mut echo = server.connect();
    echo.upgrade(&format!("/ws?token={}", token(SECONDS, &json!({}))));
    let mut ann = bearing(&server, &token(SECONDS, &json!({})));
    ann.expect_silence();
    for client in [&mut ann.client, &mut echo] {
        assert_eq!(client.expect_close(4401), "the token has expired");
        client.send_bytes(&frame::close(4401, ""));
        client.expect_eof();
    }
    // Their tokens were the later ones: the first token of the other has ended as well.
    assert!(begun.elapsed() >= Duration::from_secs_f64(SECONDS));
    refreshed.expect_silence();
}

#[test]
fn the_settings_limit_the_connections_of_a_user_with_a_token_too() {
    let server = builder().env("MAX_CONNECTIONS_PER_USER", 1).start();
    let mut first = bearing(&server, &token(60.0, &json!({})));
    first.expect_silence();
    let mut second = server.connect();
    second.upgrade(&format!("/?token={}", token(60.0, &json!({}))));
    assert_eq!(
        second.expect_close(1008),
        "the user has all the connections it may have"
    );
    first.expect_silence();
}

#[test]
fn a_minted_token_is_believed() {
    let server = builder().start();
    let mint = |arguments: &[&str], secret: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg("token").args(arguments).env_clear();
        command.current_dir(server.directory());
        command.envs(secret.map(|secret| ("JWT_SECRET", secret)));
        command.output().expect("the binary runs")
    };
    let output = mint(
        &["ann", "--room", "lobby", "--expires-in", "1m"],
        Some(SECRET),
    );
    assert!(output.status.success());
    let token = String::from_utf8(output.stdout).expect("text");
    let mut ann = bearing(&server, token.trim());
    ann.join("lobby");
    assert_eq!(
        code(&ann.ask(&json!({ "type": "join", "room": "vault" }))),
        "forbidden"
    );
    for (arguments, secret) in [
        (&["ann"][..], None),
        (&["ann", "--private-key", "/nowhere.pem"], Some(SECRET)),
        (&["ann", "--expires-in", "soon"], Some(SECRET)),
        (&[], Some(SECRET)),
    ] {
        let output = mint(arguments, secret);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}
