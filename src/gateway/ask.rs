//! Questions that several workers have to answer: each tells its part, and whoever asked puts the parts together.
//!
//! A worker always answers, so that nothing here has a time limit; who asked may be gone by then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use slab::Slab;

use super::api::Claim;
use super::backend::Departure;
use crate::id::{ConnKey, ConnectionId};
use crate::limits::{CLIENT_ANSWERS_BYTES_MAX, CLIENT_QUESTIONS_MAX, NODE_ANSWERS_BYTES_MAX};

/// Whom something is done to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Who {
    /// Every connection of a user.
    User(Arc<str>),
    /// Every connection in a room.
    Room(Arc<str>),
    /// One connection of this node.
    Connection(#[serde(with = "as_text")] ConnectionId),
    /// One connection of another node; never asked of another than this one.
    #[serde(skip)]
    ConnectionAt(u64, ConnectionId),
}

/// What is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Act {
    /// Joins a room.
    Join(Arc<str>),
    /// Leaves a room.
    Leave(Arc<str>),
    /// Is closed with a code and a reason.
    Disconnect(u16, Arc<str>),
}

/// An event that clients of Socket.IO are to answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Emit {
    /// Who.
    pub(super) who: Who,
    /// Its name.
    pub(super) event: String,
    /// Its only argument.
    pub(super) data: Box<RawValue>,
    /// Time that they have.
    pub(super) timeout_ms: u16,
}

/// What one worker asks others.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Question {
    /// Which users are in a room.
    UsersIn(Arc<str>),
    /// Which rooms a node has: the first so many whose names begin with a text and come after another, by name.
    Rooms {
        /// The text.
        prefix: String,
        /// The other.
        after: Option<String>,
        /// So many.
        limit: usize,
    },
    /// Who is at a node.
    Node,
    /// Which connections a user has.
    ConnectionsOf(Arc<str>),
    /// How many connections that concerned, once it is done.
    Act(Who, Act),
    /// What clients answer to an event. It takes as long as they do, or its time is over.
    Emit(Emit),
    /// Which of these users are there, or have left there later than at the node that asks.
    Departed {
        /// The number of that node.
        node: u64,
        /// The users, and when they left it.
        users: Vec<(Arc<str>, u64)>,
    },
}

impl Question {
    /// Time that it may take to be answered.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Emit(emit) => Duration::from_millis(emit.timeout_ms.into()),
            _ => Duration::ZERO,
        }
    }
}

/// A connection, as the API tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Described {
    pub(super) connection_id: String,
    pub(super) address: String,
    pub(super) rooms: Vec<Arc<str>>,
}

/// What a client has answered to an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientAnswer {
    pub(super) connection_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<Arc<str>>,
    pub(super) data: Box<RawValue>,
}

impl ClientAnswer {
    fn bytes(&self) -> usize {
        let user = self.user_id.as_ref().map_or(0, |user| user.len());
        self.connection_id.len() + user + self.data.get().len()
    }
}

impl PartialEq for ClientAnswer {
    fn eq(&self, other: &Self) -> bool {
        self.connection_id == other.connection_id
            && self.user_id == other.user_id
            && self.data.get() == other.data.get()
    }
}

impl Eq for ClientAnswer {}

/// A node, as others tell it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeReport {
    /// How many users have a connection there.
    pub(super) users: usize,
    /// The first of them by name.
    pub(super) names: Vec<Arc<str>>,
}

/// What a worker answers, and what all answers come to.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gathered {
    /// Users, each with the number of its connections that were meant.
    pub(super) users: BTreeMap<Arc<str>, u32>,
    pub(super) connections: Vec<Described>,
    /// Rooms with their members.
    pub(super) rooms: BTreeMap<Arc<str>, u32>,
    /// Nodes by their names.
    pub(super) nodes: BTreeMap<String, NodeReport>,
    /// Whether there are rooms behind those.
    pub(super) has_more: bool,
    /// Connections that something was done to, or that were asked.
    pub(super) concerned: u32,
    /// What clients have answered.
    pub(super) answers: Vec<ClientAnswer>,
    /// Bytes of that.
    #[serde(skip)]
    pub(super) answers_bytes: usize,
    /// Whether some of it was left out.
    pub(super) is_cut: bool,
    /// Connections that each of several messages goes to.
    #[serde(skip)]
    pub(super) delivered: Vec<u64>,
    /// Nodes that got a message or a question and did not answer.
    #[serde(skip)]
    pub(super) unanswered: u32,
    /// The numbers of other nodes that have answered a question.
    #[serde(skip)]
    pub(super) answered: Vec<u64>,
    /// Whether it may not have reached other nodes at all.
    #[serde(skip)]
    pub(super) is_unsent: bool,
}

impl Gathered {
    /// Adds another part. What comes from other nodes may be any number.
    pub(super) fn add(&mut self, part: Self) {
        for (user, connections) in part.users {
            let sum = self.users.entry(user).or_default();
            *sum = sum.saturating_add(connections);
        }
        self.connections.extend(part.connections);
        for (room, members) in part.rooms {
            let sum = self.rooms.entry(room).or_default();
            *sum = sum.saturating_add(members);
        }
        self.nodes.extend(part.nodes);
        self.has_more |= part.has_more;
        self.concerned = self.concerned.saturating_add(part.concerned);
        for answer in part.answers {
            self.answer(answer);
        }
        self.is_cut |= part.is_cut;
        for (index, delivered) in part.delivered.into_iter().enumerate() {
            self.count(index, delivered);
        }
        self.unanswered += part.unanswered;
        self.answered.extend(part.answered);
        self.is_unsent |= part.is_unsent;
    }

    /// A client has answered.
    pub(super) fn answer(&mut self, answer: ClientAnswer) {
        let bytes = answer.bytes();
        if self.answers_bytes + bytes > CLIENT_ANSWERS_BYTES_MAX {
            self.is_cut = true;
            return;
        }
        self.answers_bytes += bytes;
        self.answers.push(answer);
    }

    /// Leaves out what clients have answered beyond what a node tells another.
    pub(super) fn cut_for_node(&mut self) {
        let mut bytes = 0;
        let fitting = self.answers.iter().take_while(|answer| {
            bytes += answer.bytes();
            bytes <= NODE_ANSWERS_BYTES_MAX
        });
        let count = fitting.count();
        self.is_cut |= count < self.answers.len();
        self.answers.truncate(count);
    }

    /// The message of that index goes to so many connections more.
    pub(super) fn deliver(&mut self, index: usize, delivered: u32) {
        self.count(index, u64::from(delivered));
    }

    fn count(&mut self, index: usize, delivered: u64) {
        if self.delivered.len() <= index {
            self.delivered.resize(index + 1, 0);
        }
        self.delivered[index] += delivered;
    }
}

/// What the answer is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A client of the gateway protocol wants to know who is in a room.
    Presence {
        room: Arc<str>,
        /// Of its message.
        id: Option<Box<str>>,
    },
    /// `GET /api/rooms`, of so many.
    Rooms(usize),
    /// `GET /api/redis-info`.
    Nodes(serde_json::Value),
    /// `GET /api/rooms/{room}`.
    Room(Arc<str>),
    /// `GET /api/users/{id}`.
    User(Arc<str>),
    /// `POST /api/join`.
    Joined,
    /// `POST /api/leave`.
    Left,
    /// `POST /api/disconnect`.
    Disconnected,
    /// `POST /api/ask`.
    Answered,
    /// A client of the gateway protocol wants to know how many connections get its message.
    Delivered {
        /// Of its message.
        id: Box<str>,
    },
    /// A call of the API that sends messages.
    Sent(Sent),
    /// The back end is to be told of those who are nowhere else.
    Departed(Vec<Departure>),
    /// A client is told this once other nodes are heard.
    Reply(Vec<u8>),
    /// A client that has come back with that number.
    Recovered(u32),
    /// And a worker this.
    Part {
        /// Which.
        worker: usize,
        /// What it calls its question.
        number: u32,
        /// Its part of the answer.
        part: Box<Gathered>,
    },
    /// Another node has asked, and knows its question by that ticket.
    Node {
        /// Which.
        origin: u64,
        /// As it knows it.
        ticket: u64,
    },
}

/// What a call of the API has sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) entries: Vec<SentEntry>,
    /// Whether it was a batch, whose answer is a list.
    pub(super) is_batch: bool,
}

/// One call, of a batch or alone.
#[derive(Debug)]
pub(super) enum SentEntry {
    /// To so many as [`Gathered::delivered`] has at its place.
    Delivered {
        /// To whom alone.
        user: Option<Box<str>>,
    },
    /// The body of its problem.
    Refused(Vec<u8>),
}

/// A question that is not answered yet.
#[derive(Debug)]
struct Ask {
    connection: ConnKey,
    purpose: Purpose,
    claim: Option<Claim>,
    /// Workers that have not answered.
    missing: usize,
    gathered: Gathered,
}

/// An answer that is complete.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) connection: ConnKey,
    pub(super) purpose: Purpose,
    /// Of the call that asked.
    pub(super) claim: Option<Claim>,
    pub(super) gathered: Gathered,
}

/// The open questions of one worker.
#[derive(Debug, Default)]
pub(super) struct Asks(Slab<Ask>);

impl Asks {
    /// Notes a question of `connection` that `missing` workers have to answer, at least one, and what is known of the answer;
    /// gives its number.
    pub(super) fn open(
        &mut self,
        connection: ConnKey,
        purpose: Purpose,
        claim: Option<Claim>,
        missing: usize,
        gathered: Gathered,
    ) -> u32 {
        debug_assert!(missing > 0, "what nobody is asked is answered");
        self.0.insert(Ask {
            connection,
            purpose,
            claim,
            missing,
            gathered,
        }) as u32
    }

    /// Begins to count whom messages of `connection` go to, at this node and others; to be ended by `end_count`, or by `forget`
    /// where nothing was sent.
    pub(super) fn begin_count(&mut self, connection: ConnKey) -> u32 {
        let purpose = Purpose::Sent(Sent::default());
        self.open(connection, purpose, None, 1, Gathered::default())
    }

    /// One of the messages has left for other nodes, or could not.
    pub(super) fn expect(&mut self, number: u32, is_taken: bool) {
        let ask = &mut self.0[number as usize];
        if is_taken {
            ask.missing += 1;
        } else {
            ask.gathered.is_unsent = true;
        }
    }

    /// Whether other nodes are to answer.
    pub(super) fn is_waiting(&self, number: u32) -> bool {
        self.0[number as usize].missing > 1
    }

    /// All messages have been sent, to those of this node that `own` says; the whole where there is nobody to wait for.
    pub(super) fn end_count(
        &mut self,
        number: u32,
        purpose: Purpose,
        claim: Option<Claim>,
        own: Gathered,
    ) -> Option<Answered> {
        let ask = &mut self.0[number as usize];
        ask.purpose = purpose;
        ask.claim = claim;
        self.answer(number, own)
    }

    /// Whether so many calls wait for clients that one more may not.
    pub(super) fn waits_for_too_many_clients(&self) -> bool {
        if self.0.len() < CLIENT_QUESTIONS_MAX {
            return false;
        }
        let asks = self.0.iter();
        let waiting = asks.filter(|(_, ask)| matches!(ask.purpose, Purpose::Answered));
        waiting.count() >= CLIENT_QUESTIONS_MAX
    }

    /// Nothing was asked after all.
    pub(super) fn forget(&mut self, number: u32) {
        self.0.remove(number as usize);
    }

    /// A worker's part; the whole where it is the last.
    pub(super) fn answer(&mut self, number: u32, part: Gathered) -> Option<Answered> {
        let ask = &mut self.0[number as usize];
        ask.gathered.add(part);
        ask.missing -= 1;
        if ask.missing > 0 {
            return None;
        }
        let Ask {
            connection,
            purpose,
            claim,
            gathered,
            ..
        } = self.0.remove(number as usize);
        Some(Answered {
            connection,
            purpose,
            claim,
            gathered,
        })
    }
}

/// Names of connections, as people write them.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::id::ConnectionId;

    pub(super) fn serialize<S: Serializer>(id: &ConnectionId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<ConnectionId, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_| de::Error::custom("no connection"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_makes_the_whole() {
        let part = |users: &[(&str, u32)], concerned| Gathered {
            users: users
                .iter()
                .map(|(user, connections)| (Arc::from(*user), *connections))
                .collect(),
            concerned,
            ..Gathered::default()
        };
        let connection = ConnKey {
            index: 1,
            generation: 2,
        };
        let mut asks = Asks::default();
        let own = part(&[("a", 1), ("b", 1)], 1);
        let number = asks.open(connection, Purpose::Joined, None, 2, own);
        assert!(asks.answer(number, part(&[("b", 2)], 2)).is_none());
        let answered = asks.answer(number, part(&[], 0)).expect("whole");
        assert_eq!(answered.connection, connection);
        assert_eq!(answered.gathered, part(&[("a", 1), ("b", 3)], 3));
        assert!(asks.0.is_empty());
    }

    #[test]
    fn answers_are_told_up_to_a_limit() {
        let answer = |bytes: usize| ClientAnswer {
            connection_id: "0-0.0".to_owned(),
            user_id: Some("ann".into()),
            data: RawValue::from_string(format!("\"{}\"", "x".repeat(bytes))).expect("JSON"),
        };
        let mut part = Gathered::default();
        for _ in 0..3 {
            part.answer(answer(CLIENT_ANSWERS_BYTES_MAX / 5));
        }
        assert_eq!((part.answers.len(), part.is_cut), (3, false));
        let text = serde_json::to_string(&part).expect("JSON");
        let read: Gathered = serde_json::from_str(&text).expect("a part");
        let mut whole = Gathered::default();
        whole.add(part);
        whole.add(read);
        assert_eq!((whole.answers.len(), whole.is_cut), (4, true));
        let mut of_node = Gathered::default();
        for _ in 0..3 {
            of_node.answer(answer(NODE_ANSWERS_BYTES_MAX / 3 - 10));
        }
        of_node.cut_for_node();
        assert_eq!((of_node.answers.len(), of_node.is_cut), (3, false));
        of_node.answer(answer(0));
        of_node.cut_for_node();
        assert_eq!((of_node.answers.len(), of_node.is_cut), (3, true));
    }
}
