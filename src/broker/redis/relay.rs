//! Ordinary publish and subscribe, for messages that are not this cluster's own: each is published as it is, and comes as it is.
//!
//! A relay has two threads with a connection each, apart from those of the nodes: whatever comes here, or does not, the nodes hear each
//! other. The one that publishes says nothing at all on a channel of its own, twice a second, so that the one that listens hears that
//! its link stands. Both come back by themselves after any loss, as the others do.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Cmd, Connection, ErrorKind, RedisError, RedisResult, Value};

use super::link::Doubts;
use super::{Backoff, log_loss};
use crate::broker::{Ear, RelayHealth, Subscriptions};
use crate::limits::{BROKER_QUEUE_BYTES_MAX, RELAY_PIPELINE_MAX};

const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

/// The listener looks so often whether the publisher has its link.
const PUBLISHER_WAIT: Duration = Duration::from_millis(10);

/// How the threads get a connection.
pub(super) type Connect = dyn Fn() -> RedisResult<Connection> + Send + Sync;

/// Something to publish.
#[derive(Debug)]
struct Order {
    channel: String,
    bytes: Vec<u8>,
}

/// What the threads and everybody else share.
#[derive(Debug, Default)]
struct Desk {
    is_publishing: AtomicBool,
    is_listening: AtomicBool,
    /// Bytes that wait to leave.
    waiting_bytes: AtomicU64,
    published: AtomicU64,
    dropped: AtomicU64,
    received: AtomicU64,
}

/// A relay. Dropped, it ends its threads.
#[derive(Debug)]
pub struct Relay {
    desk: Arc<Desk>,
    orders: Sender<Order>,
}

impl Relay {
    /// Begins to connect, and goes on trying.
    pub(super) fn start(
        connect: Arc<Connect>,
        doubts: Doubts,
        subscriptions: Subscriptions,
        ear: Arc<dyn Ear>,
    ) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let (orders, waiting) = mpsc::channel();
        let publisher = Publisher {
            desk: Arc::clone(&desk),
            own_channel: subscriptions.own_channel.clone(),
            doubts: doubts.clone(),
            waiting,
        };
        let its_connect = Arc::clone(&connect);
        thread::Builder::new()
            .name("relay-publisher".to_owned())
            .spawn(move || publisher.run(&*its_connect))?;
        let listener = Listener {
            desk: Arc::downgrade(&desk),
            subscriptions,
            doubts,
            ear,
        };
        thread::Builder::new()
            .name("relay-listener".to_owned())
            .spawn(move || listener.run(&*connect))?;
        Ok(Self { desk, orders })
    }

    /// Publishes bytes on a channel, behind everything published before; false where they are not taken: the link is away, or too
    /// much waits. Waits for nothing.
    pub fn publish(&self, channel: String, bytes: Vec<u8>) -> bool {
        let desk = &*self.desk;
        let len = bytes.len() as u64;
        let waiting = desk.waiting_bytes.fetch_add(len, Ordering::Relaxed);
        let is_taken = waiting <= BROKER_QUEUE_BYTES_MAX
            && desk.is_publishing.load(Ordering::Acquire)
            && self.orders.send(Order { channel, bytes }).is_ok();
        if !is_taken {
            desk.waiting_bytes.fetch_sub(len, Ordering::Relaxed);
            desk.dropped.fetch_add(1, Ordering::Relaxed);
        }
        is_taken
    }

    /// How it is.
    pub fn health(&self) -> RelayHealth {
        let desk = &*self.desk;
        RelayHealth {
            is_publishing: desk.is_publishing.load(Ordering::Relaxed),
            is_listening: desk.is_listening.load(Ordering::Relaxed),
            published: desk.published.load(Ordering::Relaxed),
            dropped: desk.dropped.load(Ordering::Relaxed),
            received: desk.received.load(Ordering::Relaxed),
        }
    }
}

/// The thread that publishes. It ends with the relay, which alone can give it anything.
struct Publisher {
    desk: Arc<Desk>,
    own_channel: String,
    doubts: Doubts,
    waiting: Receiver<Order>,
}

impl Publisher {
    fn run(&self, connect: &Connect) {
        let mut backoff = Backoff::new();
        let mut is_lost = false;
        loop {
            let doubts = self.doubts.count();
            let ended = connect().and_then(|mut connection| {
                self.publish(&mut connection, doubts, || {
                    backoff = Backoff::new();
                    is_lost = false;
                })
            });
            self.desk.is_publishing.store(false, Ordering::Release);
            let Err(error) = ended else {
                return;
            };
            log_loss(
                "Redis takes nothing for Socket.IO servers",
                &error,
                &mut is_lost,
            );
            let until = Instant::now() + backoff.wait();
            // What waits would come too late.
            loop {
                match self
                    .waiting
                    .recv_timeout(until.saturating_duration_since(Instant::now()))
                {
                    Ok(order) => self.drop_order(&order),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        }
    }

    /// Publishes until the link breaks; `Ok` where the relay is gone.
    fn publish(
        &self,
        connection: &mut Connection,
        doubts: u64,
        mut is_answered: impl FnMut(),
    ) -> RedisResult<()> {
        let mut beat_at = Instant::now();
        loop {
            let wait = beat_at.saturating_duration_since(Instant::now());
            let first = match self.waiting.recv_timeout(wait) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let others = self.waiting.try_iter().take(RELAY_PIPELINE_MAX);
            let orders: Vec<Order> = first.into_iter().chain(others).collect();
            if Instant::now() >= beat_at {
                beat_at = Instant::now() + HEARTBEAT_INTERVAL;
                let beat = (self.own_channel.as_str(), &[][..]);
                self.send(connection, [beat].into_iter())?;
                read_answer(connection)??;
            }
            self.send_orders(connection, &orders)?;
            self.doubts.expect(doubts)?;
            self.desk.is_publishing.store(true, Ordering::Release);
            is_answered();
        }
    }

    /// All of these in one pipeline.
    fn send_orders(&self, connection: &mut Connection, orders: &[Order]) -> RedisResult<()> {
        let commands = orders
            .iter()
            .map(|order| (order.channel.as_str(), order.bytes.as_slice()));
        let mut sent = self.send(connection, commands);
        for order in orders {
            let answer = sent.as_ref().ok().map(|()| read_answer(connection));
            match answer {
                Some(Ok(Ok(()))) => {
                    self.forget(order);
                    self.desk.published.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Some(Ok(Err(refusal))) => {
                    log::debug!("Redis refuses a message for Socket.IO servers: {refusal}");
                }
                Some(Err(error)) => sent = Err(error),
                None => {}
            }
            self.drop_order(order);
        }
        sent
    }

    fn send<'o>(
        &self,
        connection: &mut Connection,
        commands: impl Iterator<Item = (&'o str, &'o [u8])>,
    ) -> RedisResult<()> {
        let mut packed = Vec::new();
        for (channel, bytes) in commands {
            let mut command = Cmd::new();
            command.arg("PUBLISH").arg(channel).arg(bytes);
            command.write_packed_command(&mut packed);
        }
        if packed.is_empty() {
            return Ok(());
        }
        connection.send_packed_command(&packed)
    }

    fn forget(&self, order: &Order) {
        let len = order.bytes.len() as u64;
        self.desk.waiting_bytes.fetch_sub(len, Ordering::Relaxed);
    }

    fn drop_order(&self, order: &Order) {
        self.forget(order);
        self.desk.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// The answer to one command: a loss of the link, or else whether the command was refused.
fn read_answer(connection: &mut Connection) -> RedisResult<RedisResult<()>> {
    Ok(match connection.recv_response()? {
        Value::ServerError(error) => Err(error.into()),
        _ => Ok(()),
    })
}

/// The thread that listens. It ends with the relay.
struct Listener {
    desk: Weak<Desk>,
    subscriptions: Subscriptions,
    doubts: Doubts,
    ear: Arc<dyn Ear>,
}

impl Listener {
    fn run(&self, connect: &Connect) {
        let mut backoff = Backoff::new();
        let mut was_heard = false;
        let mut is_lost = false;
        while let Some(desk) = self.desk.upgrade() {
            // Who hears a question is to be able to answer it.
            if !desk.is_publishing.load(Ordering::Acquire) {
                drop(desk);
                thread::sleep(PUBLISHER_WAIT);
                continue;
            }
            drop(desk);
            let doubts = self.doubts.count();
            let ended = connect().and_then(|mut connection| {
                self.listen(&mut connection, doubts, || {
                    backoff = Backoff::new();
                    is_lost = false;
                    if std::mem::replace(&mut was_heard, true) {
                        log::info!("Socket.IO servers are heard again");
                        self.ear.missed();
                    }
                })
            });
            let (Some(desk), Err(error)) = (self.desk.upgrade(), ended) else {
                return;
            };
            desk.is_listening.store(false, Ordering::Release);
            drop(desk);
            log_loss("Socket.IO servers are not heard", &error, &mut is_lost);
            thread::sleep(backoff.wait());
        }
    }

    /// Listens until the link breaks; `Ok` where the relay is gone.
    fn listen(
        &self,
        connection: &mut Connection,
        doubts: u64,
        is_subscribed: impl FnOnce(),
    ) -> RedisResult<()> {
        let Subscriptions {
            own_channel,
            channels,
            patterns,
        } = &self.subscriptions;
        let mut missing = 1 + channels.len() + patterns.len();
        let mut is_subscribed = Some(is_subscribed);
        let mut has_left = channels.is_empty();
        let mut subscribe = Cmd::new();
        subscribe.arg("SUBSCRIBE").arg(own_channel).arg(channels);
        let mut packed = subscribe.get_packed_command();
        let mut subscribe = Cmd::new();
        subscribe.arg("PSUBSCRIBE").arg(patterns);
        subscribe.write_packed_command(&mut packed);
        connection.send_packed_command(&packed)?;
        loop {
            let value = connection.recv_response()?;
            let Some(desk) = self.desk.upgrade() else {
                return Ok(());
            };
            match told(value)? {
                Told::Confirmation => {
                    missing = missing.saturating_sub(1);
                    if missing == 0
                        && let Some(tell) = is_subscribed.take()
                    {
                        desk.is_listening.store(true, Ordering::Release);
                        tell();
                    }
                }
                Told::Message { channel, .. } if channel == own_channel.as_bytes() => {}
                Told::Message { channel, bytes } => {
                    desk.received.fetch_add(1, Ordering::Relaxed);
                    drop(desk);
                    self.ear.hear(&channel, &bytes);
                }
            }
            self.doubts.expect(doubts)?;
            if !has_left && self.ear.is_leaving() {
                has_left = true;
                let mut unsubscribe = Cmd::new();
                unsubscribe.arg("UNSUBSCRIBE").arg(channels);
                connection.send_packed_command(&unsubscribe.get_packed_command())?;
            }
        }
    }
}

/// What a server says to who listens.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Message { channel: Vec<u8>, bytes: Vec<u8> },
    Confirmation,
}

fn told(value: Value) -> RedisResult<Told> {
    let nonsense = || RedisError::from((ErrorKind::UnexpectedReturnType, "no message of pub/sub"));
    let mut parts = match value {
        Value::Array(parts) => parts,
        Value::ServerError(error) => return Err(error.into()),
        _ => return Err(nonsense()),
    };
    let is_message = match parts.first() {
        Some(Value::BulkString(kind)) => match kind.as_slice() {
            b"message" | b"pmessage" => true,
            b"subscribe" | b"psubscribe" | b"unsubscribe" => false,
            _ => return Err(nonsense()),
        },
        _ => return Err(nonsense()),
    };
    if !is_message {
        return Ok(Told::Confirmation);
    }
    match (parts.pop(), parts.pop()) {
        (Some(Value::BulkString(bytes)), Some(Value::BulkString(channel))) => {
            Ok(Told::Message { channel, bytes })
        }
        _ => Err(nonsense()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(parts: &[&str]) -> Value {
        let parts = parts.iter();
        Value::Array(
            parts
                .map(|part| Value::BulkString(part.as_bytes().to_vec()))
                .collect(),
        )
    }

    #[test]
    fn messages_are_told_from_confirmations_and_from_nonsense() {
        let message = Told::Message {
            channel: b"c".to_vec(),
            bytes: b"b".to_vec(),
        };
        assert_eq!(told(array(&["message", "c", "b"])), Ok(message));
        let message = Told::Message {
            channel: b"c".to_vec(),
            bytes: b"b".to_vec(),
        };
        assert_eq!(told(array(&["pmessage", "p", "c", "b"])), Ok(message));
        for kind in ["subscribe", "psubscribe", "unsubscribe"] {
            assert_eq!(told(array(&[kind, "c", "1"])), Ok(Told::Confirmation));
        }
        for value in [
            Value::Okay,
            Value::Nil,
            array(&[]),
            array(&["message"]),
            array(&["smessage", "c", "1"]),
            Value::Array(vec![Value::Int(1)]),
        ] {
            told(value).expect_err("nonsense");
        }
    }
}
