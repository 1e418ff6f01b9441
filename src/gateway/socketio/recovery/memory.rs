//! What is kept in the process: publications by their groups, and clients that were lost.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::missed::Found;
use super::{Kept, Outcome, Record, RecoveryConfig, Wanted};
use crate::gateway::cluster::envelope::Envelope;
use crate::hub::Kind;
use crate::limits::{RECOVERY_BYTES_MAX, RECOVERY_ENTRIES_MAX, RECOVERY_SESSIONS_MAX};
use crate::socketio::Moment;
use crate::socketio::recovery::{Origin, PublicationId};

type Group = (Kind, Box<str>);

/// A publication.
#[derive(Debug)]
struct Entry {
    position: u64,
    at: Moment,
    id: PublicationId,
    envelope: Vec<u8>,
}

/// The last publication of an origin that a log has lost before its time.
#[derive(Debug, Clone, Copy)]
struct Lost {
    sequence: u64,
    position: u64,
    at: Moment,
}

/// The publications of one group.
#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<Entry>,
    lost: HashMap<Origin, Lost>,
}

/// A client.
#[derive(Debug)]
struct Client {
    record: Record,
    lost_at: Option<Moment>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Memory {
    keep_ms: u32,
    window_ms: u32,
    bytes_max: usize,
    logs: HashMap<Group, Log>,
    /// The groups by the place of the oldest that is kept of them.
    oldest: BTreeMap<u64, Group>,
    entries: usize,
    bytes: usize,
    clients: HashMap<Box<str>, Client>,
    /// In the order in which they were lost; what is no longer so is passed over.
    lost: VecDeque<(Moment, Box<str>)>,
}

impl Memory {
    pub(super) fn new(config: &RecoveryConfig) -> Self {
        Self {
            keep_ms: config.keep_ms(),
            window_ms: config.window_ms(),
            bytes_max: RECOVERY_BYTES_MAX,
            logs: HashMap::new(),
            oldest: BTreeMap::new(),
            entries: 0,
            bytes: 0,
            clients: HashMap::new(),
            lost: VecDeque::new(),
        }
    }

    /// How many publications there are, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries, self.bytes)
    }

    pub(super) fn keep(&mut self, kept: Kept) {
        let Some(id) = Envelope::known_by(&kept.envelope) else {
            return;
        };
        let Kept {
            kind,
            name,
            position,
            at,
            envelope,
        } = kept;
        let group = (kind, name);
        if !self.logs.contains_key(&group) {
            self.logs.insert(group.clone(), Log::default());
        }
        let Some(log) = self.logs.get_mut(&group) else {
            return;
        };
        if log.entries.is_empty() {
            self.oldest.insert(position, group.clone());
        }
        self.bytes += envelope.len();
        self.entries += 1;
        log.entries.push_back(Entry {
            position,
            at,
            id,
            envelope,
        });
        if log.entries.len() > RECOVERY_ENTRIES_MAX {
            self.drop_oldest(&group);
        }
        while self.bytes > self.bytes_max
            && let Some((_, group)) = self.oldest.first_key_value()
        {
            self.drop_oldest(&group.clone());
        }
    }

    /// Drops the oldest of a group before its time; clients that have not seen it cannot be recovered.
    fn drop_oldest(&mut self, group: &Group) {
        if let Some(Entry {
            position, at, id, ..
        }) = self.take_oldest(group)
            && let Some(log) = self.logs.get_mut(group)
        {
            let sequence = id.sequence;
            let lost = Lost {
                sequence,
                position,
                at,
            };
            log.lost.insert(id.origin, lost);
        }
    }

    fn take_oldest(&mut self, group: &Group) -> Option<Entry> {
        let entries = &mut self.logs.get_mut(group)?.entries;
        let entry = entries.pop_front()?;
        self.oldest.remove(&entry.position);
        if let Some(next) = entries.front() {
            self.oldest.insert(next.position, group.clone());
        }
        self.entries -= 1;
        self.bytes -= entry.envelope.len();
        Some(entry)
    }

    /// Forgets what is too old to be of use.
    pub(super) fn pass_time(&mut self, now: Moment) {
        let keep_ms = self.keep_ms;
        let is_old = |at: Moment| at.after(keep_ms).is_reached(now);
        while let Some((_, group)) = self.oldest.first_key_value() {
            let group = group.clone();
            let log = self.logs.get(&group);
            let front = log.and_then(|log| log.entries.front());
            if !front.is_some_and(|entry| is_old(entry.at)) {
                break;
            }
            self.take_oldest(&group);
        }
        self.logs.retain(|_, log| {
            log.lost.retain(|_, lost| !is_old(lost.at));
            !log.entries.is_empty() || !log.lost.is_empty()
        });
        // Who comes late is told so for as long again.
        let twice = self.window_ms.saturating_mul(2);
        while let Some((lost_at, _)) = self.lost.front()
            && (lost_at.after(twice).is_reached(now) || self.lost.len() > RECOVERY_SESSIONS_MAX)
            && let Some((lost_at, pid)) = self.lost.pop_front()
        {
            let client = self.clients.get(&pid);
            if client.is_some_and(|client| client.lost_at == Some(lost_at)) {
                self.clients.remove(&pid);
            }
        }
    }

    /// A client is there.
    pub(super) fn save(&mut self, pid: Box<str>, record: Record) {
        let lost_at = None;
        self.clients.insert(pid, Client { record, lost_at });
    }

    /// It was lost.
    pub(super) fn lose(&mut self, pid: Box<str>, record: Record, now: Moment) {
        self.lost.push_back((now, pid.clone()));
        let lost_at = Some(now);
        self.clients.insert(pid, Client { record, lost_at });
    }

    /// It will not come back.
    pub(super) fn forget(&mut self, pid: &str) {
        self.clients.remove(pid);
    }

    /// A client is back; it is lost no more. Nothing where it is there still, as far as is known.
    pub(super) fn claim(&mut self, pid: &str, now: Moment) -> Option<Result<Record, Outcome>> {
        let Some(client) = self.clients.get(pid) else {
            return Some(Err(Outcome::Unknown));
        };
        let lost_at = client.lost_at?;
        let client = self.clients.remove(pid)?;
        if lost_at.after(self.window_ms).is_reached(now) {
            return Some(Err(Outcome::Expired));
        }
        Some(Ok(client.record))
    }

    /// What was published to the groups of a client while it was in them; `None` where some of it that it has not seen is not kept
    /// any more.
    pub(super) fn find(&self, wanted: &Wanted, now: Moment) -> Option<Vec<Found>> {
        let record = &wanted.record;
        let everyone = (Kind::Everyone, "".into(), record.since);
        let groups = record
            .groups()
            .map(|(kind, name, from)| (kind, Box::from(&**name), from));
        let mut found = Vec::new();
        for (kind, name, from) in groups.chain([everyone]) {
            let Some(log) = self.logs.get(&(kind, name)) else {
                continue;
            };
            let is_missed = |(&origin, lost): (&Origin, &Lost)| {
                let sequence = lost.sequence;
                let id = PublicationId { origin, sequence };
                let is_old = lost.at.after(self.keep_ms).is_reached(now);
                lost.position >= from && !is_old && !wanted.seen.has(id)
            };
            if log.lost.iter().any(is_missed) {
                return None;
            }
            let is_theirs = |entry: &&Entry| {
                entry.position >= from && !entry.at.after(self.keep_ms).is_reached(now)
            };
            let entries = log.entries.iter().filter(is_theirs);
            found.extend(entries.map(|entry| Found {
                position: entry.position,
                envelope: entry.envelope.clone(),
            }));
        }
        Some(found)
    }
}
