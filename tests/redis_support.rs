//! What the tests of the cluster stand on does what it says: Redis, the way to it with its faults, nodes behind nginx.

mod common;

use std::io;
use std::time::{Duration, Instant};

use common::cluster::{Cluster, await_status};
use common::faults::{Faults, Lane};
use common::gateway::{Member, look};
use common::redis::Redis;
use common::resp::{self, RedisClient, Reply};
use common::{DEADLINE, eventually, ports};
use serde_json::json;

/// How long nothing must come where nothing is meant to come. Too short on a slow machine it only sees less.
const SILENCE: Duration = Duration::from_millis(200);

fn ok() -> Reply {
    Reply::Status("OK".to_owned())
}

fn pong() -> Reply {
    Reply::Status("PONG".to_owned())
}

#[test]
fn replies_are_read_whole_or_not_at_all() {
    let whole = b"*4\r\n$2\r\n\r\n\r\n:-7\r\n$-1\r\n*2\r\n+OK\r\n-ERR no\r\n";
    let reply = Reply::List(vec![
        Reply::bytes("\r\n"),
        Reply::Integer(-7),
        Reply::Nothing,
        Reply::List(vec![ok(), Reply::Error("ERR no".to_owned())]),
    ]);
    for end in 0..whole.len() {
        assert_eq!(resp::parse(&whole[..end]), None, "{end} bytes");
    }
    let followed = [whole.as_slice(), b"+more"].concat();
    assert_eq!(resp::parse(&followed), Some((reply, whole.len())));
}

#[test]
fn a_lasting_port_is_none_that_comes_by_chance() {
    assert_eq!(ports::range("32768\t60999\n"), 10_000..32_768);
    assert_eq!(ports::range("1024\t60999\n"), 61_000..65_535);
    assert_eq!(ports::range("unknown"), 10_000..32_768);
    assert_ne!(ports::lasting(), ports::lasting());
}

#[test]
fn redis_carries_a_message_to_a_subscriber() {
    let redis = Redis::start();
    assert_eq!(redis.url(), format!("redis://127.0.0.1:{}/", redis.port()));
    let mut subscriber = redis.client();
    let told = subscriber.ask(&["SUBSCRIBE", "harbour"]);
    assert_eq!(told, Reply::push("subscribe", "harbour", Reply::Integer(1)));
    let told = redis.command(&["PUBLISH", "harbour", "tide\r\n"]);
    assert_eq!(told, Reply::Integer(1));
    let message = Reply::push("message", "harbour", Reply::bytes("tide\r\n"));
    assert_eq!(subscriber.read(), message);
    let clients = redis.clients();
    assert_eq!(clients.len(), 1, "{clients:?}");
    assert_eq!(clients[0]["sub"], "1", "{clients:?}");
    drop(subscriber);
    redis.wait_clients(0);
}

#[test]
fn redis_comes_back_empty_on_the_same_port() {
    let mut redis = Redis::start();
    let port = redis.port();
    assert_eq!(redis.command(&["SET", "key", "value"]), ok());
    assert_eq!(redis.command(&["GET", "key"]).text(), "value");
    let mut client = redis.client();
    assert_eq!(client.ask(&["PING"]), pong());
    redis.kill();
    client.expect_end();
    redis.restart();
    assert_eq!(redis.port(), port);
    assert_eq!(redis.command(&["GET", "key"]), Reply::Nothing);
    let mut client = redis.client();
    assert_eq!(client.ask(&["PING"]), pong());
    redis.restart();
    client.expect_end();
    assert_eq!(redis.command(&["PING"]), pong());
}

#[test]
fn a_stopped_redis_answers_when_it_goes_on() {
    let redis = Redis::start();
    let mut client = redis.client();
    redis.stop_the_world();
    client.send(&["PING"]);
    client.expect_silence(SILENCE);
    // The kernel takes connections in for it.
    let mut another = RedisClient::connect(redis.address());
    another.send(&["PING"]);
    redis.go_on();
    assert_eq!(client.read(), pong());
    assert_eq!(another.read(), pong());
    redis.stop_the_world();
}

#[test]
fn redis_asks_for_passwords() {
    let redis = Redis::builder()
        .password("open")
        .user("node on >sesame ~tg:* &tg:* +@all")
        .start();
    let port = redis.port();
    assert_eq!(redis.url(), format!("redis://:open@127.0.0.1:{port}/"));
    let url = format!("redis://node:sesame@127.0.0.1:{port}/");
    assert_eq!(redis.url_of("node", "sesame"), url);
    assert_eq!(redis.command(&["PING"]), pong());
    let mut stranger = RedisClient::connect(redis.address());
    let told = stranger.ask(&["PING"]);
    assert!(told.error().starts_with("NOAUTH"), "{told:?}");
    let told = stranger.ask(&["AUTH", "node", "simsim"]);
    assert!(told.error().starts_with("WRONGPASS"), "{told:?}");
    assert_eq!(stranger.ask(&["AUTH", "node", "sesame"]), ok());
    assert_eq!(stranger.ask(&["SET", "tg:key", "value"]), ok());
    let told = stranger.ask(&["SET", "key", "value"]);
    assert!(told.error().starts_with("NOPERM"), "{told:?}");
    let told = stranger.ask(&["PUBLISH", "harbour", "tide"]);
    assert!(told.error().starts_with("NOPERM"), "{told:?}");
}

#[test]
fn redis_holds_no_more_than_it_may() {
    let redis = Redis::builder().memory(4 << 20, "noeviction").start();
    let value = "x".repeat(256 * 1024);
    let mut client = redis.client();
    let told = (0..32).map(|index| client.ask(&["SET", &format!("key {index}"), &value]));
    let refused: Vec<_> = told.filter(|told| *told != ok()).collect();
    assert!((16..32).contains(&refused.len()), "{}", refused.len());
    assert!(refused[0].error().starts_with("OOM"), "{refused:?}");
}

#[test]
fn redis_ends_a_subscriber_for_whom_too_much_waits() {
    let redis = Redis::builder().subscriber_buffer(1 << 20, 0, 0).start();
    let way = Faults::forward(redis.address());
    let mut subscriber = RedisClient::connect(way.address());
    subscriber.ask(&["SUBSCRIBE", "harbour"]);
    way.slow(1000);
    let message = "x".repeat(256 * 1024);
    let mut publisher = redis.client();
    eventually("the subscriber is ended", || {
        publisher.ask(&["PUBLISH", "harbour", &message]).integer() == 0
    });
    redis.wait_clients(1);
}

#[test]
fn a_way_without_faults_is_not_noticed() {
    let redis = Redis::start();
    let way = Faults::forward(redis.address());
    assert_eq!(way.connections(), 0);
    let mut client = RedisClient::connect(way.address());
    let large = "x".repeat(3 << 20);
    assert_eq!(client.ask(&["SET", "key", &large]), ok());
    assert_eq!(client.ask(&["GET", "key"]).text(), large);
    assert_eq!(way.connections(), 1);
    assert_eq!(client.ask(&["QUIT"]), ok());
    assert_eq!(client.expect_end(), io::ErrorKind::UnexpectedEof);
    drop(client);
    eventually("the way is empty", || way.connections() == 0);
    redis.wait_clients(0);
}

#[test]
fn a_reset_ends_all_connections_on_both_sides() {
    let redis = Redis::start();
    let way = Faults::forward(redis.address());
    let mut clients: Vec<_> = (0..3)
        .map(|_| RedisClient::connect(way.address()))
        .collect();
    for client in &mut clients {
        assert_eq!(client.ask(&["PING"]), pong());
    }
    assert_eq!(redis.clients().len(), 3);
    way.reset_all();
    assert_eq!(way.connections(), 0);
    for client in &mut clients {
        assert_eq!(client.expect_end(), io::ErrorKind::ConnectionReset);
    }
    redis.wait_clients(0);
    let mut client = RedisClient::connect(way.address());
    assert_eq!(client.ask(&["PING"]), pong(), "new ones come through");
}

#[test]
fn a_way_to_nobody_resets() {
    let mut redis = Redis::start();
    let way = Faults::forward(redis.address());
    let mut client = RedisClient::connect(way.address());
    assert_eq!(client.ask(&["PING"]), pong());
    redis.kill();
    client.expect_end();
    // The reset may be there before the client knows that it is connected.
    let end = match RedisClient::try_connect(way.address()) {
        Ok(mut client) => client.expect_end(),
        Err(error) => error.kind(),
    };
    assert_eq!(end, io::ErrorKind::ConnectionReset);
    redis.restart();
    let mut client = RedisClient::connect(way.address());
    assert_eq!(client.ask(&["PING"]), pong());
}

#[test]
fn a_black_hole_swallows_and_says_nothing() {
    let redis = Redis::start();
    let way = Faults::forward(redis.address());
    let mut old = RedisClient::connect(way.address());
    assert_eq!(old.ask(&["SUBSCRIBE", "harbour"]).items().len(), 3);
    way.black_hole();
    let told = redis.command(&["PUBLISH", "harbour", "lost"]);
    assert_eq!(told, Reply::Integer(1), "Redis knows of nothing");
    let mut new = RedisClient::connect(way.address());
    new.send(&["SET", "key", "lost"]);
    old.expect_silence(SILENCE);
    new.expect_silence(SILENCE);
    assert_eq!(redis.clients().len(), 1, "the new one is not there");
    way.heal();
    let mut newest = RedisClient::connect(way.address());
    assert_eq!(newest.ask(&["GET", "key"]), Reply::Nothing);
    // Who lost something hears no more, until all are reset.
    redis.command(&["PUBLISH", "harbour", "lost as well"]);
    old.expect_silence(SILENCE);
    new.expect_silence(SILENCE);
    way.reset_all();
    for client in [&mut old, &mut new, &mut newest] {
        assert_eq!(client.expect_end(), io::ErrorKind::ConnectionReset);
    }
    redis.wait_clients(0);
}

#[test]
fn a_fault_of_one_lane_leaves_the_others_alone() {
    let redis = Redis::start();
    let way = Faults::forward(redis.address());
    let mut publisher = RedisClient::connect(way.address());
    let mut publish = |message: &str| publisher.ask(&["PUBLISH", "harbour", message]);
    assert_eq!(publish("nobody listens"), Reply::Integer(0));
    let mut old = RedisClient::connect(way.address());
    assert_eq!(old.ask(&["SUBSCRIBE", "harbour"]).items().len(), 3);
    way.black_hole_of(Lane::Listeners);
    assert_eq!(publish("lost"), Reply::Integer(1));
    let mut new = RedisClient::connect(way.address());
    assert_eq!(new.ask(&["PING"]), pong(), "it may be for anything yet");
    new.send(&["SUBSCRIBE", "harbour"]);
    old.expect_silence(SILENCE);
    new.expect_silence(SILENCE);
    way.heal();
    let mut newest = RedisClient::connect(way.address());
    assert_eq!(newest.ask(&["SUBSCRIBE", "harbour"]).items().len(), 3);
    way.reset_lost();
    for client in [&mut old, &mut new] {
        assert_eq!(client.expect_end(), io::ErrorKind::ConnectionReset);
    }
    redis.wait_clients(2);
    assert_eq!(publish("one"), Reply::Integer(1));
    way.late_of(Lane::Listeners, DEADLINE * 10);
    assert_eq!(publish("late"), Reply::Integer(1));
    way.slow_of(Lane::Publishers, 1_000_000);
    assert_eq!(newest.read().items()[2].text(), "one");
    way.reset_of(Lane::Publishers);
    assert_eq!(publisher.expect_end(), io::ErrorKind::ConnectionReset);
    assert_eq!(newest.read().items()[2].text(), "late");
    way.reset_of(Lane::Listeners);
    assert_eq!(newest.expect_end(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_slow_way_takes_its_time_until_it_is_healed() {
    const BYTES: usize = 20_000;
    const BYTES_PER_SECOND: u32 = 40_000;
    let redis = Redis::start();
    let way = Faults::forward(redis.address());
    let mut client = RedisClient::connect(way.address());
    let value = "x".repeat(BYTES);
    assert_eq!(client.ask(&["SET", "key", &value]), ok());
    way.slow(BYTES_PER_SECOND);
    let begun = Instant::now();
    assert_eq!(client.ask(&["GET", "key"]).text(), value);
    // Waits are never shorter than they should be.
    assert!(
        begun.elapsed() >= Duration::from_millis(450),
        "{:?}",
        begun.elapsed()
    );
    // At this pace the rest of the hour would not do.
    way.slow(1);
    client.send(&["GET", "key"]);
    client.expect_silence(SILENCE);
    way.heal();
    assert_eq!(client.read().text(), value, "nothing was lost");
}

#[test]
fn a_late_way_holds_what_goes_there_and_back() {
    const LATE: Duration = Duration::from_millis(100);
    let redis = Redis::start();
    let way = Faults::forward(redis.address());
    let mut client = RedisClient::connect(way.address());
    way.late(LATE);
    let begun = Instant::now();
    assert_eq!(client.ask(&["PING"]), pong());
    assert!(begun.elapsed() >= LATE * 2, "{:?}", begun.elapsed());
    way.late(DEADLINE * 10);
    client.send(&["PING"]);
    client.expect_silence(SILENCE);
    way.reset_all();
    assert_eq!(client.expect_end(), io::ErrorKind::ConnectionReset);
}

/// Waits until a node has told of so many WebSockets. The log is the node's own, whatever it knows of the others.
fn wait_opened(cluster: &Cluster, node: usize, count: usize) {
    let log = cluster.node(node).log();
    eventually("WebSockets of a node", || log.count(" opened: ") == count);
}

fn assert_alive(member: &mut Member) {
    let told = member.ask(&json!({ "type": "ping", "id": 1 }));
    assert_eq!(told["type"], "pong", "{told}");
}

#[test]
fn nginx_reaches_every_node_of_a_cluster() {
    let redis = Redis::start();
    let cluster = Cluster::start(3, &redis);
    await_status(&cluster, "ok");
    assert_eq!(cluster.len(), 3);
    let mut members: Vec<_> = (0..6)
        .map(|index| cluster.member_through_nginx(&format!("user {index}")))
        .collect();
    members.iter_mut().for_each(assert_alive);
    for node in 0..3 {
        wait_opened(&cluster, node, 2);
    }
    let mut direct = cluster.member(1, "direct");
    assert_alive(&mut direct);
    wait_opened(&cluster, 1, 3);
}

#[test]
fn nginx_goes_round_a_killed_node() {
    let redis = Redis::start();
    let mut cluster = Cluster::start(3, &redis);
    await_status(&cluster, "ok");
    let address = cluster.node(0).address();
    let mut held = cluster.member(1, "held");
    cluster.kill(0);
    // More than there are nodes: one of them meets the dead one first.
    let mut members: Vec<_> = (0..4)
        .map(|index| cluster.member_through_nginx(&format!("user {index}")))
        .collect();
    members.iter_mut().for_each(assert_alive);
    cluster.restart(0);
    assert_eq!(cluster.node(0).address(), address);
    // Before that whoever comes is told of a gap.
    await_status(&cluster, "ok");
    assert_alive(&mut cluster.member(0, "back"));
    cluster.stop(0);
    cluster.restart(0);
    await_status(&cluster, "ok");
    assert_alive(&mut cluster.member(0, "back again"));
    assert_alive(&mut held);
}

#[test]
fn nodes_have_settings_in_common_and_of_their_own() {
    let redis = Redis::start();
    let cluster = Cluster::builder(2, &redis)
        .env("MAX_CONNECTIONS", 70)
        .env_of(1, "MAX_CONNECTIONS", 80)
        .start();
    for (node, connections_max) in [70, 80].into_iter().enumerate() {
        let (_, told) = look(&mut cluster.connect(node), "/api/health");
        assert_eq!(
            told["maxConnections"], connections_max,
            "node {node}: {told}"
        );
    }
}
