//! Whom a selection means at one worker: rooms are gone through, not sessions, where it names any.

use std::collections::HashSet;

use crate::gateway::shard::Shard;
use crate::gateway::socketio::recovery;
use crate::gateway::socketio::session::Session;
use crate::hub::{Encoding, Kind};
use crate::id::ConnKey;
use crate::socketio::adapter::Selection;
use crate::socketio::packet::MAIN_NAMESPACE;

/// One who is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen<'s> {
    /// A session, or a connection of the gateway protocol.
    pub(super) key: ConnKey,
    /// In which form it gets publications.
    pub(super) encoding: Encoding,
    /// The first room of the selection that it is in.
    pub(super) room: Option<&'s str>,
}

/// Whom a selection means, each once: sessions in the namespace, and in the main one connections of the gateway protocol as well.
pub(super) fn everybody<'s>(
    shard: &Shard,
    namespace: &str,
    selection: &'s Selection,
) -> Vec<Chosen<'s>> {
    let excepted = in_rooms(shard, namespace, &selection.except).map(|one| one.key);
    let mut passed: HashSet<ConnKey> = excepted.collect();
    // Who is coming back hears nothing before it is told so.
    let is_there = |one: &Chosen<'_>| !recovery::is_waiting(shard, one.key);
    if selection.rooms.is_empty() {
        let all = all(shard, namespace).filter(is_there);
        return all.filter(|one| !passed.contains(&one.key)).collect();
    }
    // Who was taken once is passed over from then on.
    let chosen = in_rooms(shard, namespace, &selection.rooms).filter(is_there);
    chosen.filter(|one| passed.insert(one.key)).collect()
}

/// The sessions among them.
pub(super) fn sessions(shard: &Shard, namespace: &str, selection: &Selection) -> Vec<ConnKey> {
    let everybody = everybody(shard, namespace, selection).into_iter();
    let sessions = everybody.filter(|one| one.encoding == Encoding::SocketIo);
    sessions.map(|one| one.key).collect()
}

fn all<'a, 's: 'a>(shard: &'a Shard, namespace: &'a str) -> impl Iterator<Item = Chosen<'s>> {
    let is_main = namespace == MAIN_NAMESPACE;
    let receivers = is_main.then(|| shard.hub.receivers(Kind::Everyone, ""));
    let sessions = (!is_main).then(|| shard.socketio.keys().into_iter());
    let sessions = sessions.into_iter().flatten();
    let sessions = sessions
        .filter(move |key| is_in(shard, *key, namespace))
        .map(|key| (key, Encoding::SocketIo));
    let both = receivers.into_iter().flatten().chain(sessions);
    both.map(|(key, encoding)| Chosen {
        key,
        encoding,
        room: None,
    })
}

fn in_rooms<'a, 's: 'a>(
    shard: &'a Shard,
    namespace: &'a str,
    rooms: &'s [String],
) -> impl Iterator<Item = Chosen<'s>> {
    let is_main = namespace == MAIN_NAMESPACE;
    rooms.iter().flat_map(move |room| {
        let members = shard.hub.receivers(Kind::Room, room);
        // A room has sessions of the main namespace, which may be in others too.
        let members = members.filter(move |(key, encoding)| {
            is_main || (*encoding == Encoding::SocketIo && is_in(shard, *key, namespace))
        });
        let own = owner(shard, namespace, room).map(|key| (key, Encoding::SocketIo));
        own.into_iter()
            .chain(members)
            .map(|(key, encoding)| Chosen {
                key,
                encoding,
                room: Some(room),
            })
    })
}

/// The session whose socket in the namespace has that name, and so is alone in the room of it.
fn owner(shard: &Shard, namespace: &str, room: &str) -> Option<ConnKey> {
    if let Some(key) = recovery::restored(shard, room)
        && namespace == MAIN_NAMESPACE
    {
        return Some(key);
    }
    let name = shard.node.session_names.read_socket(room)?;
    let session = shard.socketio.get(name.session)?;
    let is_it = usize::from(name.worker) == shard.worker
        && session.is_in(namespace)
        && session.stay(namespace) == Some(name.stay);
    is_it.then_some(name.session)
}

fn is_in(shard: &Shard, key: ConnKey, namespace: &str) -> bool {
    let session = shard.socketio.get(key);
    session.is_some_and(|session: &Session| session.is_in(namespace))
}
