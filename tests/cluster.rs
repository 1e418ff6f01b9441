//! Several nodes as one, by way of a real Redis: what crosses, how it is counted, and what becomes of it when something is away.

mod common;

use std::time::{Duration, Instant};

use common::cluster::{Cluster, await_listeners, await_status, status};
use common::faults::{Faults, Lane};
use common::gateway::{Member, call, look};
use common::redis::Redis;
use common::{DEADLINE, eventually};
use serde_json::{Value, json};

fn chat(to: &str, text: &str) -> Value {
    json!({ "type": "chat", "targetUserId": to, "text": text, "id": text })
}

fn ack(text: &str, delivered: u64) -> Value {
    json!({ "type": "ack", "id": text, "delivered": delivered })
}

/// A cluster whose nodes hear each other.
fn cluster_of(nodes: usize, redis: &Redis) -> Cluster {
    let cluster = Cluster::start(nodes, redis);
    await_status(&cluster, "ok");
    cluster
}

#[test]
fn what_is_said_at_one_node_is_heard_at_the_others_once() {
    let redis = Redis::start();
    let cluster = cluster_of(3, &redis);
    let mut ann = cluster.member(0, "ann");
    let mut bobs = [cluster.member(0, "bob"), cluster.member(1, "bob")];
    let mut eve = cluster.member(2, "eve");
    let mut guest = cluster.member_through_nginx("guest");
    assert_eq!(ann.ask(&chat("bob", "both")), ack("both", 2));
    for bob in &mut bobs {
        assert_eq!(bob.read()["text"], "both");
    }
    assert_eq!(ann.ask(&chat("nobody", "none")), ack("none", 0));
    for member in [&mut ann, &mut bobs[1], &mut eve] {
        member.join("harbour");
    }
    let publish = json!({ "type": "publish", "room": "harbour", "event": "e", "id": 1 });
    assert_eq!(eve.ask(&publish)["delivered"], 2);
    for member in [&mut ann, &mut bobs[1]] {
        assert_eq!(member.read()["fromUserId"], "eve");
    }
    assert_eq!(eve.ask(&chat("guest", "through nginx"))["delivered"], 1);
    assert_eq!(guest.read()["fromUserId"], "eve");
    for member in [&mut ann, &mut eve, &mut guest]
        .into_iter()
        .chain(&mut bobs)
    {
        member.expect_silence();
    }
}

#[test]
fn who_has_been_told_that_it_is_there_is_there_for_all_nodes() {
    let redis = Redis::start();
    let cluster = cluster_of(2, &redis);
    let mut ann = cluster.member(0, "ann");
    for number in 0..100 {
        let name = format!("guest-{number}");
        let mut guest = cluster.member(1, &name);
        assert_eq!(ann.ask(&chat(&name, "hello"))["delivered"], 1, "{name}");
        assert_eq!(guest.read()["text"], "hello");
        ann.join(&name);
        guest.join(&name);
        let publish = json!({ "type": "publish", "room": name, "event": "e", "id": 1 });
        assert_eq!(ann.ask(&publish)["delivered"], 1, "{name}");
        assert_eq!(guest.read()["event"], "e");
    }
}

#[test]
fn whom_a_back_end_has_join_a_room_is_there_for_all_nodes() {
    let redis = Redis::start();
    let cluster = cluster_of(2, &redis);
    let mut bob = cluster.member(1, "bob");
    let mut client = cluster.connect(0);
    for number in 0..100 {
        let room = number.to_string();
        let join = json!({ "userId": "bob", "room": room });
        let (_, told) = call(&mut client, "/api/join", &join);
        assert_eq!(told, json!({ "success": true, "connections": 1 }));
        let publish = json!({ "room": room, "event": "e" });
        let (_, told) = call(&mut client, "/api/publish", &publish);
        assert_eq!(told["delivered"], 1, "{room}");
        assert_eq!(bob.read()["room"], room);
    }
}

#[test]
fn a_publication_is_one_command_whatever_the_number_of_receivers() {
    const RECEIVERS: usize = 40;
    const PUBLICATIONS: u64 = 500;
    let redis = Redis::start();
    let cluster = cluster_of(3, &redis);
    let mut ann = cluster.member(0, "ann");
    ann.join("r");
    let mut members: Vec<_> = (0..RECEIVERS)
        .map(|number| {
            let mut member = cluster.member(1 + number % 2, &format!("user-{number}"));
            member.join("r");
            member
        })
        .collect();
    let commands = |redis: &Redis| {
        let told = redis.command(&["INFO", "commandstats"]);
        let calls = told.text().split_once("cmdstat_publish:calls=");
        let calls = calls.and_then(|(_, rest)| rest.split(',').next());
        calls.map_or(0, |calls| calls.parse::<u64>().expect("a number"))
    };
    let (before, begun) = (commands(&redis), Instant::now());
    for number in 0..PUBLICATIONS {
        ann.send(&json!({ "type": "publish", "room": "r", "event": number.to_string() }));
    }
    for member in &mut members {
        for number in 0..PUBLICATIONS {
            assert_eq!(member.read()["event"], number.to_string());
        }
    }
    // Each node sends a sign of life twice a second besides.
    let signs = 3 * (2 * begun.elapsed().as_secs() + 4);
    let commands = commands(&redis) - before;
    assert!(
        commands <= PUBLICATIONS + signs,
        "{commands} commands, {signs} of them signs of life"
    );
}

#[test]
fn a_back_end_reaches_everybody_through_any_node() {
    let redis = Redis::start();
    let cluster = cluster_of(3, &redis);
    let mut members: Vec<_> = (0..3).map(|node| cluster.member(node, "ann")).collect();
    for member in &mut members {
        member.join("r");
    }
    let mut client = cluster.connect(1);
    let message = json!({ "userId": "ann", "event": "one" });
    let (_, told) = call(&mut client, "/api/message", &message);
    assert_eq!(
        told,
        json!({ "success": true, "delivered": 3, "userId": "ann" })
    );
    let publish = json!({ "rooms": ["r", "nobody", "r"], "event": "two" });
    let (_, told) = call(&mut client, "/api/publish", &publish);
    assert_eq!(told, json!({ "success": true, "delivered": 6 }));
    let batch = json!({ "calls": [
        { "broadcast": { "event": "three" } },
        { "message": { "userId": "", "event": "x" } },
        { "message": { "userId": "nobody", "event": "x" } },
        { "sendToUser": { "userId": "ann", "message": 4 } },
    ]});
    let (_, told) = call(&mut client, "/api/batch", &batch);
    let delivered: Vec<_> = told["results"]
        .as_array()
        .expect("results")
        .iter()
        .collect();
    assert_eq!(delivered[0]["delivered"], 3, "{told}");
    assert_eq!(delivered[1]["status"], 422, "{told}");
    assert_eq!(delivered[2]["delivered"], 0, "{told}");
    assert_eq!(delivered[3]["delivered"], 3, "{told}");
    for member in &mut members {
        for event in ["one", "two", "two", "three"] {
            assert_eq!(member.read()["event"], event);
        }
        assert_eq!(member.read()["message"], 4);
        member.expect_silence();
    }
}

#[test]
fn what_one_sends_to_one_keeps_its_order_whatever_way_it_goes() {
    const MESSAGES: usize = 600;
    let redis = Redis::start();
    let cluster = cluster_of(2, &redis);
    let (mut ann, mut bob) = (cluster.member(0, "ann"), cluster.member(1, "bob"));
    ann.join("r");
    bob.join("r");
    for number in 0..MESSAGES {
        ann.send(&match number % 2 {
            0 => json!({ "type": "chat", "targetUserId": "bob", "text": number.to_string() }),
            _ => json!({ "type": "publish", "room": "r", "event": number.to_string() }),
        });
    }
    for number in 0..MESSAGES {
        let told = bob.read();
        let name = if number % 2 == 0 { "text" } else { "event" };
        assert_eq!(told[name], number.to_string(), "{told}");
    }
    bob.expect_silence();
}

#[test]
fn without_redis_a_node_serves_its_own_and_says_so_and_with_it_all_is_well_again() {
    let redis = &mut Redis::start();
    let cluster = cluster_of(2, redis);
    let (mut ann, mut bob) = (cluster.member(0, "ann"), cluster.member(1, "bob"));
    let mut neighbour = cluster.member(0, "neighbour");
    redis.kill();
    await_status(&cluster, "degraded");
    assert_eq!(ann.ask(&chat("neighbour", "here"))["delivered"], 1);
    assert_eq!(neighbour.read()["text"], "here");
    let told = ann.ask(&chat("bob", "lost"));
    assert_eq!(
        told,
        json!({ "type": "ack", "id": "lost", "delivered": 0, "unsent": true })
    );
    let mut client = cluster.connect(0);
    let (_, told) = call(&mut client, "/api/broadcast", &json!({ "event": "e" }));
    assert_eq!(
        told,
        json!({ "success": true, "delivered": 2, "unsent": true })
    );
    for member in [&mut ann, &mut neighbour] {
        assert_eq!(member.read()["event"], "e");
    }
    // Who comes meanwhile is known as well once it is back.
    let mut eve = cluster.member(1, "eve");
    redis.restart();
    for member in [&mut ann, &mut neighbour, &mut bob, &mut eve] {
        assert_eq!(member.read(), json!({ "type": "gap" }));
    }
    await_status(&cluster, "ok");
    await_listeners(redis, "tidegate:u:eve", 1);
    for (user, member) in [("bob", &mut bob), ("eve", &mut eve)] {
        ann.send(&chat(user, "again"));
        assert_eq!(skip_gaps(&mut ann), ack("again", 1));
        assert_eq!(skip_gaps(member)["text"], "again");
    }
    let lost = cluster.node(0).log().count("Redis");
    assert!(lost <= 3, "{lost} lines about one loss");
}

#[test]
fn a_node_that_does_not_answer_is_told_of_and_one_that_is_gone_is_not_waited_for() {
    let redis = Redis::start();
    let mut cluster = cluster_of(3, &redis);
    let mut ann = cluster.member(0, "ann");
    let mut bobs = [cluster.member(1, "bob"), cluster.member(2, "bob")];
    cluster.node(2).stop_the_world();
    let told = ann.ask(&chat("bob", "one sleeps"));
    cluster.node(2).go_on();
    let expected = json!({ "type": "ack", "id": "one sleeps", "delivered": 1, "unanswered": 1 });
    assert_eq!(told, expected);
    assert_eq!(bobs[0].read()["text"], "one sleeps");
    // The stop breaks into what the system reads for it: then it does not know what it has missed, and says so.
    let late = bobs[1].read();
    assert!(
        late["text"] == "one sleeps" || late["type"] == "gap",
        "{late}"
    );
    cluster.kill(2);
    await_listeners(&redis, "tidegate:u:bob", 1);
    assert_eq!(ann.ask(&chat("bob", "one is gone")), ack("one is gone", 1));
}

#[test]
fn a_way_that_swallows_everything_is_noticed_and_left() {
    let redis = Redis::start();
    let way = Faults::forward(redis.address());
    let cluster = Cluster::builder(2, &redis)
        .env_of(1, "REDIS_URL", redis.url_at(way.address()))
        .start();
    await_status(&cluster, "ok");
    let (mut ann, mut bob) = (cluster.member(0, "ann"), cluster.member(1, "bob"));
    way.black_hole();
    eventually("the cut is noticed", || {
        status(cluster.node(1)) == "degraded"
    });
    let noticed = "Redis is not heard: no answer within 2s";
    cluster.node(1).wait_for_log(noticed, DEADLINE);
    bob.send(&json!({ "type": "chat", "targetUserId": "ann", "text": "lost" }));
    way.heal();
    eventually("the way is used again", || status(cluster.node(1)) == "ok");
    assert_eq!(bob.read(), json!({ "type": "gap" }));
    let told = ann.read();
    assert_eq!(
        told,
        json!({ "type": "gap" }),
        "whose message was lost is told of as well"
    );
    eventually("messages cross again", || {
        let told = ann.ask(&chat("bob", "x"));
        told["delivered"] == 1
    });
    way.reset_all();
    assert_eq!(skip_chats(&mut bob), json!({ "type": "gap" }));
    assert_eq!(status(cluster.node(0)), "ok", "nobody else notices");
}

/// The next message that is no gap: how many nodes tell of one loss depends on who lost something.
fn skip_gaps(member: &mut Member) -> Value {
    loop {
        let told = member.read();
        if told["type"] != "gap" {
            return told;
        }
    }
}

fn skip_chats(member: &mut Member) -> Value {
    loop {
        let told = member.read();
        if told["type"] != "chat" {
            return told;
        }
    }
}

#[test]
fn a_wrong_password_is_told_without_it_and_a_right_one_works() {
    let redis = Redis::builder().password("open-sesame").start();
    let server = common::gateway::builder(1)
        .env("REDIS_ENABLED", true)
        .env(
            "REDIS_URL",
            format!("redis://:wrong-one@{}", redis.address()),
        )
        .start();
    server.wait_for_log("Redis", DEADLINE);
    assert_eq!(status(&server), "degraded");
    assert_eq!(server.log().count("wrong-one"), 0);
    cluster_of(2, &redis);
}

#[test]
fn a_user_of_redis_needs_three_commands_and_without_one_of_them_the_node_says_so() {
    let redis = Redis::builder()
        .user("node on >enough resetchannels &tidegate:* -@all +publish +subscribe +unsubscribe")
        .user("mute on >enough resetchannels &tidegate:* -@all +subscribe +unsubscribe")
        .start();
    let start = |user: &str| {
        common::gateway::builder(1)
            .env("REDIS_ENABLED", true)
            .env("REDIS_URL", redis.url_of(user, "enough"))
            .start()
    };
    let (able, mute) = (start("node"), start("mute"));
    eventually("it is well", || status(&able) == "ok");
    mute.wait_for_log("Redis takes no publications", DEADLINE);
    assert_eq!(status(&mute), "degraded");
    let mut ann = Member::of(&mute, "ann");
    assert_eq!(ann.ask(&chat("bob", "lost"))["unsent"], true);
    assert_eq!(mute.log().count("Redis takes no publications"), 1);
}

#[test]
fn clusters_of_other_prefixes_do_not_hear_each_other() {
    let redis = Redis::start();
    let cluster = Cluster::builder(2, &redis)
        .env_of(1, "REDIS_PREFIX", "another")
        .start();
    await_status(&cluster, "ok");
    let (mut ann, mut bob) = (cluster.member(0, "ann"), cluster.member(1, "bob"));
    assert_eq!(ann.ask(&chat("bob", "hello")), ack("hello", 0));
    bob.expect_silence();
}

fn list<'v>(value: &'v Value, of: &str) -> Vec<&'v str> {
    let entries = value.as_array().expect("a list").iter();
    entries
        .map(|entry| entry[of].as_str().expect("a text"))
        .collect()
}

#[test]
fn rooms_and_users_are_known_to_all_nodes() {
    let redis = Redis::start();
    let cluster = cluster_of(3, &redis);
    let mut ann = cluster.member(0, "ann");
    let mut bobs = [cluster.member(1, "bob"), cluster.member(2, "bob")];
    for member in [&mut ann].into_iter().chain(&mut bobs) {
        member.join("harbour");
    }
    bobs[0].join("a");
    bobs[1].join("z");
    let told = ann.ask(&json!({ "type": "presence", "room": "harbour", "id": 1 }));
    let users = json!(["ann", "bob"]);
    assert_eq!(
        told,
        json!({ "type": "presence", "room": "harbour", "id": 1, "users": users })
    );
    for node in 0..3 {
        let mut client = cluster.connect(node);
        let (_, room) = look(&mut client, "/api/rooms/harbour");
        let users =
            json!([{ "userId": "ann", "connections": 1 }, { "userId": "bob", "connections": 2 }]);
        assert_eq!(
            room,
            json!({ "room": "harbour", "connections": 3, "users": users })
        );
        let (_, user) = look(&mut client, "/api/users/bob");
        assert_eq!(user["online"], true);
        let ids = list(&user["connections"], "connectionId");
        assert_eq!(ids.len(), 2, "{user}");
        assert_ne!(ids[0], ids[1], "of two nodes");
        let (_, rooms) = look(&mut client, "/api/rooms?limit=2");
        assert_eq!(list(&rooms["rooms"], "room"), ["a", "harbour"]);
        assert_eq!(rooms["rooms"][1]["connections"], 3);
        assert_eq!(rooms["hasMore"], true);
        let (_, rooms) = look(&mut client, "/api/rooms?after=harbour");
        assert_eq!(list(&rooms["rooms"], "room"), ["z"]);
        assert_eq!(rooms["hasMore"], false);
        let (_, info) = look(&mut client, "/api/redis-info");
        let nodes = info["processUsers"].as_object().expect("an object");
        assert_eq!(nodes.len(), 3, "{info}");
        assert!(nodes.values().all(|users| users == 1), "{info}");
        let bobs = info["userProcesses"]["bob"].as_array();
        assert_eq!(bobs.map(Vec::len), Some(2), "{info}");
        assert_eq!(info["redis"]["listening"], true);
        let (_, nobody) = look(&mut client, "/api/users/nobody");
        assert_eq!(
            nobody,
            json!({ "userId": "nobody", "online": false, "connections": [] })
        );
    }
}

#[test]
fn a_back_end_acts_on_users_and_connections_of_all_nodes() {
    let redis = Redis::start();
    let cluster = cluster_of(3, &redis);
    let mut bobs = [cluster.member(1, "bob"), cluster.member(2, "bob")];
    let mut client = cluster.connect(0);
    let concerned = |connections: u64| json!({ "success": true, "connections": connections });
    let bob_in_r = json!({ "userId": "bob", "room": "r" });
    let (_, told) = call(&mut client, "/api/join", &bob_in_r);
    assert_eq!(told, concerned(2));
    for bob in &mut bobs {
        let told = bob.ask(&json!({ "type": "presence", "room": "r" }));
        assert_eq!(told["users"], json!(["bob"]));
    }
    let (_, user) = look(&mut client, "/api/users/bob");
    let ids = list(&user["connections"], "connectionId");
    let one = json!({ "connectionId": ids[0], "room": "r" });
    let (_, told) = call(&mut client, "/api/leave", &one);
    assert_eq!(told, concerned(1));
    let (_, room) = look(&mut client, "/api/rooms/r");
    assert_eq!(room["connections"], 1, "{room}");
    let gone = json!({ "connectionId": "0123456789abcdef-0-0.0" });
    let (_, told) = call(&mut client, "/api/disconnect", &gone);
    assert_eq!(told, concerned(0), "a node that there is not");
    let (_, told) = call(
        &mut client,
        "/api/disconnect",
        &json!({ "userId": "bob", "code": 4000 }),
    );
    assert_eq!(told, concerned(2));
    for mut bob in bobs {
        bob.client.expect_close(4000);
    }
}

#[test]
fn who_came_before_a_node_was_ever_heard_is_told_of_a_gap_as_well() {
    let redis = Redis::start();
    let way = Faults::forward(redis.address());
    way.black_hole();
    let cluster = Cluster::builder(2, &redis)
        .env_of(1, "REDIS_URL", redis.url_at(way.address()))
        .start();
    eventually("one node is well", || status(cluster.node(0)) == "ok");
    let (mut ann, mut bob) = (cluster.member(0, "ann"), cluster.member(1, "bob"));
    assert_eq!(ann.ask(&chat("bob", "lost")), ack("lost", 0));
    way.heal();
    way.reset_lost();
    eventually("the other one is as well", || {
        status(cluster.node(1)) == "ok"
    });
    assert_eq!(bob.read(), json!({ "type": "gap" }));
}

#[test]
fn who_was_told_too_early_that_it_is_there_is_told_of_a_gap() {
    const LATE: Duration = Duration::from_millis(1_500);
    let redis = Redis::start();
    let way = Faults::forward(redis.address());
    let cluster = Cluster::builder(2, &redis)
        .env_of(1, "REDIS_URL", redis.url_at(way.address()))
        .start();
    await_status(&cluster, "ok");
    let mut ann = cluster.member(0, "ann");
    cluster.member(1, "eve");
    way.late_of(Lane::Listeners, LATE);
    let mut bob = cluster.member(1, "bob");
    assert_eq!(ann.ask(&chat("bob", "lost")), ack("lost", 0));
    way.heal();
    await_listeners(&redis, "tidegate:u:bob", 1);
    assert_eq!(bob.read(), json!({ "type": "gap" }));
}
