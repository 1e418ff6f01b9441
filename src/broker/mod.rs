//! How the nodes of a cluster hear of each other: bytes on named channels, which reach every node that listens to one.
//!
//! What the bytes say, and which channels there are, is known above; of users and rooms a broker knows the names, which it
//! registers with the node that has them, and no envelope lives here. A [`Broker`] has threads of its own, and nothing that is
//! asked of it waits for the network.

pub mod redis;

use std::fmt;
use std::time::Instant;

/// What became of bytes that were published with a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// So many nodes listened, this one among them where it does.
    Heard(u32),
    /// They did not leave this node.
    Unsent,
}

/// How a node is known.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// What all names of the cluster begin with.
    pub prefix: String,
    /// The node's name: 16 hexadecimal digits.
    pub node: String,
    /// A channel that nobody else listens to; so is every channel that begins with it.
    pub own_channel: String,
    /// How long publications are kept for clients that come back, milliseconds, where they are.
    pub keep_ms: Option<u32>,
}

/// What a node is registered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// The users that have a connection there.
    Users,
    /// The rooms that have a member there.
    Rooms,
}

impl List {
    /// Every list.
    pub const ALL: [Self; 2] = [Self::Users, Self::Rooms];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Rooms => "rooms",
        }
    }
}

/// A registered node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its name.
    pub node: String,
    /// When it last said that it is alive; `None` where that was before anybody here has looked.
    pub alive_at: Option<Instant>,
}

/// Who takes what a broker brings. Called from the broker's threads; whoever waits in a call makes the network wait.
pub trait Inbox: Send + Sync + fmt::Debug {
    /// Bytes that a node has published, this one too.
    fn receive(&self, bytes: &[u8]);

    /// What became of a publication with that ticket.
    fn settle(&self, ticket: u64, fate: Fate);

    /// What was noted with these tickets has been followed.
    fn followed(&self, tickets: &[u64]);

    /// Whether this node listens to that channel now.
    fn listens_to(&self, channel: &str) -> bool;

    /// Every channel that this node listens to now.
    fn channels(&self) -> Vec<String>;

    /// Every channel whose group is on a list of this node now: those that it listens to, and maybe others.
    fn held(&self) -> Vec<String>;

    /// Whether the group of that channel is on its list now.
    fn is_held(&self, channel: &str) -> bool;

    /// The list that the group of a channel is on while it is held, and its name on it; `None` where on none.
    fn entry<'c>(&self, channel: &'c str) -> Option<(List, &'c str)>;

    /// A node has died, and these were on a list of it. One of the other nodes is told of each, once; where that one dies as well,
    /// maybe a second one. It has [`SWEEP_LEASE`](crate::limits::SWEEP_LEASE) to return.
    fn gone(&self, node: &str, list: List, names: &[String]);

    /// Whether anybody is here who may have missed something.
    fn has_clients(&self) -> bool;

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
    /// Whether this node is in the registry, with all that it has.
    pub is_registered: bool,
    /// Dead nodes that this one has cleared up after.
    pub swept: u64,
}

impl Health {
    /// Whether nothing is lost in either direction.
    pub fn is_whole(&self) -> bool {
        self.is_publishing && self.is_listening
    }
}

/// What a relay listens to.
#[derive(Debug, Clone, Default)]
pub struct Subscriptions {
    /// A channel that nobody else listens to.
    pub own_channel: String,
    /// Channels by their names. Who publishes there counts who listens, and waits for so many answers.
    pub channels: Vec<String>,
    /// Channels by patterns of Redis.
    pub patterns: Vec<String>,
}

/// Who takes what a relay brings. Called from the relay's thread; whoever waits in a call makes the network wait.
pub trait Ear: Send + Sync + fmt::Debug {
    /// Bytes that were published on a channel, by this process too.
    fn hear(&self, channel: &[u8], bytes: &[u8]);

    /// The link is back: what was published meanwhile never came.
    fn missed(&self);

    /// Whether this process goes away: nobody is to wait for its answers any more.
    fn is_leaving(&self) -> bool;
}

/// How a relay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayHealth {
    /// Whether messages leave.
    pub is_publishing: bool,
    /// Whether those of others come.
    pub is_listening: bool,
    /// Messages that have left.
    pub published: u64,
    /// Those that never did.
    pub dropped: u64,
    /// Those of anybody that have come.
    pub received: u64,
}

/// What nodes are connected by.
pub trait Broker: Send + Sync + fmt::Debug {
    /// Publishes bytes on a channel, behind everything published before; with a ticket its fate is told. False where they are
    /// not taken: the link is away, or too much waits. Nothing is kept for later, when it would come too late; but for clients that
    /// come back, where `kept` is given: of what is too large for that so many of the first bytes.
    fn publish(
        &self,
        channel: String,
        bytes: Vec<u8>,
        ticket: Option<u64>,
        kept: Option<usize>,
    ) -> bool;

    /// Whether this node listens to that channel may have changed. With a ticket it is told when the broker has followed; false
    /// where it does not follow now: the link is away, and brings nothing.
    fn note(&self, channel: String, ticket: Option<u64>) -> bool;

    /// How it is.
    fn health(&self) -> Health;

    /// The nodes of the cluster, as of a second ago or so; as of the last look where the link is away.
    fn nodes(&self) -> Vec<Registered>;

    /// This node goes: it is taken out of the registry, so that nobody takes it for dead. Waits for
    /// [`REGISTRY_LEAVE_TIMEOUT`](crate::limits::REGISTRY_LEAVE_TIMEOUT) at most.
    fn leave(&self);
}

/// Nobody keeps anything for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away;

/// What is said of a client, by its private name; it is kept for so many milliseconds.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "name, what is known of it, time")]
pub enum KeptNote<'n> {
    /// It is there.
    New {
        name: &'n str,
        bytes: &'n [u8],
        ms: u64,
    },
    /// It has changed, where it is known.
    Changed {
        name: &'n str,
        bytes: &'n [u8],
        ms: u64,
    },
    /// It is there still.
    There { name: &'n str, ms: u64 },
    /// It will not come back.
    Gone { name: &'n str },
}

/// What was published on a channel.
#[derive(Debug, Default)]
pub struct KeptLog {
    /// Whether it is as long as it may be: what came before the oldest may have been dropped.
    pub is_full: bool,
    /// When the oldest was, by the keeper's clock.
    pub oldest: Option<u64>,
    /// When each was, and messages as listeners of the channel heard them, or the first bytes of one.
    pub entries: Vec<(u64, Vec<u8>)>,
}

/// Keeps what clients who come back may need, for all nodes. Called by one thread, which it has wait for the network, for
/// [`BROKER_TIMEOUT`](crate::limits::BROKER_TIMEOUT) at most.
///
/// # Errors
/// `Away`, of every call: nothing is known of what became of it.
#[expect(clippy::missing_errors_doc, reason = "told for all")]
pub trait Keeper: Send + fmt::Debug {
    /// How often a link was made: after another one whatever was kept may be gone.
    fn links(&self) -> u64;

    /// Its clock, milliseconds.
    fn time(&mut self) -> Result<u64, Away>;

    /// Notes all that, in this order.
    fn write(&mut self, notes: &[KeptNote<'_>]) -> Result<(), Away>;

    /// What is known of clients.
    fn look(&mut self, names: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Away>;

    /// The same, and forgets them: one who asks gets each.
    fn take(&mut self, names: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Away>;

    /// Whether a node is alive and listens to that channel of its own.
    fn is_there(&mut self, node: &str, channel: &str) -> Result<bool, Away>;

    /// What was published on these channels since then; and when last something was lost before it could be kept.
    fn read(&mut self, channels: &[(String, u64)]) -> Result<(u64, Vec<KeptLog>), Away>;
}
