//! Neighbours: Socket.IO servers in Node, and programs that emit without being one, which share rooms with this cluster by way of
//! Redis. `docs/socketio.md` describes it, [`crate::socketio::adapter`] what is said.
//!
//! Each of our nodes hears the neighbours by itself, and delivers what they say to its own clients alone: it never goes on to other
//! nodes of ours. What our clients and back ends say goes to the neighbours from the node where it was said; our other nodes have
//! it by the cluster's own way, and pass over what they hear here of each other.
//!
//! A neighbour's message comes in the thread that reads it (`arrivals`), which makes an errand of it for the workers concerned
//! (`errands`). Where it is a question, the last worker to answer says the whole (`inquiry`).

mod arrivals;
mod choice;
mod errands;
mod inquiry;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::broker::redis::Relay;
use crate::broker::{Ear, RelayHealth, Subscriptions};
use crate::gateway::node::Node;
use crate::hub::{Kind, event};
use crate::socketio::adapter::{Broadcast, Channels, EventData, Flags, Response, Selection};
use crate::socketio::packet::MAIN_NAMESPACE;
use crate::websocket::codec;
use arrivals::Arrivals;
pub(in crate::gateway) use errands::{Errand, run};
pub(super) use inquiry::{Neighbour, respond};

/// How an event of the main namespace begins, as a message of a session.
const EVENT_BEGINS: &[u8] = b"42";
/// Digits of the name of a node.
const NODE_DIGITS: usize = 16;

/// What neighbours and we have agreed on.
#[derive(Debug, Clone)]
pub struct NeighboursConfig {
    /// What the names of all their channels begin with.
    pub key: String,
    /// What our nodes have in common, and no other cluster has.
    pub prefix: String,
    /// Namespaces that clients here may be in, besides the main one.
    pub namespaces: Vec<String>,
    /// Limits of the frame codec.
    pub codec: codec::Config,
}

/// A namespace, and where it is spoken of.
#[derive(Debug, Clone)]
struct Namespace {
    name: Arc<str>,
    channels: Channels,
}

/// The way to the neighbours.
#[derive(Debug)]
pub struct Neighbours {
    uid: String,
    main: Channels,
    relay: OnceLock<Relay>,
    /// Messages of neighbours that were none.
    refused: AtomicU64,
}

impl Neighbours {
    /// Goes among neighbours, once: `start` begins to listen. The mailboxes of the workers have to be there.
    ///
    /// # Errors
    /// What `start` says.
    pub fn meet<E>(
        node: &Arc<Node>,
        config: &NeighboursConfig,
        start: impl FnOnce(Subscriptions, Arc<dyn Ear>) -> Result<Relay, E>,
    ) -> Result<(), E> {
        let common = format!("tidegate-{}-", config.prefix);
        let uid = format!("{common}{}", node.name());
        let namespaces = std::iter::once(MAIN_NAMESPACE)
            .chain(config.namespaces.iter().map(String::as_str))
            .map(|name| Namespace {
                name: name.into(),
                channels: Channels::new(&config.key, name, &uid),
            })
            .collect::<Vec<_>>();
        let channels = namespaces.iter().map(|namespace| &namespace.channels);
        let subscriptions = Subscriptions {
            own_channel: format!("{}:h:{}:socketio", config.prefix, node.name()),
            channels: channels
                .clone()
                .map(|channels| channels.requests().to_owned())
                .collect(),
            patterns: channels.map(Channels::pattern).collect(),
        };
        let neighbours = node.meet(Self {
            main: namespaces[0].channels.clone(),
            uid,
            relay: OnceLock::new(),
            refused: AtomicU64::new(0),
        });
        let arrivals = Arrivals::new(node, common, namespaces, config.codec);
        let relay = start(subscriptions, Arc::new(arrivals))?;
        let _ = neighbours.relay.set(relay);
        Ok(())
    }

    /// Tells them what is said here to a room or to everyone, as clients of Socket.IO hear it.
    pub(in crate::gateway) fn tell(&self, to: Kind, name: &str, message: &[u8]) {
        let rooms = match to {
            Kind::Everyone => Vec::new(),
            Kind::Room => vec![name.to_owned()],
            Kind::User | Kind::Channel => return,
        };
        let event = event(message);
        let data = event
            .as_deref()
            .and_then(|event| event.strip_prefix(EVENT_BEGINS));
        let data = data.and_then(|data| str::from_utf8(data).ok());
        let Some(Ok(data)) = data.map(|data| EventData::new(data, Vec::new())) else {
            return log::debug!("a message to {name:?} is none for Socket.IO servers");
        };
        let broadcast = Broadcast {
            uid: self.uid.as_str().into(),
            namespace: MAIN_NAMESPACE.into(),
            data,
            selection: Selection {
                rooms,
                except: Vec::new(),
            },
            flags: Flags::default(),
        };
        let mut bytes = Vec::new();
        broadcast.encode(&mut bytes);
        self.say(self.main.of(&broadcast.selection).into_owned(), bytes);
    }

    /// Answers one of them.
    fn respond(&self, channel: &str, response: &Response<'_>) {
        self.say(channel.to_owned(), response.encode());
    }

    fn say(&self, channel: String, bytes: Vec<u8>) {
        if let Some(relay) = self.relay.get() {
            // What is not taken is counted there.
            let _ = relay.publish(channel, bytes);
        }
    }

    /// How the link to them is.
    pub(in crate::gateway) fn health(&self) -> RelayHealth {
        self.relay.get().map(Relay::health).unwrap_or_default()
    }

    /// Messages that were none.
    pub(in crate::gateway) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether a name is that of one of our nodes, which begin with `common`.
fn is_ours(uid: &str, common: &str) -> bool {
    uid.strip_prefix(common).is_some_and(|node| {
        node.len() == NODE_DIGITS && node.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_other_clusters_are_not_ours() {
        let common = "tidegate-a-";
        assert!(is_ours("tidegate-a-0123456789abcdef", common));
        for other in [
            "tidegate-a-b-0123456789abcdef",
            "tidegate-b-0123456789abcdef",
            "tidegate-a-0123456789abcde",
            "tidegate-a-0123456789abcdeg",
            "emitter",
            "k3x9Qa",
            "",
        ] {
            assert!(!is_ours(other, common), "{other}");
        }
    }
}
