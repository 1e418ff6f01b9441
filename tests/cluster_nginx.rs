//! Three nodes behind Debian's nginx, which spreads the users: what is said crosses, and the users of a node that is killed are gone
//! at once for all others, and come back to these.

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::cluster::{Cluster, await_status};
use common::gateway::{Member, call, look};
use common::redis::Redis;
use serde_json::{Value, json};

const NODES: usize = 3;
const USERS: usize = 9;
/// The time in which a node that was killed is forgotten.
const EXPIRY: Duration = Duration::from_secs(5);

fn user(number: usize) -> String {
    format!("user-{number}")
}

/// Asks what is answered with the same `id`; what came before is dropped.
fn ask(member: &mut Member, message: &Value) -> Value {
    let id = json!("asked");
    let mut message = message.clone();
    message["id"] = id.clone();
    member.send(&message);
    loop {
        let told = member.read();
        if told["id"] == id {
            return told;
        }
    }
}

/// To how many a message goes.
fn delivered(member: &mut Member, message: &Value) -> u64 {
    let told = ask(member, message);
    assert_eq!(told["type"], "ack", "{told}");
    assert_eq!(told.get("unsent"), None, "{told}");
    told["delivered"].as_u64().expect("a number")
}

fn chat(to: &str) -> Value {
    json!({ "type": "chat", "targetUserId": to, "text": "hello" })
}

fn publish() -> Value {
    json!({ "type": "publish", "room": "harbour", "event": "tide" })
}

fn broadcast() -> Value {
    json!({ "type": "broadcast", "event": "notice" })
}

/// The next message of that type.
fn await_message(member: &mut Member, kind: &str) -> Value {
    loop {
        let told = member.read();
        if told["type"] == kind {
            return told;
        }
    }
}

/// Which node each user is at.
fn places(cluster: &Cluster, asked: usize) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for node in (0..NODES).filter(|node| cluster.is_running(*node)) {
        let (_, status) = look(&mut cluster.connect(node), "/api/status");
        let name = status["node"].as_str().expect("the name of the node");
        names.insert(name.to_owned(), node);
    }
    let mut client = cluster.connect(asked);
    let place = |number| {
        let (_, told) = look(&mut client, &format!("/api/users/{}", user(number)));
        let id = told["connections"][0]["connectionId"].as_str();
        let (name, _) = id.and_then(|id| id.split_once('-')).expect("a node's name");
        (user(number), names[name])
    };
    (0..USERS).map(place).collect()
}

/// What a node says of who is there, all in one: it is the same at every node.
fn told_by(cluster: &Cluster, node: usize) -> Value {
    let mut client = cluster.connect(node);
    let mut get = |path: &str| look(&mut client, path).1;
    let users: BTreeMap<_, _> = (0..USERS)
        .map(|number| {
            let told = get(&format!("/api/users/{}", user(number)));
            (user(number), told["online"].clone())
        })
        .collect();
    let rooms = get("/api/rooms");
    let room = get("/api/rooms/harbour");
    json!({ "users": users, "rooms": rooms["rooms"], "room": room })
}

/// What is to be told where these are there, all in one room.
fn truth(members: &BTreeMap<String, Member>) -> Value {
    let there = members.keys();
    let count = there.len();
    let entry = |user| json!({ "userId": user, "connections": 1 });
    let users: Vec<_> = there.map(entry).collect();
    let online: BTreeMap<_, _> = (0..USERS)
        .map(|number| (user(number), members.contains_key(&user(number))))
        .collect();
    json!({
        "users": online,
        "rooms": [{ "room": "harbour", "connections": count }],
        "room": { "room": "harbour", "connections": count, "users": users },
    })
}

fn await_truth(cluster: &Cluster, node: usize, truth: &Value, deadline: Instant) {
    loop {
        let told = told_by(cluster, node);
        if told == *truth {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "node {node}: {told}, not {truth}"
        );
    }
}

/// Everybody writes to the next one, and one to the room and to all.
fn speak(members: &mut BTreeMap<String, Member>) {
    let names: Vec<String> = members.keys().cloned().collect();
    let all = names.len() as u64;
    for (number, name) in names.iter().enumerate() {
        let next = &names[(number + 1) % names.len()];
        let member = members.get_mut(name).expect("it is there");
        assert_eq!(delivered(member, &chat(next)), 1, "{name} to {next}");
        let next = members.get_mut(next).expect("it is there");
        assert_eq!(await_message(next, "chat")["fromUserId"], *name);
    }
    let first = members.get_mut(&names[0]).expect("it is there");
    assert_eq!(delivered(first, &publish()), all - 1);
    assert_eq!(delivered(first, &broadcast()), all);
    for name in &names[1..] {
        let member = members.get_mut(name).expect("it is there");
        assert_eq!(await_message(member, "message")["fromUserId"], names[0]);
        assert_eq!(await_message(member, "broadcast")["fromUserId"], names[0]);
        member.expect_silence();
    }
}

/// Somebody comes through nginx.
fn come(cluster: &Cluster, user: &str) -> Member {
    let mut member = cluster.member_through_nginx(user);
    member.join("harbour");
    member
}

/// Nobody else is there, whoever asks and however.
fn see_only(
    members: &mut BTreeMap<String, Member>,
    gone: &[String],
    cluster: &Cluster,
    node: usize,
) {
    let present: Vec<_> = members.keys().cloned().collect();
    for member in members.values_mut() {
        for user in gone {
            assert_eq!(delivered(member, &chat(user)), 0, "{user}");
        }
        let told = ask(member, &json!({ "type": "presence", "room": "harbour" }));
        assert_eq!(told["users"], json!(present));
    }
    let mut client = cluster.connect(node);
    let (_, told) = call(&mut client, "/api/broadcast", &json!({ "event": "e" }));
    assert_eq!(told, json!({ "success": true, "delivered": present.len() }));
}

#[test]
fn three_nodes_behind_nginx_are_one_and_lose_only_the_users_of_one_that_is_killed() {
    let redis = Redis::start();
    let builder = Cluster::builder(NODES, &redis).env("CLIENT_BROADCAST", true);
    let mut cluster = builder.start();
    await_status(&cluster, "ok");
    let mut members = BTreeMap::new();
    for name in (0..USERS).map(user) {
        members.insert(name.clone(), come(&cluster, &name));
    }
    let at_first = places(&cluster, 0);
    for node in 0..NODES {
        let is_used = at_first.values().any(|place| *place == node);
        assert!(is_used, "nginx leaves node {node} alone: {at_first:?}");
        await_truth(&cluster, node, &truth(&members), Instant::now() + EXPIRY);
    }
    speak(&mut members);

    let dead = at_first[&user(0)];
    cluster.kill(dead);
    let deadline = Instant::now() + EXPIRY;
    let is_left = |user: &String, _: &mut Member| at_first[user] != dead;
    let mut left: BTreeMap<_, _> = members.extract_if(.., is_left).collect();
    let gone: Vec<_> = members.keys().cloned().collect();
    let others: Vec<_> = (0..NODES).filter(|node| *node != dead).collect();
    for node in &others {
        await_truth(&cluster, *node, &truth(&left), deadline);
    }
    speak(&mut left);
    see_only(&mut left, &gone, &cluster, others[0]);

    for member in members.values_mut() {
        let ended = member.client.read_to_end();
        ended.expect("nginx ends what has lost its node");
    }
    for user in gone {
        left.insert(user.clone(), come(&cluster, &user));
    }
    let places = places(&cluster, others[0]);
    assert!(places.values().all(|node| *node != dead), "{places:?}");
    for node in &others {
        await_truth(&cluster, *node, &truth(&left), Instant::now() + EXPIRY);
    }
    speak(&mut left);
}
