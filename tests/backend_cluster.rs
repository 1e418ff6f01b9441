//! Who has gone, told by several nodes as one: not while a user is at another node, and once, also where the node has died.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::back_end::{BackEnd, json as said, nothing};
use common::client::Client;
use common::faults::Faults;
use common::gateway::{Member, look};
use common::redis::Redis;
use common::server::{Server, ServerBuilder};
use common::{DEADLINE, eventually};
use rustix::process::Signal;
use serde_json::json;

const EXPIRY: Duration = Duration::from_secs(5);

fn builder(redis: &Redis, back_end: &BackEnd) -> ServerBuilder {
    common::gateway::builder(1)
        .env("REDIS_ENABLED", true)
        .env("REDIS_URL", redis.url())
        .env("BACKEND_URL", back_end.url())
        .env("BACKEND_DISCONNECT_DELAY", "500ms")
        .env("DRAIN_PERIOD", "0s")
        .env("LOG_LEVEL", "debug")
}

/// Nodes that are registered.
fn nodes<const N: usize>(redis: &Redis, back_end: &BackEnd) -> [Server; N] {
    let nodes = [(); N].map(|()| builder(redis, back_end).start());
    nodes.iter().for_each(await_registered);
    nodes
}

fn await_registered(node: &Server) {
    let mut api = node.connect();
    eventually("the node is registered", || {
        look(&mut api, "/api/redis-info").1["redis"]["registered"] == true
    });
}

/// The key of the list of a node's users.
fn list_of(node: &Server) -> String {
    let info = look(&mut node.connect(), "/api/redis-info").1;
    let name = info["processId"].as_str().expect("a name");
    format!("tidegate:{{registry}}:{name}:users")
}

/// The user is whom the query names.
fn named() -> BackEnd {
    BackEnd::start(|event| match event.kind() {
        "connect" => said(&json!({ "userId": event.data()["query"] })),
        _ => nothing(),
    })
}

fn connect(node: &Server, user: &str) -> Client {
    let mut client = node.connect();
    client.upgrade(&format!("/?{user}"));
    client
}

/// How often each user was told to have gone.
fn gone(back_end: &BackEnd) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in back_end.events("disconnect") {
        let user = event.data()["userId"].as_str().expect("a user").to_owned();
        *counts.entry(user).or_default() += 1;
    }
    counts
}

fn once(users: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    users.into_iter().map(|user| (user, 1)).collect()
}

#[test]
fn a_user_who_is_at_another_node_has_not_gone() {
    let (redis, back_end) = (Redis::start(), named());
    let [one, other] = nodes(&redis, &back_end);
    let (here, there) = (connect(&one, "ann"), connect(&other, "ann"));
    drop(here);
    // Who comes back elsewhere within the delay has not gone either.
    let bob = connect(&one, "bob");
    drop(bob);
    let bob = connect(&other, "bob");
    // And somebody who has: by then the others would have been told of as well.
    drop(connect(&one, "eve"));
    back_end.wait_for("disconnect", 1);
    assert_eq!(gone(&back_end), once(["eve".to_owned()]));
    drop((there, bob));
    back_end.wait_for("disconnect", 3);
    let all = ["ann", "bob", "eve"].map(str::to_owned);
    assert_eq!(gone(&back_end), once(all));
}

#[test]
fn who_leaves_two_nodes_at_once_is_told_of_once() {
    let (redis, back_end) = (Redis::start(), named());
    let [one, other] = nodes(&redis, &back_end);
    let users: Vec<_> = (0..50).map(|number| format!("user-{number}")).collect();
    let both: Vec<_> = users
        .iter()
        .map(|user| (connect(&one, user), connect(&other, user)))
        .collect();
    drop(both);
    back_end.wait_for("disconnect", users.len());
    drop(connect(&one, "last"));
    eventually("the last one has gone", || {
        gone(&back_end).contains_key("last")
    });
    let last = ["last".to_owned()];
    assert_eq!(gone(&back_end), once(users.into_iter().chain(last)));
}

#[test]
fn the_users_of_a_node_that_was_killed_are_told_of_once_each() {
    const USERS: usize = 1_010;
    const DELAY: Duration = Duration::from_secs(1);
    let (redis, back_end) = (Redis::start(), named());
    let delay = format!("{}s", DELAY.as_secs());
    let [mut dead, one, other] = [(); 3].map(|()| {
        let node = builder(&redis, &back_end).env("BACKEND_DISCONNECT_DELAY", &delay);
        node.start()
    });
    [&dead, &one, &other].into_iter().for_each(await_registered);
    let users: Vec<_> = (0..USERS).map(|number| format!("user-{number}")).collect();
    let clients: Vec<_> = users.iter().map(|user| connect(&dead, user)).collect();
    // Some are somewhere else, too.
    let elsewhere: Vec<_> = users[..10]
        .iter()
        .map(|user| connect(&other, user))
        .collect();
    let list = list_of(&dead);
    eventually("all are registered", || {
        redis.command(&["SCARD", &list]).integer() == USERS as i64
    });
    // They would be told of only after that; the survivors do not know of it.
    dead.signal(Signal::KILL);
    let killed = std::time::Instant::now();
    dead.wait_exit(DEADLINE);
    drop(clients);
    let expected = USERS - elsewhere.len();
    back_end.wait_for("disconnect", expected);
    let took = killed.elapsed();
    assert!(took > EXPIRY - Duration::from_secs(2), "{took:?}");
    // Some more, as a busy machine has a thousand to send.
    assert!(took < EXPIRY + DELAY + Duration::from_secs(5), "{took:?}");
    drop(connect(&one, "last"));
    eventually("the last one has gone", || {
        gone(&back_end).contains_key("last")
    });
    let last = ["last".to_owned()];
    let left = users.into_iter().skip(elsewhere.len());
    assert_eq!(gone(&back_end), once(left.chain(last)));
}

#[test]
fn what_a_node_had_still_to_tell_when_it_died_the_others_tell() {
    let (redis, back_end) = (Redis::start(), named());
    let patient = |delay: &str| {
        let node = builder(&redis, &back_end).env("BACKEND_DISCONNECT_DELAY", delay);
        let node = node.start();
        await_registered(&node);
        node
    };
    let (mut dead, mut ended) = (patient("1h"), patient("1h"));
    let _survivor = patient("0s");
    drop(connect(&dead, "ann"));
    drop(connect(&ended, "bob"));
    // The registry keeps who has left until the back end knows; what is younger than its next look it has not heard of.
    for (node, user) in [(&dead, "ann"), (&ended, "bob")] {
        let path = format!("/api/users/{user}");
        let mut api = node.connect();
        let list = list_of(node);
        eventually("the user has left and is kept", || {
            let is_kept = redis.command(&["SISMEMBER", &list, user]).integer() == 1;
            is_kept && look(&mut api, &path).1["online"] == false
        });
    }
    dead.signal(Signal::KILL);
    ended.signal(Signal::TERM);
    dead.wait_exit(DEADLINE);
    assert!(ended.wait_exit(DEADLINE).success());
    back_end.wait_for("disconnect", 2);
    assert_eq!(gone(&back_end), once(["ann", "bob"].map(str::to_owned)));
}

/// Redis is away for one node, its users are not: the others cannot know.
#[test]
fn who_was_at_a_node_that_was_cut_off_has_gone_and_is_there_again() {
    let redis = Redis::start();
    let back_end = BackEnd::start(|event| match event.kind() {
        "connect" => said(&json!({ "userId": event.data()["query"] })),
        "message" => said(&json!({ "send": [{ "type": "heard" }] })),
        _ => nothing(),
    });
    let way = Faults::forward(redis.address());
    let cut = builder(&redis, &back_end).env("REDIS_URL", redis.url_at(way.address()));
    let (cut, other) = (cut.start(), builder(&redis, &back_end).start());
    [&cut, &other].into_iter().for_each(await_registered);
    let mut ann = Member {
        client: connect(&cut, "ann"),
    };
    let (_bob, _also_bob) = (connect(&cut, "bob"), connect(&other, "bob"));
    let list = list_of(&cut);
    eventually("both are registered", || {
        redis.command(&["SCARD", &list]).integer() == 2
    });

    way.black_hole();
    back_end.wait_for("disconnect", 1);
    assert_eq!(gone(&back_end), once(["ann".to_owned()]));
    // She is there, and her messages are answered.
    let mut hail = || {
        ann.send(&json!({ "type": "hail" }));
        let mut told = ann.read_foreign();
        if told == json!({ "type": "gap" }) {
            told = ann.read_foreign();
        }
        assert_eq!(told, json!({ "type": "heard" }));
    };
    hail();

    way.heal();
    way.reset_lost();
    let mut api = other.connect();
    eventually("the other node knows of her again", || {
        look(&mut api, "/api/users/ann").1["online"] == true
    });
    await_registered(&cut);
    hail();
    // Nobody has connected, so nothing is told of that; and no more of the time before.
    drop(connect(&other, "eve"));
    back_end.wait_for("disconnect", 2);
    assert_eq!(gone(&back_end), once(["ann", "eve"].map(str::to_owned)));
    assert_eq!(back_end.events("connect").len(), 4);
    // When she leaves that is news.
    drop(ann);
    let told = back_end.wait_for("disconnect", 3);
    let of_ann: Vec<_> = told
        .iter()
        .filter(|told| told.data()["userId"] == "ann")
        .collect();
    let [first, second] = of_ann[..] else {
        panic!("{}", of_ann.len());
    };
    assert!(second.header("ce-sequence") > first.header("ce-sequence"));
    assert_ne!(second.header("webhook-id"), first.header("webhook-id"));
}
