//! The broker over Redis: one server, the master that Sentinels name, or the masters of a Redis Cluster.
//!
//! To each there is a link of two threads (`link`): one publishes, one listens. The publisher sends all that waits in one
//! pipeline. The listener works off what comes in the thread that reads it: where the workers cannot keep up, the socket fills,
//! and not a queue here. Both come back by themselves after any loss, each time later than before and not all nodes at once; then
//! the listener subscribes anew to what this node listens to now.

pub mod bundle;
mod link;
mod listener;
mod publisher;
mod server;
mod shards;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;

use super::{Broker, Health, Inbox};
use link::{Link, Plan};
pub use server::{RedisServer, RedisTls};
use shards::Shards;

/// The first wait before a lost link is tried again, and the longest.
const RETRY_LEAST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// A broker over Redis. Dropped, it ends its threads.
#[derive(Debug)]
pub struct RedisBroker(Links);

#[derive(Debug)]
enum Links {
    One(Link),
    Shards(Shards),
}

impl RedisBroker {
    /// Begins to connect, and goes on trying. `own_channel` is one that nobody else listens to; so is every channel that begins
    /// with it. `inbox` is called from the broker's threads from now on.
    ///
    /// # Errors
    /// What the system says to more threads.
    pub fn start(
        server: RedisServer,
        own_channel: String,
        inbox: Arc<dyn Inbox>,
    ) -> io::Result<Self> {
        let links = if server.is_cluster() {
            Links::Shards(Shards::start(server, own_channel, inbox)?)
        } else {
            Links::One(Link::start(Plan {
                server,
                own_channel,
                inbox,
                shard: None,
                is_late: false,
            })?)
        };
        Ok(Self(links))
    }
}

impl Broker for RedisBroker {
    fn publish(&self, channel: String, bytes: Vec<u8>, ticket: Option<u64>) -> bool {
        match &self.0 {
            Links::One(link) => link.publish(channel, bytes, ticket),
            Links::Shards(shards) => shards.publish(channel, bytes, ticket),
        }
    }

    fn note(&self, channel: String, ticket: Option<u64>) -> bool {
        match &self.0 {
            Links::One(link) => link.note(channel, ticket),
            Links::Shards(shards) => shards.note(channel, ticket),
        }
    }

    fn health(&self) -> Health {
        match &self.0 {
            Links::One(link) => link.health(),
            Links::Shards(shards) => shards.health(),
        }
    }
}

/// Tells of a loss when it comes, and of further attempts in vain only who wants to know everything.
fn log_loss(what: &str, error: &RedisError, is_lost: &mut bool) {
    let level = if std::mem::replace(is_lost, true) {
        log::Level::Debug
    } else {
        log::Level::Warn
    };
    log::log!(level, "{what}: {error}");
}

/// The waits between attempts: twice as long each time, up to half of it left to chance, so that nodes that have lost the same
/// server do not all come back at once.
#[derive(Debug)]
struct Backoff {
    next: Duration,
}

impl Backoff {
    fn new() -> Self {
        Self { next: RETRY_LEAST }
    }

    fn wait(&mut self) -> Duration {
        let wait = self.next.mul_f64(rand::random_range(0.5..1.0));
        self.next = (self.next * 2).min(RETRY_MOST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_later_each_time_and_no_later_than_that() {
        let mut backoff = Backoff::new();
        let mut longest = RETRY_LEAST;
        for _ in 0..12 {
            let wait = backoff.wait();
            assert!(wait >= longest / 2 && wait <= longest, "{wait:?}");
            longest = (longest * 2).min(RETRY_MOST);
        }
    }
}
