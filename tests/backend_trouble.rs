//! A back end that is slow, away or answers without end, seen from the client; and the settings that say what is asked, and how.

mod common;
#[path = "backend_http/server.rs"]
#[allow(dead_code, reason = "this one is the back end of one test")]
mod server;

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use common::back_end::{Answer, BackEnd, json as said, nothing, sign};
use common::gateway::{API_KEY, Member, look};
use common::metrics::Samples;
use common::server::{Server, ServerBuilder};
use common::socketio::Socket;
use common::{DEADLINE, eventually};
use serde_json::{Value, json};
use server::{Reply, Then};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// One worker, so that nobody is served elsewhere while it would wait.
fn builder(url: &str) -> ServerBuilder {
    Server::builder()
        .env("WORKERS", 1)
        .env("API_KEY", API_KEY)
        .env("BACKEND_URL", url)
        .env("BACKEND_RETRIES", 0)
        .env("BACKEND_DISCONNECT_DELAY", "100ms")
}

fn connect(server: &Server) -> Member {
    Member::connect(server)
}

fn status(server: &Server, path: &str) -> u16 {
    server.connect().handshake(path, &[]).status
}

/// What comes without end, or is ten megabytes long.
fn endless(query: &str) -> Reply {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let forever =
        |head: String, bytes: Vec<u8>, pause| Reply::raw(head, Then::Forever(bytes, pause));
    let pause = Duration::from_millis(5);
    match query {
        "flood" => forever(format!("{HEAD}\r\n"), vec![b' '; 64 << 10], Duration::ZERO),
        "trickle" => forever(format!("{HEAD}\r\n"), vec![b' '], pause),
        "chunks" => forever(
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n"),
            b"1\r\n \r\n".to_vec(),
            pause,
        ),
        "head" => forever(HEAD.to_owned(), b"X-More: yes\r\n".to_vec(), Duration::ZERO),
        "large" => Reply::json(&" ".repeat(10 << 20)),
        "silence" => Reply::raw("", Then::Silence),
        _ => Reply::empty(),
    }
}

#[test]
fn answers_without_end_cost_their_client_a_wait_and_others_nothing() {
    let back_end = server::Server::start(|request| {
        let data: Value = serde_json::from_slice(&request.body).expect("JSON");
        endless(data["query"].as_str().unwrap_or_default())
    });
    let server = builder(&back_end.url())
        .env("BACKEND_TIMEOUT", "500ms")
        .start();
    let mut other = server.websocket("/ws");
    for query in ["flood", "trickle", "chunks", "head", "large", "silence"] {
        let mut client = server.connect();
        let path = format!("/?{query}");
        thread::scope(|scope| {
            let waiting = scope.spawn(move || client.handshake(&path, &[]).status);
            while !waiting.is_finished() {
                other.send_bytes(&common::frame::text("on and on"));
                other.expect_echo("on and on");
            }
            assert_eq!(waiting.join().expect("an answer"), 503, "{query}");
        });
    }
    connect(&server);
}

#[test]
fn a_back_end_that_does_not_read_costs_a_wait_with_a_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    // Its kernel takes next to nothing, and it nothing at all.
    socket2::SockRef::from(&listener)
        .set_recv_buffer_size(4 << 10)
        .expect("a small buffer");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let server = builder(&url)
        .env("BACKEND_EVENTS", "message")
        .env("BACKEND_TIMEOUT", "300ms")
        .start();
    let mut ann = connect(&server);
    let mut other = server.websocket("/ws");
    ann.send(&json!({ "type": "essay", "id": 1, "text": "x".repeat(900 << 10) }));
    other.send_bytes(&common::frame::text("on and on"));
    other.expect_echo("on and on");
    let told = ann.read();
    assert_eq!(
        (&told["id"], &told["code"]),
        (&json!(1), &json!("backend-failed"))
    );
    drop(listener);
}

/// Holds messages back until it is opened.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn pass(&self) {
        let open = self.0.lock().expect("nobody panics with it");
        let passed = self.1.wait_timeout_while(open, DEADLINE, |open| !*open);
        drop(passed);
    }

    fn open(&self) {
        *self.0.lock().expect("nobody panics with it") = true;
        self.1.notify_all();
    }
}

/// A server whose back end has one message before it and another one behind that, which is all that may wait.
fn full(policy: &str, test: impl Fn(&Server, &BackEnd, &Gate, [Member; 3])) {
    let gate = Arc::<Gate>::default();
    let its_gate = Arc::clone(&gate);
    let back_end = BackEnd::start(move |event| {
        if event.kind() == "message" {
            its_gate.pass();
        }
        nothing()
    });
    let server = builder(&back_end.url())
        .env("BACKEND_TIMEOUT", "30s")
        .env("BACKEND_CONCURRENCY", 1)
        .env("BACKEND_QUEUE", 2)
        .env("BACKEND_QUEUE_POLICY", policy)
        .start();
    let mut members = [(); 3].map(|()| connect(&server));
    members[0].send(&json!({ "type": "wait", "id": "first" }));
    back_end.wait_for("message", 1);
    members[1].send(&json!({ "type": "wait", "id": "second" }));
    eventually("the second one waits", || {
        Samples::of(&server).get("tidegate_backend_waiting") == 1.0
    });
    members[2].send(&json!({ "type": "wait", "id": "third" }));
    test(&server, &back_end, &gate, members);
}

fn ack(id: &str) -> Value {
    json!({ "type": "ack", "id": id })
}

#[test]
fn a_full_queue_refuses_the_newest() {
    full(
        "refuse",
        |server, back_end, gate, [mut first, mut second, mut third]| {
            let told = third.read();
            assert_eq!(
                (&told["id"], &told["code"]),
                (&json!("third"), &json!("backend-busy"))
            );
            let refused = server.connect().handshake("/", &[]);
            assert_eq!(refused.status, 503);
            assert!(refused.header("retry-after").is_some());
            let samples = Samples::of(server);
            assert_eq!(
                samples.get("tidegate_backend_refused_total{reason=\"full\"}"),
                2.0
            );
            assert_eq!(samples.get("tidegate_backend_in_flight"), 1.0);
            gate.open();
            assert_eq!(first.read(), ack("first"));
            assert_eq!(second.read(), ack("second"));
            assert_eq!(back_end.events("message").len(), 2);
        },
    );
}

#[test]
fn or_those_that_have_waited_longest_give_way() {
    full(
        "drop-oldest",
        |server, back_end, gate, [mut first, mut second, mut third]| {
            let told = second.read();
            assert_eq!(
                (&told["id"], &told["code"]),
                (&json!("second"), &json!("backend-busy"))
            );
            gate.open();
            assert_eq!(first.read(), ack("first"));
            assert_eq!(third.read(), ack("third"));
            assert_eq!(back_end.events("message").len(), 2);
            let samples = Samples::of(server);
            assert_eq!(
                samples.get("tidegate_backend_failed_total{cause=\"dropped\"}"),
                1.0
            );
        },
    );
}

/// How programs are told that the back end is.
fn told(server: &Server) -> Value {
    let (code, status) = look(&mut server.connect(), "/api/status");
    assert_eq!(code, 200);
    status["backend"].clone()
}

#[test]
fn a_back_end_that_is_away_is_not_asked_and_heard_of_at_once_when_it_is_back() {
    let is_away = Arc::new(AtomicBool::new(false));
    let its_state = Arc::clone(&is_away);
    let back_end = BackEnd::start(move |_| match its_state.load(Ordering::Relaxed) {
        true => (503, "", String::new()),
        false => nothing(),
    });
    let server = builder(&back_end.url()).start();
    let mut ann = connect(&server);
    let first = told(&server);
    assert_eq!(
        (&first["state"], &first["requests"]),
        (&json!("closed"), &json!(1))
    );
    is_away.store(true, Ordering::Relaxed);
    let mut ask = || ann.ask(&json!({ "type": "ask", "id": 1 }));
    for _ in 0..20 {
        assert_eq!(ask()["code"], "backend-failed");
    }
    // Now and then one tries whether it is back.
    eventually("messages are refused at once", || {
        ask()["code"] == "backend-away"
    });
    eventually("handshakes are refused at once", || {
        let before = back_end.events("connect").len();
        assert_eq!(status(&server, "/"), 503);
        back_end.events("connect").len() == before
    });
    assert_ne!(told(&server)["state"], "closed");
    assert_eq!(look(&mut server.connect(), "/api/health").1["status"], "ok");
    let samples = Samples::of(&server);
    assert_eq!(
        samples.get("tidegate_backend_breaker{state=\"closed\"}"),
        0.0
    );
    assert!(samples.get("tidegate_backend_breaker_opened_total") >= 1.0);
    assert!(samples.get("tidegate_backend_refused_total{reason=\"away\"}") >= 2.0);
    assert!(samples.get("tidegate_backend_failed_total{cause=\"status\"}") >= 20.0);
    // What it does not answer for is served.
    server
        .websocket("/ws")
        .send_bytes(&common::frame::text("x"));
    is_away.store(false, Ordering::Relaxed);
    eventually("it is asked again", || ask()["type"] == "ack");
    assert_eq!(told(&server)["state"], "closed");
    assert_eq!(status(&server, "/"), 101);
}

#[test]
fn a_departure_that_the_back_end_does_not_want_is_counted_and_told_once() {
    let back_end = BackEnd::start(|event| match event.kind() {
        "connect" => said(&json!({ "userId": event.data()["query"] })),
        "disconnect" => (410, "", String::new()),
        _ => nothing(),
    });
    let server = builder(&back_end.url()).start();
    let lost = "tidegate_backend_disconnects_lost_total";
    assert_eq!(Samples::of(&server).get(lost), 0.0);
    // A user, and a connection that is nobody's.
    drop(server.websocket("/?ann"));
    drop(server.websocket("/"));
    eventually("both are lost", || Samples::of(&server).get(lost) == 2.0);
    let samples = Samples::of(&server);
    assert_eq!(samples.get("tidegate_backend_departures"), 0.0);
    assert_eq!(
        samples.get("tidegate_backend_failed_total{cause=\"declined\"}"),
        2.0
    );
    assert_eq!(told(&server)["lost"], 2);
    assert_eq!(told(&server)["failed"], 0, "it is no failure");
    assert_eq!(back_end.events("disconnect").len(), 2);
}

#[test]
fn other_endpoints_ask_who_may_connect_where_the_setting_says_so() {
    let back_end = BackEnd::start(|event| -> Answer {
        match (event.kind(), event.data()["query"].as_str()) {
            ("connect", Some("no")) => (403, "text/plain", "Not here.".to_owned()),
            ("connect", _) => said(&json!({ "userId": "ann", "rooms": ["harbour"] })),
            _ => nothing(),
        }
    });
    let server = builder(&back_end.url())
        .env("BACKEND_ENDPOINTS", "echo,broadcast")
        .start();
    assert_eq!(status(&server, "/ws?no"), 403);
    assert_eq!(status(&server, "/broadcast?no"), 403);
    // The gateway is not on the list: nobody is asked, and its messages stay here.
    let mut member = connect(&server);
    assert_eq!(
        member.ask(&json!({ "type": "order" }))["code"],
        "unknown-type"
    );
    let mut told = Vec::new();
    for path in ["/ws", "/broadcast"] {
        let mut client = server.websocket(path);
        client.send_bytes(&common::frame::text("back to me"));
        client.expect_echo("back to me");
        let asked = back_end.events("connect").pop().expect("it was asked");
        assert_eq!(asked.data()["path"], path);
        told.push(asked.data()["connectionId"].clone());
        drop(client);
        // Users are the gateway's: it is told of the connection, and at once.
        let gone = back_end.wait_for("disconnect", told.len());
        let gone = gone.last().expect("an event");
        assert_eq!(gone.data()["connectionId"], *told.last().expect("asked"));
        assert_eq!(gone.data()["userId"], Value::Null);
        let sequence = gone.data()["sequence"].as_u64().expect("a number");
        assert_eq!(gone.header("ce-sequence"), format!("{sequence:020}"));
    }
    assert_eq!(back_end.events("connect").len(), 4);
    assert_eq!(back_end.events("message").len(), 0);
}

#[test]
fn of_socket_io_it_hears_who_has_gone_also_where_it_is_not_asked() {
    let back_end = BackEnd::start(|_| nothing());
    let server = builder(&back_end.url())
        .env("BACKEND_ENDPOINTS", "gateway")
        .env("SOCKETIO_CONFORMANCE", "on")
        .start();
    let mut ann = Socket::connected(&server);
    ann.register("ann");
    assert_eq!(ann.ask("order", &json!(1))["error"]["code"], "unknown-type");
    drop(ann);
    let gone = back_end.wait_for("disconnect", 1);
    assert_eq!(gone[0].data()["userId"], "ann");
    assert_eq!(gone[0].data()["event"], "disconnect");
    assert!(back_end.events("connect").is_empty());
    assert!(back_end.events("message").is_empty());
}

#[test]
fn whole_events_and_two_signatures_where_the_settings_say_so() {
    let back_end = BackEnd::start(|_| nothing());
    let server = builder(&back_end.url())
        .env("BACKEND_FORMAT", "structured")
        .env("BACKEND_SECRET", format!("{OTHER},{SECRET}"))
        .start();
    let mut ann = connect(&server);
    ann.send(&json!({ "type": "order", "item": "eel", "id": 1 }));
    assert_eq!(ann.read(), json!({ "type": "ack", "id": 1 }));
    // Their type is in the body.
    let events = back_end.wait_for("", 2);
    for (event, kind) in events.iter().zip(["connect", "message"]) {
        let whole = event.data();
        assert_eq!(whole["type"], format!("io.tidegate.{kind}"));
        assert_eq!(whole["specversion"], "1.0");
        assert_eq!(whole["subject"], whole["data"]["connectionId"]);
        assert_eq!(whole["id"], event.header("webhook-id"));
        let content_type = event.header("content-type");
        assert!(content_type.starts_with("application/cloudevents+json"));
        let timestamp = event.header("webhook-timestamp").parse().expect("seconds");
        let id = event.header("webhook-id");
        let signed = [OTHER, SECRET].map(|secret| sign(secret, id, timestamp, &event.body));
        assert_eq!(event.header("webhook-signature"), signed.join(" "));
    }
    let message = &events[1].data()["data"]["message"];
    assert_eq!(message["item"], "eel");
}
