//! The broker over Redis: one thread that publishes and one that listens, each with a connection of its own.
//!
//! The publisher sends all that waits in one pipeline. The listener works off what comes in the thread that reads it: where the
//! workers cannot keep up, the socket fills, and not a queue here. Both come back by themselves after any loss, each time later
//! than before and not all nodes at once; then the listener subscribes anew to what this node listens to now.
//!
//! The node has a channel of its own, on which the publisher sends nothing at all, twice a second: so the listener, which waits in
//! a read, hears that the link stands, and at once that its subscriptions are to change.

mod listener;
mod publisher;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;
use std::{fmt, io};

use crossbeam_queue::SegQueue;
use redis::{
    Client, Connection, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult,
};

use super::{Broker, Fate, Health, Inbox};
use crate::limits::{BROKER_QUEUE_BYTES_MAX, BROKER_TIMEOUT};

/// The first wait before a lost link is tried again, and the longest.
const RETRY_LEAST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// Something to publish.
#[derive(Debug)]
struct Order {
    channel: String,
    bytes: Vec<u8>,
    ticket: Option<u64>,
}

/// What the threads and everybody else share.
#[derive(Debug)]
struct Desk {
    inbox: Arc<dyn Inbox>,
    own_channel: String,
    orders: SegQueue<Order>,
    order_bytes: AtomicU64,
    /// Channels whose listening may have changed, and the tickets of who wants to know when it has.
    notes: SegQueue<(String, Option<u64>)>,
    has_notes: AtomicBool,
    publisher: OnceLock<Thread>,
    is_publishing: AtomicBool,
    is_listening: AtomicBool,
    is_stopping: AtomicBool,
    /// Something was dropped that the others have not been told of.
    has_dropped: AtomicBool,
    queued: AtomicU64,
    published: AtomicU64,
    dropped: AtomicU64,
    received: AtomicU64,
    round_trip_us: AtomicU64,
}

/// A server, as a URL names it. Its secrets are never shown.
#[derive(Clone)]
pub struct RedisServer(ConnectionInfo);

impl RedisServer {
    /// The server at `redis://[user:password@]host[:port][/db]`, or `unix:///path`.
    ///
    /// # Errors
    /// What is wrong with the URL, without its secrets.
    pub fn parse(url: &str) -> Result<Self, String> {
        let info = url.into_connection_info();
        info.map(Self)
            .map_err(|error| format!("must be the URL of a Redis server: {}", told(&error)))
    }

    /// The one at that host, a name or an address.
    pub fn at(host: &str, port: u16) -> Self {
        let address = ConnectionAddr::Tcp(host.to_owned(), port);
        let info = address.into_connection_info();
        Self(info.expect("a host and a port are all it takes"))
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisServer({})", self.0.addr())
    }
}

/// A broker over one Redis. Dropped, it ends its threads.
#[derive(Debug)]
pub struct RedisBroker {
    desk: Arc<Desk>,
}

/// What is wrong with a URL, without any part of it.
fn told(error: &RedisError) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.category()),
        None => error.category().to_owned(),
    }
}

impl RedisBroker {
    /// Begins to connect, and goes on trying. `own_channel` is one that nobody else listens to. `inbox` is called from the
    /// broker's threads from now on.
    ///
    /// # Errors
    /// What the system says to two more threads.
    pub fn start(
        server: RedisServer,
        own_channel: String,
        inbox: Arc<dyn Inbox>,
    ) -> io::Result<Self> {
        let client = Client::open(server.0).map_err(io::Error::other)?;
        let desk = Arc::new(Desk {
            inbox,
            own_channel,
            orders: SegQueue::new(),
            order_bytes: AtomicU64::new(0),
            notes: SegQueue::new(),
            has_notes: AtomicBool::new(false),
            publisher: OnceLock::new(),
            is_publishing: AtomicBool::new(false),
            is_listening: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            has_dropped: AtomicBool::new(false),
            queued: AtomicU64::new(0),
            published: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            received: AtomicU64::new(0),
            round_trip_us: AtomicU64::new(0),
        });
        let (its_desk, its_client) = (Arc::clone(&desk), client.clone());
        let publisher = thread::Builder::new()
            .name("redis-publisher".to_owned())
            .spawn(move || publisher::run(&its_client, &its_desk))?;
        let _ = desk.publisher.set(publisher.thread().clone());
        let its_desk = Arc::clone(&desk);
        thread::Builder::new()
            .name("redis-listener".to_owned())
            .spawn(move || listener::run(&client, &its_desk))?;
        Ok(Self { desk })
    }
}

impl Drop for RedisBroker {
    fn drop(&mut self) {
        self.desk.is_stopping.store(true, Ordering::Release);
        self.desk.wake_publisher();
    }
}

impl Broker for RedisBroker {
    fn publish(&self, channel: String, bytes: Vec<u8>, ticket: Option<u64>) -> bool {
        let desk = &*self.desk;
        let len = bytes.len() as u64;
        let waiting = desk.order_bytes.fetch_add(len, Ordering::Relaxed);
        if waiting > BROKER_QUEUE_BYTES_MAX || !desk.is_publishing.load(Ordering::Acquire) {
            desk.order_bytes.fetch_sub(len, Ordering::Relaxed);
            desk.count_dropped();
            return false;
        }
        desk.queued.fetch_add(1, Ordering::Relaxed);
        desk.orders.push(Order {
            channel,
            bytes,
            ticket,
        });
        desk.wake_publisher();
        true
    }

    fn note(&self, channel: String, ticket: Option<u64>) -> bool {
        // Where nobody listens, everything is looked at before somebody does.
        let is_listening = self.desk.is_listening.load(Ordering::Acquire);
        if is_listening {
            self.desk.notes.push((channel, ticket));
            self.desk.has_notes.store(true, Ordering::Release);
            self.desk.wake_publisher();
        }
        is_listening
    }

    fn health(&self) -> Health {
        let desk = &*self.desk;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Health {
            is_publishing: desk.is_publishing.load(Ordering::Relaxed),
            is_listening: desk.is_listening.load(Ordering::Relaxed),
            queued: count(&desk.queued),
            published: count(&desk.published),
            dropped: count(&desk.dropped),
            received: count(&desk.received),
            round_trip_us: count(&desk.round_trip_us),
        }
    }
}

impl Desk {
    fn wake_publisher(&self) {
        if let Some(publisher) = self.publisher.get() {
            publisher.unpark();
        }
    }

    /// The listener has lost its link: so may the publisher have, and not know it before it speaks. It is to do so now, and nothing
    /// is entrusted to it until it has been answered.
    fn suspect_publisher(&self) {
        self.is_publishing.store(false, Ordering::Release);
        self.has_notes.store(true, Ordering::Release);
        self.wake_publisher();
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.has_dropped.store(true, Ordering::Release);
    }

    fn drop_order(&self, order: &Order) {
        self.count_dropped();
        if let Some(ticket) = order.ticket {
            self.inbox.settle(ticket, Fate::Unsent);
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

/// A connection on which nothing waits for longer than [`BROKER_TIMEOUT`].
fn connect(client: &Client) -> RedisResult<Connection> {
    let connection = client.get_connection_with_timeout(BROKER_TIMEOUT)?;
    connection.set_read_timeout(Some(BROKER_TIMEOUT))?;
    connection.set_write_timeout(Some(BROKER_TIMEOUT))?;
    Ok(connection)
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

    #[test]
    fn secrets_of_a_url_are_never_shown() {
        let server = RedisServer::parse("redis://ann:secret@127.0.0.1:6379/2").expect("a URL");
        let shown = format!("{server:?}");
        assert!(
            shown.contains("6379") && !shown.contains("secret"),
            "{shown}"
        );
        for url in [
            "http://:secret@127.0.0.1",
            "redis://:secret@127.0.0.1/x",
            "secret",
        ] {
            let problem = RedisServer::parse(url).expect_err(url);
            assert!(!problem.contains("secret"), "{problem}");
        }
    }
}
