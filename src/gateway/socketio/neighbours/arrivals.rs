//! What neighbours say, as it comes: read, and made an errand for the workers that it concerns.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::errands::{Act, Delivery, Errand, Wanted};
use super::inquiry::{Asked, Inquiry};
use super::{Namespace, is_ours};
use crate::broker::Ear;
use crate::gateway::cluster;
use crate::gateway::node::Node;
use crate::gateway::session::Mail;
use crate::gateway::socketio::deliver::frames_of;
use crate::gateway::socketio::sid;
use crate::hub::{Kind, Publication, Target};
use crate::socketio::adapter::{AdapterError, Ask, Broadcast, Channel, Request, Selection};
use crate::socketio::packet::Event;
use crate::timestamp;
use crate::websocket::codec::{self, Codec};
use crate::websocket::protocol::MessageKind;

/// Nothing more is read for so long where the workers have too much to do.
const CONGESTION_WAIT: Duration = Duration::from_millis(1);

/// Takes in what the relay brings, in the relay's own thread.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// The relay that calls is the node's.
    node: Weak<Node>,
    /// What the names of our nodes begin with.
    common: String,
    namespaces: Vec<Namespace>,
    codec: Mutex<Codec>,
}

impl Arrivals {
    pub(super) fn new(
        node: &Arc<Node>,
        common: String,
        namespaces: Vec<Namespace>,
        codec: codec::Config,
    ) -> Self {
        Self {
            node: Arc::downgrade(node),
            common,
            namespaces,
            codec: Mutex::new(Codec::new(codec)),
        }
    }

    fn on_broadcast(
        &self,
        node: &Node,
        namespace: &Namespace,
        room: Option<&str>,
        bytes: &[u8],
    ) -> Result<(), AdapterError> {
        if room.is_some_and(|room| workers_of(node, [room]).is_empty()) {
            return Ok(());
        }
        let broadcast = Broadcast::decode(bytes)?;
        if *broadcast.namespace != *namespace.name || is_ours(&broadcast.uid, &self.common) {
            return Ok(());
        }
        let workers = workers_for(node, &broadcast.selection);
        if workers.is_empty() {
            return Ok(());
        }
        while node.is_congested() {
            thread::sleep(CONGESTION_WAIT);
        }
        let event = broadcast.data.event();
        let target = Target {
            kind: Kind::Everyone,
            name: "".into(),
        };
        let mut codec = self.codec.lock().unwrap_or_else(PoisonError::into_inner);
        let (under_way, account) = (node.publication_bytes(), node.account());
        let kind = MessageKind::Text;
        let nothing = Publication::new(target, kind, b"", &mut codec, under_way, account);
        drop(codec);
        let (name, args) = (&event.name, event.args);
        let attachments = broadcast.data.attachments();
        let frames = frames_of(&namespace.name, None, name, args, attachments);
        let delivery = Delivery {
            sessions: nothing.with_frames_for_sessions(frames),
            data: data_of(&event, attachments),
            at: timestamp::rfc3339(SystemTime::now()),
            namespace: Arc::clone(&namespace.name),
            name: event.name.into_owned(),
            selection: broadcast.selection,
            flags: broadcast.flags,
        };
        send(node, workers, Wanted::Deliver(delivery));
        Ok(())
    }

    fn on_request(
        &self,
        node: &Node,
        namespace: &Namespace,
        bytes: &[u8],
    ) -> Result<(), AdapterError> {
        let request = Request::decode(bytes)?;
        let neighbours = node.neighbours();
        let channel = namespace.channels.responses();
        let act = |selection, act| {
            let id = request.id.clone();
            let channel = channel.to_owned();
            Wanted::Act {
                namespace: Arc::clone(&namespace.name),
                selection,
                act,
                answer: id.map(|id| (channel, id)),
            }
        };
        let (workers, wanted) = match request.ask {
            // For the programs that nodes are: this one has nothing to say.
            Ask::Emit { .. } => {
                if let Some((neighbours, response)) = neighbours.zip(request.least_answer()) {
                    neighbours.respond(channel, &response);
                }
                return Ok(());
            }
            Ask::Join { selection, rooms } => (
                workers_for(node, &selection),
                act(selection, Act::Join(rooms)),
            ),
            Ask::Leave { selection, rooms } => (
                workers_for(node, &selection),
                act(selection, Act::Leave(rooms)),
            ),
            Ask::Disconnect { selection, close } => (
                workers_for(node, &selection),
                act(selection, Act::Disconnect { close }),
            ),
            Ask::Sockets { .. } | Ask::Rooms | Ask::Fetch(_) | Ask::Broadcast { .. } => {
                let (id, asked) = (request.id.ok_or(AdapterError::Field)?, asked(request.ask));
                let inquiry = Inquiry::new(node, &namespace.name, channel, id, asked);
                (all_workers(node), Wanted::Inquire(inquiry))
            }
        };
        send(node, workers, wanted);
        Ok(())
    }
}

impl Ear for Arrivals {
    fn hear(&self, channel: &[u8], bytes: &[u8]) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        for namespace in &self.namespaces {
            let heard = match namespace.channels.classify(channel) {
                Some(Channel::Broadcast { room }) => {
                    self.on_broadcast(&node, namespace, room.as_deref(), bytes)
                }
                Some(Channel::Requests) => self.on_request(&node, namespace, bytes),
                Some(Channel::Responses) | None => continue,
            };
            if let Err(error) = heard {
                let channel = channel.escape_ascii();
                log::debug!(
                    "a message of a Socket.IO server on {channel} means nothing here: {error}"
                );
                if let Some(neighbours) = node.neighbours() {
                    neighbours.count_refused();
                }
            }
            return;
        }
    }

    fn missed(&self) {
        if let Some(node) = self.node.upgrade() {
            cluster::tell_gap(&node, &self.codec);
        }
    }

    fn is_leaving(&self) -> bool {
        self.node.upgrade().is_none_or(|node| node.is_draining())
    }
}

/// What a question asks of each worker.
fn asked(ask: Ask<'_>) -> Asked {
    match ask {
        Ask::Sockets { rooms } => Asked::Names(Selection {
            rooms,
            except: Vec::new(),
        }),
        Ask::Fetch(selection) => Asked::Sockets(selection),
        Ask::Broadcast {
            data,
            selection,
            flags,
        } => {
            let Event { name, args, .. } = data.event();
            Asked::Clients {
                name: name.into_owned(),
                args: args.to_owned(),
                attachments: data
                    .attachments()
                    .iter()
                    .map(|bytes| bytes.to_vec())
                    .collect(),
                selection,
                timeout_ms: flags.timeout_ms.unwrap_or(0),
            }
        }
        _ => Asked::Rooms,
    }
}

fn send(node: &Node, workers: BTreeSet<usize>, wanted: Wanted) {
    let errand = Arc::new(Errand(wanted));
    for worker in workers {
        node.deliver(worker, Mail::Errand(Arc::clone(&errand)));
    }
}

fn all_workers(node: &Node) -> BTreeSet<usize> {
    (0..node.workers()).collect()
}

/// The workers where a selection may mean somebody.
fn workers_for(node: &Node, selection: &Selection) -> BTreeSet<usize> {
    match selection.rooms.as_slice() {
        [] => all_workers(node),
        rooms => workers_of(node, rooms.iter().map(String::as_str)),
    }
}

/// Those that have somebody in any of these rooms; one is that of each socket alone.
fn workers_of<'r>(node: &Node, rooms: impl IntoIterator<Item = &'r str>) -> BTreeSet<usize> {
    let mut workers = BTreeSet::new();
    for room in rooms {
        if let Some(audience) = node.directory().find(Kind::Room, room) {
            workers.extend(audience.workers());
        }
        if node.recovery().is_some() && sid::may_be_name(room) {
            // Whose name it is may have come back at any worker.
            workers.extend(all_workers(node));
        } else if let Some(socket) = node.session_names.read_socket(room) {
            workers.insert(usize::from(socket.worker));
        }
    }
    workers
}

/// The arguments of an event as the data of a message: the only one itself, several as a list, none as `null`. Binary data is Base64.
fn data_of(event: &Event<'_>, attachments: &[&[u8]]) -> String {
    let elements: Vec<&serde_json::value::RawValue> =
        serde_json::from_str(event.data).unwrap_or_default();
    let mut data = match elements.as_slice() {
        [] | [_] => "null".to_owned(),
        [_, only] => only.get().to_owned(),
        _ => format!("[{}]", event.args),
    };
    for (number, bytes) in attachments.iter().enumerate() {
        // As it was written when the message was read; within a text it would be escaped.
        let placeholder = format!("{{\"_placeholder\":true,\"num\":{number}}}");
        let text = format!("\"{}\"", BASE64_STANDARD.encode(bytes));
        data = data.replacen(&placeholder, &text, 1);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socketio::adapter::EventData;

    fn data<'d>(text: &'d str, attachments: &[&'d [u8]]) -> EventData<'d> {
        EventData::new(text, attachments.to_vec()).expect("an event")
    }

    #[test]
    fn arguments_are_data_of_a_message() {
        for (text, expected) in [
            (r#"["e"]"#, "null"),
            (r#"["e",{"a":[1]}]"#, r#"{"a":[1]}"#),
            (r#"["e",[1]]"#, "[1]"),
            (r#"["e",1,"x"]"#, r#"[1,"x"]"#),
            (
                r#"["e",{"_placeholder":true,"num":0}]"#,
                r#"{"_placeholder":true,"num":0}"#,
            ),
        ] {
            let data = data(text, &[]);
            assert_eq!(data_of(&data.event(), &[]), expected);
        }
        let text = r#"["e",{"_placeholder":true,"num":1},"{\"_placeholder\":true,\"num\":0}",{"_placeholder":true,"num":0}]"#;
        let data = data(text, &[b"\x01", b"ab"]);
        let expected = r#"["YWI=","{\"_placeholder\":true,\"num\":0}","AQ=="]"#;
        assert_eq!(data_of(&data.event(), data.attachments()), expected);
    }
}
