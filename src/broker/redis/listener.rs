//! The thread that listens: what comes is handed to the inbox as it is read, and subscriptions follow what this node listens to.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{Ordering, fence};
use std::thread;

use redis::{Cmd, Connection, ErrorKind, RedisError, RedisResult, Value};

use super::link::Desk;
use super::server::RedisServer;
use super::{Backoff, bundle, log_loss};

pub(super) fn run(server: &RedisServer, desk: &Desk) {
    let mut backoff = Backoff::new();
    let mut was_heard = false;
    let mut is_lost = false;
    while !desk.is_stopping() {
        let mut is_heard = false;
        let doubts = desk.doubts.count();
        let ended = server.connect().and_then(|connection| {
            let mut listener = Listener::new(connection, desk, doubts);
            let ended = listener.listen(was_heard);
            is_heard = listener.is_heard;
            ended
        });
        // A server that takes the connection and nothing else is as good as none.
        if is_heard {
            was_heard = true;
            backoff = Backoff::new();
            is_lost = false;
        }
        if desk.is_listening.swap(false, Ordering::AcqRel) {
            desk.suspect_publisher();
        }
        let Err(error) = ended else {
            return;
        };
        if desk.is_stopping() {
            return;
        }
        desk.ring();
        log_loss("Redis is not heard", &error, &mut is_lost);
        thread::sleep(backoff.wait());
    }
}

/// What the server has not confirmed yet.
#[derive(Debug)]
enum Awaited {
    Subscription,
    Unsubscription,
    /// All before it: who wanted to know is told then.
    Tickets(Vec<u64>),
    /// All that the node listens to.
    All {
        is_return: bool,
        has_clients: bool,
    },
}

/// A subscribed connection.
struct Listener<'d> {
    connection: Connection,
    desk: &'d Desk,
    /// How many there were before it connected.
    doubts: u64,
    subscribed: HashSet<String>,
    /// In the order in which confirmations come.
    awaited: VecDeque<Awaited>,
    is_heard: bool,
}

impl<'d> Listener<'d> {
    fn new(connection: Connection, desk: &'d Desk, doubts: u64) -> Self {
        Self {
            connection,
            desk,
            doubts,
            subscribed: HashSet::new(),
            awaited: VecDeque::new(),
            is_heard: false,
        }
    }

    /// Listens until the link breaks: a read that finds nothing for too long breaks it, because the publisher sees to it that
    /// something comes.
    fn listen(&mut self, is_return: bool) -> RedisResult<()> {
        let desk = self.desk;
        // Notes count from here on: what changes while the channels are listed is looked at again.
        let mut tickets = Vec::new();
        while let Some((_, ticket)) = desk.notes.pop() {
            tickets.extend(ticket);
        }
        desk.is_listening.store(true, Ordering::Release);
        // Who comes now sees that, or is seen below.
        fence(Ordering::SeqCst);
        // Who is here was let in while nobody listened, be it before the first time.
        let has_clients = desk.inbox.has_clients();
        let mut channels = desk.channels();
        channels.push(desk.own_channel.clone());
        self.subscribe(channels)?;
        self.awaited.push_back(Awaited::Tickets(tickets));
        self.awaited.push_back(Awaited::All {
            is_return,
            has_clients,
        });
        while !desk.is_stopping() {
            let value = self.connection.recv_response()?;
            self.take(value)?;
            if !desk.notes.is_empty() {
                self.follow()?;
            }
            desk.doubts.expect(self.doubts)?;
        }
        Ok(())
    }

    /// Takes what the server says: a message, or the confirmation of a subscription.
    fn take(&mut self, value: Value) -> RedisResult<()> {
        let [kind, channel, last] = parts(value)?;
        let (Value::BulkString(kind), words) = (kind, self.desk.words) else {
            return Err(nonsense());
        };
        if kind == words.message.as_bytes() {
            let Value::BulkString(payload) = last else {
                return Err(nonsense());
            };
            self.is_heard = true;
            for envelope in bundle::envelopes(&payload) {
                self.desk.received.fetch_add(1, Ordering::Relaxed);
                self.desk.inbox.receive(envelope);
            }
            return Ok(());
        }
        match self.awaited.pop_front() {
            Some(Awaited::Subscription) if kind == words.subscribe.as_bytes() => {}
            Some(Awaited::Unsubscription) if kind == words.unsubscribe.as_bytes() => {}
            // The server has lost the slot of a channel to another.
            _ => return Err(unasked(&channel)),
        }
        self.confirm();
        Ok(())
    }

    /// Everything before what is awaited next has been confirmed.
    fn confirm(&mut self) {
        while let Some(next) = self.awaited.front() {
            match next {
                Awaited::Subscription | Awaited::Unsubscription => return,
                Awaited::Tickets(tickets) => self.desk.inbox.followed(tickets),
                Awaited::All {
                    is_return,
                    has_clients,
                } => {
                    if *is_return {
                        log::info!("Redis is heard again");
                    }
                    if *has_clients {
                        self.desk.inbox.missed();
                    }
                }
            }
            self.awaited.pop_front();
        }
    }

    /// Looks at what was noted: whether this node listens now, whatever it did before.
    fn follow(&mut self) -> RedisResult<()> {
        let mut noted = HashSet::new();
        let mut tickets = Vec::new();
        while let Some((channel, ticket)) = self.desk.notes.pop() {
            noted.insert(channel);
            tickets.extend(ticket);
        }
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for channel in noted {
            let listens = self.desk.inbox.listens_to(&channel);
            match (listens, self.subscribed.contains(&channel)) {
                (true, false) => wanted.push(channel),
                (false, true) => unwanted.push(channel),
                _ => {}
            }
        }
        self.subscribe(wanted)?;
        self.unsubscribe(&unwanted)?;
        self.awaited.push_back(Awaited::Tickets(tickets));
        self.confirm();
        Ok(())
    }

    fn subscribe(&mut self, channels: Vec<String>) -> RedisResult<()> {
        self.say(self.desk.words.subscribe, &channels)?;
        let awaited = channels.iter().map(|_| Awaited::Subscription);
        self.awaited.extend(awaited);
        self.subscribed.extend(channels);
        Ok(())
    }

    fn unsubscribe(&mut self, channels: &[String]) -> RedisResult<()> {
        self.say(self.desk.words.unsubscribe, channels)?;
        for channel in channels {
            self.awaited.push_back(Awaited::Unsubscription);
            self.subscribed.remove(channel);
        }
        Ok(())
    }

    /// Commands for all of these channels, in one write.
    fn say(&mut self, word: &str, channels: &[String]) -> RedisResult<()> {
        let mut packed = Vec::new();
        for channels in channels.chunks(self.desk.words.channels_max) {
            let mut command = Cmd::new();
            command.arg(word).arg(channels);
            command.write_packed_command(&mut packed);
        }
        if packed.is_empty() {
            return Ok(());
        }
        self.connection.send_packed_command(&packed)
    }
}

/// A message or a confirmation.
fn parts(value: Value) -> RedisResult<[Value; 3]> {
    match value {
        Value::Array(parts) => parts.try_into().map_err(|_| nonsense()),
        Value::ServerError(error) => Err(error.into()),
        _ => Err(nonsense()),
    }
}

fn nonsense() -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, "no message of pub/sub"))
}

fn unasked(channel: &Value) -> RedisError {
    let detail = match channel {
        Value::BulkString(channel) => String::from_utf8_lossy(channel).into_owned(),
        _ => String::new(),
    };
    let what = "a subscription has ended by itself";
    RedisError::from((ErrorKind::UnexpectedReturnType, what, detail))
}
