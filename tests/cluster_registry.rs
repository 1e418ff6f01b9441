//! The registry in a real Redis: who is at which node, which nodes are alive, and who clears up after those that are not.

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::faults::Faults;
use common::gateway::{Member, look};
use common::redis::Redis;
use common::redis_cluster::{RedisCluster, sentinel};
use common::resp::Reply;
use common::server::{Server, ServerBuilder};
use common::{DEADLINE, eventually, ports};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A node that says nothing for so long is dead.
const EXPIRY: Duration = Duration::from_secs(5);
/// The others clear up after it within this time, and a machine that is busy takes no longer than that.
const SWEEP: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(3);

/// Of the default prefix.
const NODES: &str = "tidegate:{registry}:nodes";

fn builder(url: &str) -> ServerBuilder {
    common::gateway::builder(1)
        .env("REDIS_ENABLED", true)
        .env("REDIS_URL", url)
        .env("DRAIN_PERIOD", "1s")
        .env("LOG_LEVEL", "debug")
}

/// Nodes that are registered.
fn nodes(count: usize, redis: &Redis) -> Vec<Server> {
    let start = |_| builder(&redis.url()).start();
    let nodes: Vec<_> = (0..count).map(start).collect();
    nodes.iter().for_each(await_registered);
    nodes
}

fn info(node: &Server) -> Value {
    look(&mut node.connect(), "/api/redis-info").1
}

fn is_registered(node: &Server) -> bool {
    info(node)["redis"]["registered"] == true
}

fn await_registered(node: &Server) {
    eventually("the node is registered", || is_registered(node));
}

fn name(node: &Server) -> String {
    let info = info(node);
    info["processId"].as_str().expect("a name").to_owned()
}

fn key(node: &str, what: &str) -> String {
    format!("tidegate:{{registry}}:{node}:{what}")
}

fn set(redis: &Redis, key: &str) -> BTreeSet<String> {
    let members = redis.command(&["SMEMBERS", key]);
    let texts = members.items().iter();
    texts.map(|member| member.text().to_owned()).collect()
}

fn keys(redis: &Redis, pattern: &str) -> BTreeSet<String> {
    let keys = redis.command(&["KEYS", pattern]);
    let texts = keys.items().iter();
    texts.map(|key| key.text().to_owned()).collect()
}

fn await_set(redis: &Redis, key: &str, expected: &[&str]) {
    let expected: BTreeSet<_> = expected.iter().map(|&name| name.to_owned()).collect();
    eventually(&format!("{key} is {expected:?}"), || {
        set(redis, key) == expected
    });
}

/// How long `node` still counts as alive.
fn life(redis: &Redis, node: &str) -> i64 {
    redis
        .command(&["PTTL", key(node, "alive").as_str()])
        .integer()
}

/// Ends a node without a word.
fn kill(mut node: Server) {
    node.signal(Signal::KILL);
    node.wait_exit(DEADLINE);
}

/// Waits until no survivor knows of a dead node any more: then none will sweep it.
fn await_forgotten(survivors: &[Server], dead: &str) {
    for survivor in survivors {
        eventually("the dead node is forgotten", || {
            !info(survivor).to_string().contains(dead)
        });
    }
}

fn count(nodes: &[Server], line: &str) -> usize {
    nodes.iter().map(|node| node.log().count(line)).sum()
}

/// A message goes from one node to the other.
fn assert_connected(one: &Server, other: &Server) {
    let (mut ann, mut bob) = (Member::of(one, "ann"), Member::of(other, "bob"));
    let chat = json!({ "type": "chat", "targetUserId": "bob", "text": "x", "id": 1 });
    assert_eq!(ann.ask(&chat)["delivered"], 1);
    assert_eq!(bob.read()["text"], "x");
}

#[test]
fn users_and_rooms_are_registered_with_the_nodes_that_have_them_while_they_do() {
    let redis = Redis::start();
    let nodes = nodes(2, &redis);
    let [one, other] = [name(&nodes[0]), name(&nodes[1])];
    await_set(&redis, NODES, &[&one, &other]);
    let odd = "a:{b}*\u{1F30A} \"c\" \\r";
    let mut first = Member::of(&nodes[0], "ann");
    let second = Member::of(&nodes[0], "ann");
    let mut stranger = Member::of(&nodes[1], odd);
    first.join("harbour");
    stranger.join("harbour");
    stranger.join(odd);
    await_set(&redis, &key(&one, "users"), &["ann"]);
    await_set(&redis, &key(&one, "rooms"), &["harbour"]);
    await_set(&redis, &key(&other, "users"), &[odd]);
    await_set(&redis, &key(&other, "rooms"), &["harbour", odd]);
    let told = stranger.ask(&json!({ "type": "leave", "room": odd, "id": 1 }));
    assert_eq!(told["type"], "ack");
    await_set(&redis, &key(&other, "rooms"), &["harbour"]);
    drop(first);
    await_set(&redis, &key(&one, "rooms"), &[]);
    await_set(&redis, &key(&one, "users"), &["ann"]);
    drop(second);
    await_set(&redis, &key(&one, "users"), &[]);
    eventually("both are seen alive", || {
        let info = info(&nodes[0]);
        let known = info["redis"]["nodes"].as_array().expect("a list").clone();
        let is_well = |node: &Value| {
            let silence = node["silentSeconds"].as_f64();
            node["alive"] == true && silence.is_some_and(|silence| silence < 5.0)
        };
        known.len() == 2 && known.iter().all(is_well)
    });
    assert!(life(&redis, &one) > 0);
}

#[test]
fn a_node_that_was_killed_is_swept_once_and_each_of_its_users_is_told_of_once() {
    const USERS: usize = 200;
    let redis = Redis::start();
    let mut nodes = nodes(3, &redis);
    let killed = nodes.pop().expect("three nodes");
    let dead = name(&killed);
    let users: Vec<_> = (0..USERS).map(|number| format!("user-{number}-")).collect();
    let mut members: Vec<_> = users.iter().map(|user| Member::of(&killed, user)).collect();
    members[0].join("harbour");
    eventually("all are registered", || {
        set(&redis, &key(&dead, "users")).len() == USERS
            && set(&redis, &key(&dead, "rooms")).len() == 1
    });
    kill(killed);
    let since = Instant::now();
    eventually("its keys are gone", || {
        keys(&redis, &key(&dead, "*")).is_empty()
    });
    let time = since.elapsed();
    assert!(time < EXPIRY + SWEEP + SLACK, "{time:?}");
    await_forgotten(&nodes, &dead);
    let line = format!("swept node {dead}, which is dead: {USERS} users, 1 rooms");
    assert_eq!(count(&nodes, &line), 1);
    assert_eq!(count(&nodes, "swept"), 1);
    for user in &users {
        let line = format!("node {dead} is dead, and was the one with users \"{user}\"");
        assert_eq!(count(&nodes, &line), 1, "{user}");
    }
    let swept = |node| info(node)["redis"]["swept"].as_u64().expect("a number");
    assert_eq!(swept(&nodes[0]) + swept(&nodes[1]), 1);
}

#[test]
fn where_the_one_that_sweeps_dies_another_goes_on_once_its_lease_is_over() {
    let redis = Redis::start();
    let mut nodes = nodes(2, &redis);
    let killed = nodes.pop().expect("two nodes");
    let dead = name(&killed);
    let members = ["left", "told"].map(|user| Member::of(&killed, user));
    await_set(&redis, &key(&dead, "users"), &["left", "told"]);
    kill(killed);
    drop(members);
    let lease = EXPIRY + SWEEP;
    let lease_millis = lease.as_millis().to_string();
    let lease_key = key(&dead, "sweep");
    let claim = ["SET", &lease_key, "another", "NX", "PX", &lease_millis];
    let since = Instant::now();
    assert_eq!(redis.command(&claim), Reply::Status("OK".to_owned()));
    // The other one has told of one of them.
    redis.command(&["SREM", key(&dead, "users").as_str(), "told"]);
    nodes[0].wait_for_log("swept node", DEADLINE);
    assert!(since.elapsed() >= lease, "{:?}", since.elapsed());
    assert_eq!(count(&nodes, "1 users, 0 rooms"), 1);
    assert_eq!(count(&nodes, "users \"told\""), 0);
    assert_eq!(keys(&redis, &key(&dead, "*")), BTreeSet::new());
}

#[test]
fn a_node_that_comes_back_while_it_is_swept_keeps_what_is_left_and_enters_anew() {
    const USERS: usize = 100_000;
    let redis = Redis::start();
    let back = "00000000000000ab";
    let mut add = vec!["SADD".to_owned(), key(back, "users")];
    add.extend((0..USERS).map(|number| format!("user-{number}")));
    redis.command(&add);
    redis.command(&["SADD", NODES, back]);
    let node = builder(&redis.url()).env("LOG_LEVEL", "info").start();
    // In one step: it is alive as soon as some of them are gone.
    let script = "local left = redis.call('SCARD', KEYS[1]) \
        return left < tonumber(ARGV[1]) and redis.call('SET', KEYS[2], 1, 'PX', 60000) or false";
    let (users, alive, count) = (key(back, "users"), key(back, "alive"), USERS.to_string());
    let mut client = redis.client();
    eventually("it comes back meanwhile", || {
        let told = client.ask(&["EVAL", script, "2", &users, &alive, &count]);
        told == Reply::Status("OK".to_owned())
    });
    await_set(&redis, NODES, &[&name(&node)]);
    assert!(!set(&redis, &users).is_empty());
    assert_eq!(node.log().count("swept"), 0);
}

#[test]
fn a_node_that_stood_still_for_too_long_is_swept_and_enters_anew() {
    let redis = Redis::start();
    let nodes = nodes(2, &redis);
    let [still, other] = [name(&nodes[0]), name(&nodes[1])];
    let mut ann = Member::of(&nodes[0], "ann");
    ann.join("harbour");
    await_set(&redis, &key(&still, "users"), &["ann"]);
    nodes[0].signal(Signal::STOP);
    nodes[1].wait_for_log(&format!("swept node {still}"), DEADLINE);
    await_set(&redis, NODES, &[&other]);
    nodes[0].signal(Signal::CONT);
    await_set(&redis, NODES, &[&still, &other]);
    await_set(&redis, &key(&still, "users"), &["ann"]);
    await_set(&redis, &key(&still, "rooms"), &["harbour"]);
    await_registered(&nodes[0]);
    assert_eq!(count(&nodes, "swept"), 1);
}

#[test]
fn what_redis_has_forgotten_it_is_told_again() {
    let mut redis = Redis::start();
    let nodes = nodes(2, &redis);
    let [one, other] = [name(&nodes[0]), name(&nodes[1])];
    let mut ann = Member::of(&nodes[0], "ann");
    ann.join("harbour");
    await_set(&redis, &key(&one, "rooms"), &["harbour"]);
    let expect_all = |redis: &Redis, rooms: &[&str]| {
        await_set(redis, NODES, &[&one, &other]);
        await_set(redis, &key(&one, "users"), &["ann"]);
        await_set(redis, &key(&one, "rooms"), rooms);
        nodes.iter().for_each(await_registered);
        assert!(life(redis, &one) > 0 && life(redis, &other) > 0);
    };
    redis.command(&["FLUSHALL"]);
    expect_all(&redis, &["harbour"]);
    redis.kill();
    eventually("the loss is seen", || !is_registered(&nodes[0]));
    ann.join("pier");
    redis.restart();
    expect_all(&redis, &["harbour", "pier"]);
    // What was written by hand, or was true before a loss, goes once everything is written anew.
    redis.command(&["SADD", key(&one, "users").as_str(), "ghost"]);
    redis.command(&["SREM", NODES, &one]);
    expect_all(&redis, &["harbour", "pier"]);
    assert_eq!(count(&nodes, "swept"), 0);
}

#[test]
fn an_outage_of_redis_that_outlasts_all_lives_kills_nobody() {
    let redis = Redis::start();
    let ways = [(); 2].map(|()| Faults::forward(redis.address()));
    let start = |way: &Faults| builder(&redis.url_at(way.address())).start();
    let nodes: Vec<_> = ways.iter().map(start).collect();
    nodes.iter().for_each(await_registered);
    let [first, second] = [name(&nodes[0]), name(&nodes[1])];
    let _ann = Member::of(&nodes[1], "ann");
    await_set(&redis, &key(&second, "users"), &["ann"]);
    ways.iter().for_each(Faults::black_hole);
    let is_over = |node| life(&redis, node) < 0;
    eventually("both lives are over", || {
        is_over(&first) && is_over(&second)
    });
    // One is back before the other, and sees that that one is not.
    let heal = |way: &Faults| {
        way.heal();
        way.reset_all();
    };
    heal(&ways[0]);
    eventually("the first misses the second", || {
        let info = info(&nodes[0]);
        let known = info["redis"]["nodes"].as_array().expect("a list").clone();
        let is_missed = |node: &Value| node["node"] == second.as_str() && node["alive"] == false;
        info["redis"]["registered"] == true && known.iter().any(is_missed)
    });
    heal(&ways[1]);
    await_registered(&nodes[1]);
    assert_eq!(count(&nodes, "swept"), 0);
    assert_eq!(count(&nodes, "is dead"), 0);
    assert_eq!(keys(&redis, &key(&second, "sweep")), BTreeSet::new());
}

#[test]
fn a_node_that_leaves_in_order_leaves_nothing_and_waits_for_nobody() {
    let redis = Redis::start();
    let mut nodes = nodes(2, &redis);
    let _members = [Member::of(&nodes[0], "ann"), Member::of(&nodes[1], "bob")];
    let mut last = nodes.pop().expect("two nodes");
    let [mut first] = <[Server; 1]>::try_from(nodes).ok().expect("one node");
    first.signal(Signal::TERM);
    assert_eq!(first.wait_exit(DEADLINE).code(), Some(0));
    await_set(&redis, NODES, &[&name(&last)]);
    assert_eq!(keys(&redis, &key(&name(&last), "*")).len(), 2);
    assert_eq!(keys(&redis, "*").len(), 3, "{:?}", keys(&redis, "*"));
    let late = builder(&redis.url()).start();
    await_registered(&late);
    last.signal(Signal::TERM);
    assert_eq!(last.wait_exit(DEADLINE).code(), Some(0));
    assert_eq!(count(&[first, last], "swept"), 0);
    redis.stop_the_world();
    let mut late = late;
    late.signal(Signal::TERM);
    assert_eq!(late.wait_exit(2 * EXPIRY).code(), Some(0));
}

#[test]
fn nodes_of_other_prefixes_have_registries_of_their_own() {
    let redis = Redis::start();
    let [one, other] = ["one", "other"].map(|prefix| {
        let node = builder(&redis.url()).env("REDIS_PREFIX", prefix).start();
        await_registered(&node);
        node
    });
    await_set(&redis, "one:{registry}:nodes", &[&name(&one)]);
    await_set(&redis, "other:{registry}:nodes", &[&name(&other)]);
    // Whatever else is in there is no node.
    redis.command(&[
        "SADD",
        "one:{registry}:nodes",
        "0123",
        "x}:alive",
        "\u{fffd}",
    ]);
    eventually("only itself is known", || {
        info(&one)["redis"]["nodes"].as_array().map(Vec::len) == Some(1)
    });
    assert_eq!(set(&redis, "one:{registry}:nodes").len(), 4);
}

#[test]
fn a_user_of_redis_without_keys_keeps_messages_going_and_says_so_once() {
    const COMMANDS: &str = "+publish +subscribe +unsubscribe";
    const OF_REGISTRY: &str = "+set +get +del +pexpire +pttl +sadd +srem +smembers +sscan";
    let able = format!("able on >enough ~tidegate:* &tidegate:* -@all {COMMANDS} {OF_REGISTRY}");
    let poor = format!("poor on >enough resetkeys &tidegate:* -@all {COMMANDS} {OF_REGISTRY}");
    let redis = Redis::builder().user(&able).user(&poor).start();
    let since = Instant::now();
    let [able, second, poor] =
        ["able", "able", "poor"].map(|user| builder(&redis.url_of(user, "enough")).start());
    await_registered(&able);
    await_registered(&second);
    poor.wait_for_log("not in the registry", DEADLINE);
    eventually("messages cross", || {
        let (_, health) = look(&mut poor.connect(), "/api/health");
        health["status"] == "ok"
    });
    assert_connected(&poor, &able);
    // All that the able one may need to do.
    let dead = name(&second);
    let _ann = Member::of(&second, "ann");
    await_set(&redis, &key(&dead, "users"), &["ann"]);
    kill(second);
    able.wait_for_log(&format!("swept node {dead}"), DEADLINE);
    let mut able = able;
    able.signal(Signal::TERM);
    able.wait_exit(DEADLINE);
    assert_eq!(keys(&redis, "*"), BTreeSet::new());
    let told = info(&poor);
    assert_eq!(told["redis"]["registered"], false);
    assert_eq!(told["redis"]["publishing"], true);
    let line = "not in the registry";
    assert_eq!(poor.log().count(&format!("WARN  broker::redis: {line}")), 1);
    let attempts = poor.log().count(line) as u64;
    let seconds = since.elapsed().as_secs();
    assert!(attempts <= seconds + 2, "{attempts} in {seconds} s");
}

#[test]
fn a_redis_that_is_full_refuses_what_is_new_and_nobody_dies_of_it() {
    let redis = Redis::builder().memory(64 << 20, "noeviction").start();
    let nodes = nodes(2, &redis);
    let names = [name(&nodes[0]), name(&nodes[1])];
    let _ann = Member::of(&nodes[0], "ann");
    await_set(&redis, &key(&names[0], "users"), &["ann"]);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let _late = Member::of(&nodes[0], "late");
    eventually("it is refused", || !is_registered(&nodes[0]));
    assert_connected(&nodes[0], &nodes[1]);
    for name in &names {
        let before = life(&redis, name);
        eventually("it lives on", || life(&redis, name) > before);
    }
    assert_eq!(set(&redis, &key(&names[0], "users")).len(), 1);
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    await_registered(&nodes[0]);
    eventually("the late one is registered", || {
        set(&redis, &key(&names[0], "users")).contains("late")
    });
    nodes[0].wait_for_log("in the registry again", DEADLINE);
    assert_eq!(count(&nodes, "swept"), 0);
}

#[test]
fn a_server_that_takes_no_writes_any_more_is_left_by_all_links() {
    let redis = Redis::start();
    let nodes = nodes(2, &redis);
    let ids = || -> BTreeSet<String> {
        let clients = redis.clients().into_iter();
        clients.map(|client| client["id"].clone()).collect()
    };
    redis.wait_clients(6);
    let before = ids();
    let nobody = ports::lasting().to_string();
    redis.command(&["REPLICAOF", "127.0.0.1", &nobody]);
    for node in &nodes {
        node.wait_for_log("not in the registry", DEADLINE);
        assert!(!is_registered(node));
    }
    // It passes messages on, and there is no other yet.
    assert_connected(&nodes[0], &nodes[1]);
    redis.command(&["REPLICAOF", "NO", "ONE"]);
    nodes.iter().for_each(await_registered);
    eventually("all links are new", || {
        let now = ids();
        now.len() == 6 && now.is_disjoint(&before)
    });
    for node in &nodes {
        eventually("it is well", || {
            look(&mut node.connect(), "/api/health").1["status"] == "ok"
        });
    }
    assert_connected(&nodes[0], &nodes[1]);
}

#[test]
fn in_a_redis_cluster_the_registry_is_at_one_master_and_then_at_the_one_that_takes_over() {
    let mut redis = RedisCluster::start();
    let start = |()| {
        builder("redis://nowhere.invalid")
            .env("REDIS_CLUSTER_NODES", redis.seeds())
            .start()
    };
    let mut nodes: Vec<_> = [(); 3].map(start).into();
    nodes.iter().for_each(await_registered);
    let names: Vec<_> = nodes.iter().map(name).collect();
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    let _members = [Member::of(&nodes[0], "ann"), Member::of(&nodes[2], "bob")];
    assert_eq!(redis.master_of(NODES), 0);
    let master = redis.server(0);
    await_set(master, NODES, &all);
    await_set(master, &key(&names[0], "users"), &["ann"]);
    await_set(master, &key(&names[2], "users"), &["bob"]);

    redis.kill_first();
    // Not all at the same time: one may be back before another has lost its link.
    let lost = "the registry is out of reach: Connection refused";
    eventually("the loss is seen", || {
        nodes.iter().all(|node| node.log().count(lost) > 0)
    });
    let _eve = Member::of(&nodes[0], "eve");
    nodes.iter().for_each(await_registered);
    let master = redis.server(RedisCluster::MASTERS);
    await_set(master, NODES, &all);
    await_set(master, &key(&names[0], "users"), &["ann", "eve"]);
    assert_eq!(count(&nodes, "swept"), 0);

    let dead = names[2].as_str();
    kill(nodes.pop().expect("three nodes"));
    await_set(master, NODES, &all[..2]);
    await_forgotten(&nodes, dead);
    assert_eq!(keys(master, &key(dead, "*")), BTreeSet::new());
    assert_eq!(count(&nodes, "swept"), 1);
    assert_eq!(count(&nodes, "users \"bob\""), 1);
}

#[test]
fn the_registry_goes_where_the_sentinels_say() {
    let master = Redis::start();
    let replica = Redis::builder()
        .setting(&format!("replicaof 127.0.0.1 {}", master.port()))
        .start();
    let sentinel = sentinel(master.address(), "watchful");
    eventually("the Sentinel knows the replica", || {
        let told = sentinel.command(&["SENTINEL", "REPLICAS", "mymaster"]);
        let follows = master.command(&["INFO", "replication"]);
        !told.items().is_empty() && follows.text().contains("state=online")
    });
    let nodes = [(); 2].map(|()| {
        builder("redis://nowhere.invalid")
            .env("REDIS_SENTINELS", sentinel.address())
            .env("REDIS_SENTINEL_PASSWORD", "watchful")
            .start()
    });
    nodes.iter().for_each(await_registered);
    let names = [name(&nodes[0]), name(&nodes[1])];
    let _ann = Member::of(&nodes[0], "ann");
    await_set(&master, &key(&names[0], "users"), &["ann"]);
    // The old master lives on, and takes no writes.
    eventually("the Sentinel lets the replica take over", || {
        let told = sentinel.command(&["SENTINEL", "FAILOVER", "mymaster"]);
        told == Reply::Status("OK".to_owned())
    });
    // It says so itself: whoever asked it while it becomes a replica would be cut off, as all its clients are.
    let log = master.log();
    let told = log.wait_after(0, DEADLINE, |line| line.contains("REPLICAOF"));
    assert!(told.is_some(), "{}", log.text());
    let _eve = Member::of(&nodes[0], "eve");
    await_set(&replica, &key(&names[0], "users"), &["ann", "eve"]);
    await_set(&replica, NODES, &[&names[0], &names[1]]);
    nodes.iter().for_each(await_registered);
    eventually("all is well", || {
        let is_well = |node: &Server| look(&mut node.connect(), "/api/health").1["status"] == "ok";
        nodes.iter().all(is_well)
    });
    assert_connected(&nodes[0], &nodes[1]);
    assert_eq!(count(&nodes, "swept"), 0);
}
