//! Clients of Socket.IO that lose their connection and come back: who they were, with what they have missed, once and in order.

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use common::back_end::{BackEnd, json as said, nothing};
use common::gateway::{call, look};
use common::guest::{Guest, Known, publish, recoveries, sessions};
use common::metrics::expect_value;
use common::server::ServerBuilder;
use common::socketio::{Polling, Socket, patient};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

const SECRET: &str = "a secret of the tests";

/// A server where clients may come back within a time.
fn builder(workers: usize, window: &str) -> ServerBuilder {
    patient(workers)
        .env("SOCKETIO_CONFORMANCE", "off")
        .env("SOCKETIO_RECOVERY", window)
}

fn token(user: &str, seconds: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let expires_at = now.expect("after 1970").as_secs_f64() + seconds;
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let claims = json!({ "sub": user, "exp": expires_at });
    encode(&Header::default(), &claims, &key).expect("a token")
}

#[test]
fn who_comes_back_in_time_hears_what_was_missed() {
    for workers in [1, 2] {
        let server = builder(workers, "30s").start();
        // Connections go to the worker that has the fewest: the next may be at another one.
        let mut ann = Guest::member(&server, "ann", "r");
        assert_eq!(publish(&server, "r", 1), 1);
        assert_eq!(ann.hear(), ("n".to_owned(), json!(1)));
        for round in 0..4 {
            let known = ann.vanish(&server);
            assert_eq!(publish(&server, "r", 2), 0);
            publish(&server, "other", 0);
            let body = json!({ "userId": "ann", "event": "u", "data": "text" });
            call(&mut server.connect(), "/api/message", &body);
            call(
                &mut server.connect(),
                "/api/broadcast",
                &json!({ "event": "all" }),
            );
            publish(&server, "r", 3);
            // The place of the next connection is taken by somebody else.
            let _other = (round % 2 == 0).then(|| Guest::arrive(&server));
            let (back, is_recovered) = Guest::come_back(&server, &known);
            assert!(is_recovered, "round {round} on {workers}");
            ann = back;
            let expected = [
                ("n", json!(2)),
                ("u", json!("text")),
                ("all", json!(null)),
                ("n", json!(3)),
            ];
            for (name, data) in expected {
                assert_eq!(ann.hear(), (name.to_owned(), data));
            }
            ann.expect_silence();
            // It is the user, and in the room.
            assert_eq!(publish(&server, "r", 4), 1);
            assert_eq!(ann.hear().1, json!(4));
            let told = ann.socket.ask("presence", &json!("r"));
            assert_eq!(told["users"], json!(["ann"]));
        }
        assert_eq!(recoveries(&server, "recovered"), 4);
    }
}

#[test]
fn it_is_off_unless_asked_for() {
    let server = patient(1).env("SOCKETIO_CONFORMANCE", "off").start();
    let (mut socket, _) = Socket::open(&server, "/socket.io/");
    socket.say("40{\"pid\":\"x\",\"offset\":\"y\"}");
    let told = socket.read_packet();
    assert!(!told.contains("pid"), "{told}");
    socket.register("ann");
    socket.ask("join", &json!("r"));
    publish(&server, "r", 1);
    assert_eq!(socket.read_packet(), "42[\"n\",1]");
    let metrics = server.connect().get("/metrics");
    assert!(!metrics.text().contains("recover"), "nothing is counted");
}

#[test]
fn long_polling_comes_back_as_well() {
    let server = builder(2, "30s").start();
    let begin = |connect: &str| {
        let session = Polling::open(&server, "/socket.io/");
        assert_eq!(session.post(connect).text(), "ok");
        session
    };
    let session = begin("40");
    let mut known = Known::default();
    known.take(&session.packets(1)[0]);
    assert_eq!(
        session
            .post("420[\"register\",\"ann\"]\x1e421[\"join\",\"r\"]")
            .text(),
        "ok"
    );
    session.packets(2);
    publish(&server, "r", 1);
    assert_eq!(known.hear(&session.packets(1)[0]).1, json!(1));
    publish(&server, "r", 2);
    // It is closed without having fetched that.
    assert_eq!(session.post("1").text(), "ok");
    common::eventually("the client is lost", || sessions(&server) == 0);
    publish(&server, "r", 3);
    let session = begin(&known.connect());
    let packets = session.packets(3);
    assert!(known.take(&packets[0]));
    for (packet, number) in packets[1..].iter().zip([2, 3]) {
        assert_eq!(known.hear(packet).1, json!(number));
    }
    // And goes on by WebSocket.
    let mut socket = session.upgrade();
    publish(&server, "r", 4);
    assert_eq!(known.hear(&socket.read_packet()).1, json!(4));
    let mut guest = Guest {
        socket,
        known,
        session: session.sid.clone(),
    };
    guest.expect_silence();
    publish(&server, "r", 5);
    let known = guest.vanish(&server);
    let (mut guest, is_recovered) = Guest::come_back(&server, &known);
    assert!(is_recovered);
    assert_eq!(guest.hear().1, json!(5));
}

#[test]
fn what_a_client_was_not_to_hear_it_does_not_hear_later() {
    let server = builder(1, "30s").start();
    let mut ann = Guest::member(&server, "ann", "r");
    publish(&server, "later", 1);
    publish(&server, "left", 1);
    for event in ["join", "leave"] {
        ann.socket.ask(event, &json!("left"));
    }
    publish(&server, "left", 2);
    ann.socket.ask("join", &json!("later"));
    let own = json!({ "room": "r", "event": "own", "data": 1 });
    ann.socket.ask("publish", &own);
    publish(&server, "later", 2);
    assert_eq!(ann.hear(), ("n".to_owned(), json!(2)));
    ann.socket.ask("publish", &own);
    publish(&server, "left", 3);
    publish(&server, "r", 3);
    let (_, user) = look(&mut server.connect(), "/api/users/ann");
    let id = user["connections"][0]["connectionId"].clone();
    // By itself as by the back end.
    call(
        &mut server.connect(),
        "/api/join",
        &json!({ "connectionId": id, "room": "api" }),
    );
    publish(&server, "api", 4);
    let mut known = ann.vanish(&server);
    // As if nothing of that had arrived.
    let (mut ann, is_recovered) = Guest::come_back(&server, &known);
    assert!(is_recovered);
    assert_eq!([ann.hear().1, ann.hear().1], [json!(3), json!(4)]);
    ann.expect_silence();
    // One that has heard nothing at all hears everything that was for it.
    known = ann.vanish(&server);
    known.offset = None;
    let (mut ann, is_recovered) = Guest::come_back(&server, &known);
    assert!(is_recovered);
    let all = [ann.hear().1, ann.hear().1, ann.hear().1];
    assert_eq!(all, [json!(2), json!(3), json!(4)]);
    ann.expect_silence();
}

/// Else each of its events would carry all of that.
#[test]
fn who_claims_to_have_heard_those_who_are_not_there_is_not_told_of_them() {
    let server = builder(2, "1m").start();
    let ann = Guest::member(&server, "ann", "r");
    let mut known = ann.vanish(&server);
    let mut offset = vec![1, 0];
    for node in 1..=2_000_u64 {
        offset.extend_from_slice(&node.to_be_bytes());
        // One worker, the first, has come to 1.
        offset.extend_from_slice(&[1, 0, 1]);
    }
    known.offset = Some(BASE64_URL_SAFE_NO_PAD.encode(offset));
    let (mut ann, is_recovered) = Guest::come_back(&server, &known);
    assert!(is_recovered);
    publish(&server, "r", 1);
    assert_eq!(ann.hear().1, json!(1));
    let offset = ann.known.offset.expect("an offset");
    assert!(offset.len() < 100, "{} bytes", offset.len());
}

#[test]
fn a_client_is_recovered_once_in_time_and_as_itself() {
    let server = builder(2, "2s").start();
    let ann = Guest::member(&server, "ann", "r");
    // While it is there nobody else is it.
    let (other, is_recovered) = Guest::come_back(&server, &ann.known);
    assert!(!is_recovered);
    drop(other);
    common::eventually("one is there", || sessions(&server) == 1);
    let known = ann.vanish(&server);
    let (ann, first) = Guest::come_back(&server, &known);
    let (_other, second) = Guest::come_back(&server, &known);
    assert_eq!((first, second), (true, false));
    // What is no offset is none, and does no harm.
    let mut known = ann.vanish(&server);
    for offset in ["", "hello", "AQ", &"A".repeat(70_000)] {
        let shown = Known {
            offset: Some(offset.to_owned()),
            ..known.clone()
        };
        assert!(!Guest::come_back(&server, &shown).1, "{offset:.9}");
    }
    for pid in ["", "x", &"p".repeat(1_000)] {
        let shown = Known {
            pid: pid.to_owned(),
            ..known.clone()
        };
        assert!(!Guest::come_back(&server, &shown).1, "{pid:.9}");
    }
    for auth in [
        "{\"pid\":7}",
        "{\"pid\":null,\"offset\":{}}",
        "{\"pid\":\"x\",\"offset\":[]}",
    ] {
        let connect = format!("40{auth}");
        assert!(
            !Guest::come(&server, &connect, Known::default()).1,
            "{auth}"
        );
    }
    let unknown = recoveries(&server, "unknown");
    let (ann, is_recovered) = Guest::come_back(&server, &known);
    assert!(is_recovered, "nobody has spent its name");
    known = ann.vanish(&server);
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    assert!(!Guest::come_back(&server, &known).1, "it is too late");
    assert_eq!(recoveries(&server, "expired"), 1);
    assert_eq!((unknown, recoveries(&server, "recovered")), (10, 2));
}

#[test]
fn who_leaves_or_is_put_out_is_somebody_new() {
    let server = builder(1, "30s").start();
    let leave = |act: &dyn Fn(&mut Guest)| {
        let mut ann = Guest::member(&server, "ann", "r");
        act(&mut ann);
        let known = ann.vanish(&server);
        assert!(!Guest::come_back(&server, &known).1);
    };
    leave(&|ann| {
        ann.socket.say("41");
        common::eventually("she has left", || publish(&server, "r", 1) == 0);
    });
    let (_, before) = look(&mut server.connect(), "/api/stats/connections");
    let mut ann = Guest::member(&server, "ann", "r");
    call(
        &mut server.connect(),
        "/api/disconnect",
        &json!({ "userId": "ann" }),
    );
    assert_eq!(ann.socket.read_packet(), "41");
    ann.socket.client.expect_close(1000);
    assert!(!Guest::come_back(&server, &ann.known).1);
    // One who breaks the protocol.
    let mut ann = Guest::member(&server, "ann", "r");
    ann.socket.say("4nonsense");
    ann.socket.expect_end();
    assert!(!Guest::come_back(&server, &ann.known).1);
    assert_eq!(before["endpoints"]["socketio"], 0, "{before}");
    // One that does not answer a ping is lost like one whose connection is.
    let server = builder(1, "30s")
        .env("SOCKETIO_PING_INTERVAL", "200ms")
        .env("SOCKETIO_PING_TIMEOUT", "100ms")
        .start();
    let mut ann = Guest::member(&server, "ann", "r");
    ann.socket.expect_end();
    let (mut ann, is_recovered) = Guest::come_back(&server, &ann.known);
    assert!(is_recovered);
    assert_eq!(publish(&server, "r", 1), 1);
    assert_eq!(ann.hear().1, json!(1));
}

#[test]
fn too_much_to_tell_is_a_new_beginning() {
    let server = builder(1, "30s").start();
    let mut ann = Guest::member(&server, "ann", "r");
    publish(&server, "r", 0);
    ann.hear();
    let known = ann.vanish(&server);
    let mut backend = server.connect();
    let calls: Vec<_> = (0..100)
        .map(|n| json!({ "publish": { "room": "r", "event": "n", "data": n } }))
        .collect();
    let mut publish_hundreds = |hundreds: u32| {
        for _ in 0..hundreds {
            let (status, told) = call(&mut backend, "/api/batch", &json!({ "calls": calls }));
            assert_eq!(status, 200, "{told}");
        }
    };
    publish_hundreds(10);
    let (mut ann, is_recovered) = Guest::come_back(&server, &known);
    assert!(is_recovered, "as much as is kept");
    for n in 0..1_000 {
        assert_eq!(ann.hear().1, json!(n % 100));
    }
    let known = ann.vanish(&server);
    publish_hundreds(10);
    publish(&server, "r", 0);
    let (mut ann, is_recovered) = Guest::come_back(&server, &known);
    assert!(!is_recovered, "one more than is kept");
    ann.expect_silence();
    assert_eq!(publish(&server, "r", 1), 0, "nobody is in the room");
    assert_eq!(recoveries(&server, "gap"), 1);
    expect_value(&server, "tidegate_socketio_recovery_publications", 1_000.0);
}

#[test]
fn a_token_decides_who_comes_back() {
    let server = builder(1, "30s")
        .env("JWT_SECRET", SECRET)
        .env("JWT_LEEWAY", "0s")
        .start();
    let connect = |token: &str, known: &Known| {
        let connect = known.connect();
        let connect = connect.replacen('{', &format!("{{\"token\":\"{token}\","), 1);
        Guest::come(&server, &connect, known.clone())
    };
    let lose = || {
        let (mut ann, _) = connect(&token("ann", 60.0), &Known::default());
        ann.socket.ask("join", &json!("r"));
        ann.vanish(&server)
    };
    let (ann, is_recovered) = connect(&token("ann", 60.0), &lose());
    assert!(is_recovered);
    assert_eq!(publish(&server, "r", 1), 1);
    drop(ann);
    common::eventually("she is lost", || sessions(&server) == 0);
    assert!(!connect(&token("bob", 60.0), &lose()).1);
    common::eventually("nobody is there", || sessions(&server) == 0);
    assert_eq!(publish(&server, "r", 1), 0, "bob is in no room");
    // A refused token spends nothing.
    let known = lose();
    let (mut socket, _) = Socket::open(&server, "/socket.io/");
    socket.say(&known.connect().replacen('{', "{\"token\":\"x\",", 1));
    let told = socket.read_packet();
    assert!(told.starts_with("44{"), "{told}");
    drop(socket);
    common::eventually("nobody is there", || sessions(&server) == 0);
    assert!(connect(&token("ann", 60.0), &known).1);
    // A token that ends ends the session for good.
    let (mut ann, _) = connect(&token("ann", 1.0), &Known::default());
    ann.socket.expect_end();
    assert!(!connect(&token("ann", 60.0), &ann.known).1);
    assert_eq!(recoveries(&server, "refused"), 1);
}

#[test]
fn a_back_end_is_asked_about_who_comes_back() {
    let back_end = BackEnd::start(|event| match event.kind() {
        "connect" => {
            let rooms = event.data()["auth"]["rooms"].clone();
            said(&json!({ "userId": event.data()["auth"]["name"], "rooms": rooms }))
        }
        "message" => said(&json!({
            "join": ["x"],
            "send": [{ "type": "message", "event": "said", "data": "a text at the end" }],
        })),
        _ => nothing(),
    });
    let server = builder(2, "30s")
        .env("BACKEND_URL", back_end.url())
        .env("BACKEND_ENDPOINTS", "socketio")
        .env("BACKEND_DISCONNECT_DELAY", "30s")
        .start();
    let connect = |name: &str, rooms: &[&str], known: &Known| {
        let shown = json!({ "name": name, "rooms": rooms }).to_string();
        let connect = known.connect().replacen('{', &shown.replace('}', ","), 1);
        Guest::come(&server, &connect, known.clone())
    };
    let (mut ann, _) = connect("ann", &["a"], &Known::default());
    ann.socket.ask("join", &json!("r"));
    let known = ann.vanish(&server);
    publish(&server, "a", 1);
    publish(&server, "b", 2);
    publish(&server, "r", 3);
    let (mut ann, is_recovered) = connect("ann", &["b"], &known);
    assert!(is_recovered);
    assert_eq!([ann.hear().1, ann.hear().1], [json!(1), json!(3)]);
    ann.expect_silence();
    // In its rooms, and in those that it is put into now.
    for (room, number) in [("a", 4), ("b", 5), ("r", 6)] {
        assert_eq!(publish(&server, room, number), 1);
        assert_eq!(ann.hear().1, json!(number));
    }
    let known = ann.vanish(&server);
    publish(&server, "b", 7);
    let (mut ann, is_recovered) = connect("ann", &[], &known);
    assert!(is_recovered);
    assert_eq!(ann.hear().1, json!(7));
    // What the back end says is no offset, and the rooms that it gives are kept.
    ann.socket.say("42[\"order\"]");
    assert_eq!(ann.hear(), ("said".to_owned(), json!("a text at the end")));
    let known = ann.vanish(&server);
    publish(&server, "x", 8);
    let (mut ann, is_recovered) = connect("ann", &[], &known);
    assert!(is_recovered);
    assert_eq!(ann.hear().1, json!(8));
    // Whom the back end takes for another is that, and where it puts it.
    let known = ann.vanish(&server);
    publish(&server, "r", 8);
    let (mut bob, is_recovered) = connect("bob", &["c"], &known);
    assert!(!is_recovered);
    bob.expect_silence();
    assert_eq!(
        (publish(&server, "r", 9), publish(&server, "c", 10)),
        (json!(0), json!(1))
    );
    let asked = back_end.wait_for("connect", 5);
    let shown = json!({ "name": "ann", "rooms": ["b"] });
    assert_eq!(asked[1].data()["auth"], shown, "nothing private");
    assert_eq!(back_end.events("disconnect").len(), 0);
}
