//! Recovery of clients that lose their connection and come back in time: they keep their name, user and rooms, and hear what they
//! have missed, once and in order. `docs/socketio.md` describes it.
//!
//! A thread of its own (`serve`) keeps what was published of late and who was lost; no event loop waits for it. Both are in the process
//! (`memory`) or, where nodes are one server, in Redis (`shared`): then each keeps what it publishes before it does. Each worker knows which of its sessions may come back (`desk`), and brings back those that have
//! (`resume`): who is back is a member first, with what comes kept aside, then what was kept meanwhile is read, and then the rest goes out.
//! So nothing is missing, and what is there twice is known by its number.

mod desk;
mod memory;
mod missed;
mod resume;
mod serve;
mod shared;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SocketIoConfig;
use crate::gateway::node::Node;
use crate::hub::Kind;
use crate::id::ConnKey;
use crate::limits::{
    RECOVERY_ATTEMPTS_MAX, RECOVERY_LEAVE_TIMEOUT, RECOVERY_QUEUE_BYTES_MAX, RECOVERY_RENEWAL_MS,
    RECOVERY_TIME_MAX,
};
use crate::socketio::Moment;
use crate::socketio::recovery::{Origin, Seen};
pub(in crate::gateway) use desk::Desk;
pub(in crate::gateway) use desk::{Mark, keep, mark};
pub(super) use desk::{
    deliver, is_special, is_waiting, leave, offset, on_end, refresh, restored, settle,
};
pub(super) use missed::Missed;
pub(in crate::gateway) use resume::told;
pub(super) use resume::{begin, heard};
pub use serve::serve_recovery;

/// What is known of a client in Redis is there for so many renewals that do not come.
const RENEWALS_MISSED: u64 = 3;

/// What may be recovered, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct RecoveryConfig {
    /// Time in which a client may come back.
    pub window: Duration,
    /// Time after which the server knows at the latest that it was lost.
    pub notice: Duration,
    is_shared: bool,
}

impl RecoveryConfig {
    /// What the settings say; `None` where clients are not recovered. Where nodes keep them together, `is_shared`, one that has died tells of no
    /// loss.
    pub fn of(socketio: &SocketIoConfig, window: Duration, is_shared: bool) -> Option<Self> {
        let engine = &socketio.engine;
        let mut notice = u64::from(engine.ping_interval_ms) + u64::from(engine.ping_timeout_ms);
        if is_shared {
            notice += RENEWALS_MISSED * u64::from(RECOVERY_RENEWAL_MS);
        }
        (!window.is_zero()).then_some(Self {
            window,
            notice: Duration::from_millis(notice),
            is_shared,
        })
    }

    /// Publications are of use for so long: what a client has missed may be so old when it comes back at the last moment.
    fn keep_ms(&self) -> u32 {
        let kept = self.window + self.notice + RECOVERY_TIME_MAX;
        u32::try_from(kept.as_millis()).unwrap_or(u32::MAX)
    }

    fn window_ms(&self) -> u32 {
        u32::try_from(self.window.as_millis()).unwrap_or(u32::MAX)
    }
}

/// Who a client is, beside its private name. Where it stands, a number is the place in what is kept from which on a group is
/// the client's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The name of its socket.
    sid: Box<str>,
    /// Since when it is there.
    since: u64,
    user: Option<(Arc<str>, u64)>,
    rooms: Vec<(Arc<str>, u64)>,
}

impl Record {
    /// The groups that it is in.
    fn groups(&self) -> impl Iterator<Item = (Kind, &Arc<str>, u64)> {
        let user = self
            .user
            .iter()
            .map(|(user, from)| (Kind::User, user, *from));
        let rooms = self.rooms.iter();
        user.chain(rooms.map(|(room, from)| (Kind::Room, room, *from)))
    }
}

/// What a client has missed is to be found.
#[derive(Debug)]
struct Wanted {
    record: Record,
    seen: Seen,
    /// Bytes that it may have missed.
    bytes_max: usize,
}

/// Something that was published.
#[derive(Debug)]
struct Kept {
    kind: Kind,
    name: Box<str>,
    /// Its place in what is kept.
    position: u64,
    at: Moment,
    envelope: Vec<u8>,
}

/// Which attempt of which session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attempt {
    worker: usize,
    key: ConnKey,
    number: u32,
}

/// What workers want of the thread.
#[derive(Debug)]
pub struct Order(Wish);

#[derive(Debug)]
enum Wish {
    Keep(Kept),
    /// A client is there, or has changed.
    Save(Box<str>, Record),
    /// It was lost.
    Lose(Box<str>, Record),
    /// It will not come back.
    Forget(Box<str>),
    /// It is back.
    Claim(Box<str>, Attempt),
    Find(Box<Wanted>, Attempt),
    /// What was sent before is written.
    Settle(SyncSender<()>),
}

/// What the thread tells a worker.
#[derive(Debug)]
pub struct Told {
    attempt: Attempt,
    what: Answer,
}

#[derive(Debug)]
enum Answer {
    Claimed(Box<str>, Box<Record>),
    NotClaimed(Outcome),
    /// What it has missed, and by whom anything is kept for it.
    Missed(Vec<Missed>, BTreeSet<Origin>),
    /// Some of it is not kept any more.
    Gap,
}

/// What became of an attempt to be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Outcome {
    /// Nothing is missing.
    Recovered,
    /// Nobody of that name was lost, or what the client shows is nothing that it was told.
    Unknown,
    /// It came too late.
    Expired,
    /// Too much was published meanwhile, or what was is not known.
    Gap,
    /// It may not be who it was, or not where it was.
    Refused,
}

impl Outcome {
    /// Every one.
    pub(in crate::gateway) const ALL: [Self; 5] = [
        Self::Recovered,
        Self::Unknown,
        Self::Expired,
        Self::Gap,
        Self::Refused,
    ];

    /// What the metric calls it.
    pub(in crate::gateway) fn name(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Gap => "gap",
            Self::Refused => "refused",
        }
    }
}

/// The way to the thread, and what it counts.
#[derive(Debug)]
pub struct Recovery {
    config: RecoveryConfig,
    node: u64,
    orders: Sender<Order>,
    /// The next place in what is kept in the process.
    position: AtomicU64,
    /// Whether all nodes keep it together. Then places are times of a clock of theirs, which is so much before this node's; 0 where nobody
    /// knows.
    is_shared: bool,
    clock: AtomicU64,
    /// The last place of something that found no room on its way.
    hole: AtomicU64,
    queued_bytes: AtomicU64,
    /// Clients that are back and have no answer.
    attempts: AtomicU64,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    entries: AtomicU64,
    entry_bytes: AtomicU64,
    failures: AtomicU64,
    is_up: AtomicBool,
}

impl Recovery {
    /// Makes recovery known to `node`, once, before the workers run; [`serve_recovery`] takes what is sent.
    pub fn enter(node: &Node, config: RecoveryConfig, orders: Sender<Order>) {
        node.recover(Self {
            config,
            node: node.number(),
            orders,
            position: AtomicU64::new(1),
            is_shared: config.is_shared,
            clock: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            is_up: AtomicBool::new(false),
            hole: AtomicU64::new(0),
            queued_bytes: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
            outcomes: Default::default(),
            entries: AtomicU64::new(0),
            entry_bytes: AtomicU64::new(0),
        });
    }

    /// How long publications are kept, milliseconds.
    pub(in crate::gateway) fn keep_ms(&self) -> u32 {
        self.config.keep_ms()
    }

    /// The place from which on what is published is somebody's who is there now.
    fn floor(&self, now: Moment) -> u64 {
        if !self.is_shared {
            return self.position.load(Ordering::Acquire);
        }
        match self.clock.load(Ordering::Acquire) {
            0 => 0,
            clock => clock.wrapping_add(now.0),
        }
    }

    /// Keeps a publication; it is there for whoever becomes a member after this.
    fn keep(&self, kind: Kind, name: &str, at: Moment, envelope: Vec<u8>) {
        let position = self.position.fetch_add(1, Ordering::AcqRel);
        let bytes = envelope.len() as u64;
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if queued > RECOVERY_QUEUE_BYTES_MAX {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.hole.fetch_max(position, Ordering::AcqRel);
            return;
        }
        self.send(Wish::Keep(Kept {
            kind,
            name: name.into(),
            position,
            at,
            envelope,
        }));
    }

    fn send(&self, wish: Wish) {
        // The thread lives as long as the node: it goes only when the process does.
        let _ = self.orders.send(Order(wish));
    }

    /// Asks for a client that is back; false where too many are.
    fn claim(&self, pid: &str, attempt: Attempt) -> bool {
        if self.attempts.fetch_add(1, Ordering::Relaxed) >= RECOVERY_ATTEMPTS_MAX {
            self.attempts.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.send(Wish::Claim(pid.into(), attempt));
        true
    }

    fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was what became of an attempt.
    pub(in crate::gateway) fn counted(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Ordering::Relaxed)
    }

    /// Whether Redis is there, and what could not be written or found because it was not, where nodes keep it together.
    pub(in crate::gateway) fn shared(&self) -> Option<(bool, u64)> {
        let is_up = self.is_up.load(Ordering::Relaxed);
        let failures = self.failures.load(Ordering::Relaxed);
        self.is_shared.then_some((is_up, failures))
    }

    /// The node goes: waits until it is known who was lost, for a second at most.
    pub fn leave(&self) {
        if self.is_shared {
            let (settled, wait) = sync_channel(1);
            self.send(Wish::Settle(settled));
            // An error either way: it is written, or takes too long.
            let _ = wait.recv_timeout(RECOVERY_LEAVE_TIMEOUT);
        }
    }

    /// Publications that are kept in the process, and their bytes.
    pub(in crate::gateway) fn kept(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.entries), count(&self.entry_bytes))
    }
}

#[cfg(test)]
mod tests;
