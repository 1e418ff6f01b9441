//! The sessions of one worker: where they are, which have something to do, and which will.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use slab::Slab;

use super::session::Session;
use super::sid::{self, Secret, Sid};
use crate::gateway::shard::Shard;
use crate::id::ConnKey;
use crate::reactor::Tick;
use crate::socketio::Moment;

/// A GET may be on its way from another worker for so long, milliseconds.
const PARTED_MS: u32 = 1_000;
/// Sessions whose GET may be; the oldest are forgotten beyond it.
const PARTED_MAX: usize = 256;

/// In the next turn.
pub(super) const AT_ONCE: Moment = Moment(0);

/// In the place of a key: that it is a session's, and no connection's.
const SESSION: u32 = 1 << 31;

/// Whether a key is a session's.
pub(in crate::gateway) fn is_session(key: ConnKey) -> bool {
    key.index & SESSION != 0
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    /// `None` while it is served.
    session: Option<Box<Session>>,
}

/// A point in time at which a session is to be looked at.
type Timer = Reverse<(Moment, u32, u32)>;

/// The sessions of one worker.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Sessions {
    slots: Slab<Slot>,
    next_generation: u32,
    /// Those that want something done.
    dirty: Vec<ConnKey>,
    /// One entry that counts for each session that waits for something.
    timers: BinaryHeap<Timer>,
    /// Connections with a POST whose messages are not all read, and when they may go on.
    busy: Vec<(ConnKey, Moment)>,
    /// Sessions that their clients have closed while a GET of theirs may have been under way to another worker.
    parted: VecDeque<(Secret, Moment)>,
    /// The turn that was asked for.
    pub(super) turn_at: Option<Tick>,
}

impl Sessions {
    /// Where the next session will be.
    pub(super) fn vacant_place(&self) -> u32 {
        self.slots.vacant_key() as u32
    }

    /// Takes a session in, at the place that was told just before.
    pub(super) fn insert(&mut self, session: Box<Session>) -> ConnKey {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let index = self.slots.insert(Slot {
            generation,
            session: Some(session),
        });
        ConnKey {
            index: index as u32 | SESSION,
            generation,
        }
    }

    /// Whether there is nothing to do, whatever the time.
    pub(super) fn is_idle(&self) -> bool {
        self.slots.is_empty() && self.busy.is_empty() && self.dirty.is_empty()
    }

    /// The key of the session of that name.
    pub(super) fn find(&self, sid: &Sid) -> Option<ConnKey> {
        let slot = self.slots.get(sid.place as usize)?;
        let session = slot.session.as_ref()?;
        sid::is_same(&session.secret, &sid.secret).then_some(ConnKey {
            index: sid.place | SESSION,
            generation: slot.generation,
        })
    }

    /// The client of a session has closed it, and a GET of its may be on the way from another worker.
    pub(super) fn part(&mut self, secret: Secret, at: Moment) {
        while let Some((_, until)) = self.parted.front()
            && (until.is_reached(at) || self.parted.len() >= PARTED_MAX)
        {
            self.parted.pop_front();
        }
        self.parted.push_back((secret, at.after(PARTED_MS)));
    }

    /// Whether a session was closed so just now.
    pub(super) fn has_parted(&self, sid: &Sid) -> bool {
        self.parted
            .iter()
            .any(|(secret, _)| sid::is_same(secret, &sid.secret))
    }

    /// The GET has come; whether it is in time.
    pub(super) fn take_parted(&mut self, sid: &Sid, at: Moment) -> bool {
        let is_it = |entry: &(Secret, Moment)| sid::is_same(&entry.0, &sid.secret);
        let place = self.parted.iter().position(is_it);
        let parted = place.and_then(|place| self.parted.remove(place));
        parted.is_some_and(|(_, until)| !until.is_reached(at))
    }

    pub(super) fn get(&self, key: ConnKey) -> Option<&Session> {
        let slot = self.slots.get((key.index & !SESSION) as usize)?;
        let is_it = is_session(key) && slot.generation == key.generation;
        slot.session.as_deref().filter(|_| is_it)
    }

    fn slot(&mut self, key: ConnKey) -> Option<&mut Slot> {
        let slot = self.slots.get_mut((key.index & !SESSION) as usize)?;
        (is_session(key) && slot.generation == key.generation).then_some(slot)
    }

    /// Forgets a session, which is over.
    pub(super) fn remove(&mut self, key: ConnKey) -> Option<Box<Session>> {
        let session = self.slot(key)?.session.take()?;
        self.slots.remove((key.index & !SESSION) as usize);
        Some(session)
    }

    /// The keys of all.
    pub(super) fn keys(&self) -> Vec<ConnKey> {
        let keys = self.slots.iter().map(|(index, slot)| ConnKey {
            index: index as u32 | SESSION,
            generation: slot.generation,
        });
        keys.collect()
    }

    /// Notes that the session may want something done, or be due at another time.
    fn note(&mut self, key: ConnKey, session: &mut Session) {
        if session.engine.has_output() && !session.is_dirty {
            session.is_dirty = true;
            self.dirty.push(key);
        }
        let due = session.next_deadline();
        if let Some(due) = due
            && session.timer.is_none_or(|timer| due < timer)
        {
            session.timer = Some(due);
            let place = key.index & !SESSION;
            self.timers.push(Reverse((due, place, key.generation)));
        }
    }

    /// The next session that is due.
    pub(super) fn next_due(&mut self, now: Moment) -> Option<ConnKey> {
        while let Some(&Reverse((at, place, generation))) = self.timers.peek() {
            if !at.is_reached(now) {
                return None;
            }
            self.timers.pop();
            let index = place | SESSION;
            let key = ConnKey { index, generation };
            let slot = self.slot(key);
            let session = slot.and_then(|slot| slot.session.as_deref_mut());
            // An entry that another has taken the place of is nobody's.
            if let Some(session) = session.filter(|session| session.timer == Some(at)) {
                session.timer = None;
                return Some(key);
            }
        }
        None
    }

    /// When something is due.
    pub(super) fn due(&self) -> Option<Moment> {
        let timer = self.timers.peek().map(|&Reverse((at, ..))| at);
        let busy = self.busy.iter().map(|(_, at)| *at);
        busy.chain(timer).min()
    }

    /// The next session that wants something done.
    pub(super) fn next_dirty(&mut self) -> Option<ConnKey> {
        let key = self.dirty.pop()?;
        if let Some(session) = self.slot(key).and_then(|slot| slot.session.as_deref_mut()) {
            session.is_dirty = false;
        }
        Some(key)
    }

    /// Whether something is to be done at once. POSTs wait while too much is under way to others.
    pub(in crate::gateway) fn wants_turn(&self, is_congested: bool) -> bool {
        let is_ready = |(_, at): &(ConnKey, Moment)| *at == AT_ONCE;
        !self.dirty.is_empty() || (!is_congested && self.busy.iter().any(is_ready))
    }

    /// The POST of that connection goes on then.
    pub(in crate::gateway) fn go_on_at(&mut self, connection: ConnKey, at: Moment) {
        self.busy.push((connection, at));
    }

    /// Connections whose POSTs may go on.
    pub(super) fn take_busy(&mut self, now: Moment) -> Vec<ConnKey> {
        let ready = self.busy.extract_if(.., |(_, at)| at.is_reached(now));
        ready.map(|(key, _)| key).collect()
    }
}

/// Calls `call` with a session and the worker that it is at; `None` where it is gone. What the session wants done is noted.
pub(super) fn with<R>(
    shard: &mut Shard,
    key: ConnKey,
    call: impl FnOnce(&mut Session, &mut Shard) -> R,
) -> Option<R> {
    let mut session = shard.socketio.slot(key)?.session.take()?;
    let result = call(&mut session, shard);
    session.settle_account(shard);
    shard.socketio.note(key, &mut session);
    if let Some(slot) = shard.socketio.slot(key) {
        slot.session = Some(session);
    }
    Some(result)
}
