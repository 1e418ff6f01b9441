//! A mixed cluster: two nodes of ours, a Socket.IO server of Node's with `@socket.io/redis-adapter`, `@socket.io/redis-emitter`, one Redis,
//! and clients of npm at each. Nothing comes twice, nothing is lost, and what Node asks is answered by everybody.

mod common;

use common::DEADLINE;
use common::cluster::{Cluster, await_listeners};
use common::gateway::{API_KEY, Member};
use common::peer::{Peer, socketio_nodes};
use common::redis::Redis;
use serde_json::{Value, json};

const REQUESTS: &str = "socket.io-request#/#";

/// The mixed cluster.
struct Stage {
    peer: Peer,
    cluster: Cluster,
    redis: Redis,
}

impl Stage {
    fn start(redis: Redis) -> Self {
        let cluster = Cluster::builder(2, &redis)
            .env("SOCKETIO_REDIS_ADAPTER", "on")
            .env("SOCKETIO_NAMESPACES", "/chat")
            .start();
        let mut command = socketio_nodes("mixed.cjs");
        command.args([redis.url().as_str(), API_KEY]);
        command.args([0, 1].map(|node| format!("http://{}", cluster.node(node).address())));
        let mut stage = Self {
            peer: Peer::start(command),
            cluster,
            redis,
        };
        assert_eq!(stage.step("start"), json!({ "started": true }));
        for channel in [REQUESTS, "socket.io-request#/chat#"] {
            await_listeners(&stage.redis, channel, 3);
        }
        assert_eq!(stage.step("join"), json!({ "sids": ["string", "string"] }));
        stage
    }

    /// What comes of a step.
    fn step(&mut self, name: &str) -> Value {
        let position = self.begin(name);
        self.result(position)
    }

    fn begin(&mut self, name: &str) -> usize {
        let position = self.peer.output().position();
        self.peer.type_line(name);
        position
    }

    fn result(&self, position: usize) -> Value {
        let (_, line) = self.peer.wait_after(position, DEADLINE, |_| true);
        serde_json::from_str(&line).expect("JSON")
    }
}

/// What clients have heard: each event as JSON, in the order of the alphabet.
fn heard(expected: &[(&str, &[Value])]) -> Value {
    let lists = expected.iter().map(|(name, events)| {
        let mut events: Vec<String> = events.iter().map(Value::to_string).collect();
        events.sort();
        ((*name).to_owned(), json!(events))
    });
    Value::Object(lists.collect())
}

#[test]
fn a_mixed_cluster_is_one() {
    let mut stage = Stage::start(Redis::start());
    let mut gina = Member::of(stage.cluster.node(1), "gina");
    gina.join("harbour");
    check_rooms(&mut stage, &mut gina);
    check_everyone(&mut stage, &mut gina);
    check_some(&mut stage);
    check_questions(&mut stage);
    check_acts(&mut stage);

    let position = stage.begin("stream");
    assert_eq!(stage.result(position), json!({ "half": true }));
    stage.cluster.kill(1);
    let (behind, _) = stage.peer.wait_after(position, DEADLINE, |_| true);
    let told = stage.result(behind);
    assert_eq!(told, json!({ "n": [400, 100], "a": [400, 100] }));
    await_listeners(&stage.redis, REQUESTS, 2);
    let told = stage.step("ask again");
    assert_eq!(told, json!({ "fetched": ["a", "n"], "told": [null] }));
    stage.peer.end_input();
    assert!(stage.peer.wait_exit().success());
}

/// What anybody says to a room reaches all who are in it, once.
fn check_rooms(stage: &mut Stage, gina: &mut Member) {
    let told = stage.step("rooms");
    let said = |by_b: bool| {
        let mut events = vec![
            json!(["node", 1, { "hex": "0102" }, { "deep": [{ "hex": "03" }] }]),
            json!(["emitter", { "a": 1 }]),
            json!(["a", { "n": 1 }]),
            json!(["api", [1]]),
        ];
        events.extend(by_b.then(|| json!(["b", null])));
        events
    };
    let (all, but_own) = (said(true), said(false));
    let expected = heard(&[("n", &all), ("a", &all), ("b", &but_own), ("c", &[])]);
    assert_eq!(told, expected);
    let mut events = Vec::new();
    while events.len() < 5 {
        let message = gina.read_timeless();
        if message["event"] != "fence" {
            assert_eq!(message["type"], "message", "{message}");
            assert_eq!(message["room"], "harbour", "{message}");
            events.push(json!([message["event"], message["data"]]).to_string());
        }
    }
    events.sort();
    let mut expected = vec![
        json!(["node", [1, "AQI=", { "deep": ["Aw=="] }]]).to_string(),
        json!(["emitter", { "a": 1 }]).to_string(),
        json!(["a", { "n": 1 }]).to_string(),
        json!(["b", null]).to_string(),
        json!(["api", [1]]).to_string(),
    ];
    expected.sort();
    assert_eq!(events, expected);
}

/// What is for everyone reaches everyone in the namespace, and clients of the gateway protocol as what is broadcast.
fn check_everyone(stage: &mut Stage, gina: &mut Member) {
    let all = [
        json!(["node", "all"]),
        json!(["emitter"]),
        json!(["api", 7]),
    ];
    let chat = [json!(["chat", 1])];
    let told = stage.step("everyone");
    assert_eq!(
        told,
        heard(&[("n", &all), ("a", &all), ("b", &all), ("c", &chat)])
    );
    let mut events = Vec::new();
    while events.len() < 3 {
        let message = gina.read_timeless();
        if message["type"] == "broadcast" {
            events.push(json!([message["event"], message["data"]]).to_string());
        }
    }
    events.sort();
    assert_eq!(
        events,
        [r#"["api",7]"#, r#"["emitter",null]"#, r#"["node","all"]"#]
    );
}

/// Several rooms, sockets by their names, exceptions.
fn check_some(stage: &mut Stage) {
    let (but_b, but_n) = (json!(["but b"]), json!(["but n"]));
    let expected = heard(&[
        ("n", std::slice::from_ref(&but_b)),
        ("a", &[but_b.clone(), but_n.clone(), json!(["flags"])]),
        ("b", &[but_n, json!(["b alone"])]),
        ("c", &[]),
    ]);
    assert_eq!(stage.step("some"), expected);
}

/// What Node asks, which ends only once all have answered.
fn check_questions(stage: &mut Stage) {
    let told = stage.step("ask");
    let socket = |who: &str, rooms: &[&str], data: Value| json!({ "who": who, "rooms": rooms, "data": data });
    let expected = json!([
        socket("a", &["a", "harbour", "pier"], json!({ "userId": "ann" })),
        socket("b", &["b", "harbour"], json!({ "userId": "bob" })),
        socket("n", &["harbour", "n"], json!({})),
    ]);
    assert_eq!(told["fetched"], expected);
    assert_eq!(told["chat"], json!(["c"]));
    assert_eq!(told["rooms"], json!(["a", "b", "harbour", "n", "pier"]));
    assert_eq!(told["told"], json!([null, null]));
    let answer = |who: &str| json!({ "from": who, "bytes": { "hex": "07" } });
    assert_eq!(told["answers"], json!(["a", "b", "n"].map(answer)));
    assert_eq!(told["nobody"], json!([]));
    let question = [json!(["question", { "hex": "09" }])];
    let expected = heard(&[
        ("n", &question),
        ("a", &question),
        ("b", &question),
        ("c", &[]),
    ]);
    assert_eq!(told["heard"], expected);
}

/// Sockets that Node puts into rooms, out of them, and away.
fn check_acts(stage: &mut Stage) {
    let told = stage.step("act");
    assert_eq!(told["who"], "a");
    let rooms = json!(["a", "harbour", "pier", "q2", "q3", "quay"]);
    assert_eq!(told["rooms"], rooms);
    assert_eq!(
        (&told["chat"], &told["left"]),
        (&json!(1), &json!(["a", "n"]))
    );
    let (left, quay) = ([json!(["left"])], [json!(["in the quay"])]);
    let expected = heard(&[("n", &[]), ("a", &quay), ("b", &left), ("c", &left)]);
    assert_eq!(told["heard"], expected);
}
