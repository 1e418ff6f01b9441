//! How a client comes back: it is claimed, becomes a member again, and is told what it has missed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use serde::Deserialize;
use serde_json::Value;

use super::desk::{Live, Pending, pass, refresh, with_offset};
use super::{Answer, Attempt, Missed, Outcome, Record, Told, Wanted, Wish};
use crate::gateway::ask::{Gathered, Purpose, Question};
use crate::gateway::cluster::Whom;
use crate::gateway::json::JsonEndpoint;
use crate::gateway::shard::Shard;
use crate::gateway::socketio::behind;
use crate::gateway::socketio::connect;
use crate::gateway::socketio::messages::Outbox;
use crate::gateway::socketio::session::{Session, Upper};
use crate::gateway::socketio::sessions::with;
use crate::gateway::socketio::sid;
use crate::hub::{Encoding, Kind};
use crate::id::ConnKey;
use crate::reactor::Tick;
use crate::socketio::packet::MAIN_NAMESPACE;
use crate::socketio::recovery::{Offset, Origin, Seen};

/// What a client shows that wants to be who it was. Values of other types are as good as none.
#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    pid: Value,
    #[serde(default)]
    offset: Value,
}

/// A client that has come in asks to be who it was, where that is so; until the answer comes what is for it is put aside.
pub(in crate::gateway::socketio) fn begin(
    session: &Session,
    key: ConnKey,
    shard: &mut Shard,
    auth: &str,
) -> bool {
    let (worker, now) = (shard.worker, shard.moment());
    let (user, rooms) = (
        connect::user(session, shard),
        connect::rooms(session, shard),
    );
    let (Some(desk), Some(recovery)) = (&mut shard.recovery, shard.node.recovery()) else {
        return false;
    };
    let shown = serde_json::from_str::<Shown>(auth).ok();
    let Some((Shown { pid, offset }, stay)) = shown.zip(session.stay(MAIN_NAMESPACE)) else {
        return false;
    };
    let Some(pid) = pid.as_str() else {
        return false;
    };
    let seen = match &offset {
        // It has heard nothing.
        Value::Null => Some(Seen::default()),
        Value::String(text) => Offset::decode(text).map(|offset| offset.seen),
        _ => None,
    };
    let Some(seen) = seen.filter(|_| sid::may_be_name(pid)) else {
        recovery.count(Outcome::Unknown);
        return false;
    };
    desk.numbers = desk.numbers.wrapping_add(1);
    let number = desk.numbers;
    let attempt = Attempt {
        worker,
        key,
        number,
    };
    if !recovery.claim(pid, attempt) {
        recovery.count(Outcome::Unknown);
        return false;
    }
    let pending = Pending {
        number,
        stay,
        pid: pid.into(),
        seen,
        user,
        rooms,
        from: recovery.floor(now),
        record: None,
    };
    desk.hold(key);
    desk.pending.insert(key, pending);
    true
}

/// The thread has an answer for a session of this worker.
pub(in crate::gateway) fn told(shard: &mut Shard, told: Told, now: Tick) {
    let Told { attempt, what } = told;
    let key = attempt.key;
    let mut what = Some(what);
    with(shard, key, |session, shard| {
        if !is_asking(session, shard, attempt) {
            return;
        }
        let resumed = match what.take() {
            Some(Answer::Claimed(_, record)) => restore(session, attempt, shard, *record),
            Some(Answer::Missed(missed, origins)) => {
                believe(key, shard, &origins);
                release(session, key, shard, missed, now)
            }
            Some(Answer::NotClaimed(outcome)) => Err(outcome),
            Some(Answer::Gap) => Err(Outcome::Gap),
            None => Ok(()),
        };
        if let Err(outcome) = resumed {
            start_anew(session, key, shard, now, outcome);
        }
    });
    // The session was lost before it was who it had been: it may come back again.
    if let Some(Answer::Claimed(pid, record)) = what
        && shard.socketio.get(key).is_none()
        && let Some(recovery) = shard.node.recovery()
    {
        recovery.send(Wish::Lose(pid, *record));
    }
}

/// Other nodes are heard: what was kept is all that the client has missed.
pub(in crate::gateway::socketio) fn heard(
    shard: &mut Shard,
    key: ConnKey,
    number: u32,
    gathered: &Gathered,
    now: Tick,
) {
    let worker = shard.worker;
    with(shard, key, |session, shard| {
        let attempt = Attempt {
            worker,
            key,
            number,
        };
        if !is_asking(session, shard, attempt) {
            return;
        }
        if gathered.is_unsent || gathered.unanswered > 0 {
            log::debug!("the other nodes are not heard: {gathered:?}");
            return start_anew(session, key, shard, now, Outcome::Gap);
        }
        find(attempt, shard);
    });
}

/// Whether a session still waits for what that attempt brings.
fn is_asking(session: &Session, shard: &mut Shard, attempt: Attempt) -> bool {
    let Some(desk) = &mut shard.recovery else {
        return false;
    };
    let pending = desk.pending.get(&attempt.key);
    let is_this = pending.is_some_and(|pending| pending.number == attempt.number);
    let is_asking = pending.is_some_and(|pending| {
        session.stay(MAIN_NAMESPACE) == Some(pending.stay) && !session.is_in(MAIN_NAMESPACE)
    });
    if is_this && !is_asking {
        // The client has left meanwhile.
        desk.pending.remove(&attempt.key);
    }
    is_this && is_asking
}

/// The client becomes a member of what it was a member of, where it may.
fn restore(
    session: &mut Session,
    attempt: Attempt,
    shard: &mut Shard,
    mut record: Record,
) -> Result<(), Outcome> {
    let key = attempt.key;
    let was = record.user.as_ref().map(|(user, _)| &**user);
    let is = connect::user(session, shard);
    let is_same = match &is {
        Some(is) => was.is_some_and(|was| *was == **is),
        None => was.is_none() || shard.config.tokens.is_none(),
    };
    let grant = session.bearer.as_ref().map(|bearer| bearer.grant());
    let may_join = |room: &str| grant.is_none_or(|grant| grant.allows_room(room));
    if !is_same || !record.rooms.iter().all(|(room, _)| may_join(room)) {
        return Err(Outcome::Refused);
    }
    let user = was.map(str::to_owned);
    let desk = shard.recovery.as_ref();
    let pending = desk.and_then(|desk| desk.pending.get(&key));
    // What it is in already it stays in.
    for room in pending.map_or(&[][..], |pending| &pending.rooms) {
        let from = pending.map_or(0, |pending| pending.from);
        if !record.rooms.iter().any(|(known, _)| known == room) {
            record.rooms.push((Arc::clone(room), from));
        }
    }
    let rooms = record.rooms.iter().map(|(room, _)| room);
    if !become_again(session, key, shard, user.as_deref(), rooms) {
        return Err(Outcome::Refused);
    }
    // Members are looked up after what is for them was kept.
    fence(Ordering::SeqCst);
    let desk = shard.recovery.as_mut();
    if let Some(pending) = desk.and_then(|desk| desk.pending.get_mut(&key)) {
        pending.record = Some(record);
    }
    await_others(attempt, shard)
}

/// The session is a member of these rooms, as that user, and of nothing else; false where it may not.
fn become_again<'r>(
    session: &mut Session,
    key: ConnKey,
    shard: &mut Shard,
    user: Option<&str>,
    mut rooms: impl Iterator<Item = &'r Arc<str>>,
) -> bool {
    if let Some(json) = session.json.take() {
        shard.hub.remove(json.peer());
    }
    let (json, is_allowed) = JsonEndpoint::open(key, Encoding::SocketIo, user, shard);
    let is_in = is_allowed && rooms.all(|room| json.join(room, shard).is_ok());
    session.json = Some(json);
    is_in
}

/// Waits until what other nodes publish comes here, and what this one has published is kept.
fn await_others(attempt: Attempt, shard: &mut Shard) -> Result<(), Outcome> {
    let Attempt { key, number, .. } = attempt;
    let Some(count) = shard.begin_count(key) else {
        find(attempt, shard);
        return Ok(());
    };
    let desk = shard.recovery.as_ref();
    let pending = desk.and_then(|desk| desk.pending.get(&key));
    let record = pending.and_then(|pending| pending.record.as_ref());
    let groups = record.into_iter().flat_map(Record::groups);
    let mut groups: Vec<_> = groups
        .map(|(kind, name, _)| (kind, Arc::clone(name)))
        .collect();
    groups.push((Kind::Everyone, "".into()));
    let node = Arc::clone(&shard.node);
    if let Some((cluster, asker)) = node.cluster().zip(shard.asker(Some(count), 0)) {
        for (kind, name) in groups {
            let is_noted = cluster.confirm(kind, &name, asker);
            shard.asks.expect(count, is_noted);
        }
        // Comes back behind everything that was published here before.
        let myself = Whom::Node(node.number());
        let is_asked = cluster.ask(myself, &Question::Node, asker);
        shard.asks.expect(count, is_asked);
    }
    let purpose = Purpose::Recovered(number);
    let nothing = Gathered::default();
    match shard.asks.end_count(count, purpose, None, nothing) {
        // Nothing leaves the node: nobody is there who could say what was missed.
        Some(_) => Err(Outcome::Gap),
        None => Ok(()),
    }
}

/// Has what the client has missed be found.
fn find(attempt: Attempt, shard: &mut Shard) {
    let desk = shard.recovery.as_ref();
    let pending = desk.and_then(|desk| desk.pending.get(&attempt.key));
    let wanted = pending.and_then(|pending| {
        Some(Wanted {
            record: pending.record.clone()?,
            seen: pending.seen.clone(),
            bytes_max: shard.config.socketio.engine.queue_bytes_max / 2,
        })
    });
    if let Some((wanted, recovery)) = wanted.zip(shard.node.recovery()) {
        recovery.send(Wish::Find(Box::new(wanted), attempt));
    }
}

/// Of what the client claims to have seen counts what is of the workers of this node, or of others that this worker has heard, or of
/// whom something is kept for the client: nothing of anybody else can come to it a second time, and its events say all that counts.
fn believe(key: ConnKey, shard: &mut Shard, origins: &BTreeSet<Origin>) {
    let (node, workers) = (shard.node.number(), shard.workers());
    let here = shard.hub.offset().unwrap_or_default().seen;
    let desk = shard.recovery.as_mut();
    if let Some(pending) = desk.and_then(|desk| desk.pending.get_mut(&key)) {
        pending.seen.retain(|origin| {
            let is_own = origin.node == node && usize::from(origin.worker) < workers;
            is_own || here.knows(origin) || origins.contains(&origin)
        });
    }
}

/// Tells the client that it is who it was, what it has missed, and what came meanwhile, unless some of that is lost.
fn release(
    session: &mut Session,
    key: ConnKey,
    shard: &mut Shard,
    missed: Vec<Missed>,
    now: Tick,
) -> Result<(), Outcome> {
    let node = Arc::clone(&shard.node);
    let (Some(desk), Some(recovery)) = (&mut shard.recovery, node.recovery()) else {
        return Err(Outcome::Gap);
    };
    let held = desk.take_held(key);
    let Some(pending) = desk.pending.get(&key).filter(|_| held.is_whole()) else {
        return Err(Outcome::Gap);
    };
    let mut seen = pending.seen.clone();
    let mut events = Vec::with_capacity(missed.len() + held.events.len());
    for Missed { id, event } in missed {
        seen.add(id);
        events.push(with_offset(Some(id), &seen, &event));
    }
    let held = held.events.iter();
    events.extend(held.filter_map(|event| Some(pass(&mut seen, event)?.0)));
    let bytes: usize = events.iter().map(Vec::len).sum();
    // All of it may have to wait for a request.
    if bytes > shard.config.socketio.engine.queue_bytes_max / 2 {
        return Err(Outcome::Gap);
    }
    let Some(Pending {
        pid,
        record: Some(record),
        ..
    }) = desk.pending.remove(&key)
    else {
        return Err(Outcome::Gap);
    };
    let mut out = Outbox::new(shard);
    if let Upper::Sockets(sockets) = &mut session.upper {
        out.text(|to| {
            sockets.accept(MAIN_NAMESPACE, &record.sid, Some(&pid), to);
        });
    }
    for event in events {
        out.text(|to| to.extend_from_slice(&event));
    }
    log::debug!("{} is who it was", shard.id(key));
    recovery.count(Outcome::Recovered);
    recovery.send(Wish::Save(pid.clone(), record.clone()));
    let until = shard.moment().after(recovery.keep_ms());
    let is_ahead = !shard.hub.has_come(&seen);
    if let Some(desk) = &mut shard.recovery {
        desk.settle(key, Live { pid, record }, true);
        if is_ahead {
            desk.run_ahead(key, seen, until);
        }
    }
    // It may have been put into more rooms meanwhile.
    refresh(session, key, shard);
    behind::go_on(session, key, shard, now, &mut out);
    session.send(&mut out, shard);
    out.give_back(shard);
    Ok(())
}

/// The client is not who it was, but whom it is without that.
fn start_anew(session: &mut Session, key: ConnKey, shard: &mut Shard, now: Tick, outcome: Outcome) {
    log::debug!("{} is not recovered: {}", shard.id(key), outcome.name());
    if let Some(recovery) = shard.node.recovery() {
        recovery.count(outcome);
    }
    let pending = shard.recovery.as_mut().and_then(|desk| {
        desk.take_held(key);
        desk.pending.remove(&key)
    });
    let (user, rooms) = pending.map_or_else(Default::default, |own| (own.user, own.rooms));
    become_again(session, key, shard, user.as_deref(), rooms.iter());
    let mut out = Outbox::new(shard);
    connect::conclude(session, key, shard, MAIN_NAMESPACE, "{}", Ok(()), &mut out);
    behind::go_on(session, key, shard, now, &mut out);
    session.send(&mut out, shard);
    out.give_back(shard);
}
