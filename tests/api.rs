//! The HTTP API: what back ends push, see and do, and how they are refused.

mod common;

use common::client::Client;
use common::eventually;
use common::frame;
use common::gateway::{API_KEY, Member, builder, call, json_of, look, on_one_and_on_three, post};
use common::server::Server;
use serde_json::{Value, json};

const KEY: (&str, &str) = ("X-API-Key", API_KEY);

#[test]
fn messages_are_pushed_to_users_rooms_and_everyone() {
    on_one_and_on_three(|server| {
        let mut ann = [Member::of(server, "ann"), Member::of(server, "ann")];
        let mut bob = Member::of(server, "bob");
        ann[0].join("harbour");
        bob.join("harbour");
        bob.join("mole");
        let mut backend = server.connect();
        let mut push = |path: &str, body: Value| {
            let (status, told) = call(&mut backend, path, &body);
            assert_eq!(status, 200, "{told}");
            told
        };
        let told = push(
            "/api/send-to-user",
            json!({ "userId": "ann", "message": [1], "type": "t" }),
        );
        assert_eq!(
            told,
            json!({ "success": true, "delivered": 2, "userId": "ann" })
        );
        let told = push(
            "/api/message",
            json!({ "userId": "ann", "event": "e", "data": { "a": 1 } }),
        );
        assert_eq!(told["delivered"], 2);
        for one in &mut ann {
            assert_eq!(one.read_timeless(), json!({ "type": "t", "message": [1] }));
            let expected = json!({ "type": "message", "event": "e", "data": { "a": 1 } });
            assert_eq!(one.read_timeless(), expected);
        }
        let told = push("/api/publish", json!({ "room": "harbour", "event": "e" }));
        assert_eq!(told, json!({ "success": true, "delivered": 2 }));
        let several = json!({ "rooms": ["harbour", "mole", "desert"], "event": "e", "data": 2 });
        assert_eq!(push("/api/publish", several)["delivered"], 3);
        assert_eq!(
            push("/api/broadcast", json!({ "event": "b", "data": 3 }))["delivered"],
            3
        );
        let room =
            |room, data| json!({ "type": "message", "room": room, "event": "e", "data": data });
        let everyone = json!({ "type": "broadcast", "event": "b", "data": 3 });
        for expected in [
            room("harbour", json!(null)),
            room("harbour", json!(2)),
            everyone.clone(),
        ] {
            assert_eq!(ann[0].read_timeless(), expected);
        }
        assert_eq!(ann[1].read_timeless(), everyone);
        for expected in [
            room("harbour", json!(null)),
            room("harbour", json!(2)),
            room("mole", json!(2)),
            everyone,
        ] {
            assert_eq!(bob.read_timeless(), expected);
        }
        let told = push("/api/message", json!({ "userId": "nobody", "event": "e" }));
        assert_eq!(told["delivered"], 0);
    });
}

#[test]
fn a_batch_is_done_in_order_and_tells_of_each() {
    let server = builder(2).start();
    let mut ann = Member::of(&server, "ann");
    let calls = json!({ "calls": [
        { "message": { "userId": "ann", "event": "1" } },
        { "publish": { "room": "", "event": "2" } },
        { "broadcast": { "event": "3" } },
        { "sendToUser": { "userId": "eve", "message": 4 } },
    ] });
    let (status, told) = call(&mut server.connect(), "/api/batch", &calls);
    assert_eq!(status, 200);
    assert_eq!(
        told["results"][0],
        json!({ "success": true, "delivered": 1, "userId": "ann" })
    );
    assert_eq!(told["results"][1]["status"], 422);
    assert_eq!(told["results"][2]["delivered"], 1);
    assert_eq!(told["results"][3]["delivered"], 0);
    assert_eq!(ann.read()["event"], "1");
    assert_eq!(ann.read()["event"], "3");
}

#[test]
fn a_back_end_sees_and_moves_and_closes_connections() {
    on_one_and_on_three(|server| {
        let mut ann = [Member::of(server, "ann"), Member::of(server, "ann")];
        let mut backend = server.connect();
        let (status, told) = call(
            &mut backend,
            "/api/join",
            &json!({ "userId": "ann", "room": "a/b ü" }),
        );
        assert_eq!(
            (status, told),
            (200, json!({ "success": true, "connections": 2 }))
        );
        let (_, room) = look(&mut backend, "/api/rooms/a%2Fb%20%C3%BC");
        let users = json!([{ "userId": "ann", "connections": 2 }]);
        assert_eq!(
            room,
            json!({ "room": "a/b ü", "connections": 2, "users": users })
        );
        let (_, rooms) = look(&mut backend, "/api/rooms?prefix=a");
        let rooms_expected = json!([{ "room": "a/b ü", "connections": 2 }]);
        assert_eq!(rooms, json!({ "rooms": rooms_expected, "hasMore": false }));
        let (_, user) = look(&mut backend, "/api/users/ann");
        assert_eq!(
            (&user["userId"], &user["online"]),
            (&json!("ann"), &json!(true))
        );
        let connections = user["connections"].as_array().expect("a list");
        assert_eq!(connections.len(), 2);
        assert_eq!(connections[0]["rooms"], json!(["a/b ü"]));
        assert!(
            connections[0]["address"]
                .as_str()
                .is_some_and(|text| text.starts_with("127.0.0.1:"))
        );
        let id = connections[0]["connectionId"]
            .as_str()
            .expect("an id")
            .to_owned();
        let leave = json!({ "connectionId": id, "room": "a/b ü" });
        assert_eq!(call(&mut backend, "/api/leave", &leave).1["connections"], 1);
        assert_eq!(call(&mut backend, "/api/leave", &leave).1["connections"], 0);
        let (_, room) = look(&mut backend, "/api/rooms/a%2Fb%20%C3%BC");
        assert_eq!(room["connections"], 1);
        let close = json!({ "userId": "ann", "code": 4000, "reason": "signed out" });
        assert_eq!(
            call(&mut backend, "/api/disconnect", &close).1["connections"],
            2
        );
        for one in &mut ann {
            assert_eq!(one.client.expect_close(4000), "signed out");
        }
        let (_, user) = look(&mut backend, "/api/users/ann");
        assert_eq!(
            user,
            json!({ "userId": "ann", "online": false, "connections": [] })
        );
        for absent in [
            json!({ "userId": "ann" }),
            json!({ "connectionId": "200-1.1" }),
        ] {
            assert_eq!(
                call(&mut backend, "/api/disconnect", &absent).1["connections"],
                0
            );
        }
    });
}

#[test]
fn what_the_server_is_can_be_seen() {
    let server = builder(2).start();
    let _ann = Member::of(&server, "ann");
    let _echo = server.websocket("/ws");
    let mut client = server.connect();
    let health = client.get("/api/health");
    assert_eq!(health.status, 200);
    let health = json_of(&health);
    assert_eq!(
        (&health["status"], &health["activeConnections"]),
        (&json!("ok"), &json!(3))
    );
    assert!(health["maxConnections"].as_u64() > Some(100) && health["uptime"].is_f64());
    let (_, status) = look(&mut client, "/api/status");
    assert_eq!(
        (&status["workers"], &status["broker"]),
        (&json!(2), &json!("in-process"))
    );
    assert_eq!(
        status["totals"],
        json!({ "connections": 3, "users": 1, "rooms": 0 })
    );
    let (_, connections) = look(&mut client, "/api/connections");
    assert_eq!(connections["activeConnections"], 3);
    let (_, stats) = look(&mut client, "/api/stats/connections");
    assert_eq!(
        stats["endpoints"],
        json!({ "echo": 1, "broadcast": 0, "gateway": 1, "socketio": 0, "engineio-echo": 0, "dashboard": 0 })
    );
    assert_eq!(stats["transports"], json!({ "websocket": 2, "http": 1 }));
    let workers = stats["workers"].as_array().expect("a list");
    let sum: u64 = workers
        .iter()
        .filter_map(|worker| worker["connections"].as_u64())
        .sum();
    assert_eq!((workers.len(), sum), (2, 3));
    let (_, redis) = look(&mut client, "/api/redis-info");
    assert_eq!(redis["localConnections"], 3);
    let document = json_of(&client.get("/api/openapi.json"));
    assert_eq!(document["openapi"], "3.1.0");
    client.request("HEAD", "/api/health", &[]);
    assert_eq!(client.read_response_to_head().status, 200);
}

#[test]
fn without_a_key_nothing_is_told_and_nothing_done() {
    let keyless = Server::start();
    let mut client = keyless.connect();
    let (status, problem) = look(&mut client, "/api/status");
    assert_eq!(status, 403);
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|text| text.contains("API_KEY")),
        "{problem}"
    );
    assert_eq!(client.get("/api/health").status, 200);
    let server = builder(1).start();
    let mut client = server.connect();
    for headers in [
        vec![],
        vec![("X-API-Key", "wrong key")],
        vec![("Authorization", "Basic x")],
    ] {
        client.request("GET", "/api/status", &headers);
        let response = client.read_response();
        assert_eq!(response.status, 401, "{headers:?}");
        assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json")
        );
    }
    let bearer = format!("bearer {API_KEY}");
    client.request("GET", "/api/status", &[("Authorization", &bearer)]);
    assert_eq!(client.read_response().status, 200);
    assert!(!server.log().text().contains(API_KEY));
}

#[test]
fn bad_calls_are_refused_by_what_is_wrong() {
    let server = builder(1).env("MAX_MESSAGE_SIZE", "64k").start();
    let refused = |path: &str, headers: &[(&str, &str)], body: &str| {
        let mut all = vec![KEY];
        all.extend_from_slice(headers);
        let response = post(&mut server.connect(), path, &all, body);
        let problem = json_of(&response);
        assert_eq!(problem["status"], response.status);
        assert!(
            problem["detail"].is_string() && problem["title"].is_string(),
            "{problem}"
        );
        response.status
    };
    let long = "x".repeat(129);
    for (path, body, status) in [
        ("/api/message", "{", 400),
        ("/api/message", "", 400),
        ("/api/message", "{\"userId\":\"a\",\"event\":\"e\"}x", 400),
        ("/api/message", "[]", 422),
        ("/api/message", "{\"userId\":\"a\"}", 422),
        ("/api/message", "{\"userId\":7,\"event\":\"e\"}", 422),
        ("/api/message", "{\"userId\":\"\",\"event\":\"e\"}", 422),
        (
            "/api/message",
            "{\"userId\":\"a\",\"event\":\"e\",\"more\":1}",
            422,
        ),
        ("/api/publish", "{\"event\":\"e\"}", 422),
        (
            "/api/publish",
            "{\"room\":\"a\",\"rooms\":[],\"event\":\"e\"}",
            422,
        ),
        ("/api/join", "{\"room\":\"a\"}", 422),
        (
            "/api/join",
            "{\"room\":\"a\",\"userId\":\"u\",\"connectionId\":\"0-0.0\"}",
            422,
        ),
        ("/api/disconnect", "{\"connectionId\":\"x\"}", 422),
        ("/api/disconnect", "{\"userId\":\"a\",\"code\":1005}", 422),
        ("/api/nothing", "{}", 404),
        ("/api/status", "{}", 405),
    ] {
        assert_eq!(refused(path, &[], body), status, "{path} {body}");
    }
    let body = format!("{{\"userId\":\"{long}\",\"event\":\"e\"}}");
    assert_eq!(refused("/api/message", &[], &body), 422);
    let deep = format!(
        "{{\"userId\":\"a\",\"event\":\"e\",\"data\":{}",
        "[".repeat(50_000)
    );
    assert_eq!(refused("/api/message", &[], &deep), 400);
    assert_eq!(refused("/api/message", &[], &"x".repeat(200_000)), 413);
    let mut client = server.connect();
    let headers = [KEY, ("Content-Type", "text/plain"), ("Content-Length", "2")];
    client.request("POST", "/api/message", &headers);
    assert_eq!(client.read_response().status, 415);
    let mut client = server.connect();
    client.request("DELETE", "/api/rooms/a", &[KEY]);
    let response = client.read_response();
    assert_eq!(
        (response.status, response.header("allow")),
        (405, Some("GET, HEAD, OPTIONS"))
    );
}

#[test]
fn bodies_come_in_pieces_in_chunks_and_after_a_word() {
    let server = builder(1).start();
    let body = json!({ "userId": "ann", "event": "e" }).to_string();
    let head = |more: &str| {
        format!(
            "POST /api/message HTTP/1.1\r\nHost: x\r\nX-API-Key: {API_KEY}\r\n\
             Content-Type: application/json; charset=utf-8\r\n{more}\r\n"
        )
    };
    let length = format!("Content-Length: {}\r\n", body.len());
    let mut client = server.connect();
    for byte in format!("{}{body}", head(&length)).bytes() {
        client.send_bytes(&[byte]);
    }
    assert_eq!(client.read_response().status, 200);
    let (front, back) = body.split_at(7);
    let chunks = format!(
        "7\r\n{front}\r\n{:x};x=y\r\n{back}\r\n0\r\nA: b\r\n\r\n",
        back.len()
    );
    let chunked = head("Transfer-Encoding: chunked\r\n");
    // Two requests at once, and one behind them.
    let twice = format!("{chunked}{chunks}").repeat(2);
    client.send_bytes(format!("{twice}{}{body}", head(&length)).as_bytes());
    for _ in 0..3 {
        assert_eq!(client.read_response().status, 200);
    }
    client.send_bytes(head(&format!("{length}Expect: 100-continue\r\n")).as_bytes());
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    while client.buffered().len() < go_on.len() {
        client.read_some(64);
    }
    assert_eq!(client.take_buffered(), go_on);
    client.send_bytes(body.as_bytes());
    assert_eq!(client.read_response().status, 200);
    let broken = "zz\r\n";
    client.send_bytes(format!("{chunked}{broken}").as_bytes());
    assert_eq!(client.read_response().status, 400);
    client.expect_eof();
}

#[test]
fn requests_behind_one_that_asks_the_workers_wait_for_it() {
    let server = builder(3).start();
    let _members: Vec<_> = (0..3).map(|_| Member::of(&server, "ann")).collect();
    let get =
        |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {API_KEY}\r\n\r\n");
    let mut client = server.connect();
    let both = get("/api/users/ann") + &get("/api/health");
    client.send_bytes(both.repeat(50).as_bytes());
    for _ in 0..50 {
        let user = json_of(&client.read_response());
        assert_eq!(user["connections"].as_array().map(Vec::len), Some(3));
        assert_eq!(json_of(&client.read_response())["status"], "ok");
    }
    // Who ends its direction still gets the answer.
    client.send_bytes(get("/api/users/ann").as_bytes());
    client.shutdown_write();
    assert_eq!(json_of(&client.read_response())["online"], true);
    client.expect_eof();
}

#[test]
fn a_call_with_a_key_of_its_own_is_done_once() {
    let server = builder(2).start();
    let mut ann = Member::of(&server, "ann");
    let push = |key: &str, body: &Value| {
        let headers = [KEY, ("Idempotency-Key", key)];
        post(
            &mut server.connect(),
            "/api/message",
            &headers,
            &body.to_string(),
        )
    };
    let body = json!({ "userId": "ann", "event": "e", "data": 1 });
    let first = push("k1", &body);
    let again = push("k1", &body);
    assert_eq!((first.status, again.status), (200, 200));
    assert_eq!(first.body, again.body);
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(ann.read()["data"], 1);
    ann.expect_silence();
    let other = json!({ "userId": "ann", "event": "e", "data": 2 });
    assert_eq!(push("k1", &other).status, 422);
    assert_eq!(push(&"k".repeat(256), &other).status, 400);
    assert_eq!(push("k2", &json!({ "userId": "ann" })).status, 422);
    assert_eq!(
        push("k2", &other).status,
        200,
        "what was refused has not been done"
    );
    assert_eq!(ann.read()["data"], 2);
    // Also where workers have to be asked.
    let close = json!({ "userId": "ann" }).to_string();
    for replayed in [None, Some("true")] {
        let headers = [KEY, ("Idempotency-Key", "k3")];
        let response = post(&mut server.connect(), "/api/disconnect", &headers, &close);
        assert_eq!(json_of(&response)["connections"], 1);
        assert_eq!(response.header("idempotency-replayed"), replayed);
    }
    assert_eq!(ann.client.expect_close(1000), "");
}

#[test]
fn scripts_of_allowed_origins_may_read_answers() {
    let any = builder(1).start();
    let mut client = any.connect();
    let origin = ("Origin", "https://app.example.com");
    client.request("GET", "/api/status", &[KEY, origin]);
    let response = client.read_response();
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    let preflight = [origin, ("Access-Control-Request-Method", "POST")];
    client.request("OPTIONS", "/api/publish", &preflight);
    let response = client.read_response();
    assert_eq!(response.status, 204);
    assert_eq!(
        response.header("access-control-allow-methods"),
        Some("POST, OPTIONS")
    );
    let allowed = response
        .header("access-control-allow-headers")
        .expect("headers");
    assert!(allowed.contains("Idempotency-Key") && allowed.contains("X-API-Key"));
    client.request("OPTIONS", "/api/nothing", &preflight);
    assert_eq!(client.read_response().status, 404);
    let some = builder(1)
        .env("CORS_ORIGIN", "https://*.example.com")
        .start();
    let mut client = some.connect();
    client.request("GET", "/api/health", &[origin]);
    let response = client.read_response();
    assert_eq!(
        response.header("access-control-allow-origin"),
        Some(origin.1)
    );
    assert_eq!(response.header("vary"), Some("Origin"));
    for other in [
        "https://example.org",
        "null",
        "https://app.example.com.evil.org",
    ] {
        client.request("GET", "/api/health", &[("Origin", other)]);
        let response = client.read_response();
        assert_eq!(
            response.header("access-control-allow-origin"),
            None,
            "{other}"
        );
    }
}

#[test]
fn a_call_that_does_not_end_costs_its_sender_alone() {
    let server = builder(1).env("HANDSHAKE_TIMEOUT", "3s").start();
    let mut slow = server.connect();
    let head = format!(
        "POST /api/message HTTP/1.1\r\nHost: x\r\nX-API-Key: {API_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    slow.send_bytes(head.as_bytes());
    let answer = slow.read_response();
    assert_eq!(answer.status, 408);
    slow.expect_eof();
    let before = server.descriptors();
    for _ in 0..20 {
        let mut client: Client = server.connect();
        client.send_bytes(head.as_bytes());
        client.reset();
    }
    eventually("descriptors are given back", || {
        server.descriptors() <= before
    });
    let mut member = Member::of(&server, "ann");
    member
        .client
        .send_bytes(&frame::text("{\"type\":\"ping\"}"));
    assert_eq!(member.read()["type"], "pong");
}
