//! What a worker knows of its sessions that may come back, or have: who they are, and what they are not to hear twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::{Record, Wish};
use crate::buffer::Shared;
use crate::gateway::cluster::envelope::{Content, Envelope, Known};
use crate::gateway::node::Node;
use crate::gateway::shard::Shard;
use crate::gateway::socketio::connect;
use crate::gateway::socketio::deliver::Messages;
use crate::gateway::socketio::session::Session;
use crate::gateway::socketio::sessions::with;
use crate::gateway::socketio::sid;
use crate::hub::{Kind, PeerId};
use crate::id::ConnKey;
use crate::limits::RECOVERY_HELD_BYTES_MAX;
use crate::socketio::Moment;
use crate::socketio::engine::End;
use crate::socketio::packet::MAIN_NAMESPACE;
use crate::socketio::recovery::{Offset, Origin, PublicationId, Seen};
use crate::websocket::protocol::MessageKind;

/// A client in the main namespace.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) pid: Box<str>,
    pub(super) record: Record,
}

/// A client that is a member, and is told so once it is known whether it is back.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) number: u32,
    /// Its time in the namespace.
    pub(super) stay: u16,
    pub(super) pid: Box<str>,
    pub(super) seen: Seen,
    /// Whom it is otherwise, and the rooms that it is in then.
    pub(super) user: Option<Arc<str>>,
    pub(super) rooms: Vec<Arc<str>>,
    /// The place in what is kept from which on these are its.
    pub(super) from: u64,
    /// Who it was, once that is known.
    pub(super) record: Option<Record>,
}

/// A session that gets other frames than those beside it.
#[derive(Debug)]
enum Special {
    /// What comes is put aside.
    Waiting(Held),
    /// It has seen more than this worker has processed: it hears nothing of that, and its offsets say so.
    Ahead { seen: Seen, until: Moment },
}

/// Events that were put aside; none where they were too many.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) events: Vec<Box<[u8]>>,
    bytes: usize,
}

impl Held {
    fn push(&mut self, event: &[u8]) {
        self.bytes = self.bytes.saturating_add(event.len());
        if self.is_whole() {
            self.events.push(event.into());
        } else {
            self.events = Vec::new();
        }
    }

    /// Whether it is all that came.
    pub(super) fn is_whole(&self) -> bool {
        self.bytes <= RECOVERY_HELD_BYTES_MAX
    }
}

/// One worker's share.
#[derive(Debug)]
pub(in crate::gateway) struct Desk {
    origin: Origin,
    /// Of the last publication.
    sequence: u64,
    pub(super) numbers: u32,
    live: HashMap<ConnKey, Live>,
    pub(super) pending: HashMap<ConnKey, Pending>,
    special: HashMap<ConnKey, Special>,
    /// The sessions whose sockets have names that were given to others of theirs.
    restored: HashMap<Box<str>, ConnKey>,
}

impl Desk {
    /// That of `worker`, where clients are recovered.
    pub(in crate::gateway) fn new(node: &Node, worker: usize) -> Option<Box<Self>> {
        let recovery = node.recovery()?;
        Some(Box::new(Self {
            origin: Origin {
                node: recovery.node,
                worker: worker as u16,
            },
            sequence: 0,
            numbers: 0,
            live: HashMap::new(),
            pending: HashMap::new(),
            special: HashMap::new(),
            restored: HashMap::new(),
        }))
    }

    /// What comes for that session is put aside from now on.
    pub(super) fn hold(&mut self, key: ConnKey) {
        let held = Special::Waiting(Held::default());
        self.special.insert(key, held);
    }

    /// What was put aside.
    pub(super) fn take_held(&mut self, key: ConnKey) -> Held {
        match self.special.remove(&key) {
            Some(Special::Waiting(held)) => held,
            _ => Held::default(),
        }
    }

    /// The session has seen more than the worker has processed.
    pub(super) fn run_ahead(&mut self, key: ConnKey, seen: Seen, until: Moment) {
        self.special.insert(key, Special::Ahead { seen, until });
    }

    /// A session is in the main namespace, under a name that another had before where it was recovered.
    pub(super) fn settle(&mut self, key: ConnKey, live: Live, is_restored: bool) {
        if is_restored {
            self.restored.insert(live.record.sid.clone(), key);
        }
        self.live.insert(key, live);
    }

    /// A session has gone.
    fn depart(&mut self, key: ConnKey) -> Option<Live> {
        self.special.remove(&key);
        let live = self.live.remove(&key)?;
        self.restored.remove(&live.record.sid);
        Some(live)
    }

    /// The name of a session's socket.
    pub(in crate::gateway::socketio) fn sid(&self, key: ConnKey) -> Option<&str> {
        Some(&self.live.get(&key)?.record.sid)
    }
}

/// What a publication is known by, and who is not to hear it.
#[derive(Debug)]
pub(in crate::gateway) struct Mark {
    pub(in crate::gateway) id: PublicationId,
    except: Box<str>,
}

impl Mark {
    /// The same for other nodes.
    pub(in crate::gateway) fn known(&self) -> Known<'_> {
        Known {
            worker: self.id.origin.worker,
            sequence: self.id.sequence,
            except: &self.except,
        }
    }
}

/// What the next publication of this worker is known by, where clients may be told of it later.
pub(in crate::gateway) fn mark(
    shard: &mut Shard,
    to: Kind,
    except: Option<PeerId>,
) -> Option<Mark> {
    let desk = shard.recovery.as_mut().filter(|_| to != Kind::Channel)?;
    desk.sequence += 1;
    let except = except
        .and_then(|peer| shard.hub.key_of(peer))
        .and_then(|key| desk.sid(key));
    Some(Mark {
        id: PublicationId {
            origin: desk.origin,
            sequence: desk.sequence,
        },
        except: except.unwrap_or_default().into(),
    })
}

/// Keeps a publication for clients who come back, where there are no other nodes, which keep it with what they publish. Who is
/// looked up as a member after this, and is none yet, will find it kept.
pub(in crate::gateway) fn keep(
    shard: &Shard,
    mark: &Mark,
    to: Kind,
    name: &str,
    kind: MessageKind,
    payload: &[u8],
) {
    let node = &shard.node;
    if let Some(recovery) = node.recovery().filter(|_| node.cluster().is_none()) {
        let content = Content::Publication {
            to,
            name,
            kind,
            payload,
            known: Some(mark.known()),
        };
        let envelope = Envelope {
            origin: node.number(),
            ticket: 0,
            content,
        };
        recovery.keep(to, name, node.moment(), envelope.encode());
    }
    fence(Ordering::SeqCst);
}

/// Whether a session gets frames of its own.
pub(in crate::gateway::socketio) fn is_special(shard: &Shard, key: ConnKey) -> bool {
    let desk = shard.recovery.as_ref();
    desk.is_some_and(|desk| desk.special.contains_key(&key))
}

/// Whether a session is a member, and has not been told so.
pub(in crate::gateway::socketio) fn is_waiting(shard: &Shard, key: ConnKey) -> bool {
    let desk = shard.recovery.as_ref();
    desk.is_some_and(|desk| matches!(desk.special.get(&key), Some(Special::Waiting(_))))
}

/// Gives a session what is for it of these frames; whether it could be.
pub(in crate::gateway::socketio) fn deliver(
    shard: &mut Shard,
    key: ConnKey,
    frames: &[Shared],
) -> bool {
    let Some(mut special) = shard
        .recovery
        .as_mut()
        .and_then(|desk| desk.special.remove(&key))
    else {
        return false;
    };
    let now = shard.moment();
    let mut is_sent = true;
    let mut is_over = false;
    let messages = frames.iter().flat_map(|piece| Messages(piece));
    for (_, message) in messages {
        let event = match &mut special {
            Special::Waiting(held) => {
                held.push(&message[1..]);
                continue;
            }
            Special::Ahead { seen, until } => {
                is_over |= until.is_reached(now);
                match pass(seen, &message[1..]) {
                    Some((event, has_come)) => {
                        is_over |= has_come;
                        event
                    }
                    None => continue,
                }
            }
        };
        let sent = with(shard, key, |session, shard| {
            let config = &shard.config.socketio.engine;
            session.engine.send_text(&event, config).is_ok()
        });
        is_sent &= sent.unwrap_or(false);
    }
    if !is_over && let Some(desk) = &mut shard.recovery {
        desk.special.insert(key, special);
    }
    is_sent
}

/// An event as a session hears it that has seen all of `seen`, to which it adds; nothing where the session has seen it. Tells also
/// whether the worker has come as far as the session.
pub(super) fn pass(seen: &mut Seen, event: &[u8]) -> Option<(Vec<u8>, bool)> {
    let Some((bare, Offset { own, seen: come })) = Offset::take_off(event) else {
        return Some((event.to_vec(), false));
    };
    if own.is_some_and(|own| seen.has(own)) {
        return None;
    }
    let has_come = come.covers(seen);
    seen.merge(&come);
    Some((with_offset(own, seen, &bare), has_come))
}

/// An event with the offset of a session that has seen so much with it.
pub(super) fn with_offset(own: Option<PublicationId>, seen: &Seen, event: &[u8]) -> Vec<u8> {
    let seen = seen.clone();
    let mut out = Vec::new();
    Offset::put_behind(&Offset { own, seen }.encode(), event, &mut out);
    out
}

/// What an event of nobody's publication tells a session of how far it has come, where it tells that: else a text at its end would be
/// taken for it.
pub(in crate::gateway::socketio) fn offset(
    shard: &Shard,
    key: ConnKey,
    namespace: &str,
) -> Option<String> {
    let desk = shard.recovery.as_ref()?;
    let mut offset = shard.hub.offset().filter(|_| namespace == MAIN_NAMESPACE)?;
    if let Some(Special::Ahead { seen, .. }) = desk.special.get(&key) {
        offset.seen.merge(seen);
    }
    Some(offset.encode())
}

/// A session has come into the main namespace, and may be lost from now on; gives its private name.
pub(in crate::gateway::socketio) fn settle(
    session: &Session,
    key: ConnKey,
    sid: &str,
    shard: &mut Shard,
) -> Option<Box<str>> {
    let recovery = shard.node.recovery()?;
    let since = recovery.floor(shard.moment());
    let pid = sid::private_name();
    let user = connect::user(session, shard).map(|user| (user, since));
    let record = Record {
        sid: sid.into(),
        since,
        user,
        rooms: Vec::new(),
    };
    recovery.send(Wish::Save(pid.clone(), record.clone()));
    let live = Live {
        pid: pid.clone(),
        record,
    };
    shard.recovery.as_mut()?.settle(key, live, false);
    Some(pid)
}

/// The user or the rooms of a session may have changed.
pub(in crate::gateway::socketio) fn refresh(session: &Session, key: ConnKey, shard: &mut Shard) {
    let now = shard.moment();
    let (Some(desk), Some(json)) = (&mut shard.recovery, &session.json) else {
        return;
    };
    let (Some(live), Some(recovery)) = (desk.live.get_mut(&key), shard.node.recovery()) else {
        return;
    };
    let (hub, peer, record) = (&shard.hub, json.peer(), &mut live.record);
    let from = recovery.floor(now);
    let mut is_changed = false;
    let user = hub.groups_of(peer, Kind::User).next();
    if record.user.as_ref().map(|(user, _)| user) != user.map(|user| user.name()) {
        record.user = user.map(|user| (Arc::clone(user.name()), from));
        is_changed = true;
    }
    let rooms = || hub.groups_of(peer, Kind::Room).map(|room| room.name());
    let count = record.rooms.len();
    record
        .rooms
        .retain(|(room, _)| hub.is_member(peer, Kind::Room, room));
    is_changed |= record.rooms.len() != count;
    if rooms().count() != record.rooms.len() {
        for room in rooms() {
            if !record.rooms.iter().any(|(known, _)| known == room) {
                record.rooms.push((Arc::clone(room), from));
            }
        }
        is_changed = true;
    }
    if is_changed {
        recovery.send(Wish::Save(live.pid.clone(), record.clone()));
    }
}

/// A client has left the main namespace, or was put out of it: it does not come back as who it was.
pub(in crate::gateway::socketio) fn leave(shard: &mut Shard, peer: PeerId) {
    let (Some(desk), Some(recovery)) = (&mut shard.recovery, shard.node.recovery()) else {
        return;
    };
    let Some(key) = shard.hub.key_of(peer) else {
        return;
    };
    desk.pending.remove(&key);
    if let Some(live) = desk.depart(key) {
        recovery.send(Wish::Forget(live.pid));
    }
}

/// A session is over.
pub(in crate::gateway::socketio) fn on_end(shard: &mut Shard, key: ConnKey, end: End) {
    let (Some(desk), Some(recovery)) = (&mut shard.recovery, shard.node.recovery()) else {
        return;
    };
    let pending = desk.pending.remove(&key);
    // Who was to be recovered and is lost again may try once more.
    let pending = pending.and_then(|pending| Some((pending.pid, pending.record?)));
    let live = desk.depart(key).map(|live| (live.pid, live.record));
    let Some((pid, record)) = live.or(pending) else {
        return;
    };
    recovery.send(match end {
        End::ClientClose
        | End::ServerClose
        | End::TransportClose
        | End::PingTimeout
        | End::QueueFull => Wish::Lose(pid, record),
        End::Protocol | End::Parse | End::TooLarge => Wish::Forget(pid),
    });
}

/// The session whose socket has a name that another session of it was given, of this process or another.
pub(in crate::gateway::socketio) fn restored(shard: &Shard, sid: &str) -> Option<ConnKey> {
    shard.recovery.as_ref()?.restored.get(sid).copied()
}
