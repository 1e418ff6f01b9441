//! How the nodes of a cluster hear of each other: bytes on named channels, which reach every node that listens to one.
//!
//! What the bytes say, and which channels there are, is known above; no user, no room and no envelope lives here. A [`Broker`]
//! has threads of its own, and nothing that is asked of it waits for the network.

pub mod redis;

use std::fmt;

/// What became of bytes that were published with a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// So many nodes listened, this one among them where it does.
    Heard(u32),
    /// They did not leave this node.
    Unsent,
}

/// Who takes what a broker brings. Called from the broker's threads; whoever waits in a call makes the network wait.
pub trait Inbox: Send + Sync + fmt::Debug {
    /// Bytes that a node has published, this one too.
    fn receive(&self, bytes: &[u8]);

    /// What became of a publication with that ticket.
    fn settle(&self, ticket: u64, fate: Fate);

    /// Whether this node listens to that channel now.
    fn listens_to(&self, channel: &str) -> bool;

    /// Every channel that this node listens to now.
    fn channels(&self) -> Vec<String>;

    /// The link is back: what others have published meanwhile never came.
    fn missed(&self);

    /// Publications of this node have been dropped, and the link is good again: others may be told.
    fn dropped(&self);

    /// Time has passed.
    fn tick(&self);
}

/// How a broker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Whether publications leave.
    pub is_publishing: bool,
    /// Whether those of others come.
    pub is_listening: bool,
    /// Publications that wait to leave.
    pub queued: u64,
    /// Those that have left.
    pub published: u64,
    /// Those that never did.
    pub dropped: u64,
    /// Those of any node that have come.
    pub received: u64,
    /// Time of the last exchange, microseconds.
    pub round_trip_us: u64,
}

impl Health {
    /// Whether nothing is lost in either direction.
    pub fn is_whole(&self) -> bool {
        self.is_publishing && self.is_listening
    }
}

/// What nodes are connected by.
pub trait Broker: Send + Sync + fmt::Debug {
    /// Publishes bytes on a channel, behind everything published before; with a ticket its fate is told. False where they are
    /// not taken: the link is away, or too much waits. Nothing is kept for later, when it would come too late.
    fn publish(&self, channel: String, bytes: Vec<u8>, ticket: Option<u64>) -> bool;

    /// Whether this node listens to that channel may have changed. With a ticket it is told when the broker has followed, as of
    /// something that nobody heard; false where it does not follow now: the link is away, and brings nothing.
    fn note(&self, channel: String, ticket: Option<u64>) -> bool;

    /// How it is.
    fn health(&self) -> Health;
}
