//! Redis: whether it is there, whether it lets nodes do what they have to, and whether its settings fit.

use std::time::Duration;

use super::finding::Finding;
use crate::broker::redis::Inspection;
use crate::server::redis_tls;
use crate::server::settings::Settings;

const ABOUT: &str = "Redis";
/// The oldest that serves.
const MAJOR_MIN: u32 = 6;
/// Bytes that should be able to wait for a node that was busy for a moment.
const SUBSCRIBER_BYTES_MIN: u64 = 32 << 20;
/// What a message has around it between nodes: names and the envelope.
const ENVELOPE_BYTES: u64 = 64 * 1024;
/// A round trip that every message between nodes would feel.
const ROUND_TRIP_LONG: Duration = Duration::from_millis(20);
/// Clocks that are farther apart are wrong.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(2);
/// The node is heard twice a second; a limit below that many seconds would drop it where it is late.
const IDLE_SECONDS_MIN: u64 = 10;

pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let Some(cluster) = &settings.cluster else {
        return vec![Finding::ok(ABOUT, "not used (REDIS_ENABLED is off)")];
    };
    let server = match redis_tls::server(cluster) {
        Ok(server) => server,
        Err(why) => {
            let advice = "REDIS_TLS_CA, REDIS_TLS_CERT and REDIS_TLS_KEY are PEM files that the server may read.";
            return vec![Finding::problem(ABOUT, why, advice)];
        }
    };
    let inspected = server.inspect(&cluster.prefix);
    let message_bytes_max = settings.message_bytes_max as u64;
    let findings = inspected
        .into_iter()
        .flat_map(|(address, inspection)| match inspection {
            Ok(inspection) => judge(&address, &inspection, &cluster.prefix, message_bytes_max),
            Err(error) => vec![Finding::problem(
                ABOUT,
                format!("{address}: {error}"),
                "See that Redis runs and is reached from here (redis-cli), and that user and password of REDIS_URL are right.",
            )],
        });
    findings.collect()
}

fn judge(address: &str, redis: &Inspection, prefix: &str, message_bytes_max: u64) -> Vec<Finding> {
    let mut findings = vec![server(address, redis)];
    findings.push(rights(&redis.refused, prefix));
    if redis.is_replica == Some(true) {
        findings.push(Finding::problem(
            "Redis role",
            format!("{address} is a replica: what is published there does not reach who listens at its master"),
            "Name the master in REDIS_URL, for every node.",
        ));
    }
    findings.push(round_trip(redis.round_trip));
    findings.extend(
        redis
            .clock_offset
            .filter(|apart| *apart > CLOCKS_APART_MAX)
            .map(clocks),
    );
    findings.push(buffer(redis.subscriber_buffer, message_bytes_max));
    findings.extend(memory(redis));
    findings.extend(redis.idle_timeout_s.and_then(idle));
    findings
}

fn server(address: &str, redis: &Inspection) -> Finding {
    let version = redis.version.as_deref();
    let shown = version.unwrap_or("of a version that it does not tell");
    let resp = redis
        .resp
        .map_or_else(String::new, |resp| format!(", RESP {resp}"));
    let found = format!("{shown} at {address}{resp}");
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    if major.is_some_and(|major| major < MAJOR_MIN) {
        let advice = format!("Redis {MAJOR_MIN} or later is needed.");
        return Finding::problem(ABOUT, found, advice);
    }
    Finding::ok(ABOUT, found)
}

fn rights(refused: &[(&str, String)], prefix: &str) -> Finding {
    const ABOUT: &str = "Redis rights";
    let Some((_, why)) = refused.first() else {
        let found = format!("the user may do what nodes do with channels and keys {prefix}:*");
        return Finding::ok(ABOUT, found);
    };
    let commands: Vec<_> = refused.iter().map(|(command, _)| *command).collect();
    let found = format!("refused: {} ({why})", commands.join(", "));
    let advice = format!(
        "Let the user have them, for the channels &{prefix}:* and the keys ~{prefix}:* (ACL SETUSER; docs/cluster.md has the line)"
    );
    Finding::problem(ABOUT, found, advice)
}

fn round_trip(time: Duration) -> Finding {
    const ABOUT: &str = "Redis round trip";
    let found = format!("{:.2} ms", time.as_secs_f64() * 1e3);
    if time > ROUND_TRIP_LONG {
        let advice = "Every message between nodes takes it: put Redis nearer, and look for slow commands there (SLOWLOG GET).";
        return Finding::warning(ABOUT, found, advice);
    }
    Finding::ok(ABOUT, found)
}

fn clocks(apart: Duration) -> Finding {
    Finding::warning(
        "Redis clock",
        format!("{:.0} s from that of this machine", apart.as_secs_f64()),
        "One of the two is wrong: run systemd-timesyncd or chrony on both.",
    )
}

fn buffer(limit: Option<[u64; 3]>, message_bytes_max: u64) -> Finding {
    const ABOUT: &str = "Redis client-output-buffer-limit";
    let advice = "CONFIG SET client-output-buffer-limit \"pubsub 256mb 64mb 60\", and the same in redis.conf";
    let Some([hard, soft, seconds]) = limit else {
        return Finding::ok(ABOUT, "not visible to this user");
    };
    let found = format!("pubsub {hard} {soft} {seconds}");
    let is_below = |least: u64| [hard, soft].iter().any(|bytes| (1..least).contains(bytes));
    if is_below(message_bytes_max + ENVELOPE_BYTES) {
        let found = format!("{found}: one large message ends the link of every node");
        return Finding::problem(ABOUT, found, advice);
    }
    if (1..SUBSCRIBER_BYTES_MIN).contains(&hard) {
        let found = format!("{found}: a node that is busy for a moment loses its link");
        return Finding::warning(ABOUT, found, advice);
    }
    Finding::ok(ABOUT, found)
}

fn memory(redis: &Inspection) -> Option<Finding> {
    const ABOUT: &str = "Redis maxmemory-policy";
    let policy = redis.memory_policy.as_deref()?;
    let most = redis.memory_bytes_max.unwrap_or(0);
    if most == 0 {
        return Some(Finding::ok(ABOUT, format!("{policy}, without maxmemory")));
    }
    let used = redis.memory_bytes.unwrap_or(0);
    let found = format!("{policy}, {} of {} MiB are used", used >> 20, most >> 20);
    if policy != "noeviction" {
        let advice = "A Redis that is full may drop what says that a node is alive: CONFIG SET maxmemory-policy noeviction, or a Redis of its own.";
        return Some(Finding::warning(ABOUT, found, advice));
    }
    if used >= most / 10 * 9 {
        let advice =
            "A full Redis refuses commands: CONFIG SET maxmemory, or move others elsewhere.";
        return Some(Finding::warning(ABOUT, found, advice));
    }
    Some(Finding::ok(ABOUT, found))
}

fn idle(seconds: u64) -> Option<Finding> {
    const ABOUT: &str = "Redis timeout";
    if seconds == 0 {
        return Some(Finding::ok(ABOUT, "silent clients stay"));
    }
    let found = format!("clients that are silent for {seconds} s are dropped");
    if seconds < IDLE_SECONDS_MIN {
        let advice = "A node that is late for a moment loses its link: CONFIG SET timeout 0";
        return Some(Finding::warning(ABOUT, found, advice));
    }
    Some(Finding::ok(ABOUT, found))
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    const MESSAGE: u64 = 1 << 20;

    fn well() -> Inspection {
        Inspection {
            version: Some("7.0.15".to_owned()),
            resp: Some(2),
            is_replica: Some(false),
            round_trip: Duration::from_micros(100),
            clock_offset: Some(Duration::ZERO),
            subscriber_buffer: Some([32 << 20, 8 << 20, 60]),
            memory_bytes_max: Some(0),
            memory_bytes: Some(1 << 20),
            memory_policy: Some("noeviction".to_owned()),
            idle_timeout_s: Some(0),
            refused: Vec::new(),
        }
    }

    /// Everything that is not as it should be.
    fn trouble(redis: &Inspection) -> Vec<(&'static str, State)> {
        let findings = judge("a:1", redis, "t", MESSAGE);
        let trouble = findings.iter().filter(|one| one.state != State::Ok);
        trouble.map(|one| (one.about, one.state)).collect()
    }

    #[test]
    fn a_redis_that_is_well_and_one_that_tells_little() {
        assert_eq!(trouble(&well()), []);
        assert_eq!(trouble(&Inspection::default()), []);
    }

    type Change = fn(&mut Inspection);

    fn expect(about: &str, state: State, changes: &[Change]) {
        for change in changes {
            let mut redis = well();
            change(&mut redis);
            assert_eq!(trouble(&redis), [(about, state)], "{redis:?}");
        }
    }

    #[test]
    fn what_does_not_work_is_a_problem() {
        let old: Change = |redis| redis.version = Some("5.0.14".to_owned());
        expect("Redis", State::Problem, &[old]);
        let replica: Change = |redis| redis.is_replica = Some(true);
        expect("Redis role", State::Problem, &[replica]);
        let refused: Change = |redis| redis.refused = vec![("PUBLISH", "NOPERM".to_owned())];
        expect("Redis rights", State::Problem, &[refused]);
        let small: [Change; 2] = [
            |redis| redis.subscriber_buffer = Some([MESSAGE, 0, 0]),
            |redis| redis.subscriber_buffer = Some([0, MESSAGE, 60]),
        ];
        expect("Redis client-output-buffer-limit", State::Problem, &small);
    }

    #[test]
    fn what_will_not_always_work_is_a_warning() {
        let far: Change = |redis| redis.round_trip = Duration::from_millis(30);
        expect("Redis round trip", State::Warning, &[far]);
        let wrong: Change = |redis| redis.clock_offset = Some(Duration::from_secs(3));
        expect("Redis clock", State::Warning, &[wrong]);
        let tight: Change = |redis| redis.subscriber_buffer = Some([16 << 20, 8 << 20, 60]);
        expect("Redis client-output-buffer-limit", State::Warning, &[tight]);
        let impatient: Change = |redis| redis.idle_timeout_s = Some(5);
        expect("Redis timeout", State::Warning, &[impatient]);
        let memory: [Change; 2] = [
            |redis| {
                redis.memory_bytes_max = Some(1 << 30);
                redis.memory_policy = Some("allkeys-lru".to_owned());
            },
            |redis| {
                redis.memory_bytes_max = Some(1 << 20);
                redis.memory_bytes = Some(1_000_000);
            },
        ];
        expect("Redis maxmemory-policy", State::Warning, &memory);
    }

    #[test]
    fn patience_and_room_are_no_trouble() {
        let mut redis = well();
        redis.idle_timeout_s = Some(300);
        redis.subscriber_buffer = Some([0, 0, 0]);
        assert_eq!(trouble(&redis), []);
    }
}
