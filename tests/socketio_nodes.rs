//! A mixed cluster: two nodes of ours, a Socket.IO server of Node's with `@socket.io/redis-adapter`, `@socket.io/redis-emitter`, one Redis,
//! and clients of npm at each. Nothing comes twice, nothing is lost, and what Node asks is answered by everybody.

mod common;

use common::DEADLINE;
use common::cluster::{Cluster, await_listeners, await_status, status};
use common::frame;
use common::gateway::{API_KEY, Member, builder};
use common::metrics::{Samples, expect_value};
use common::peer::{Peer, socketio_nodes};
use common::redis::Redis;
use common::redis_cluster::RedisCluster;
use common::resp::{RedisClient, Reply};
use common::server::{Server, ServerBuilder};
use common::socketio::{Polling, Socket};
use rustix::process::Signal;
use serde_json::{Value, json};

const REQUESTS: &str = "socket.io-request#/#";
const RESPONSES: &str = "socket.io-response#/#";
const IN_ROOM: &str = "socket.io#/#r#";
const LISTENS: &str = "tidegate_socketio_servers_link_up{link=\"listener\"}";
const REFUSED: &str = "tidegate_socketio_servers_messages_total{what=\"refused\"}";

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
        await_status(&cluster, "ok");
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

/// A node that shares rooms by way of the Redis at that URL.
fn neighbour(url: impl ToString) -> ServerBuilder {
    builder(2)
        .env("REDIS_ENABLED", "on")
        .env("REDIS_URL", url)
        .env("SOCKETIO_REDIS_ADAPTER", "on")
}

/// The same, started, with somebody in the room.
fn neighbour_with_gina(builder: ServerBuilder) -> (Server, Member) {
    let server = builder.start();
    expect_value(&server, LISTENS, 1.0);
    common::eventually("it is well", || status(&server) == "ok");
    let mut gina = Member::of(&server, "gina");
    gina.join("r");
    (server, gina)
}

/// A text in MessagePack.
fn packed(text: &str) -> Vec<u8> {
    let len = u16::try_from(text.len()).expect("a short text");
    let mut bytes = vec![0xda];
    bytes.extend(len.to_be_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// An event without arguments, as a node says it to a room.
fn said(uid: &str, namespace: &str, event: &str) -> Vec<u8> {
    let mut bytes = vec![0x93];
    bytes.extend(packed(uid));
    bytes.push(0x83);
    bytes.extend(packed("type"));
    bytes.push(2);
    bytes.extend(packed("data"));
    bytes.push(0x91);
    bytes.extend(packed(event));
    bytes.extend(packed("nsp"));
    bytes.extend(packed(namespace));
    bytes.push(0x81);
    bytes.extend(packed("rooms"));
    bytes.push(0x91);
    bytes.extend(packed("r"));
    bytes
}

/// The same, with the flag that who is not ready need not get it.
fn volatile(event: &str) -> Vec<u8> {
    let mut bytes = said("x", "/", event);
    let options = bytes.len() - packed("rooms").len() - 1 - packed("r").len() - 1;
    assert_eq!(std::mem::replace(&mut bytes[options], 0x82), 0x81);
    bytes.extend(packed("flags"));
    bytes.push(0x81);
    bytes.extend(packed("volatile"));
    bytes.push(0xc3);
    bytes
}

fn publish(client: &mut RedisClient, channel: &str, bytes: &[u8]) -> i64 {
    let told = client.ask(&[b"PUBLISH", channel.as_bytes(), bytes]);
    told.integer()
}

/// Who listens to answers.
fn listen(redis: &Redis, channel: &str) -> RedisClient {
    let mut listener = redis.client();
    let told = listener.ask(&["SUBSCRIBE", channel]);
    assert_eq!(told, Reply::push("subscribe", channel, Reply::Integer(1)));
    listener
}

/// What comes next there, as JSON.
fn answer(listener: &mut RedisClient) -> Value {
    let told = listener.read();
    serde_json::from_str(told.items()[2].text()).expect("JSON")
}

fn event(member: &mut Member) -> Value {
    loop {
        let told = member.read();
        if told["type"] != "gap" {
            return told["event"].clone();
        }
    }
}

#[test]
fn what_means_nothing_here_is_passed_over() {
    let redis = Redis::start();
    let (server, mut gina) =
        neighbour_with_gina(neighbour(redis.url()).env("MAX_MESSAGE_SIZE", 2_000));
    let mut client = redis.client();
    let deep = [vec![0x93, 0xa1, b'x'], vec![0x91; 100_000]].concat();
    let refused: [(&str, &[u8]); 6] = [
        (IN_ROOM, b""),
        (IN_ROOM, b"\xff\xff\xff"),
        (IN_ROOM, &deep),
        (REQUESTS, b"{"),
        (REQUESTS, b"{\"type\":99}"),
        (
            REQUESTS,
            b"{\"type\":5,\"opts\":{\"rooms\":[],\"except\":[]}}",
        ),
    ];
    for (channel, bytes) in refused {
        assert_eq!(publish(&mut client, channel, bytes), 1);
    }
    let long = "x".repeat(2_000);
    for (channel, uid, namespace, name) in [
        // Nobody is there, which is seen before it is read.
        ("socket.io#/#nobody#", "x", "/", "nobody"),
        (
            IN_ROOM,
            "tidegate-tidegate-0123456789abcdef",
            "/",
            "of a node of ours",
        ),
        (IN_ROOM, "x", "/chat", "of another namespace"),
        (IN_ROOM, "x", "/", "a\u{7}name"),
        (IN_ROOM, "x", "/", long.as_str()),
        (IN_ROOM, "tidegate-other-0123456789abcdef", "/", "good"),
    ] {
        publish(&mut client, channel, &said(uid, namespace, name));
    }
    assert_eq!(event(&mut gina), "good");
    assert_eq!(Samples::of(&server).get(REFUSED), refused.len() as f64);
}

/// What only older nodes ask.
#[test]
fn requests_of_older_nodes_are_answered() {
    let redis = Redis::start();
    let (server, _gina) = neighbour_with_gina(neighbour(redis.url()));
    let (mut socket, _) = Socket::open(&server, "/socket.io/");
    socket.say("40");
    let told = socket.read_packet();
    let told: Value = serde_json::from_str(&told[2..]).expect("JSON");
    let sid = told["sid"].as_str().expect("a name");
    socket.register("ann");
    let (mut answers, mut client) = (listen(&redis, RESPONSES), redis.client());
    let mut ask = |request: Value| {
        assert_eq!(
            publish(&mut client, REQUESTS, request.to_string().as_bytes()),
            1
        );
    };
    // Nobody answers for a socket that is another's.
    ask(json!({ "uid": "x", "requestId": "0", "type": 2, "sid": "another", "room": "r" }));
    ask(json!({ "uid": "x", "requestId": "1", "type": 2, "sid": sid, "room": "r" }));
    assert_eq!(answer(&mut answers), json!({ "requestId": "1" }));
    ask(json!({ "uid": "x", "requestId": "2", "type": 0, "rooms": ["r"] }));
    assert_eq!(
        answer(&mut answers),
        json!({ "requestId": "2", "sockets": [sid] })
    );
    ask(json!({ "uid": "x", "requestId": "3", "type": 3, "sid": sid, "room": "r" }));
    assert_eq!(answer(&mut answers), json!({ "requestId": "3" }));
    ask(json!({ "uid": "x", "requestId": "4", "type": 0, "rooms": ["r"] }));
    assert_eq!(
        answer(&mut answers),
        json!({ "requestId": "4", "sockets": [] })
    );
    ask(json!({ "uid": "x", "requestId": "5", "type": 1 }));
    let rooms = answer(&mut answers);
    let mut expected = [sid, "r"];
    expected.sort_unstable();
    assert_eq!(rooms["rooms"], json!(expected));
    ask(json!({ "uid": "x", "requestId": "6", "type": 4, "sid": sid, "close": true }));
    assert_eq!(answer(&mut answers), json!({ "requestId": "6" }));
    assert_eq!(socket.read_packet(), "41");
    socket.expect_end();
}

#[test]
fn a_redis_that_comes_back_is_listened_to_again() {
    let mut redis = Redis::start();
    let (server, mut gina) = neighbour_with_gina(neighbour(redis.url()));
    redis.kill();
    expect_value(&server, LISTENS, 0.0);
    redis.restart();
    expect_value(&server, LISTENS, 1.0);
    publish(&mut redis.client(), IN_ROOM, &said("x", "/", "again"));
    assert_eq!(gina.read()["type"], "gap");
    assert_eq!(event(&mut gina), "again");
}

#[test]
fn what_is_volatile_passes_by_who_is_not_ready() {
    let redis = Redis::start();
    let (server, mut gina) = neighbour_with_gina(neighbour(redis.url()));
    let session = Polling::connected(&server);
    assert_eq!(session.post("42[\"register\",\"ann\"]").status, 200);
    assert_eq!(session.post("42[\"join\",\"r\"]").status, 200);
    assert!(session.packets(1)[0].starts_with("42[\"registered\""));
    let mut client = redis.client();
    for bytes in [
        said("x", "/", "one"),
        volatile("two"),
        said("x", "/", "three"),
    ] {
        publish(&mut client, IN_ROOM, &bytes);
    }
    for name in ["one", "two", "three"] {
        assert_eq!(event(&mut gina), name, "who reads gets everything");
    }
    assert_eq!(session.packets(2), ["42[\"one\"]", "42[\"three\"]"]);
}

#[test]
fn what_is_volatile_passes_by_who_reads_too_slowly() {
    let redis = Redis::start();
    let builder = neighbour(redis.url())
        .env("WORKERS", 1)
        .env("SEND_QUEUE_HARD", "64MiB")
        .env("SEND_QUEUE_SOFT", "64MiB");
    let (server, mut gina) = neighbour_with_gina(builder);
    let mut socket = Socket::of(&server, "ann", "r");
    let mut client = redis.client();
    // More than the kernel takes in.
    let long = "x".repeat(60_000);
    for _ in 0..500 {
        publish(&mut client, IN_ROOM, &said("x", "/", &long));
    }
    publish(&mut client, IN_ROOM, &volatile("volatile"));
    publish(&mut client, IN_ROOM, &said("x", "/", "end"));
    // The worker of both has done all of it.
    for name in ["volatile", "end"] {
        assert_eq!(event(&mut gina), name);
    }
    for _ in 0..500 {
        assert_eq!(socket.read_packet().len(), long.len() + "42[\"\"]".len());
    }
    assert_eq!(socket.read_packet(), "42[\"end\"]");
}

#[test]
fn who_is_answered_in_the_same_turn_gets_what_is_volatile() {
    let redis = Redis::start();
    let (server, _gina) = neighbour_with_gina(neighbour(redis.url()));
    let mut socket = Socket::of(&server, "ann", "r");
    let mut client = redis.client();
    // Both workers are asked, and what they say comes behind other mail.
    let questions = frame::text("421[\"presence\",\"r\"]").repeat(20);
    for _ in 0..50 {
        socket.client.send_bytes(&questions);
        publish(&mut client, IN_ROOM, &volatile("volatile"));
        let packets: Vec<String> = (0..=20).map(|_| socket.read_packet()).collect();
        let events = packets
            .iter()
            .filter(|packet| *packet == "42[\"volatile\"]");
        assert_eq!(events.count(), 1, "{packets:?}");
    }
}

/// Who asks is not to wait for a node that goes away.
#[test]
fn a_node_that_goes_is_asked_nothing_and_hears_to_the_end() {
    let redis = Redis::start();
    let (mut server, mut gina) =
        neighbour_with_gina(neighbour(redis.url()).env("DRAIN_PERIOD", "20s"));
    let patterns = || redis.command(&["PUBSUB", "NUMPAT"]).integer();
    assert_eq!(patterns(), 1);
    server.signal(Signal::TERM);
    await_listeners(&redis, REQUESTS, 0);
    publish(&mut redis.client(), IN_ROOM, &said("x", "/", "last"));
    assert_eq!((event(&mut gina), patterns()), (json!("last"), 1));
    drop(gina);
    server.wait_exit(DEADLINE);
}

/// The rights of `docs/socketio.md` are enough; without them the nodes still have each other.
#[test]
fn a_user_of_redis_needs_these_rights_and_no_more() {
    let nodes = "~tidegate:* &tidegate:* -@all +publish +subscribe +unsubscribe +set +get +del +pexpire +pttl +sadd +srem +smembers +sscan";
    let channels = "+psubscribe &socket.io#/#* &socket.io-request#/# &socket.io-response#/#*";
    let redis = Redis::builder()
        .user(&format!("may on >enough resetchannels {nodes} {channels}"))
        .user(&format!("may-not on >enough resetchannels {nodes}"))
        .start();
    let (_server, mut gina) = neighbour_with_gina(neighbour(redis.url_of("may", "enough")));
    let mut answers = listen(&redis, RESPONSES);
    let mut client = redis.client();
    publish(&mut client, IN_ROOM, &said("x", "/", "heard"));
    assert_eq!(event(&mut gina), "heard");
    let request = json!({ "uid": "x", "requestId": "1", "type": 1 }).to_string();
    publish(&mut client, REQUESTS, request.as_bytes());
    assert_eq!(
        answer(&mut answers),
        json!({ "requestId": "1", "rooms": ["r"] })
    );

    let other = neighbour(redis.url_of("may-not", "enough")).start();
    other.wait_for_log("Socket.IO servers are not heard", DEADLINE);
    assert_eq!(Samples::of(&other).get(LISTENS), 0.0);
    common::eventually("the nodes have each other", || status(&other) == "ok");
}

#[test]
fn in_a_redis_cluster_all_servers_are_one() {
    let redis = RedisCluster::start();
    let start = || {
        neighbour_with_gina(neighbour(redis.any().url()).env("REDIS_CLUSTER_NODES", redis.seeds()))
    };
    let (_one, mut gina) = start();
    let (_other, mut gina_there) = start();
    for server in 0..RedisCluster::MASTERS {
        let name = format!("by {server}");
        publish(
            &mut redis.server(server).client(),
            IN_ROOM,
            &said("x", "/", &name),
        );
        for member in [&mut gina, &mut gina_there] {
            assert_eq!(event(member), name);
        }
    }
    let mut listeners = [0, 1, 2].map(|server| listen(redis.server(server), IN_ROOM));
    gina.send(&json!({ "type": "publish", "room": "r", "event": "ours", "data": 1 }));
    for listener in &mut listeners {
        // What was published before may still be on its way from another server.
        let is_ours = |told: &Reply| matches!(&told.items()[2], Reply::Bytes(bytes) if bytes.windows(4).any(|part| part == b"ours"));
        while !is_ours(&listener.read()) {}
    }
    assert_eq!(event(&mut gina_there), "ours");
}
