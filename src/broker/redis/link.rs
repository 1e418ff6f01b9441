//! The way to one server and back: a thread that publishes and one that listens, each with a connection of its own.
//!
//! The node has a channel of its own, on which the publisher sends nothing at all, twice a second: so the listener, which waits in
//! a read, hears that the link stands, and at once that its subscriptions are to change.

use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

use crossbeam_queue::SegQueue;
use redis::{ErrorKind, RedisResult, ServerErrorKind, Value};

use super::server::RedisServer;
use super::shards::{self, Alarm};
use super::{listener, publisher};
use crate::broker::{Fate, Health, Inbox};
use crate::limits::BROKER_QUEUE_BYTES_MAX;

/// What the commands are called, and what comes of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    pub(super) publish: &'static str,
    pub(super) subscribe: &'static str,
    pub(super) unsubscribe: &'static str,
    pub(super) message: &'static str,
    /// Channels of one command.
    pub(super) channels_max: usize,
}

/// Of one server, or of a master and its replicas.
const PLAIN: Words = Words {
    publish: "PUBLISH",
    subscribe: "subscribe",
    unsubscribe: "unsubscribe",
    message: "message",
    channels_max: 1_000,
};

/// Of a shard of a Redis Cluster, where the channels of a command would have to be of one slot.
const SHARDED: Words = Words {
    publish: "SPUBLISH",
    subscribe: "ssubscribe",
    unsubscribe: "sunsubscribe",
    message: "smessage",
    channels_max: 1,
};

/// The part of a Redis Cluster that a server has.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) slots: Vec<RangeInclusive<u16>>,
    /// Rung where the server says that it has a channel no more, or is lost.
    pub(super) alarm: Arc<Alarm>,
}

/// How often there was reason to make links anew that seem to be good: what they lead to is not what it was.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubts(Arc<AtomicU64>);

impl Doubts {
    pub(super) fn raise(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Fails where there have been more than so many: whoever has connected since then is to do so again.
    pub(super) fn expect(&self, count: u64) -> RedisResult<()> {
        if self.count() == count {
            return Ok(());
        }
        let kind = ErrorKind::Server(ServerErrorKind::ReadOnly);
        Err((kind, "it is another one that takes writes now").into())
    }
}

/// What a link is made of.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) server: RedisServer,
    /// One that nobody else listens to.
    pub(super) own_channel: String,
    pub(super) inbox: Arc<dyn Inbox>,
    /// None where the server has everything.
    pub(super) shard: Option<Shard>,
    pub(super) doubts: Doubts,
    /// None where nothing is kept.
    pub(super) keeping: Option<Keeping>,
}

/// Something to publish.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) channel: String,
    pub(super) bytes: Vec<u8>,
    pub(super) ticket: Option<u64>,
    /// Whether it is kept for clients that come back, and how much of it where it is large.
    pub(super) kept: Option<usize>,
}

/// How publications are kept.
#[derive(Debug)]
pub(super) struct Keeping {
    /// What all names of the cluster begin with.
    pub(super) prefix: String,
    /// For how long, milliseconds.
    pub(super) keep_ms: u32,
}

/// What the threads and everybody else share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) own_channel: String,
    pub(super) words: Words,
    shard: Option<Shard>,
    pub(super) doubts: Doubts,
    pub(super) keeping: Option<Keeping>,
    /// Something was not kept that should have been, and that is to be told.
    pub(super) owes_hole: AtomicBool,
    pub(super) orders: SegQueue<Order>,
    order_bytes: AtomicU64,
    /// Channels whose listening may have changed, and the tickets of who wants to know when it has.
    pub(super) notes: SegQueue<(String, Option<u64>)>,
    pub(super) has_notes: AtomicBool,
    publisher: OnceLock<Thread>,
    pub(super) is_publishing: AtomicBool,
    pub(super) is_listening: AtomicBool,
    is_stopping: AtomicBool,
    /// Something was dropped that the others have not been told of.
    pub(super) has_dropped: AtomicBool,
    queued: AtomicU64,
    pub(super) published: AtomicU64,
    dropped: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) round_trip_us: AtomicU64,
}

/// A link. Dropped, it ends its threads.
#[derive(Debug)]
pub(super) struct Link {
    desk: Arc<Desk>,
}

impl Link {
    /// Begins to connect, and goes on trying.
    pub(super) fn start(plan: Plan) -> io::Result<Self> {
        let Plan {
            server,
            own_channel,
            inbox,
            shard,
            doubts,
            keeping,
        } = plan;
        let desk = Arc::new(Desk {
            inbox,
            own_channel,
            words: if shard.is_some() { SHARDED } else { PLAIN },
            shard,
            doubts,
            keeping,
            owes_hole: AtomicBool::new(false),
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
        let (its_server, its_desk) = (server.clone(), Arc::clone(&desk));
        let publisher = thread::Builder::new()
            .name("redis-publisher".to_owned())
            .spawn(move || publisher::run(&its_server, &its_desk))?;
        let _ = desk.publisher.set(publisher.thread().clone());
        let link = Self { desk };
        let its_desk = Arc::clone(&link.desk);
        thread::Builder::new()
            .name("redis-listener".to_owned())
            .spawn(move || listener::run(&server, &its_desk))?;
        Ok(link)
    }

    /// See [`crate::broker::Broker::publish`].
    pub(super) fn publish(&self, order: Order) -> bool {
        let desk = &*self.desk;
        let len = order.bytes.len() as u64;
        let waiting = desk.order_bytes.fetch_add(len, Ordering::Relaxed);
        if waiting > BROKER_QUEUE_BYTES_MAX || !desk.is_publishing.load(Ordering::Acquire) {
            desk.order_bytes.fetch_sub(len, Ordering::Relaxed);
            desk.count_dropped();
            return false;
        }
        desk.queued.fetch_add(1, Ordering::Relaxed);
        desk.orders.push(order);
        desk.wake_publisher();
        true
    }

    /// See [`crate::broker::Broker::note`].
    pub(super) fn note(&self, channel: String, ticket: Option<u64>) -> bool {
        // Where nobody listens, everything is looked at before somebody does.
        fence(Ordering::SeqCst);
        let is_listening = self.desk.is_listening.load(Ordering::Acquire);
        if is_listening {
            self.desk.notes.push((channel, ticket));
            self.desk.has_notes.store(true, Ordering::Release);
            self.desk.wake_publisher();
        }
        is_listening
    }

    pub(super) fn health(&self) -> Health {
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
            ..Health::default()
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.desk.is_stopping.store(true, Ordering::Release);
        self.desk.wake_publisher();
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
    pub(super) fn suspect_publisher(&self) {
        self.is_publishing.store(false, Ordering::Release);
        self.has_notes.store(true, Ordering::Release);
        self.wake_publisher();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// The channels of this link that the node listens to.
    pub(super) fn channels(&self) -> Vec<String> {
        let mut channels = self.inbox.channels();
        if let Some(shard) = &self.shard {
            channels.retain(|channel| shards::has(&shard.slots, channel));
        }
        channels
    }

    /// The server is lost, or has lost something: others of its cluster may know better by now.
    pub(super) fn ring(&self) {
        if let Some(shard) = &self.shard {
            shard.alarm.ring();
        }
    }

    /// What the server has said of a publication that it does not take.
    pub(super) fn look_into(&self, answer: &Value) {
        log::debug!("Redis refuses a publication: {answer:?}");
        if let Value::ServerError(error) = answer
            && shards::ELSEWHERE.contains(&error.code())
        {
            self.ring();
        }
    }

    fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.has_dropped.store(true, Ordering::Release);
        self.owes_hole.store(true, Ordering::Release);
    }

    /// A publication waits no more.
    pub(super) fn forget(&self, bytes: u64) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
        self.order_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A publication has not left, or nobody knows.
    pub(super) fn tell_unsent(&self, ticket: Option<u64>) {
        self.count_dropped();
        if let Some(ticket) = ticket {
            self.inbox.settle(ticket, Fate::Unsent);
        }
    }

    /// What waits would come too late.
    pub(super) fn drop_waiting(&self) {
        while let Some(order) = self.orders.pop() {
            self.forget(order.bytes.len() as u64);
            self.tell_unsent(order.ticket);
        }
    }
}
