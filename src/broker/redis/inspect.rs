//! A look at a Redis, for people: what it is, how it is set, and whether it lets this user do what a node has to. Nothing is left
//! there, and what is published nobody hears.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis::{Connection, FromRedisValue, RedisResult, Value, cmd};

use super::server::RedisServer;

/// Exchanges of which the quickest counts.
const PINGS: usize = 5;

/// What a Redis says of itself. What the user may not see is `None`.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// Such as `7.0.15`.
    pub version: Option<String>,
    /// The version of the protocol that the connection speaks.
    pub resp: Option<u8>,
    /// Whether it is a replica of another one, and no part of a Redis Cluster.
    pub is_replica: Option<bool>,
    /// Time of the quickest of a few exchanges.
    pub round_trip: Duration,
    /// How far its clock is from that of this machine.
    pub clock_offset: Option<Duration>,
    /// `client-output-buffer-limit pubsub`: bytes that end a subscriber at once, bytes that may wait for a time, and its seconds; 0 is
    /// no limit.
    pub subscriber_buffer: Option<[u64; 3]>,
    /// Bytes that it may hold; 0 is no limit.
    pub memory_bytes_max: Option<u64>,
    /// Bytes that it holds.
    pub memory_bytes: Option<u64>,
    /// What happens once it is full.
    pub memory_policy: Option<String>,
    /// Seconds after which silent clients are dropped; 0 is never.
    pub idle_timeout_s: Option<u64>,
    /// Commands that the user may not use for channels and keys of the cluster, and what Redis says to them.
    pub refused: Vec<(&'static str, String)>,
}

impl RedisServer {
    /// Looks at each server that was named, or at the master that the Sentinels name: what it is, or why it cannot be asked. No exchange takes
    /// longer than [`BROKER_TIMEOUT`](crate::limits::BROKER_TIMEOUT); errors hold no secret. `prefix` is what all names of the cluster begin with.
    pub fn inspect(&self, prefix: &str) -> Vec<(String, Result<Inspection, String>)> {
        let is_cluster = self.is_cluster();
        let named: Vec<_> = if is_cluster {
            self.seeds().collect()
        } else {
            vec![self.clone()]
        };
        let inspect = |server: Self| {
            let inspection = server
                .connect()
                .and_then(|connection| inspect(connection, prefix, is_cluster))
                .map(|mut inspection| {
                    for (_, why) in &mut inspection.refused {
                        *why = server.without_secrets(why);
                    }
                    inspection
                })
                .map_err(|error| server.without_secrets(&error.to_string()));
            (server.address_shown(), inspection)
        };
        named.into_iter().map(inspect).collect()
    }
}

fn inspect(mut connection: Connection, prefix: &str, is_cluster: bool) -> RedisResult<Inspection> {
    let redis = &mut connection;
    let round_trip = round_trip(redis)?;
    let info = info(redis);
    let text = |name: &str| info.get(name).cloned();
    let number = |name: &str| info.get(name)?.parse().ok();
    let hello: Option<HashMap<String, Value>> = cmd("HELLO").query(redis).ok();
    let resp = hello.and_then(|mut hello| u8::from_redis_value(hello.remove("proto")?).ok());
    let buffers = setting(redis, "client-output-buffer-limit");
    Ok(Inspection {
        version: text("redis_version"),
        resp,
        // A Redis Cluster tells of its masters, whoever is asked.
        is_replica: text("role")
            .filter(|_| !is_cluster)
            .map(|role| role == "slave"),
        round_trip,
        clock_offset: clock_offset(redis),
        subscriber_buffer: buffers.as_deref().and_then(subscriber_buffer),
        memory_bytes_max: number("maxmemory"),
        memory_bytes: number("used_memory"),
        memory_policy: text("maxmemory_policy"),
        idle_timeout_s: setting(redis, "timeout").and_then(|text| text.parse().ok()),
        // The last: a connection that subscribes does nothing else.
        refused: refused(redis, prefix, is_cluster),
    })
}

fn round_trip(redis: &mut Connection) -> RedisResult<Duration> {
    let mut least = Duration::MAX;
    for _ in 0..PINGS {
        let asked = Instant::now();
        // Who may do nothing but publish and subscribe is answered as quickly.
        match cmd("PING").query::<Value>(redis) {
            Err(error) if error.code() != Some("NOPERM") => return Err(error),
            _ => least = least.min(asked.elapsed()),
        }
    }
    Ok(least)
}

/// The lines `name:value` of INFO.
fn info(redis: &mut Connection) -> HashMap<String, String> {
    let text: String = cmd("INFO").query(redis).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let pairs = lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    pairs.collect()
}

fn setting(redis: &mut Connection, name: &str) -> Option<String> {
    let told: HashMap<String, String> = cmd("CONFIG").arg("GET").arg(name).query(redis).ok()?;
    told.into_iter()
        .find_map(|(told, value)| (told == name).then_some(value))
}

/// Of the classes in `normal 0 0 0 slave … pubsub 33554432 8388608 60` the last.
fn subscriber_buffer(classes: &str) -> Option<[u64; 3]> {
    let mut words = classes.split_whitespace();
    words.find(|word| *word == "pubsub")?;
    let mut number = || words.next()?.parse().ok();
    Some([number()?, number()?, number()?])
}

fn clock_offset(redis: &mut Connection) -> Option<Duration> {
    let (seconds, micros): (u64, u32) = cmd("TIME").query(redis).ok()?;
    let theirs = UNIX_EPOCH.checked_add(Duration::new(seconds, micros.checked_mul(1_000)?))?;
    let ours = SystemTime::now();
    let apart = theirs.duration_since(ours);
    Some(apart.unwrap_or_else(|earlier| earlier.duration()))
}

/// Tries whatever nodes do there, on a channel and a key that they do not use. The key is gone within a second.
fn refused(redis: &mut Connection, prefix: &str, is_cluster: bool) -> Vec<(&'static str, String)> {
    let channel = format!("{prefix}:doctor");
    let key = format!("{prefix}:{{registry}}:doctor");
    let (publish, subscribe) = if is_cluster {
        ("SPUBLISH", "SSUBSCRIBE")
    } else {
        ("PUBLISH", "SUBSCRIBE")
    };
    let of_cluster: &[(&str, &[&str])] = &[("CLUSTER", &["SLOTS"])];
    let of_all: [(&str, &[&str]); 11] = [
        ("SET", &[&key, "", "PX", "1000"]),
        ("GET", &[&key]),
        ("PTTL", &[&key]),
        ("PEXPIRE", &[&key, "1000"]),
        ("SADD", &[&key, ""]),
        ("SREM", &[&key, ""]),
        ("SMEMBERS", &[&key]),
        ("SSCAN", &[&key, "0"]),
        ("DEL", &[&key]),
        (publish, &[&channel, ""]),
        (subscribe, &[&channel]),
    ];
    let own = of_cluster.iter().filter(|_| is_cluster);
    let refusals = own.chain(&of_all).filter_map(|(command, arguments)| {
        let answer = cmd(command).arg(arguments).query::<Value>(redis);
        let error = answer.err()?;
        // Another server of the cluster has the key or the channel, the key is no set, a replica takes nothing: all of that is told
        // to those alone who may use the command.
        let is_allowed = matches!(
            error.code(),
            Some("MOVED" | "ASK" | "WRONGTYPE" | "READONLY")
        );
        (!is_allowed).then(|| (*command, error.to_string()))
    });
    refusals.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_of_subscribers_is_found_among_the_others() {
        let told = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(subscriber_buffer(told), Some([32 << 20, 8 << 20, 60]));
        for told in ["", "normal 0 0 0", "pubsub 1 2", "pubsub 1 2 x"] {
            assert_eq!(subscriber_buffer(told), None, "{told}");
        }
    }
}
