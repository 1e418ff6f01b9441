//! What `tidegate doctor` says of Redis: of real ones, well and not, alone, with Sentinels, and as a Redis Cluster.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use common::doctor::{PASSWORD, Visit};
use common::ports;
use common::redis::Redis;
use common::redis_cluster::{RedisCluster, sentinel};
use common::tls::TestCertificate;

#[test]
fn a_redis_that_is_well() {
    let redis = Redis::builder().password(PASSWORD).start();
    let visit = Visit::with_redis(&redis.url());
    assert_eq!(visit.problems(), [""; 0]);
    let (state, found, _) = visit.one("Redis");
    assert_eq!(state, "ok");
    let address = redis.address();
    assert!(found.contains(&format!(" at {address}, RESP 2")), "{found}");
    for (about, expected) in [
        (
            "Redis rights",
            "the user may do what nodes do with channels and keys tidegate:*",
        ),
        (
            "Redis client-output-buffer-limit",
            "pubsub 33554432 8388608 60",
        ),
        ("Redis maxmemory-policy", "noeviction, without maxmemory"),
        ("Redis timeout", "silent clients stay"),
    ] {
        let (state, found, advice) = visit.one(about);
        assert_eq!((state, found, advice), ("ok", expected, ""));
    }
    assert_eq!(visit.one("Redis round trip").0, "ok");
    assert_eq!(visit.about("Redis clock"), [], "it is this machine's");
    // Nobody was left there, and nothing was.
    redis.wait_clients(0);
    assert_eq!(redis.command(&["DBSIZE"]).integer(), 0);
}

#[test]
fn a_redis_that_lets_nobody_in_or_is_not_there() {
    let redis = Redis::builder().password(PASSWORD).start();
    let address = redis.address();
    for (url, says) in [
        (format!("redis://:wrong-hidden@{address}/"), "assword"),
        (format!("redis://{address}/"), "NOAUTH"),
        (
            format!("redis://127.0.0.1:{}/", ports::lasting()),
            "refused",
        ),
    ] {
        let visit = Visit::with_redis(&url);
        assert_eq!(visit.problems(), ["Redis"], "{url}");
        let (_, found, advice) = visit.one("Redis");
        assert!(found.contains(says), "{url}: {found}");
        assert!(!found.contains("wrong-hidden"), "{found}");
        assert!(advice.contains("REDIS_URL"), "{advice}");
    }
}

#[test]
fn a_server_that_repeats_the_password_gives_nothing_away() {
    let fake = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = fake.local_addr().expect("an address");
    let answering = thread::spawn(move || {
        let (mut stream, _) = fake.accept().expect("a connection");
        let mut asked = [0; 1024];
        let length = stream.read(&mut asked).expect("a command");
        assert!(String::from_utf8_lossy(&asked[..length]).contains(PASSWORD));
        let answer =
            format!("-ERR unknown command `AUTH`, with args beginning with: `{PASSWORD}`\r\n");
        // Who asked may be gone already.
        let _ = stream.write_all(answer.as_bytes());
    });
    let visit = Visit::with_redis(&format!("redis://:{PASSWORD}@{address}/"));
    assert_eq!(visit.problems(), ["Redis"]);
    answering.join().expect("asked for once");
}

/// What `docs/cluster.md` lets a user do.
fn documented_rights() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/cluster.md")).expect("the document");
    let begun = document.split_once("ACL SETUSER tidegate on >PASSWORD ");
    let (rights, _) = begun
        .and_then(|(_, rest)| rest.split_once("```"))
        .expect("the rights");
    rights.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_the_user_of_redis_may_do() {
    let rights = documented_rights();
    let without = |words: &[&str]| {
        let kept = rights.split(' ').filter(|word| !words.contains(word));
        kept.collect::<Vec<_>>().join(" ")
    };
    let redis = Redis::builder()
        .user(&format!("right on >{PASSWORD} {rights}"))
        .user(&format!("elsewhere on >{PASSWORD} ~* &other:* +@all"))
        .user(&format!(
            "listener on >{PASSWORD} {}",
            without(&["+publish"])
        ))
        .user(&format!(
            "keyless on >{PASSWORD} {}",
            without(&["~tidegate:*"])
        ))
        .user(&format!(
            "reader on >{PASSWORD} {}",
            without(&["+set", "+sadd", "+del"])
        ))
        .start();
    // What the document asks for is enough; what cannot be seen then is no problem.
    let visit = Visit::with_redis(&redis.url_of("right", PASSWORD));
    assert_eq!(visit.problems(), [""; 0]);
    let (_, found, _) = visit.one("Redis");
    assert!(
        found.starts_with("of a version that it does not tell at"),
        "{found}"
    );
    for (user, commands) in [
        ("elsewhere", "PUBLISH, SUBSCRIBE"),
        ("listener", "PUBLISH"),
        (
            "keyless",
            "SET, GET, PTTL, PEXPIRE, SADD, SREM, SMEMBERS, SSCAN, DEL",
        ),
        ("reader", "SET, SADD, DEL"),
    ] {
        let visit = Visit::with_redis(&redis.url_of(user, PASSWORD));
        assert_eq!(visit.problems(), ["Redis rights"], "{user}");
        let (_, found, advice) = visit.one("Redis rights");
        assert!(
            found.starts_with(&format!("refused: {commands} (")),
            "{found}"
        );
        assert!(advice.contains("&tidegate:*"), "{advice}");
    }
}

#[test]
fn settings_of_redis_that_do_not_fit() {
    let master = Redis::start();
    let redis = Redis::builder()
        .setting(&format!("replicaof 127.0.0.1 {}", master.port()))
        .setting("timeout 3")
        .subscriber_buffer(64 << 10, 0, 0)
        .memory(64 << 20, "allkeys-lru")
        .start();
    let visit = Visit::with_redis(&redis.url());
    assert_eq!(
        visit.problems(),
        ["Redis role", "Redis client-output-buffer-limit"]
    );
    let (_, found, advice) = visit.one("Redis role");
    assert!(
        found.contains("is a replica") && advice.contains("master"),
        "{found}"
    );
    let (_, found, advice) = visit.one("Redis client-output-buffer-limit");
    assert!(
        found.starts_with("pubsub 65536 0 0: one large message"),
        "{found}"
    );
    assert!(advice.starts_with("CONFIG SET client-output-buffer-limit"));
    assert_eq!(visit.one("Redis maxmemory-policy").0, "warning");
    assert_eq!(visit.one("Redis timeout").0, "warning");
}

#[test]
fn sentinels_and_a_redis_cluster() {
    let master = Redis::builder().password(PASSWORD).start();
    let sentinel = sentinel(master.address(), PASSWORD);
    let address = sentinel.address().to_string();
    let url = master.url();
    let settings = [
        ("PORT", "0"),
        ("REDIS_ENABLED", "on"),
        ("REDIS_URL", url.as_str()),
        ("REDIS_SENTINELS", address.as_str()),
        ("REDIS_SENTINEL_PASSWORD", PASSWORD),
    ];
    let visit = Visit::new(&settings, &[]);
    assert_eq!(visit.problems(), [""; 0]);
    let (_, found, _) = visit.one("Redis");
    assert!(found.contains(" at the master mymaster"), "{found}");
    let cluster = RedisCluster::start();
    let seeds = cluster.seeds();
    let settings = [
        ("PORT", "0"),
        ("REDIS_ENABLED", "on"),
        ("REDIS_CLUSTER_NODES", seeds.as_str()),
    ];
    let visit = Visit::new(&settings, &[]);
    // Whether a server has the channel that is tried or not.
    assert_eq!(visit.problems(), [""; 0]);
    let servers = seeds.split(',').count();
    assert!(servers > 1, "{seeds}");
    assert_eq!(visit.about("Redis").len(), servers);
    assert_eq!(visit.about("Redis rights").len(), servers);
}

#[test]
fn redis_with_tls_and_without_the_files_for_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificate = TestCertificate::write_to(directory.path());
    let (chain, key) = (
        certificate.chain.display().to_string(),
        certificate.key.display().to_string(),
    );
    let port = ports::lasting();
    let _redis = Redis::builder()
        .setting(&format!(
            "tls-port {port}\ntls-cert-file {chain}\ntls-key-file {key}"
        ))
        .setting(&format!("tls-ca-cert-file {chain}\ntls-auth-clients no"))
        .start();
    let url = format!("rediss://localhost:{port}");
    let visit = |authorities: Option<&str>| {
        let mut settings = vec![
            ("PORT", "0"),
            ("REDIS_ENABLED", "on"),
            ("REDIS_URL", url.as_str()),
        ];
        settings.extend(authorities.map(|file| ("REDIS_TLS_CA", file)));
        Visit::new(&settings, &[])
    };
    assert_eq!(visit(Some(&chain)).problems(), [""; 0]);
    // Nobody here believes such a certificate, or there is no file.
    assert_eq!(visit(None).problems(), ["Redis"]);
    let gone = visit(Some("/no/such/file.pem"));
    assert_eq!(gone.problems(), ["Redis"]);
    assert!(gone.one("Redis").1.contains("REDIS_TLS_CA"));
}
