//! Events of back ends that Socket.IO clients answer: `POST /api/ask`.

mod common;

use common::client::{Client, Response};
use common::cluster::{Cluster, await_status};
use common::frame;
use common::gateway::{API_KEY, Member, builder, call, json_of, look, on_one_and_on_three, post};
use common::redis::Redis;
use common::server::Server;
use common::socketio::{Polling, Socket};
use serde_json::{Value, json};

/// So long that a call that waits for it fails its test.
const LONG_MS: u64 = 60_000;

/// Begins a call, which waits for clients.
fn begin_with(server: &Server, headers: &[(&str, &str)], body: &Value) -> Client {
    let body = body.to_string();
    let length = body.len().to_string();
    let mut all = vec![
        ("X-API-Key", API_KEY),
        ("Content-Type", "application/json"),
        ("Content-Length", &length),
    ];
    all.extend_from_slice(headers);
    let mut client = server.connect();
    client.request("POST", "/api/ask", &all);
    client.send_bytes(body.as_bytes());
    client
}

fn begin(server: &Server, body: &Value) -> Client {
    begin_with(server, &[], body)
}

/// Its answer, those of clients in the order of their users.
fn end(mut client: Client) -> Value {
    let response = client.read_response();
    assert_eq!(response.status, 200, "{response:?}");
    let mut told = json_of(&response);
    let answers = told["answers"].as_array_mut().expect("answers");
    answers.sort_by_key(|answer| answer["userId"].to_string());
    told
}

/// The answers alone: who, and what.
fn said(told: &Value) -> Vec<(&str, &Value)> {
    let answers = told["answers"].as_array().expect("answers");
    let said = answers.iter().map(|answer| {
        let user = answer["userId"].as_str().expect("a user");
        (user, &answer["data"])
    });
    said.collect()
}

/// The id that the answer to `text` has to carry, and the event with its argument.
fn question(text: &str) -> (String, Value) {
    let text = text.strip_prefix("42").expect("an event");
    let begin = text.find('[').expect("a list");
    let (id, event) = text.split_at(begin);
    assert!(!id.is_empty(), "it wants an answer: {text}");
    (id.to_owned(), serde_json::from_str(event).expect("JSON"))
}

#[test]
fn clients_are_asked_and_their_answers_told() {
    on_one_and_on_three(|server| {
        let mut gina = Member::of(server, "gina");
        gina.join("r");
        let mut ann = Socket::of(server, "ann", "r");
        let bob = Polling::open(server, "/socket.io/");
        assert_eq!(bob.post("40").status, 200);
        assert!(bob.packets(1)[0].starts_with("40{"));
        assert_eq!(bob.post("420[\"register\",\"bob\"]").status, 200);
        assert_eq!(bob.post("421[\"join\",\"r\"]").status, 200);
        assert_eq!(bob.packets(2).len(), 2);

        let body = json!({ "room": "r", "event": "ready", "data": { "pier": [3] } });
        let asked = begin(server, &body);
        let event = json!(["ready", { "pier": [3] }]);
        let (id, heard) = question(&ann.read_packet());
        assert_eq!(heard, event);
        ann.say(&format!("43{id}[{{\"ok\": true}}]"));
        let (id, heard) = question(&bob.packets(1)[0]);
        assert_eq!(heard, event);
        assert_eq!(bob.post(&format!("43{id}[1e400,\"x\"]")).status, 200);
        let mut client = asked;
        let response = client.read_response();
        assert!(response.text().starts_with("{\"asked\":2,"), "{response:?}");
        // As the clients have written it.
        for data in ["{\"ok\": true}", "[1e400,\"x\"]"] {
            assert!(response.text().contains(data), "{response:?}");
        }

        let asked = begin(server, &json!({ "userId": "ann", "event": "again" }));
        let (id, heard) = question(&ann.read_packet());
        assert_eq!(heard, json!(["again", null]));
        ann.say(&format!("43{id}[]"));
        let told = end(asked);
        assert_eq!(told["asked"], 1, "{told}");
        assert_eq!(said(&told), [("ann", &json!(null))]);

        let connection = told["answers"][0]["connectionId"].clone();
        let (_, user) = look(&mut server.connect(), "/api/users/ann");
        assert_eq!(connection, user["connections"][0]["connectionId"]);
        let body = json!({ "connectionId": connection, "event": "third", "data": "x" });
        let asked = begin(server, &body);
        let (id, heard) = question(&ann.read_packet());
        assert_eq!(heard, json!(["third", "x"]));
        ann.say(&format!(
            "461-{id}[{{\"deep\":[{{\"_placeholder\":true,\"num\":0}}]}}]"
        ));
        ann.say_bytes(&[1, 2]);
        let told = end(asked);
        assert_eq!(said(&told), [("ann", &json!({ "deep": ["AQI="] }))]);
        gina.expect_silence();
    });
}

#[test]
fn who_has_no_client_of_socket_io_is_told_at_once() {
    let server = builder(2).start();
    let _gina = Member::of(&server, "gina");
    for body in [
        json!({ "userId": "gina", "event": "e", "timeout": LONG_MS }),
        json!({ "userId": "nobody", "event": "e", "timeout": LONG_MS }),
        json!({ "room": "nowhere", "event": "e", "timeout": LONG_MS }),
        json!({ "connectionId": "0-1.2", "event": "e", "timeout": LONG_MS }),
    ] {
        let (status, told) = call(&mut server.connect(), "/api/ask", &body);
        assert_eq!(status, 200, "{told}");
        assert_eq!(told, json!({ "asked": 0, "answers": [] }));
    }
}

#[test]
fn who_does_not_answer_in_time_is_left_out() {
    on_one_and_on_three(|server| {
        let (mut ann, mut bob) = (
            Socket::of(server, "ann", "r"),
            Socket::of(server, "bob", "r"),
        );
        let asked = begin(
            server,
            &json!({ "room": "r", "event": "e", "timeout": 300 }),
        );
        let (anns, _) = question(&ann.read_packet());
        let (bobs, _) = question(&bob.read_packet());
        ann.say(&format!("43{anns}[1]"));
        // Once is enough.
        ann.say(&format!("43{anns}[2]"));
        let told = end(asked);
        assert_eq!(told["asked"], 2);
        assert_eq!(said(&told), [("ann", &json!(1))]);
        bob.say(&format!("43{bobs}[1]"));
        assert!(bob.ask("ping", &json!(null))["timestamp"].is_string());
        // Nor does anybody hear it whose call is over.
        drop(begin(server, &json!({ "userId": "bob", "event": "e" })));
        let (bobs, _) = question(&bob.read_packet());
        bob.say(&format!("43{bobs}[1]"));
        assert!(bob.ask("ping", &json!(null))["timestamp"].is_string());
    });
}

#[test]
fn who_is_gone_is_not_waited_for() {
    on_one_and_on_three(|server| {
        type Leave = fn(&Server, Socket);
        let ways: [Leave; 5] = [
            |_, socket| drop(socket),
            |_, mut socket| socket.say("41"),
            |_, mut socket| socket.say("4nonsense"),
            |_, mut socket| socket.client.send_bytes(&frame::close(1000, "")),
            |server, _socket| {
                let body = json!({ "userId": "bob" });
                assert_eq!(call(&mut server.connect(), "/api/disconnect", &body).0, 200);
            },
        ];
        let mut ann = Socket::of(server, "ann", "r");
        for leave in ways {
            let mut bob = Socket::of(server, "bob", "r");
            let body = json!({ "room": "r", "event": "e", "timeout": LONG_MS });
            let asked = begin(server, &body);
            let (id, _) = question(&ann.read_packet());
            question(&bob.read_packet());
            ann.say(&format!("43{id}[1]"));
            leave(server, bob);
            let told = end(asked);
            assert_eq!(told["asked"], 2);
            assert_eq!(said(&told), [("ann", &json!(1))]);
        }
    });
}

#[test]
fn a_call_is_made_once() {
    let server = builder(2).start();
    let mut ann = Socket::of(&server, "ann", "r");
    let headers = [("Idempotency-Key", "one")];
    let body = json!({ "userId": "ann", "event": "e" });
    let mut asked = begin_with(&server, &headers, &body);
    let (id, _) = question(&ann.read_packet());
    let again = |headers: &[(&str, &str)]| -> Response {
        let mut all = vec![("X-API-Key", API_KEY)];
        all.extend_from_slice(headers);
        post(&mut server.connect(), "/api/ask", &all, &body.to_string())
    };
    assert_eq!(again(&headers).status, 409);
    ann.say(&format!("43{id}[1]"));
    let first = asked.read_response();
    let second = again(&headers);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(json_of(&second), json_of(&first));
    assert!(ann.ask("ping", &json!(null))["timestamp"].is_string());
}

#[test]
fn wrong_calls_are_refused() {
    let server = builder(1).start();
    let long = "x".repeat(1_000);
    for (body, detail) in [
        (json!({ "event": "e" }), "One of `userId`"),
        (
            json!({ "userId": "a", "room": "r", "event": "e" }),
            "One of `userId`",
        ),
        (
            json!({ "userId": "a", "connectionId": "0-1.2", "event": "e" }),
            "One of `userId`",
        ),
        (
            json!({ "connectionId": "x", "event": "e" }),
            "`connectionId`",
        ),
        (json!({ "room": long, "event": "e" }), "`room`"),
        (json!({ "userId": "", "event": "e" }), "`userId`"),
        (json!({ "userId": "a", "event": long }), "`event`"),
        (json!({ "userId": "a" }), "event"),
        (
            json!({ "userId": "a", "event": "disconnect" }),
            "no event of Socket.IO",
        ),
        (
            json!({ "userId": "a", "event": "e", "timeout": 0 }),
            "`timeout`",
        ),
        (
            json!({ "userId": "a", "event": "e", "timeout": 60_001 }),
            "`timeout`",
        ),
        (
            json!({ "userId": "a", "event": "e", "timeout": 1.5 }),
            "`timeout`",
        ),
        (json!({ "userId": "a", "event": "e", "timeout": null }), ""),
        (json!({ "userId": "a", "event": "e", "more": 1 }), "more"),
    ] {
        let (status, told) = call(&mut server.connect(), "/api/ask", &body);
        assert_eq!(status, 422, "{body}: {told}");
        let told = told["detail"].as_str().expect("a detail");
        assert!(told.contains(detail), "{body}: {told}");
    }
}

/// All get the same bytes, so that what waits for them is there once.
#[test]
fn a_large_question_to_many_is_one() {
    const CLIENTS: usize = 200;
    let server = builder(1).start();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|n| Socket::of(&server, &n.to_string(), "r"))
        .collect();
    let data = "x".repeat(500_000);
    let before = server.peak_bytes();
    let asked = begin(&server, &json!({ "room": "r", "event": "e", "data": data }));
    for client in &mut clients {
        let (id, event) = question(&client.read_packet());
        assert_eq!(event[1], data);
        client.say(&format!("43{id}[1]"));
    }
    assert_eq!(end(asked)["asked"], CLIENTS);
    let more = server.peak_bytes() - before;
    assert!(
        more < (CLIENTS * data.len() / 4) as u64,
        "{more} bytes more"
    );
}

/// As many as a worker waits for, each for a client of its own: one owes no more than 1,024 answers.
#[test]
fn calls_that_wait_have_a_limit() {
    const CALLS: usize = 4_096;
    let server = builder(1)
        .env("MAX_CONNECTIONS_PER_IP", 0)
        .env("MAX_CONNECTION_RATE_PER_IP", 0)
        .start();
    let body =
        |user: usize| json!({ "userId": user.to_string(), "event": "e", "timeout": LONG_MS });
    let mut clients = Vec::new();
    let mut waiting = Vec::new();
    for user in 0..CALLS.div_ceil(1_024) {
        let mut client = Socket::of(&server, &user.to_string(), "r");
        for _ in 0..1_024 {
            waiting.push(begin(&server, &body(user)));
            question(&client.read_packet());
        }
        clients.push(client);
    }
    let (status, told) = call(&mut server.connect(), "/api/ask", &body(0));
    assert_eq!(status, 503, "{told}");
    drop(clients);
    let told = end(waiting.pop().expect("a call"));
    assert_eq!(told, json!({ "asked": 1, "answers": [] }));
}

#[test]
fn clients_at_all_nodes_are_asked() {
    let redis = Redis::start();
    let mut cluster = Cluster::start(2, &redis);
    await_status(&cluster, "ok");
    let mut ann = Socket::of(cluster.node(0), "ann", "r");
    let mut bob = Socket::of(cluster.node(1), "bob", "r");
    let body = json!({ "room": "r", "event": "e", "data": 1, "timeout": LONG_MS });
    let asked = begin(cluster.node(0), &body);
    for socket in [&mut ann, &mut bob] {
        let (id, event) = question(&socket.read_packet());
        assert_eq!(event, json!(["e", 1]));
        socket.say(&format!("43{id}[{{\"a\":1}}]"));
    }
    let told = end(asked);
    assert_eq!((&told["asked"], told.get("unanswered")), (&json!(2), None));
    let answer = json!({ "a": 1 });
    assert_eq!(said(&told), [("ann", &answer), ("bob", &answer)]);

    // Longer than a node has for other answers, which is a second.
    let connection = &told["answers"][1]["connectionId"];
    let body = json!({ "connectionId": connection, "event": "e", "timeout": 1_500 });
    let (status, told) = call(&mut cluster.connect(0), "/api/ask", &body);
    question(&bob.read_packet());
    assert_eq!(status, 200);
    assert_eq!(told, json!({ "asked": 1, "answers": [] }));

    let asked = begin(
        cluster.node(0),
        &json!({ "userId": "bob", "event": "e", "timeout": 500 }),
    );
    question(&bob.read_packet());
    cluster.kill(1);
    let told = end(asked);
    assert_eq!(told, json!({ "asked": 0, "answers": [], "unanswered": 1 }));
}
