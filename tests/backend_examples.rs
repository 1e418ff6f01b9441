//! The back ends of `examples/backend`, started as their readers start them, behind the real server.

mod common;

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use common::back_end::sign;
use common::client::Client;
use common::example::{is_like, json as shown};
use common::gateway::{Member, post};
use common::peer::{Peer, with_webhooks};
use common::server::{Server, ServerBuilder};
use common::socketio::Socket;
use serde_json::{Value, json};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const LANGUAGES: [&str; 2] = ["python", "node"];

/// The lines of the document that begin with those words, as they are typed.
fn typed(begin: &str) -> Vec<String> {
    let document = read("docs/backend.md");
    let lines = document.lines().filter(|line| line.starts_with(begin));
    lines.map(str::to_owned).collect()
}

/// The example in that language, started as the document says, and where it listens.
fn example(language: &str) -> (Peer, String) {
    let lines = typed(&format!("BACKEND_SECRET={SECRET} "));
    let place = format!("examples/backend/{language}/");
    let mut lines = lines.iter().filter(|line| line.contains(&place));
    let line = lines.next().expect("a line of the document");
    let peer = Peer::start(with_webhooks(&format!("{line} 0")));
    let told = peer.wait_for("listening on ");
    let url = told.rsplit(' ').next().expect("a URL").to_owned();
    (peer, url)
}

fn builder(url: &str, secret: &str) -> ServerBuilder {
    Server::builder()
        .env("WORKERS", 2)
        .env("BACKEND_URL", url)
        .env("BACKEND_SECRET", secret)
        .env("BACKEND_DISCONNECT_DELAY", "100ms")
}

fn member(server: &Server, name: &str) -> Member {
    let mut client = server.connect();
    client.upgrade(&format!("/?name={name}"));
    Member { client }
}

/// A file of the checkout.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(path).expect("a committed file")
}

#[test]
fn what_the_document_types_is_answered_as_it_shows() {
    let server = typed("BACKEND_URL=");
    let [server] = server.as_slice() else {
        panic!("{server:?}");
    };
    let document = read("docs/backend.md");
    let (_, conversation) = document
        .split_once("```console\n$ npx wscat -c 'ws://localhost:3000")
        .expect("a client");
    let (path, conversation) = conversation.split_once("'\n").expect("a path");
    let (conversation, _) = conversation.split_once("```").expect("an end");
    for language in LANGUAGES {
        let (_peer, url) = example(language);
        let settings = server.split(' ').filter_map(|word| word.split_once('='));
        let mut builder = Server::builder();
        for (name, value) in settings {
            builder = builder.env(name, value.replace("http://127.0.0.1:4000/", &url));
        }
        let server = builder.start();
        let mut client = server.connect();
        client.upgrade(path);
        let mut ann = Member { client };
        for line in conversation.lines().skip(1) {
            match line.split_at(2) {
                ("> ", said) => ann.send(&shown(said)),
                ("< ", told) => {
                    let (heard, told) = (ann.read_foreign(), shown(told));
                    assert!(is_like(&heard, &told), "{language}: {heard}");
                }
                _ => panic!("{line}"),
            }
        }
    }
}

#[test]
fn they_are_tried_with_the_packages_that_they_name() {
    let package = |path: &str| -> Value {
        let package: Value = serde_json::from_str(&read(path)).expect("JSON");
        package["dependencies"]["standardwebhooks"].clone()
    };
    let named = package("examples/backend/node/package.json");
    assert!(named.is_string());
    assert_eq!(named, package("tests/peers/webhooks/package.json"));
    let named = read("examples/backend/python/requirements.txt");
    assert!(named.starts_with("standardwebhooks=="));
    assert_eq!(named, read("tests/peers/webhooks-python/requirements.txt"));
}

#[test]
fn they_refuse_name_answer_and_hear_who_has_gone() {
    for (language, format) in LANGUAGES.into_iter().zip(["binary", "structured"]) {
        let (peer, url) = example(language);
        let server = builder(&url, SECRET).env("BACKEND_FORMAT", format).start();
        let refused = server.connect().handshake("/", &[]);
        assert_eq!(refused.status, 403, "{language}");
        assert_eq!(
            refused.text(),
            "Say who you are: connect to /?name=YOU.\n",
            "{language}"
        );

        let (mut ann, mut bob) = (member(&server, "ann"), member(&server, "bob"));
        let told = ann.ask(&json!({ "type": "presence", "room": "harbour" }));
        assert_eq!(told["users"], json!(["ann", "bob"]), "{language}");
        ann.send(&json!({ "type": "order", "item": "eel", "id": 1 }));
        let ordered = json!({ "type": "ordered", "number": 1, "item": "eel" });
        assert_eq!(ann.read_foreign(), ordered, "{language}");
        assert_eq!(ann.read(), json!({ "type": "ack", "id": 1 }));
        let expected = json!({
            "type": "message", "room": "harbour", "event": "order",
            "data": { "by": "ann", "number": 1, "item": "eel" },
        });
        assert_eq!(bob.read_timeless(), expected, "{language}");
        for unknown in [json!({ "type": "dance" }), json!({ "type": "order" })] {
            let told = ann.ask(&unknown);
            assert_eq!(told["code"], "backend-refused", "{language}");
            let sentence = "Only an order with an item is understood here.";
            assert_eq!(told["message"], sentence, "{language}");
        }

        let client = server.websocket("/socket.io/?name=eve&EIO=4&transport=websocket");
        let mut eve = Socket { client };
        assert!(eve.read().starts_with('0'));
        eve.say("40");
        assert!(eve.read_packet().starts_with("40{\"sid\":"), "{language}");
        eve.say(r#"421["order",{"item":"cod"}]"#);
        let ordered = json!({ "type": "ordered", "number": 2, "item": "cod" });
        assert_eq!(eve.event(), ("ordered".to_owned(), ordered), "{language}");
        assert_eq!(eve.read_packet(), "431[{}]", "{language}");
        assert_eq!(bob.read_timeless()["data"]["by"], "eve", "{language}");
        for unknown in [json!([]), Value::Null, json!(7)] {
            let told = eve.ask("order", &unknown);
            assert_eq!(told["error"]["code"], "backend-refused", "{language}");
        }
        drop(eve);
        peer.wait_for("eve has gone");

        drop(ann);
        peer.wait_for("ann has gone");
        drop(bob);
        peer.wait_for("bob has gone");
        let gone = peer.output().text();
        assert_eq!(gone.matches("has gone").count(), 3, "{language}: {gone}");
    }
}

#[test]
fn they_know_a_wrong_signature_and_none() {
    for language in LANGUAGES {
        let (_peer, url) = example(language);
        for (secret, status) in [
            (OTHER, 401),
            ("", 401),
            // Either of two is enough while they are rotated.
            (&format!("{OTHER},{SECRET}"), 101),
        ] {
            let server = builder(&url, secret).start();
            let answer = server.connect().handshake("/?name=ann", &[]);
            assert_eq!(answer.status, status, "{language} {secret:?}");
            if status == 401 {
                assert_eq!(answer.text(), "The signature is not good.\n", "{language}");
            }
        }
    }
}

#[test]
fn an_event_that_comes_again_is_not_done_twice() {
    for language in LANGUAGES {
        let (_peer, url) = example(language);
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let mut client = Client::tcp(address.parse().expect("an address"));
        let body = json!({ "event": "message", "userId": "ann", "message": { "type": "order", "item": "eel" } });
        let body = body.to_string();
        let mut deliver = |id: &str, timestamp: u64| -> (u16, Value) {
            let signature = sign(SECRET, id, timestamp, body.as_bytes());
            let timestamp = timestamp.to_string();
            let headers = [
                ("webhook-id", id),
                ("webhook-timestamp", timestamp.as_str()),
                ("webhook-signature", signature.as_str()),
            ];
            let answer = post(&mut client, "/", &headers, &body);
            let said = serde_json::from_str(answer.text()).unwrap_or_default();
            (answer.status, said)
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("after 1970").as_secs();
        let (status, first) = deliver("msg_1", now);
        assert_eq!(
            (status, &first["send"][0]["number"]),
            (200, &json!(1)),
            "{language}"
        );
        assert_eq!(deliver("msg_1", now), (200, first), "{language}");
        assert_eq!(
            deliver("msg_2", now).1["send"][0]["number"],
            2,
            "{language}"
        );
        // One that was kept and is sent again later is too old.
        assert_eq!(deliver("msg_3", now - 3_600).0, 401, "{language}");
    }
}
