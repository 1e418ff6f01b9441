//! Clients that others wrote, with their default options: npm `socket.io-client` and `python-socketio`, on one worker and on two.

mod common;

use common::eventually;
use common::gateway::{Member, builder, call, look};
use common::peer::{Peer, facts, node_with_socketio, socketio, socketio_python, socketio_script};
use common::ports;
use common::server::Server;
use common::socketio::{Socket, patient};
use rustix::process::Signal;
use serde_json::{Value, json};

const NODE_OPTIONS: [(&str, &str, &str); 3] = [
    ("{}", "polling", "websocket"),
    ("{\"transports\":[\"websocket\"]}", "websocket", "websocket"),
    ("{\"transports\":[\"polling\"]}", "polling", "polling"),
];

fn on_one_and_on_two(test: impl Fn(&Server)) {
    for workers in [1, 2] {
        test(&patient(workers).start());
    }
}

fn url(server: &Server) -> String {
    format!("http://{}", server.address())
}

fn node(scenario: &str, server: &Server, options: &str) -> Value {
    let mut command = socketio("client.cjs");
    command.args([scenario, &url(server), options]);
    facts(command)
}

/// A client that stays, and does what it is told line by line.
fn listener(url: &str, options: &Value) -> Peer {
    let mut command = socketio("client.cjs");
    command.args(["listen", url, &options.to_string()]);
    Peer::start(command)
}

#[test]
fn npm_clients_talk_while_their_transport_changes() {
    on_one_and_on_two(|server| {
        for (options, first, second) in NODE_OPTIONS {
            let seen = node("talk", server, options);
            assert_eq!(seen, json!({ "first": first, "second": second }));
        }
    });
}

#[test]
fn npm_clients_are_in_namespaces() {
    on_one_and_on_two(|server| {
        for (options, ..) in NODE_OPTIONS {
            let seen = node("namespaces", server, options);
            assert_eq!(seen, json!({ "refused": "Invalid namespace" }));
        }
    });
}

#[test]
fn npm_clients_are_users_in_rooms() {
    on_one_and_on_two(|server| {
        for (options, ..) in NODE_OPTIONS {
            let errors = [
                "not-a-member",
                "unknown-type",
                "bad-field",
                "missing-field",
                "binary-message",
            ];
            let seen = node("people", server, options);
            assert_eq!(seen, json!({ "errors": errors }));
        }
    });
}

#[test]
fn npm_clients_are_told_why_they_are_refused() {
    let server = patient(2)
        .env("JWT_SECRET", "a secret of the tests")
        .start();
    let seen = node("refused", &server, "{\"auth\":{\"token\":\"a.b.c\"}}");
    assert_eq!(seen["data"], json!({ "code": "bad-token" }), "{seen}");
    let seen = node("refused", &server, "{}");
    assert_eq!(
        seen["data"],
        json!({ "code": "not-authenticated" }),
        "{seen}"
    );
}

#[test]
fn python_clients_talk_over_either_transport() {
    on_one_and_on_two(|server| {
        for (transports, expected) in [
            (&[][..], "websocket"),
            (&["websocket"], "websocket"),
            (&["polling"], "polling"),
        ] {
            let mut command = socketio_python("client.py");
            command.arg(url(server)).args(transports);
            assert_eq!(facts(command), json!({ "transport": expected }));
        }
    });
}

/// A server that goes away in order, and one that is killed: the clients come back by themselves, and are heard again.
#[test]
fn npm_clients_come_back_after_a_restart() {
    let port = ports::lasting();
    let start = || {
        patient(2)
            .env("PORT", port)
            .env("DRAIN_PERIOD", "1s")
            .start()
    };
    let mut server = start();
    let url = url(&server);
    let quick = json!({ "reconnectionDelay": 20, "reconnectionDelayMax": 100, "userId": "bob", "room": "r" });
    let polling = json!({
        "transports": ["polling"], "reconnectionDelay": 20, "reconnectionDelayMax": 100, "userId": "cid",
    });
    let (bob, cid) = (listener(&url, &quick), listener(&url, &polling));
    bob.wait_for("READY websocket");
    cid.wait_for("READY polling");
    for signal in [Signal::TERM, Signal::KILL] {
        let (heard, polled) = (
            bob.output().text().lines().count(),
            cid.output().text().lines().count(),
        );
        server.signal(signal);
        server.wait_exit(common::DEADLINE);
        server = start();
        let is_back = |line: &str| line.starts_with("READY ");
        let (heard, _) = bob.wait_after(heard, common::DEADLINE, is_back);
        let (polled, _) = cid.wait_after(polled, common::DEADLINE, is_back);
        let mut ann = Member::of(&server, "ann");
        for user in ["bob", "cid"] {
            ann.send(&json!({ "type": "chat", "targetUserId": user, "text": "again" }));
        }
        for (peer, from) in [(&bob, heard), (&cid, polled)] {
            let is_chat =
                |line: &str| line.starts_with("EVENT [\"message\",") && line.contains("again");
            peer.wait_after(from, common::DEADLINE, is_chat);
        }
    }
    for mut peer in [bob, cid] {
        peer.end_input();
        assert!(peer.wait_exit().success());
    }
}

#[test]
fn a_page_chats_with_a_client_of_the_gateway_protocol() {
    let server = builder(2).start();
    let mut command = node_with_socketio("socketio.cjs");
    command.arg(server.address().to_string());
    assert_eq!(
        facts(command),
        json!({ "transports": ["polling", "websocket"] })
    );
}

/// What docs/socketio.md shows to those who write clients.
#[test]
fn the_example_of_the_document_runs() {
    let document = include_str!("../docs/socketio.md");
    let (_, rest) = document.split_once("```js\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let server = patient(2).start();
    let mut bob = Socket::connected(&server);
    bob.register("bob");
    let example = example.replace("http://localhost:3000", &url(&server));
    let script = format!(
        "const {{ io }} = require('socket.io-client'); const token = undefined; (async () => {{ {example} \
         socket.disconnect(); console.log(JSON.stringify({{ userId }})); }})();"
    );
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("example.cjs");
    std::fs::write(&path, script).expect("written");
    assert_eq!(facts(socketio_script(&path)), json!({ "userId": "ann" }));
    let (name, data) = bob.event();
    assert_eq!(
        (name.as_str(), &data["sender"], &data["content"]),
        ("message", &json!("ann"), &json!("ahoy"))
    );
}

/// It reads the packets of an answer later than the end of the session in it, and would be told of both.
#[test]
fn npm_clients_that_are_sent_away_hear_it_once() {
    let server = patient(1).start();
    for transport in ["polling", "websocket"] {
        let options = json!({ "userId": "bob", "transports": [transport] });
        let mut bob = listener(&url(&server), &options);
        bob.wait_for(&format!("READY {transport}"));
        let body = json!({ "userId": "bob" });
        let (status, told) = call(&mut server.connect(), "/api/disconnect", &body);
        assert_eq!((status, &told["connections"]), (200, &json!(1)), "{told}");
        bob.wait_for("DISCONNECTED io server disconnect");
        eventually("the session is over", || {
            let (_, stats) = look(&mut server.connect(), "/api/stats/connections");
            stats["endpoints"]["socketio"] == 0
        });
        bob.end_input();
        assert!(bob.wait_exit().success());
        assert_eq!(bob.output().count("DISCONNECTED"), 1, "{transport}");
    }
}

#[test]
fn npm_clients_answer_what_a_back_end_asks() {
    on_one_and_on_two(|server| {
        for transport in ["polling", "websocket"] {
            let options = json!({ "userId": "bob", "transports": [transport] });
            let mut bob = listener(&url(server), &options);
            bob.wait_for(&format!("READY {transport}"));
            let body = json!({ "userId": "bob", "event": "ready", "data": { "pier": 3 } });
            let (status, told) = call(&mut server.connect(), "/api/ask", &body);
            assert_eq!((status, &told["asked"]), (200, &json!(1)), "{told}");
            assert_eq!(told["answers"][0]["data"], json!([3, "Aw=="]), "{told}");
            bob.end_input();
            assert!(bob.wait_exit().success());
        }
    });
}

/// A conversation by lines: a peer in Node with a client of the gateway protocol.
#[test]
fn npm_clients_converse_with_clients_of_the_gateway_protocol() {
    on_one_and_on_two(|server| {
        let mut bob = listener(&url(server), &json!({ "userId": "bob" }));
        bob.wait_for("READY websocket");
        let mut ann = Member::of(server, "ann");
        ann.send(&json!({ "type": "chat", "targetUserId": "bob", "text": "ahoy" }));
        let heard = bob.wait_for("EVENT [\"message\"");
        assert!(
            heard.contains("\"sender\":\"ann\",\"content\":\"ahoy\""),
            "{heard}"
        );
        bob.type_line("[\"send_message\",{\"recipient\":\"ann\",\"content\":\"aye\"}]");
        assert_eq!(bob.wait_for("ACK"), "ACK {\"delivered\":1}");
        assert_eq!(ann.read_timeless()["text"], "aye");
        bob.end_input();
        assert!(bob.wait_exit().success());
    });
}
