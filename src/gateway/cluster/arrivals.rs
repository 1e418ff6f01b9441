//! What comes from other nodes.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use super::envelope::{Content, Envelope};
use super::tickets::{Outcome, Tickets};
use super::{Channels, KINDS};
use crate::broker::{Fate, Inbox, List};
use crate::gateway::ask::Gathered;
use crate::gateway::json::message::Object;
use crate::gateway::node::Node;
use crate::gateway::session::Mail;
use crate::hub::{Kind, Publication, Target};
use crate::socketio::recovery::PublicationId;
use crate::websocket::codec::{self, Codec};
use crate::websocket::protocol::MessageKind;

/// Takes in what the broker brings, in the broker's own threads.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// The broker that calls is the node's.
    node: Weak<Node>,
    number: u64,
    channels: Channels,
    tickets: Arc<Tickets>,
    /// One thread brings publications; nobody waits for another.
    codec: Mutex<Codec>,
}

impl Arrivals {
    pub(super) fn new(
        node: &Arc<Node>,
        channels: Channels,
        tickets: Arc<Tickets>,
        codec: codec::Config,
    ) -> Self {
        Self {
            node: Arc::downgrade(node),
            number: node.number(),
            channels,
            tickets,
            codec: Mutex::new(Codec::new(codec)),
        }
    }

    /// Whether the back end is still to be told that the user of that channel has gone.
    fn is_leaving(&self, channel: &str) -> bool {
        let node = self.node.upgrade();
        let behind = node.as_ref().and_then(|node| node.behind());
        behind
            .zip(self.channels.group(channel))
            .is_some_and(|(behind, (kind, name))| kind == Kind::User && behind.is_leaving(name))
    }

    /// The channels that this node listens to whoever is there.
    fn always(&self) -> [String; 2] {
        [self.channels.nodes(), self.channels.node(self.number)]
    }

    /// Tells who has asked what came of a publication.
    fn tell(&self, outcome: Outcome) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        let Outcome { asker, part } = outcome;
        let number = asker.number;
        let part = Box::new(part);
        node.deliver(asker.worker, Mail::Answer { number, part });
    }
}

/// Gives a message to the workers that have members of the group; gives how many these are.
fn deliver(
    node: &Node,
    codec: &Mutex<Codec>,
    to: Kind,
    name: &str,
    kind: MessageKind,
    payload: &[u8],
    id: Option<PublicationId>,
) -> u32 {
    let Some(audience) = node.directory().find(to, name) else {
        return 0;
    };
    let target = Target {
        kind: to,
        name: Arc::clone(audience.name()),
    };
    let mut codec = codec.lock().unwrap_or_else(PoisonError::into_inner);
    let publication = Publication::new(
        target,
        kind,
        payload,
        &mut codec,
        node.publication_bytes(),
        node.account(),
    );
    drop(codec);
    let publication = Arc::new(publication.known_by(id));
    for worker in audience.workers() {
        node.deliver(worker, Mail::Publish(Arc::clone(&publication)));
    }
    audience.total()
}

/// Everyone is told that something may be missing.
pub(in crate::gateway) fn tell_gap(node: &Node, codec: &Mutex<Codec>) {
    let mut text = Vec::new();
    Object::new(&mut text, "gap").end();
    let clients = deliver(
        node,
        codec,
        Kind::Everyone,
        "",
        MessageKind::Text,
        &text,
        None,
    );
    node.count_cluster_gaps(clients);
}

/// Has a worker answer the question of another node. A question that is not understood is not answered: who asks is told that a
/// node was silent.
fn ask_here(node: &Node, origin: u64, ticket: u64, text: &[u8]) {
    match serde_json::from_slice(text) {
        Ok(question) => {
            let mail = Mail::AskForNode {
                origin,
                ticket,
                question,
            };
            // Whichever: it asks those that know.
            node.deliver(ticket as usize % node.workers(), mail);
        }
        Err(error) => log::debug!("a question of another node means nothing here: {error}"),
    }
}

impl Inbox for Arrivals {
    fn receive(&self, bytes: &[u8]) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        let Some(envelope) = Envelope::decode(bytes) else {
            return log::debug!("{} bytes of another node mean nothing here", bytes.len());
        };
        let Envelope {
            origin,
            ticket,
            content,
        } = envelope;
        let outcome = match content {
            // What was published here has been delivered here.
            Content::Publication { .. } if origin == self.number => self.tickets.answer(ticket, 0),
            Content::Publication {
                to,
                name,
                kind,
                payload,
                known,
            } => {
                let id = known.map(|known| known.id(origin));
                let delivered = deliver(&node, &self.codec, to, name, kind, payload, id);
                if let Some(cluster) = node.cluster().filter(|_| ticket != 0) {
                    cluster.answer(origin, ticket, delivered);
                }
                None
            }
            Content::Gap => {
                if origin != self.number {
                    self.missed();
                }
                None
            }
            Content::Answer { delivered } => self.tickets.answer(ticket, delivered),
            // Who asks has asked its own workers besides.
            Content::Question { .. } if origin == self.number => {
                self.tickets.reply(ticket, Gathered::default())
            }
            Content::Question { text } => {
                ask_here(&node, origin, ticket, text);
                None
            }
            Content::Reply { text } => match serde_json::from_slice::<Gathered>(text) {
                Ok(mut part) => {
                    part.answered = vec![origin];
                    self.tickets.reply(ticket, part)
                }
                Err(error) => {
                    log::debug!("a reply of another node means nothing here: {error}");
                    None
                }
            },
        };
        if let Some(outcome) = outcome {
            self.tell(outcome);
        }
    }

    fn settle(&self, ticket: u64, fate: Fate) {
        if let Some(outcome) = self.tickets.settle(ticket, fate) {
            self.tell(outcome);
        }
    }

    fn followed(&self, tickets: &[u64]) {
        let mut is_late = false;
        for ticket in tickets {
            match self.tickets.settle(*ticket, Fate::Heard(0)) {
                Some(outcome) => self.tell(outcome),
                // Who asked has been told already, and may have missed something since.
                None => is_late = true,
            }
        }
        if is_late {
            self.missed();
        }
    }

    fn listens_to(&self, channel: &str) -> bool {
        if self.always().iter().any(|always| always == channel) {
            return true;
        }
        let group = self.channels.group(channel);
        let node = self.node.upgrade();
        group
            .zip(node)
            .is_some_and(|((kind, name), node)| node.directory().find(kind, name).is_some())
    }

    fn channels(&self) -> Vec<String> {
        let Some(node) = self.node.upgrade() else {
            return Vec::new();
        };
        let names = KINDS.into_iter().flat_map(|kind| {
            let names = node.directory().names(kind);
            names.into_iter().map(move |name| (kind, name))
        });
        let groups = names.map(|(kind, name)| self.channels.of(kind, &name));
        groups.chain(self.always()).collect()
    }

    /// Who may have gone is held until the back end knows: another node goes on with it where this one dies.
    fn held(&self) -> Vec<String> {
        let mut channels = self.channels();
        if let Some(node) = self.node.upgrade()
            && let Some(behind) = node.behind()
        {
            let users = behind.leaving();
            channels.extend(users.iter().map(|user| self.channels.of(Kind::User, user)));
        }
        channels
    }

    fn is_held(&self, channel: &str) -> bool {
        self.listens_to(channel) || self.is_leaving(channel)
    }

    fn entry<'c>(&self, channel: &'c str) -> Option<(List, &'c str)> {
        let (kind, name) = self.channels.group(channel)?;
        match kind {
            Kind::User => Some((List::Users, name)),
            Kind::Room => Some((List::Rooms, name)),
            Kind::Everyone | Kind::Channel => None,
        }
    }

    fn gone(&self, node: &str, list: List, names: &[String]) {
        let here = self.node.upgrade();
        let behind = here.as_ref().and_then(|here| here.behind());
        for name in names {
            log::debug!(
                "node {node} is dead, and was the one with {} {name:?}",
                list.name()
            );
            if let (List::Users, Some(behind)) = (list, behind) {
                behind.died(name);
                // Held here before it is off the list of the dead one.
                if let Some(cluster) = here.as_ref().and_then(|here| here.cluster()) {
                    cluster.note(Kind::User, name);
                }
            }
        }
    }

    fn has_clients(&self) -> bool {
        let node = self.node.upgrade();
        node.is_some_and(|node| node.directory().find(Kind::Everyone, "").is_some())
    }

    fn missed(&self) {
        if let Some(node) = self.node.upgrade() {
            tell_gap(&node, &self.codec);
        }
    }

    fn dropped(&self) {
        let node = self.node.upgrade();
        if let Some(cluster) = node.as_ref().and_then(|node| node.cluster()) {
            cluster.tell_gap();
        }
    }

    fn tick(&self) {
        for outcome in self.tickets.expire(Instant::now()) {
            self.tell(outcome);
        }
    }
}
