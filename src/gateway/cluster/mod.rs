//! This node among others: what is published here goes to whoever has members of the group, and what others publish comes in.
//!
//! Each group has a channel, which a node listens to while it has a member. So a publication is one command, whatever the number
//! of nodes and receivers, and only nodes that have a receiver get it. What is delivered here never takes that way.

mod arrivals;
pub mod envelope;
mod tickets;

use std::sync::Arc;
use std::time::Duration;

use super::ask::{Gathered, Question};
use super::node::Node;
use super::socketio::Recovery;
use crate::broker::{Broker, Health, Identity, Inbox, Registered};
use crate::hub::Kind;
use crate::websocket::codec;
use crate::websocket::protocol::MessageKind;
use arrivals::Arrivals;
pub(super) use arrivals::tell_gap;
use envelope::{Content, Envelope, Known};
pub(super) use tickets::Asker;
use tickets::Tickets;

/// The names of channels: a prefix, a letter and the name of the group.
#[derive(Debug, Clone)]
struct Channels {
    prefix: Arc<str>,
}

impl Channels {
    /// That of a group.
    fn of(&self, kind: Kind, name: &str) -> String {
        format!("{}:{}:{name}", self.prefix, letter(kind))
    }

    /// The group that a channel is of.
    fn group<'c>(&self, channel: &'c str) -> Option<(Kind, &'c str)> {
        let rest = channel.strip_prefix(&*self.prefix)?.strip_prefix(':')?;
        let (word, name) = rest.split_once(':')?;
        let kind = KINDS.into_iter().find(|kind| letter(*kind) == word)?;
        Some((kind, name))
    }

    /// That of all nodes.
    fn nodes(&self) -> String {
        format!("{}:n", self.prefix)
    }

    /// That of one node, for what it has asked.
    fn node(&self, node: u64) -> String {
        format!("{}:n:{node:016x}", self.prefix)
    }

    /// What the channels on which a node hears itself begin with.
    fn echo(&self, node: u64) -> String {
        format!("{}:h:{node:016x}", self.prefix)
    }
}

const KINDS: [Kind; 4] = [Kind::Everyone, Kind::Channel, Kind::User, Kind::Room];

fn letter(kind: Kind) -> &'static str {
    match kind {
        Kind::Everyone => "e",
        Kind::Channel => "c",
        Kind::User => "u",
        Kind::Room => "r",
    }
}

/// Who is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whom<'w> {
    /// The nodes that have members of a group.
    Group(Kind, &'w str),
    /// One.
    Node(u64),
    /// All.
    Everywhere,
}

/// The way to the other nodes.
#[derive(Debug)]
pub struct Cluster {
    node: u64,
    channels: Channels,
    tickets: Arc<Tickets>,
    broker: Box<dyn Broker>,
}

impl Cluster {
    /// The cluster that `start` connects `node` to: it is given who this node is and who takes what comes. Nodes that know
    /// each other have the same `prefix`.
    ///
    /// # Errors
    /// What `start` says.
    pub fn join<B: Broker + 'static, E>(
        node: &Arc<Node>,
        prefix: &str,
        codec: codec::Config,
        start: impl FnOnce(Identity, Arc<dyn Inbox>) -> Result<B, E>,
    ) -> Result<Self, E> {
        let channels = Channels {
            prefix: Arc::from(prefix),
        };
        let tickets = Arc::new(Tickets::default());
        let arrivals = Arrivals::new(node, channels.clone(), Arc::clone(&tickets), codec);
        let identity = Identity {
            prefix: prefix.to_owned(),
            node: node.name().to_owned(),
            own_channel: channels.echo(node.number()),
            keep_ms: node.recovery().map(Recovery::keep_ms),
        };
        let broker = start(identity, Arc::new(arrivals))?;
        Ok(Self {
            node: node.number(),
            channels,
            tickets,
            broker: Box::new(broker),
        })
    }

    /// Sends a message to the members that a group has at other nodes. Where somebody asks how many they are, its worker is told
    /// by mail; false where the message cannot leave, and nobody will tell.
    pub(super) fn publish(
        &self,
        to: Kind,
        name: &str,
        kind: MessageKind,
        payload: &[u8],
        known: Option<Known<'_>>,
        asker: Option<Asker>,
    ) -> bool {
        let ticket = asker.map(|asker| self.tickets.open(asker, Duration::ZERO));
        let content = Content::Publication {
            to,
            name,
            kind,
            payload,
            known,
        };
        let kept = known.map(|_| envelope::KNOWN_BYTES);
        self.send(self.channels.of(to, name), ticket, content, kept)
    }

    /// Tells the node `origin` how many connections got what it has published with that ticket.
    fn answer(&self, origin: u64, ticket: u64, delivered: u32) {
        let channel = self.channels.node(origin);
        self.tell(channel, ticket, Content::Answer { delivered });
    }

    /// Asks the nodes that have members of a group, or where `node` is given that one; the worker of `asker` is told by mail what
    /// they say. False where the question cannot leave, and nobody will tell.
    pub(super) fn ask(&self, whom: Whom<'_>, question: &Question, asker: Asker) -> bool {
        let channel = match whom {
            Whom::Group(kind, name) => self.channels.of(kind, name),
            Whom::Node(node) => self.channels.node(node),
            Whom::Everywhere => self.channels.nodes(),
        };
        let text = serde_json::to_vec(question).expect("questions are JSON");
        let ticket = self.tickets.open(asker, question.patience());
        let question = Content::Question { text: &text };
        self.send(channel, Some(ticket), question, None)
    }

    /// Replies to the question that the node `origin` knows by that ticket.
    pub(super) fn reply(&self, origin: u64, ticket: u64, gathered: &Gathered) {
        let text = serde_json::to_vec(gathered).expect("replies are JSON");
        let channel = self.channels.node(origin);
        self.tell(channel, ticket, Content::Reply { text: &text });
    }

    /// Tells the other nodes that publications of this one were lost on the way to them.
    fn tell_gap(&self) {
        let channel = self.channels.of(Kind::Everyone, "");
        self.tell(channel, 0, Content::Gap);
    }

    /// Says something that nobody at this node waits for; `ticket` is that of the node that is told.
    fn tell(&self, channel: String, ticket: u64, content: Content<'_>) -> bool {
        let bytes = self.envelope(ticket, content);
        self.broker.publish(channel, bytes, None, None)
    }

    /// Says something that is settled under a ticket of this node, where it has one.
    fn send(
        &self,
        channel: String,
        ticket: Option<u64>,
        content: Content<'_>,
        kept: Option<usize>,
    ) -> bool {
        let bytes = self.envelope(ticket.unwrap_or(0), content);
        let is_taken = self.broker.publish(channel, bytes, ticket, kept);
        if let Some(ticket) = ticket.filter(|_| !is_taken) {
            self.tickets.cancel(ticket);
        }
        is_taken
    }

    fn envelope(&self, ticket: u64, content: Content<'_>) -> Vec<u8> {
        let envelope = Envelope {
            origin: self.node,
            ticket,
            content,
        };
        envelope.encode()
    }

    /// A worker has got its first member of a group, or lost its last.
    pub(super) fn note(&self, kind: Kind, name: &str) {
        self.broker.note(self.channels.of(kind, name), None);
    }

    /// Has the worker of `asker` told once what other nodes publish to a group comes here; false where it does not come for now,
    /// and nobody will tell.
    pub(super) fn confirm(&self, kind: Kind, name: &str, asker: Asker) -> bool {
        let ticket = self.tickets.open(asker, Duration::ZERO);
        let is_noted = self.broker.note(self.channels.of(kind, name), Some(ticket));
        if !is_noted {
            self.tickets.cancel(ticket);
        }
        is_noted
    }

    /// The channel of a group, by which what is published to it is kept.
    pub(super) fn channel_of(&self, kind: Kind, name: &str) -> String {
        self.channels.of(kind, name)
    }

    /// The channel that a node listens to as long as it is there.
    pub(super) fn channel_of_node(&self, node: u64) -> String {
        self.channels.node(node)
    }

    /// How the link to the others is.
    pub fn health(&self) -> Health {
        self.broker.health()
    }

    /// The nodes that are registered, also those that are silent.
    pub(super) fn nodes(&self) -> Vec<Registered> {
        self.broker.nodes()
    }

    /// This node goes, and says so: nobody is to take it for dead. Waits for the network, for a second at most.
    pub fn leave(&self) {
        self.broker.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_name_groups_whatever_their_names() {
        let channels = Channels {
            prefix: Arc::from("t:1"),
        };
        for kind in KINDS {
            for name in ["", "a", "a:b", "t:1:r:x", "*"] {
                let channel = channels.of(kind, name);
                assert_eq!(channels.group(&channel), Some((kind, name)), "{channel}");
            }
        }
        assert_eq!(channels.of(Kind::Room, "a"), "t:1:r:a");
        for foreign in ["t:2:r:a", "t:1", "t:1:x:a", "t:1:n:00", ""] {
            assert_eq!(channels.group(foreign), None, "{foreign}");
        }
    }
}
