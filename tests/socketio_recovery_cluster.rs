//! Clients of Socket.IO that come back at another node of the cluster: what was published meanwhile, by whichever node, they hear once and
//! in order, also where the node that they were at is gone.

mod common;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use common::client::Client;
use common::cluster::{Cluster, ClusterBuilder, await_listeners, await_status};
use common::gateway::{Member, call};
use common::guest::{Guest, publish, recoveries, sessions};
use common::metrics::expect_value;
use common::peer::{Peer, socketio};
use common::redis::Redis;
use common::resp::Reply;
use common::server::Server;
use serde_json::json;

/// The clock of Redis tells what was before somebody came from what was after that, but for some milliseconds.
const LONG_BEFORE: Duration = Duration::from_millis(300);
/// Between two publications.
const PACE: Duration = Duration::from_millis(3);

/// The user of Redis that the documents describe, with what they say it needs for this.
fn rules() -> String {
    let of = |document: &str, begin: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        let text = fs::read_to_string(path).expect("a document");
        let begun = text.split_once(begin).expect("the rules");
        let (rules, _) = begun.1.split_once("```").expect("their end");
        rules.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let cluster = of("docs/cluster.md", "ACL SETUSER tidegate on >PASSWORD ");
    let socketio = of("docs/socketio.md", "ACL SETUSER tidegate +getset");
    format!("node on >enough {cluster} +getset {socketio}")
}

fn builder(nodes: usize, redis: &Redis) -> ClusterBuilder {
    Cluster::builder(nodes, redis).env("SOCKETIO_RECOVERY", "20s")
}

fn start(builder: ClusterBuilder) -> Cluster {
    let cluster = builder.start();
    await_status(&cluster, "ok");
    for node in 0..cluster.len() {
        await_keeper(cluster.node(node));
    }
    cluster
}

fn await_keeper(node: &Server) {
    expect_value(node, "tidegate_socketio_recovery_store_up", 1.0);
}

/// The client hears these numbers next, and nothing else.
fn expect_numbers(guest: &mut Guest, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        assert_eq!(guest.hear(), ("n".to_owned(), json!(number)));
    }
    guest.expect_silence();
}

#[test]
fn who_comes_back_at_another_node_hears_what_was_missed() {
    let redis = Redis::builder().user(&rules()).start();
    let cluster = start(builder(2, &redis).env("REDIS_URL", redis.url_of("node", "enough")));
    let [one, two] = [cluster.node(0), cluster.node(1)];
    // Of the time before it came it is told nothing.
    publish(two, "r", 0);
    thread::sleep(LONG_BEFORE);
    let mut ann = Guest::member(one, "ann", "r");
    for (number, node) in [(1, one), (2, two)] {
        assert_eq!(publish(node, "r", number), 1);
    }
    let first = ann.hear().1;
    let second = ann.hear().1;
    assert_ne!(first, second);
    let (mut number, mut here, mut there) = (2, one, two);
    for round in 0..4 {
        let known = ann.vanish(here);
        for node in [there, here, there] {
            number += 1;
            publish(node, "r", number);
        }
        let body = json!({ "userId": "ann", "event": "n", "data": number + 1 });
        call(&mut here.connect(), "/api/message", &body);
        let body = json!({ "event": "n", "data": number + 2 });
        call(&mut there.connect(), "/api/broadcast", &body);
        publish(here, "other", 0);
        let (back, is_recovered) = Guest::come_back(there, &known);
        assert!(is_recovered, "round {round}");
        ann = back;
        // Each of two nodes in its order; both at once in none.
        let mut heard: Vec<_> = (0..5)
            .map(|_| ann.hear().1.as_u64().expect("a number") as u32)
            .collect();
        let of = |numbers: &[u32]| {
            let all: Vec<_> = heard
                .iter()
                .filter(|n| numbers.contains(n))
                .copied()
                .collect();
            assert_eq!(all, numbers, "{heard:?}");
        };
        of(&[number - 2, number, number + 2]);
        of(&[number - 1, number + 1]);
        heard.sort_unstable();
        assert_eq!(heard, (number - 2..=number + 2).collect::<Vec<_>>());
        ann.expect_silence();
        number += 3;
        for node in [here, there] {
            assert_eq!(publish(node, "r", number), 1);
            expect_numbers(&mut ann, [number]);
        }
        (here, there) = (there, here);
    }
    assert_eq!(
        recoveries(one, "recovered") + recoveries(two, "recovered"),
        4
    );
    // One who has left for good, or is there, is nobody else.
    let (other, is_recovered) = Guest::come_back(there, &ann.known);
    assert!(!is_recovered, "the first is there");
    drop(other);
    ann.socket.say("41");
    let known = ann.vanish(here);
    assert!(!Guest::come_back(there, &known).1);
    let failures =
        common::metrics::Samples::of(one).get("tidegate_socketio_recovery_failures_total");
    assert!(failures.abs() < 0.5, "{failures}");
}

/// Ends the publisher, also where the test fails.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Two clients of a node go on at another, while a third publishes.
fn after_the_end_of_a_node(end: impl Fn(&mut Cluster)) {
    let redis = Redis::start();
    let mut cluster = start(builder(3, &redis).env("DRAIN_PERIOD", "500ms"));
    let mut ann = Guest::member(cluster.node(0), "ann", "r");
    let mut bob = Guest::member(cluster.node(0), "bob", "r");
    let (count, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    let at_least = |number: u32| {
        common::eventually("more is published", || {
            count.load(Ordering::Acquire) >= number
        });
    };
    let address = cluster.node(2).address();
    thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| {
            let mut client = Client::tcp(address);
            while !is_over.load(Ordering::Acquire) {
                let number = count.load(Ordering::Acquire) + 1;
                let body = json!({ "room": "r", "event": "n", "data": number });
                call(&mut client, "/api/publish", &body);
                count.store(number, Ordering::Release);
                // Far fewer than are kept.
                thread::sleep(PACE);
            }
        });
        at_least(20);
        // One has heard some of it, the other all that came before the end.
        expect_next(&mut ann, 1..=5);
        end(&mut cluster);
        at_least(count.load(Ordering::Acquire) + 20);
        let heard = bob.hear_to_the_end();
        let heard = heard.last().and_then(serde_json::Value::as_u64);
        let heard = heard.expect("a number") as u32;
        for (known, heard) in [(&ann.known, 5), (&bob.known, heard)] {
            let (mut back, is_recovered) = Guest::come_back(cluster.node(1), known);
            assert!(is_recovered, "after {heard}");
            let last = count.load(Ordering::Acquire) + 20;
            at_least(last);
            expect_next(&mut back, heard + 1..=last);
        }
    });
}

/// The client hears these numbers next.
fn expect_next(guest: &mut Guest, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        assert_eq!(guest.hear(), ("n".to_owned(), json!(number)));
    }
}

#[test]
fn a_node_that_is_killed_takes_nothing_along() {
    after_the_end_of_a_node(|cluster| cluster.kill(0));
}

#[test]
fn a_node_that_goes_away_takes_nothing_along() {
    after_the_end_of_a_node(|cluster| cluster.stop(0));
}

#[test]
fn after_an_outage_of_redis_clients_are_somebody_new() {
    let mut redis = Redis::start();
    let cluster = start(builder(2, &redis));
    let node = cluster.node(0);
    let ann = Guest::member(node, "ann", "r");
    let known = ann.vanish(node);
    redis.restart();
    await_status(&cluster, "ok");
    await_keeper(node);
    let (mut ann, is_recovered) = Guest::come_back(node, &known);
    assert!(!is_recovered);
    // Who was there all the time, and who is new, may be lost again.
    ann.socket.register("ann");
    ann.socket.ask("join", &json!("r"));
    let known = ann.vanish(node);
    publish(cluster.node(1), "r", 1);
    let (mut ann, is_recovered) = Guest::come_back(cluster.node(1), &known);
    assert!(is_recovered);
    expect_numbers(&mut ann, [1]);
}

#[test]
fn what_redis_does_not_keep_is_a_new_beginning() {
    let without = rules().replace("+xadd", "");
    let redis = Redis::builder().user(&without).start();
    let cluster = start(builder(2, &redis).env_of(1, "REDIS_URL", redis.url_of("node", "enough")));
    let [able, unable] = [cluster.node(0), cluster.node(1)];
    let lose = || {
        let mut ann = Guest::member(able, "ann", "r");
        publish(able, "r", 1);
        expect_numbers(&mut ann, [1]);
        ann
    };
    // What is too large to be kept.
    let large = json!({ "room": "r", "event": "n", "data": "x".repeat(70_000) });
    let large = || call(&mut able.connect(), "/api/publish", &large);
    let mut ann = lose();
    large();
    ann.hear();
    publish(able, "r", 2);
    let known = ann.vanish(able);
    let (mut ann, is_recovered) = Guest::come_back(unable, &known);
    assert!(is_recovered, "it has been seen");
    expect_numbers(&mut ann, [2]);
    let known = ann.vanish(unable);
    large();
    assert!(!Guest::come_back(able, &known).1);
    common::eventually("nobody is there", || sessions(able) == 0);
    // What a node may not keep: said once, and told to the others once it may.
    let known = lose().vanish(able);
    for number in 3..6 {
        publish(unable, "r", number);
    }
    let line = "WARN  broker::redis: Redis keeps no publications for clients that come back";
    unable.wait_for_log(line, common::DEADLINE);
    let rules = ["ACL", "SETUSER", "node", "+xadd"];
    redis.command(&rules);
    common::eventually("the hole is told", || {
        redis.command(&["EXISTS", "tidegate:s:hole"]) == Reply::Integer(1)
    });
    assert_eq!(unable.log().count(line), 1);
    assert!(!Guest::come_back(able, &known).1);
    assert_eq!(recoveries(able, "gap"), 2);
    // Who came after that misses nothing again.
    common::eventually("nobody is there", || sessions(able) == 0);
    let known = lose().vanish(able);
    publish(unable, "r", 7);
    let (mut ann, is_recovered) = Guest::come_back(unable, &known);
    assert!(is_recovered);
    expect_numbers(&mut ann, [7]);
}

/// A Socket.IO server in Node knows a client that is back by the name that it had.
#[test]
fn servers_in_node_know_who_is_back_by_its_name() {
    const REQUESTS: &str = "socket.io-request#/#";
    let redis = Redis::start();
    let cluster = start(builder(2, &redis).env("SOCKETIO_REDIS_ADAPTER", "on"));
    await_listeners(&redis, REQUESTS, 2);
    let ask = |sid: &str, room: &str| {
        let request = json!({ "uid": "x", "requestId": "1", "type": 2, "sid": sid, "room": room });
        let told = redis.command(&["PUBLISH", REQUESTS, &request.to_string()]);
        assert_eq!(told, Reply::Integer(2));
    };
    let mut ann = Guest::member(cluster.node(0), "ann", "r");
    for (room, here, there) in [("s", 0, 1), ("t", 1, 0)] {
        let known = ann.vanish(cluster.node(here));
        let (back, is_recovered) = Guest::come_back(cluster.node(there), &known);
        assert!(is_recovered);
        ann = back;
        ask(&known.sid, room);
        common::eventually("she is in the room", || {
            let told = ann.socket.ask("presence", &json!(room));
            told["users"] == json!(["ann"])
        });
        assert_eq!(publish(cluster.node(there), room, 1), 1);
        expect_numbers(&mut ann, [1]);
    }
    // Which is a room as any.
    let known = ann.vanish(cluster.node(0));
    publish(cluster.node(0), "t", 2);
    let (mut ann, is_recovered) = Guest::come_back(cluster.node(1), &known);
    assert!(is_recovered);
    expect_numbers(&mut ann, [2]);
}

#[test]
fn npm_clients_are_recovered_at_another_node() {
    let redis = Redis::start();
    let mut cluster = start(builder(2, &redis));
    let options = json!({
        "reconnectionDelay": 300, "reconnectionDelayMax": 500, "userId": "bob", "room": "r",
    });
    let mut command = socketio("client.cjs");
    let url = format!("http://{}", cluster.nginx().address());
    command.args(["listen", &url, &options.to_string()]);
    let bob = Peer::start(command);
    bob.wait_for("READY websocket");
    let his = usize::from(sessions(cluster.node(0)) == 0);
    publish(cluster.node(his), "r", 1);
    bob.wait_for("EVENT [\"n\",1,");
    cluster.kill(his);
    let other = cluster.node(1 - his);
    publish(other, "r", 2);
    bob.wait_for("RECOVERED");
    publish(other, "r", 3);
    bob.wait_for("EVENT [\"n\",3,");
    let told = bob.output().text();
    let numbers: Vec<_> = told
        .lines()
        .filter_map(|line| line.strip_prefix("EVENT [\"n\","))
        .filter_map(|line| line.split(',').next())
        .collect();
    assert_eq!(numbers, ["1", "2", "3"], "{told}");
    let mut ann = Member::of(other, "ann");
    ann.send(&json!({ "type": "chat", "targetUserId": "bob", "text": "still there?" }));
    bob.wait_for("still there?");
}
