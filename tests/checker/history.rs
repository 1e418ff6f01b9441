//! What has happened in a run, as those who took part in it saw it: nothing here judges.
//!
//! All times are those of one clock, since the beginning of the run.

use std::fmt;
use std::time::Duration;

/// A time of the run.
pub(crate) type Moment = Duration;

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    User(String),
    Room(String),
    Everyone,
}

/// What every message carries: the connection that sent it, by its place in the history, and how many that had sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stamp {
    pub(crate) sender: usize,
    pub(crate) sequence: usize,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}/{}", self.sender, self.sequence)
    }
}

/// What the server has said of a message to who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) at: Moment,
    pub(crate) delivered: u64,
    pub(crate) unanswered: u64,
    pub(crate) unsent: bool,
}

impl Answer {
    /// Whether the count is said to be all there is.
    pub(crate) fn is_whole(&self) -> bool {
        self.unanswered == 0 && !self.unsent
    }
}

/// A message that somebody sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) stamp: Stamp,
    pub(crate) target: Target,
    /// Before its first byte left.
    pub(crate) at: Moment,
    /// Whether its sender is not sent it.
    pub(crate) spares_sender: bool,
    pub(crate) answer: Option<Answer>,
}

/// How long a connection was among those that a target means.
#[derive(Debug, Clone)]
pub(crate) struct Stay {
    pub(crate) target: Target,
    /// Before it asked for it.
    pub(crate) asked: Moment,
    /// When it was told that it is there.
    pub(crate) ready: Option<Moment>,
    /// Before it asked to leave, or when it found its connection at an end.
    pub(crate) leaving: Option<Moment>,
    /// When it was told that it has left.
    pub(crate) left: Option<Moment>,
}

/// What somebody got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Message(Stamp),
    Gap,
}

/// A connection of the gateway protocol, or of a caller of the HTTP API, which stays nowhere and hears nothing.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) node: usize,
    pub(crate) who: String,
    pub(crate) stays: Vec<Stay>,
    /// In the order in which it came.
    pub(crate) heard: Vec<(Moment, Heard)>,
    pub(crate) sent: usize,
    pub(crate) ended: Option<Moment>,
}

impl Connection {
    pub(crate) fn to(node: usize, who: &str) -> Self {
        Self {
            node,
            who: who.to_owned(),
            stays: Vec::new(),
            heard: Vec::new(),
            sent: 0,
            ended: None,
        }
    }
}

/// Something that was done to the servers.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    pub(crate) at: Moment,
    pub(crate) what: String,
    /// The node that was killed by it.
    pub(crate) killed: Option<usize>,
}

/// A run. It consists of rounds: faults come and go, then all is well again and everybody has heard from everybody.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) connections: Vec<Connection>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) deeds: Vec<Deed>,
    /// The ends of the rounds.
    pub(crate) rounds: Vec<Moment>,
    /// What the server answered that it should not have.
    pub(crate) oddities: Vec<String>,
}

impl History {
    /// Somebody connects; gives its place.
    pub(crate) fn connect(&mut self, node: usize, who: &str) -> usize {
        self.connections.push(Connection::to(node, who));
        self.connections.len() - 1
    }

    /// The connection is at its end.
    pub(crate) fn end(&mut self, connection: usize, now: Moment) {
        let connection = &mut self.connections[connection];
        connection.ended = Some(now);
        for stay in &mut connection.stays {
            stay.leaving.get_or_insert(now);
            stay.left.get_or_insert(now);
        }
    }

    /// It asks to be among those that `target` means.
    pub(crate) fn ask(&mut self, connection: usize, target: Target, now: Moment) {
        self.connections[connection].stays.push(Stay {
            target,
            asked: now,
            ready: None,
            leaving: None,
            left: None,
        });
    }

    /// The stay at `target` that is not over.
    pub(crate) fn stay(&mut self, connection: usize, target: &Target) -> Option<&mut Stay> {
        let mut stays = self.connections[connection].stays.iter_mut().rev();
        stays.find(|stay| stay.target == *target && stay.left.is_none())
    }

    /// It sends; gives the place of the message.
    pub(crate) fn send(&mut self, sender: usize, target: Target, now: Moment) -> usize {
        let connection = &mut self.connections[sender];
        let stamp = Stamp {
            sender,
            sequence: connection.sent,
        };
        connection.sent += 1;
        let spares_sender = matches!(target, Target::Room(_));
        self.sent.push(Sent {
            stamp,
            target,
            at: now,
            spares_sender,
            answer: None,
        });
        self.sent.len() - 1
    }

    /// Messages that an answer can still come for.
    pub(crate) fn open(&self) -> usize {
        let is_open = |sent: &&Sent| {
            sent.answer.is_none() && self.connections[sent.stamp.sender].ended.is_none()
        };
        self.sent.iter().filter(is_open).count()
    }
}
