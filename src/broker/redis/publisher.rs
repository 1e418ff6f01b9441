//! The thread that publishes: everything that waits goes in one pipeline, and while that is answered the next one is on its way.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Cmd, Connection, RedisResult, Value};

use super::link::{Desk, Order};
use super::server::RedisServer;
use super::{Backoff, bundle, keeper, log_loss};
use crate::broker::Fate;
use crate::limits::{RECOVERY_ENTRIES_MAX, RECOVERY_ENTRY_BYTES_MAX};

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
    let mut was_connected = false;
    while !desk.is_stopping() {
        let doubts = desk.doubts.count();
        let error = match server.connect() {
            Ok(connection) => {
                // Nobody can say what came of the last that left, and another server may lack what this one had.
                let is_return = std::mem::replace(&mut was_connected, true);
                desk.owes_hole.fetch_or(is_return, Ordering::AcqRel);
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

/// Publications that one command carries.
#[derive(Debug)]
struct Bundle {
    count: usize,
    /// Whether commands before it keep it.
    is_kept: bool,
}

/// Commands that keep something: what it is, and for how long the stream is there.
const KEEP_COMMANDS: usize = 2;

/// A pipeline that is under way.
#[derive(Debug)]
struct Pipeline {
    /// In the order in which they left.
    publications: Vec<Sent>,
    /// Whether a hole was told before them.
    tells_hole: bool,
    bundles: Vec<Bundle>,
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
    /// The last that was to be kept was refused.
    is_kept_refused: bool,
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
            is_kept_refused: false,
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
        let tells_hole = self.tell_hole();
        let mut bundles = Vec::new();
        let mut rest = orders;
        while let [first, ..] = rest {
            let count = bundle_of(rest);
            let (these, others) = rest.split_at(count);
            self.payload.clear();
            for order in these {
                bundle::push(&mut self.payload, &order.bytes);
            }
            let is_kept = self.keep(these);
            self.pack(&first.channel);
            bundles.push(Bundle { count, is_kept });
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
            tells_hole,
            bundles,
            beats,
            since: Instant::now(),
        });
        self.connection.send_packed_command(&self.packed)
    }

    /// Tells who brings clients back that something was not kept, where that is so.
    fn tell_hole(&mut self) -> bool {
        let desk = self.desk;
        let Some(keeping) = &desk.keeping else {
            return false;
        };
        if !desk.owes_hole.swap(false, Ordering::AcqRel) {
            return false;
        }
        let hole = keeper::hole_of(&keeping.prefix);
        self.pack_entry(&hole, 1, (keeper::WHOLE, b""), keeping.keep_ms);
        true
    }

    /// Keeps publications to one channel, which are the payload, where that is wanted of one of them.
    fn keep(&mut self, orders: &[Order]) -> bool {
        let desk = self.desk;
        let Some(keeping) = &desk.keeping else {
            return false;
        };
        let (Some(head), Some(stream)) = (
            orders.iter().find_map(|order| order.kept),
            keeper::stream_of(&keeping.prefix, &orders[0].channel),
        ) else {
            return false;
        };
        if self.payload.len() <= RECOVERY_ENTRY_BYTES_MAX {
            let payload = std::mem::take(&mut self.payload);
            let entry = (keeper::WHOLE, payload.as_slice());
            self.pack_entry(&stream, RECOVERY_ENTRIES_MAX, entry, keeping.keep_ms);
            self.payload = payload;
            return true;
        }
        let mut heads = Vec::new();
        for order in orders {
            bundle::push(&mut heads, &order.bytes[..head.min(order.bytes.len())]);
        }
        let entry = (keeper::HEAD, heads.as_slice());
        self.pack_entry(&stream, RECOVERY_ENTRIES_MAX, entry, keeping.keep_ms);
        true
    }

    fn pack_entry(
        &mut self,
        stream: &str,
        entries_max: usize,
        (field, bytes): (&str, &[u8]),
        keep_ms: u32,
    ) {
        let Self {
            command, packed, ..
        } = self;
        command.clear();
        command.arg("XADD").arg(stream).arg("MAXLEN").arg("~");
        command.arg(entries_max).arg("*").arg(field).arg(bytes);
        command.write_packed_command(packed);
        command.clear();
        command.arg("PEXPIRE").arg(stream).arg(keep_ms);
        command.write_packed_command(packed);
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
        let kept = pipeline.bundles.iter().filter(|bundle| bundle.is_kept);
        let keeps = kept.count() + usize::from(pipeline.tells_hole);
        let commands = pipeline.bundles.len() + KEEP_COMMANDS * keeps;
        let beats = pipeline.beats;
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
    fn settle(&mut self, pipeline: &Pipeline, answers: Vec<Value>) {
        let desk = self.desk;
        let mut rest = pipeline.publications.as_slice();
        let mut answers = answers.into_iter();
        if pipeline.tells_hole {
            self.look_at_kept(&mut answers);
        }
        for Bundle { count, is_kept } in &pipeline.bundles {
            if *is_kept {
                self.look_at_kept(&mut answers);
            }
            let answer = answers.next().unwrap_or(Value::Nil);
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

    /// Whether something was kept: who brings clients back is to know where it was not.
    fn look_at_kept(&mut self, answers: &mut impl Iterator<Item = Value>) {
        let mut errors = answers
            .take(KEEP_COMMANDS)
            .filter_map(|answer| match answer {
                Value::ServerError(error) => Some(error),
                _ => None,
            });
        let error = errors.next();
        errors.for_each(drop);
        match error {
            Some(error) => {
                let what = "Redis keeps no publications for clients that come back";
                log_loss(what, &error.into(), &mut self.is_kept_refused);
                self.desk.owes_hole.store(true, Ordering::Release);
            }
            None => self.is_kept_refused = false,
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
