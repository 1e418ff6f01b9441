//! The thread that publishes: everything that waits goes in one pipeline, and while that is answered the next one is on its way.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Cmd, Connection, RedisResult, Value};

use super::link::{Desk, Order};
use super::server::RedisServer;
use super::{Backoff, bundle, log_loss};
use crate::broker::Fate;

/// Publications of one pipeline.
const PIPELINE_MAX: usize = 4_096;
/// Pipelines that are under way at one time: Redis works at one while this side makes the next.
const PIPELINES_MAX: usize = 2;
/// Publications to one channel that wait one behind the other leave by one command, up to this many bytes.
const BUNDLE_BYTES_MAX: usize = 16 << 10;
/// The listener is to hear something this often.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// The inbox hears of the time this often.
const TICK: Duration = Duration::from_millis(50);

pub(super) fn run(server: &RedisServer, desk: &Desk) {
    let mut backoff = Backoff::new();
    let mut is_lost = false;
    while !desk.is_stopping() {
        let doubts = desk.doubts.count();
        let error = match server.connect() {
            Ok(connection) => {
                let mut publisher = Publisher::new(connection, desk, doubts);
                let error = publisher.publish().err();
                // A server that takes the connection and nothing else is as good as none.
                if publisher.has_published {
                    is_lost = false;
                    backoff = Backoff::new();
                }
                desk.is_publishing.store(false, Ordering::Release);
                publisher.drop_under_way();
                error
            }
            Err(error) => Some(error),
        };
        desk.drop_waiting();
        let Some(error) = error else {
            break;
        };
        log_loss("Redis takes no publications", &error, &mut is_lost);
        let until = Instant::now() + backoff.wait();
        while !desk.is_stopping() && Instant::now() < until {
            thread::park_timeout(TICK);
            // One that was let in just before the link was lost.
            desk.drop_waiting();
            desk.inbox.tick();
        }
    }
    // Another link may be there, and tell of it.
    if desk.has_dropped.swap(false, Ordering::AcqRel) {
        desk.inbox.dropped();
    }
}

/// A publication that has left, and what is told of it.
#[derive(Debug)]
struct Sent {
    bytes: u64,
    ticket: Option<u64>,
}

/// A pipeline that is under way.
#[derive(Debug)]
struct Pipeline {
    /// In the order in which they left.
    publications: Vec<Sent>,
    /// How many of them each command carries.
    bundles: Vec<usize>,
    /// Whether a heartbeat is behind them.
    beats: bool,
    since: Instant,
}

/// A publishing connection.
struct Publisher<'d> {
    connection: Connection,
    desk: &'d Desk,
    /// How many there were before it connected.
    doubts: u64,
    under_way: VecDeque<Pipeline>,
    beat_at: Option<Instant>,
    has_published: bool,
    command: Cmd,
    payload: Vec<u8>,
    packed: Vec<u8>,
}

impl<'d> Publisher<'d> {
    fn new(connection: Connection, desk: &'d Desk, doubts: u64) -> Self {
        Self {
            connection,
            desk,
            doubts,
            under_way: VecDeque::new(),
            beat_at: None,
            has_published: false,
            command: Cmd::new(),
            payload: Vec::new(),
            packed: Vec::new(),
        }
    }

    /// Publishes until the link breaks, or no more is to be published.
    fn publish(&mut self) -> RedisResult<()> {
        while !self.desk.is_stopping() {
            self.desk.doubts.expect(self.doubts)?;
            self.desk.inbox.tick();
            let orders = self.take();
            let beats = self.is_beat_due();
            if !orders.is_empty() || beats {
                self.send(&orders, beats)?;
                if self.under_way.len() < PIPELINES_MAX && self.has_more() {
                    continue;
                }
            } else if self.under_way.is_empty() {
                thread::park_timeout(TICK);
                continue;
            }
            self.receive()?;
        }
        Ok(())
    }

    fn take(&self) -> Vec<Order> {
        let orders = std::iter::from_fn(|| self.desk.orders.pop());
        orders.take(PIPELINE_MAX).collect()
    }

    fn has_more(&self) -> bool {
        !self.desk.orders.is_empty()
    }

    fn is_beat_due(&mut self) -> bool {
        let is_silent = self
            .beat_at
            .is_none_or(|at| at.elapsed() >= HEARTBEAT_INTERVAL);
        let is_due = self.desk.has_notes.swap(false, Ordering::AcqRel) || is_silent;
        if is_due {
            self.beat_at = Some(Instant::now());
        }
        is_due
    }

    /// Publishes all of `orders`, and behind them what the listener is to hear.
    fn send(&mut self, orders: &[Order], beats: bool) -> RedisResult<()> {
        self.packed.clear();
        let mut bundles = Vec::new();
        let mut rest = orders;
        while let [first, ..] = rest {
            let count = bundle_of(rest);
            let (these, others) = rest.split_at(count);
            self.payload.clear();
            for order in these {
                bundle::push(&mut self.payload, &order.bytes);
            }
            self.pack(&first.channel);
            bundles.push(count);
            rest = others;
        }
        if beats {
            self.payload.clear();
            self.pack(&self.desk.own_channel);
        }
        let publications = orders.iter().map(|order| Sent {
            bytes: order.bytes.len() as u64,
            ticket: order.ticket,
        });
        self.under_way.push_back(Pipeline {
            publications: publications.collect(),
            bundles,
            beats,
            since: Instant::now(),
        });
        self.connection.send_packed_command(&self.packed)
    }

    fn pack(&mut self, channel: &str) {
        self.command.clear();
        self.command
            .arg(self.desk.words.publish)
            .arg(channel)
            .arg(self.payload.as_slice());
        self.command.write_packed_command(&mut self.packed);
    }

    /// Takes the answers to the first pipeline that is under way. An error is that of the link, which is no good either where the
    /// server refuses the heartbeat.
    fn receive(&mut self) -> RedisResult<()> {
        let Some(pipeline) = self.under_way.front() else {
            return Ok(());
        };
        let (commands, beats) = (pipeline.bundles.len(), pipeline.beats);
        let mut answers = Vec::with_capacity(commands);
        for _ in 0..commands {
            answers.push(self.connection.recv_response()?);
        }
        let beat = if beats {
            Some(self.connection.recv_response()?)
        } else {
            None
        };
        let pipeline = self
            .under_way
            .pop_front()
            .expect("the one that was looked at");
        let micros = pipeline.since.elapsed().as_micros() as u64;
        self.desk.round_trip_us.store(micros, Ordering::Relaxed);
        self.settle(&pipeline, answers);
        if let Some(Value::ServerError(error)) = beat {
            return Err(error.into());
        }
        self.has_published = true;
        // What was under way when doubts came proves nothing, and tells of no gap: a heartbeat comes behind them.
        if beats {
            self.desk.is_publishing.store(true, Ordering::Release);
            // No more often: what tells of it may be dropped as well.
            if self.desk.has_dropped.swap(false, Ordering::AcqRel) {
                self.desk.inbox.dropped();
            }
        }
        Ok(())
    }

    /// Tells what came of the publications of a pipeline.
    fn settle(&self, pipeline: &Pipeline, answers: Vec<Value>) {
        let desk = self.desk;
        let mut rest = pipeline.publications.as_slice();
        for (count, answer) in pipeline.bundles.iter().zip(answers) {
            let (these, others) = rest.split_at(*count);
            rest = others;
            these.iter().for_each(|sent| desk.forget(sent.bytes));
            let Value::Int(listeners) = answer else {
                desk.look_into(&answer);
                these.iter().for_each(|sent| desk.tell_unsent(sent.ticket));
                continue;
            };
            let nodes = u32::try_from(listeners).unwrap_or(0);
            let published = these.len() as u64;
            desk.published.fetch_add(published, Ordering::Relaxed);
            for ticket in these.iter().filter_map(|sent| sent.ticket) {
                desk.inbox.settle(ticket, Fate::Heard(nodes));
            }
        }
    }

    /// The link is lost. Some of what is under way may have arrived; nobody can say which.
    fn drop_under_way(&mut self) {
        for sent in self
            .under_way
            .drain(..)
            .flat_map(|pipeline| pipeline.publications)
        {
            self.desk.forget(sent.bytes);
            self.desk.tell_unsent(sent.ticket);
        }
    }
}

/// How many of the first orders leave by one command: those to the same channel, one behind the other.
fn bundle_of(orders: &[Order]) -> usize {
    let channel = &orders[0].channel;
    let mut bytes = 0;
    let fits = |order: &&Order| {
        bytes += order.bytes.len();
        order.channel == *channel && bytes <= BUNDLE_BYTES_MAX
    };
    orders.iter().take_while(fits).count().max(1)
}
