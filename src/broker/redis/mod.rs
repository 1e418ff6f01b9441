//! The broker over Redis: one server, the master that Sentinels name, or the masters of a Redis Cluster.
//!
//! To each there is a link of two threads (`link`): one publishes, one listens. The publisher sends all that waits in one
//! pipeline. The listener works off what comes in the thread that reads it: where the workers cannot keep up, the socket fills,
//! and not a queue here. Both come back by themselves after any loss, each time later than before and not all nodes at once; then
//! the listener subscribes anew to what this node listens to now.
//!
//! One more thread, with a connection of its own, keeps the registry of nodes (`registry`). What clients need who come back is
//! kept by the publisher, and found by whoever has a `keeper`, in a thread of the caller's. Where the nodes share rooms with Socket.IO
//! servers, what these say goes by links apart (`relay`).

pub mod bundle;
mod inspect;
mod keeper;
mod link;
mod listener;
mod publisher;
mod register;
mod registry;
mod relay;
mod server;
mod shards;
mod sweep;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;

use super::{Broker, Ear, Health, Identity, Inbox, Registered, Subscriptions};
use crate::limits::BROKER_TIMEOUT;
pub use inspect::Inspection;
pub use keeper::RedisKeeper;
use link::{Doubts, Keeping, Link, Order, Plan};
use register::Register;
use registry::Registry;
use relay::Connect;
pub use relay::Relay;
pub use server::{RedisServer, RedisTls};
use shards::Shards;

/// The first wait before a lost link is tried again, and the longest.
const RETRY_LEAST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// A broker over Redis. Dropped, it ends its threads.
#[derive(Debug)]
pub struct RedisBroker {
    links: Links,
    registry: Registry,
    relays: Relays,
    prefix: String,
}

/// Makes relays over the same Redis as nodes have, where anybody may publish and subscribe: in a Redis Cluster, over all of its servers.
#[derive(Clone)]
pub struct Relays {
    doubts: Doubts,
    connect: Arc<Connect>,
}

impl fmt::Debug for Relays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Relays")
    }
}

impl Relays {
    /// Makes one, which begins to connect, and goes on trying. `ear` is called from its thread from now on.
    ///
    /// # Errors
    /// What the system says to more threads.
    pub fn start(self, subscriptions: Subscriptions, ear: Arc<dyn Ear>) -> io::Result<Relay> {
        Relay::start(self.connect, self.doubts, subscriptions, ear)
    }
}

#[derive(Debug)]
enum Links {
    One(Link),
    Shards(Shards),
}

impl RedisBroker {
    /// Begins to connect, and goes on trying. `inbox` is called from the broker's threads from now on.
    ///
    /// # Errors
    /// What the system says to more threads.
    pub fn start(
        server: RedisServer,
        identity: Identity,
        inbox: Arc<dyn Inbox>,
    ) -> io::Result<Self> {
        let own_channel = identity.own_channel.clone();
        let prefix = identity.prefix.clone();
        let keeping = identity.keep_ms.map(|keep_ms| Keeping {
            prefix: prefix.clone(),
            keep_ms,
        });
        let register = Register::new(identity, Arc::clone(&inbox));
        let doubts = Doubts::default();
        let (links, connect): (_, Arc<Connect>) = if server.is_cluster() {
            let shards = Shards::start(server, own_channel, inbox)?;
            let (finder, key) = (shards.finder(), register.nodes_key());
            let connect = move || finder.connect(&key);
            (Links::Shards(shards), Arc::new(connect))
        } else {
            let link = Link::start(Plan {
                server: server.clone(),
                own_channel,
                inbox,
                shard: None,
                doubts: doubts.clone(),
                keeping,
            })?;
            (Links::One(link), Arc::new(move || server.connect()))
        };
        let relays = Relays { doubts, connect };
        let Relays { doubts, connect } = relays.clone();
        let registry = Registry::start(register, doubts, move || connect())?;
        Ok(Self {
            links,
            registry,
            relays,
            prefix,
        })
    }

    /// What is kept in the same Redis for clients that come back; not in a Redis Cluster, where nothing is.
    pub fn keeper(&self) -> RedisKeeper {
        let Relays { doubts, connect } = self.relays.clone();
        RedisKeeper::new(connect, doubts, self.prefix.clone())
    }

    /// The way to further links over the same Redis.
    pub fn relays(&self) -> Relays {
        self.relays.clone()
    }
}

impl Broker for RedisBroker {
    fn publish(
        &self,
        channel: String,
        bytes: Vec<u8>,
        ticket: Option<u64>,
        kept: Option<usize>,
    ) -> bool {
        let order = Order {
            channel,
            bytes,
            ticket,
            kept,
        };
        match &self.links {
            Links::One(link) => link.publish(order),
            Links::Shards(shards) => shards.publish(order),
        }
    }

    fn note(&self, channel: String, ticket: Option<u64>) -> bool {
        self.registry.register.notes.push(&channel);
        match &self.links {
            Links::One(link) => link.note(channel, ticket),
            Links::Shards(shards) => shards.note(channel, ticket),
        }
    }

    fn health(&self) -> Health {
        let health = match &self.links {
            Links::One(link) => link.health(),
            Links::Shards(shards) => shards.health(),
        };
        Health {
            is_registered: self.registry.register.is_registered(),
            swept: self.registry.register.swept(),
            ..health
        }
    }

    fn nodes(&self) -> Vec<Registered> {
        self.registry.register.nodes()
    }

    fn leave(&self) {
        self.registry.leave();
    }
}

/// Tells of a loss when it comes, and of further attempts in vain only who wants to know everything.
fn log_loss(what: &str, error: &RedisError, is_lost: &mut bool) {
    let level = if std::mem::replace(is_lost, true) {
        log::Level::Debug
    } else {
        log::Level::Warn
    };
    // As the system puts it, a time limit that is over is a resource that is unavailable.
    if error.is_timeout() {
        log::log!(level, "{what}: no answer within {BROKER_TIMEOUT:?}");
    } else {
        log::log!(level, "{what}: {error}");
    }
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
