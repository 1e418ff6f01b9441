//! What the integration tests share: the real server as a process, a raw client, and the peers in front of it.
//!
//! Nothing here calls the library: frames, handshakes and addresses are written down a second time, so that
//! a test has an opinion of its own. Every wait has a deadline, and every process is ended by its id.
#![allow(dead_code, reason = "each test crate uses its own part of the harness")]
#![allow(
    clippy::print_stderr,
    reason = "a failed test shows the logs of the processes that it drove"
)]

pub(crate) mod asyncapi;
pub(crate) mod back_end;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod deployed;
pub(crate) mod doctor;
pub(crate) mod example;
pub(crate) mod faults;
pub(crate) mod frame;
pub(crate) mod front;
pub(crate) mod gateway;
pub(crate) mod guest;
pub(crate) mod lines;
pub(crate) mod metrics;
pub(crate) mod nginx;
pub(crate) mod peer;
pub(crate) mod ports;
pub(crate) mod prometheus;
pub(crate) mod redis;
pub(crate) mod redis_cluster;
pub(crate) mod resp;
pub(crate) mod server;
pub(crate) mod socketio;
pub(crate) mod tls;

use std::thread;
use std::time::{Duration, Instant};

/// How long anything that should happen at once may take on a loaded machine of two cores.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `holds`; fails the test at the deadline.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
