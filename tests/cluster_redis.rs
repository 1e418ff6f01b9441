//! Several nodes as one, by way of what Redis is besides one server in the clear: TLS, Sentinels, a Redis Cluster.

mod common;

use common::cluster::{Cluster, await_status, status};
use common::faults::Faults;
use common::gateway::{Member, builder, call, look};
use common::redis::Redis;
use common::redis_cluster::{RedisCluster, sentinel};
use common::server::run_to_end;
use common::tls::TestCertificate;
use common::{DEADLINE, eventually, ports};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn chat(to: &str, text: &str) -> Value {
    json!({ "type": "chat", "targetUserId": to, "text": text, "id": text })
}

/// The next message that is no gap.
fn skip_gaps(member: &mut Member) -> Value {
    loop {
        let told = member.read();
        if told["type"] != "gap" {
            return told;
        }
    }
}

/// Asks until one connection gets it, and sees that it did.
fn await_crossing(from: &mut Member, to: &mut Member, user: &str) {
    eventually("messages cross again", || {
        from.send(&chat(user, "again"));
        skip_gaps(from)["delivered"] == 1
    });
    assert_eq!(skip_gaps(to)["text"], "again");
}

#[test]
fn redis_is_spoken_to_by_tls_with_a_certificate_user_and_password() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let certificate = TestCertificate::write_to(directory.path());
    let (chain, key) = (certificate.chain.display(), certificate.key.display());
    let port = ports::lasting();
    let _redis = Redis::builder()
        .setting(&format!(
            "tls-port {port}\ntls-cert-file {chain}\ntls-key-file {key}"
        ))
        .setting(&format!("tls-ca-cert-file {chain}\ntls-auth-clients yes"))
        .user("node on >enough ~* &tidegate:* +@all")
        .start();
    let start = |url: String, settings: &[(&str, &dyn std::fmt::Display)]| {
        let builder = builder(1).env("REDIS_ENABLED", true).env("REDIS_URL", url);
        let settings = settings.iter();
        settings.fold(builder, |builder, (name, value)| builder.env(name, value))
    };
    let url = format!("rediss://node:enough@localhost:{port}");
    let files: [(&str, &dyn std::fmt::Display); 3] = [
        ("REDIS_TLS_CA", &chain),
        ("REDIS_TLS_CERT", &chain),
        ("REDIS_TLS_KEY", &key),
    ];
    let nodes = [(); 2].map(|()| start(url.clone(), &files).start());
    for node in &nodes {
        eventually("it is well", || status(node) == "ok");
    }
    let (mut ann, mut bob) = (Member::of(&nodes[0], "ann"), Member::of(&nodes[1], "bob"));
    assert_eq!(ann.ask(&chat("bob", "hello"))["delivered"], 1);
    assert_eq!(bob.read()["text"], "hello");

    // Who it is that answers is not known to the system, and a client without a certificate is not welcome.
    for settings in [&[][..], &files[..1]] {
        let node = start(url.clone(), settings).start();
        node.wait_for_log("Redis is not heard", DEADLINE);
        assert_eq!(status(&node), "degraded");
        assert_eq!(node.log().count("enough"), 0);
    }
    let missing = start(url, &[("REDIS_TLS_CA", &"/nowhere/ca.pem")]);
    let (_, _, refused) = run_to_end(missing.command(), DEADLINE);
    assert!(
        refused.contains("REDIS_TLS_CA: /nowhere/ca.pem cannot be read"),
        "{refused}"
    );
}

#[test]
fn sentinels_tell_of_the_master_and_of_the_next_one() {
    let mut master = Redis::start();
    let replica = Redis::builder()
        .setting(&format!("replicaof 127.0.0.1 {}", master.port()))
        .start();
    eventually("the replica follows", || {
        let info = master.command(&["INFO", "replication"]);
        info.text().contains("state=online")
    });
    let sentinel = sentinel(master.address(), "watchful");
    eventually("the Sentinel knows the replica", || {
        let told = sentinel.command(&["SENTINEL", "REPLICAS", "mymaster"]);
        !told.items().is_empty()
    });
    // One Sentinel is away, which is what there are several for.
    let sentinels = format!("127.0.0.1:{},{}", ports::lasting(), sentinel.address());
    let cluster = Cluster::builder(2, &master)
        .env("REDIS_SENTINELS", sentinels)
        .env("REDIS_SENTINEL_PASSWORD", "watchful")
        .env("REDIS_URL", "redis://nowhere.invalid")
        .start();
    await_status(&cluster, "ok");
    let (mut ann, mut bob) = (cluster.member(0, "ann"), cluster.member(1, "bob"));
    assert_eq!(ann.ask(&chat("bob", "before"))["delivered"], 1);
    assert_eq!(bob.read()["text"], "before");
    master.kill();
    assert_eq!(bob.read(), json!({ "type": "gap" }));
    await_status(&cluster, "ok");
    await_crossing(&mut ann, &mut bob, "bob");
    let told = replica.command(&["PUBSUB", "NUMSUB", "tidegate:u:bob"]);
    assert_eq!(
        told.items()[1].integer(),
        1,
        "the replica is the master now"
    );
}

fn in_redis_cluster(nodes: usize, redis: &RedisCluster) -> Cluster {
    let cluster = Cluster::builder(nodes, redis.any())
        .env("REDIS_URL", "redis://nowhere.invalid")
        .env("REDIS_CLUSTER_NODES", redis.seeds())
        .start();
    await_status(&cluster, "ok");
    cluster
}

#[test]
fn channels_are_spread_over_a_redis_cluster() {
    let redis = RedisCluster::start();
    let cluster = in_redis_cluster(2, &redis);
    let mut ann = cluster.member(0, "ann");
    let names: Vec<_> = (0..12).map(|number| format!("user-{number}")).collect();
    let mut masters = std::collections::BTreeSet::new();
    for name in &names {
        let channel = format!("tidegate:u:{name}");
        let master = redis.master_of(&channel);
        masters.insert(master);
        let mut member = cluster.member(1, name);
        assert_eq!(redis.listeners(&channel, master), 1);
        member.join(name);
        ann.join(name);
        for number in 0..20 {
            let text = number.to_string();
            assert_eq!(ann.ask(&chat(name, &text))["delivered"], 1, "{name}");
            assert_eq!(member.read()["text"], text);
        }
        for number in 0..20 {
            ann.send(&json!({ "type": "publish", "room": name, "event": number.to_string() }));
        }
        for number in 0..20 {
            assert_eq!(member.read()["event"], number.to_string());
        }
        let told = ann.ask(&json!({ "type": "presence", "room": name }));
        assert_eq!(told["users"], json!(["ann", name]));
    }
    assert_eq!(masters.len(), 3, "all masters carry something");
    let mut bob = cluster.member(1, "bob");
    let mut client = cluster.connect(0);
    let (_, told) = call(&mut client, "/api/broadcast", &json!({ "event": "e" }));
    assert_eq!(told, json!({ "success": true, "delivered": 2 }));
    for member in [&mut ann, &mut bob] {
        assert_eq!(member.read()["event"], "e");
        member.expect_silence();
    }
}

#[test]
fn a_redis_cluster_moves_slots_and_loses_a_master() {
    let mut redis = RedisCluster::start();
    let cluster = in_redis_cluster(2, &redis);
    let mut ann = cluster.member(0, "ann");
    // One whose channel the first master has, which has a replica.
    let name = (0..)
        .map(|number| format!("user-{number}"))
        .find(|name| redis.master_of(&format!("tidegate:u:{name}")) == 0)
        .expect("a name");
    let channel = format!("tidegate:u:{name}");
    let mut member = cluster.member(1, &name);
    assert_eq!(ann.ask(&chat(&name, "before"))["delivered"], 1);
    assert_eq!(member.read()["text"], "before");

    redis.move_slot(&channel, 1);
    assert_eq!(member.read(), json!({ "type": "gap" }));
    await_status(&cluster, "ok");
    await_crossing(&mut ann, &mut member, &name);
    assert_eq!(redis.listeners(&channel, 1), 1);

    redis.kill_first();
    eventually("the loss is noticed", || {
        status(cluster.node(0)) == "degraded" && status(cluster.node(1)) == "degraded"
    });
    await_status(&cluster, "ok");
    let (_, info) = look(&mut cluster.connect(0), "/api/redis-info");
    assert_eq!(info["redis"]["publishing"], true, "{info}");
    await_crossing(&mut ann, &mut member, &name);
}

#[test]
fn what_is_local_does_not_wait_for_a_slow_redis() {
    let redis = Redis::start();
    let way = Faults::forward(redis.address());
    let cluster = Cluster::builder(2, &redis)
        .env_of(0, "REDIS_URL", redis.url_at(way.address()))
        .start();
    await_status(&cluster, "ok");
    let (mut ann, mut bob) = (cluster.member(0, "ann"), cluster.member(1, "bob"));
    let mut neighbour = cluster.member(0, "neighbour");
    let late = Duration::from_millis(100);
    way.late(late);
    let begun = Instant::now();
    ann.send(&json!({ "type": "chat", "targetUserId": "bob", "text": "far" }));
    ann.send(&json!({ "type": "chat", "targetUserId": "neighbour", "text": "near" }));
    assert_eq!(neighbour.read()["text"], "near");
    let near = begun.elapsed();
    assert_eq!(bob.read()["text"], "far");
    let far = begun.elapsed();
    assert!(near < far && far >= late, "{near:?}, {far:?}");
    // An answer from afar takes its time, and is counted.
    assert_eq!(ann.ask(&chat("bob", "x"))["delivered"], 1);
    way.heal();
    assert_eq!(status(cluster.node(0)), "ok", "slow is not away");
}
