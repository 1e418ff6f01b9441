//! What the integration tests share: the real server as a process, a raw client, and the peers in front of it.
//!
//! Nothing here calls the library: frames, handshakes and addresses are written down a second time, so that
//! a test has an opinion of its own. Every wait has a deadline, and every process is ended by its id.
#![allow(dead_code, reason = "each test crate uses its own part of the harness")]
#![allow(
    clippy::print_stderr,
    reason = "a failed test shows the logs of the processes that it drove"
)]

pub(crate) mod client;
pub(crate) mod frame;
pub(crate) mod lines;
pub(crate) mod nginx;
pub(crate) mod peer;
pub(crate) mod server;
pub(crate) mod tls;

use std::time::Duration;

/// How long anything that should happen at once may take on a loaded machine of two cores.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
