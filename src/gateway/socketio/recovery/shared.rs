//! What is kept for all nodes: clients, those of this node as long as they are there, and what was published, which their publishers have kept.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::missed::Found;
use super::{Outcome, RENEWALS_MISSED, Record, RecoveryConfig, Wanted};
use crate::broker::redis::bundle;
use crate::broker::{Away, Keeper, KeptLog, KeptNote};
use crate::gateway::cluster::Cluster;
use crate::gateway::cluster::envelope::Envelope;
use crate::hub::Kind;
use crate::limits::{RECOVERY_RENEWAL_MS, RECOVERY_SESSIONS_MAX};
use crate::socketio::Moment;

/// So many looks at the keeper's clock count.
const CLOCKS_MAX: usize = 8;

/// A client, as all nodes know it.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    /// The node that has it.
    node: u64,
    /// When it was lost, by the keeper's clock.
    lost_at: Option<u64>,
    client: Record,
}

/// What is to be written of a client.
#[derive(Debug)]
enum Write {
    New,
    Changed,
    Lost,
    Gone,
}

/// Clients of this node, and the way to the others.
#[derive(Debug)]
pub(super) struct Shared {
    keeper: Box<dyn Keeper>,
    node: u64,
    window_ms: u64,
    keep_ms: u64,
    /// Those that are there.
    live: HashMap<Box<str>, Record>,
    /// When those were lost that may be known still.
    lost: VecDeque<Moment>,
    writes: Vec<(Box<str>, Write, Option<Record>)>,
    /// What the keeper's clock is before this node's.
    clock: Option<u64>,
    /// The last that were read of it.
    clocks: VecDeque<u64>,
    links: u64,
    renewed_at: Moment,
    /// Whether the keeper was there when that was last looked at.
    pub(super) is_up: bool,
    /// What could not be done.
    pub(super) failures: u64,
}

impl Shared {
    pub(super) fn new(keeper: Box<dyn Keeper>, node: u64, config: &RecoveryConfig) -> Self {
        Self {
            keeper,
            node,
            window_ms: u64::from(config.window_ms()),
            keep_ms: u64::from(config.keep_ms()),
            live: HashMap::new(),
            lost: VecDeque::new(),
            writes: Vec::new(),
            clock: None,
            clocks: VecDeque::new(),
            links: 0,
            renewed_at: Moment::default(),
            is_up: false,
            failures: 0,
        }
    }

    /// What the keeper's clock is before this node's, milliseconds, a little less than that; `None` where nobody knows.
    pub(super) fn clock(&self) -> Option<u64> {
        self.clock
    }

    fn now(&self, now: Moment) -> Option<u64> {
        Some(self.clock?.wrapping_add(now.0))
    }

    /// A client is there, or has changed. One who came before the keeper was reached may have missed anything.
    pub(super) fn save(&mut self, pid: Box<str>, record: Record) {
        if record.since == 0 {
            return;
        }
        let before = self.live.insert(pid.clone(), record.clone());
        let write = before.map_or(Write::New, |_| Write::Changed);
        self.writes.push((pid, write, Some(record)));
    }

    /// It was lost.
    pub(super) fn lose(&mut self, pid: Box<str>, record: Record, now: Moment) {
        if record.since == 0 {
            return;
        }
        self.live.remove(&pid);
        let is_over = |lost_at: &Moment| lost_at.0 + 2 * self.window_ms <= now.0;
        let over = self.lost.partition_point(is_over);
        self.lost.drain(..over);
        if self.lost.len() >= RECOVERY_SESSIONS_MAX {
            return self.writes.push((pid, Write::Gone, None));
        }
        self.lost.push_back(now);
        self.writes.push((pid, Write::Lost, Some(record)));
    }

    /// It will not come back.
    pub(super) fn forget(&mut self, pid: Box<str>) {
        if self.live.remove(&pid).is_some() {
            self.writes.push((pid, Write::Gone, None));
        }
    }

    /// Writes what is to be written. What could not be is lost: its clients are not recovered.
    pub(super) fn flush(&mut self, now: Moment) {
        if self.writes.is_empty() {
            return;
        }
        let writes = std::mem::take(&mut self.writes);
        if self.try_write(writes, now).is_err() {
            self.failures += 1;
        }
    }

    fn try_write(
        &mut self,
        writes: Vec<(Box<str>, Write, Option<Record>)>,
        now: Moment,
    ) -> Result<(), Away> {
        let others = self.taken_over(&writes)?;
        let (window_ms, live_ms) = (self.window_ms, self.live_ms());
        let lost_at = self.now(now);
        let encoded: Vec<_> = writes
            .into_iter()
            .filter(|(pid, ..)| !others.contains(pid))
            .map(|(pid, write, client)| {
                let lost_at = lost_at.filter(|_| matches!(write, Write::Lost));
                let bytes = client.map(|client| self.encode(client, lost_at));
                (pid, write, bytes.unwrap_or_default())
            })
            .collect();
        let notes: Vec<_> = encoded
            .iter()
            .map(|(name, write, bytes)| match write {
                Write::New => KeptNote::New {
                    name,
                    bytes,
                    ms: live_ms,
                },
                Write::Changed => KeptNote::Changed {
                    name,
                    bytes,
                    ms: live_ms,
                },
                // Who comes late is told so for as long again.
                Write::Lost => KeptNote::New {
                    name,
                    bytes,
                    ms: 2 * window_ms,
                },
                Write::Gone => KeptNote::Gone { name },
            })
            .collect();
        self.keeper.write(&notes)
    }

    /// Those of the lost that another node has taken over because it thought this one dead.
    fn taken_over(
        &mut self,
        writes: &[(Box<str>, Write, Option<Record>)],
    ) -> Result<Vec<Box<str>>, Away> {
        let lost = writes
            .iter()
            .filter(|(_, write, _)| matches!(write, Write::Lost));
        let lost: Vec<_> = lost.map(|(pid, ..)| &**pid).collect();
        let known = self.keeper.look(&lost)?;
        let others = lost.into_iter().zip(known).filter(|(_, known)| {
            let known = known.as_deref().and_then(decode);
            known.is_some_and(|known| known.node != self.node)
        });
        Ok(others.map(|(pid, _)| pid.into()).collect())
    }

    fn encode(&self, client: Record, lost_at: Option<u64>) -> Vec<u8> {
        let known = Known {
            node: self.node,
            lost_at,
            client,
        };
        serde_json::to_vec(&known).expect("clients are JSON")
    }

    /// What is known of a client outlives its node by the time in which it may come back.
    fn live_ms(&self) -> u64 {
        self.window_ms + RENEWALS_MISSED * u64::from(RECOVERY_RENEWAL_MS)
    }

    /// Looks at the clock, and keeps what is known of clients that are there. After a loss of the link everything is written anew.
    pub(super) fn pass_time(&mut self, now: Moment, moment: impl Fn() -> Moment) {
        self.is_up = self.try_pass_time(now, moment).is_ok();
        if !self.is_up {
            // The clock is what it was, as far as is known.
            self.failures += 1;
        }
    }

    fn try_pass_time(&mut self, now: Moment, moment: impl Fn() -> Moment) -> Result<(), Away> {
        let time = self.keeper.time()?;
        // It was that before the answer came, and both have lost parts of a millisecond.
        let clock = time.wrapping_sub(moment().0).wrapping_sub(2);
        let links = self.keeper.links();
        if links != self.links {
            self.clocks.clear();
        }
        if self.clocks.len() >= CLOCKS_MAX {
            self.clocks.pop_front();
        }
        self.clocks.push_back(clock);
        // The answer that came soonest says it best.
        self.clock = self.clocks.iter().max().copied();
        let ms = self.live_ms();
        if links != self.links {
            let live = self.live.iter();
            let live = live.map(|(pid, client)| (pid, self.encode(client.clone(), None)));
            let live: Vec<_> = live.collect();
            let notes: Vec<_> = live
                .iter()
                .map(|(name, bytes)| KeptNote::New { name, bytes, ms })
                .collect();
            self.keeper.write(&notes)?;
            self.links = links;
            self.renewed_at = now;
        } else if self.renewed_at.after(RECOVERY_RENEWAL_MS).is_reached(now) {
            let live = self.live.keys();
            let notes: Vec<_> = live.map(|name| KeptNote::There { name, ms }).collect();
            self.keeper.write(&notes)?;
            self.renewed_at = now;
        }
        Ok(())
    }

    /// As [`Memory::claim`](super::memory::Memory::claim), of each.
    pub(super) fn claim(
        &mut self,
        pids: &[&str],
        cluster: &Cluster,
        now: Moment,
    ) -> Vec<Option<Result<Record, Outcome>>> {
        let claimed = self.try_claim(pids, cluster, now);
        claimed.unwrap_or_else(|Away| {
            self.failures += 1;
            pids.iter().map(|_| Some(Err(Outcome::Unknown))).collect()
        })
    }

    fn try_claim(
        &mut self,
        pids: &[&str],
        cluster: &Cluster,
        now: Moment,
    ) -> Result<Vec<Option<Result<Record, Outcome>>>, Away> {
        let mut claimed: Vec<_> = pids.iter().map(|_| Some(Err(Outcome::Unknown))).collect();
        let (mut lost, mut nodes) = (Vec::new(), HashMap::new());
        for (index, known) in self.keeper.look(pids)?.into_iter().enumerate() {
            let Some(known) = known.as_deref().and_then(decode) else {
                continue;
            };
            if known.lost_at.is_none() && self.is_there(known.node, cluster, &mut nodes)? {
                claimed[index] = None;
            } else {
                lost.push(index);
            }
        }
        let names: Vec<_> = lost.iter().map(|index| pids[*index]).collect();
        for (index, taken) in lost.into_iter().zip(self.keeper.take(&names)?) {
            let Some(taken) = taken.as_deref().and_then(decode) else {
                continue;
            };
            let now = self.now(now);
            let is_late = taken.lost_at.is_some_and(|lost_at| {
                now.is_none_or(|now| now.saturating_sub(lost_at) >= self.window_ms)
            });
            claimed[index] = Some(if is_late {
                Err(Outcome::Expired)
            } else {
                Ok(taken.client)
            });
        }
        Ok(claimed)
    }

    /// Whether a node is there, which is asked once.
    fn is_there(
        &mut self,
        node: u64,
        cluster: &Cluster,
        nodes: &mut HashMap<u64, bool>,
    ) -> Result<bool, Away> {
        if let Some(is_there) = nodes.get(&node) {
            return Ok(*is_there);
        }
        let channel = cluster.channel_of_node(node);
        let is_there =
            node == self.node || self.keeper.is_there(&format!("{node:016x}"), &channel)?;
        nodes.insert(node, is_there);
        Ok(is_there)
    }

    /// As [`Memory::find`](super::memory::Memory::find), for each.
    pub(super) fn find(
        &mut self,
        wanted: &[&Wanted],
        cluster: &Cluster,
        now: Moment,
    ) -> Vec<Option<Vec<Found>>> {
        let Ok(logs) = self.read(wanted, cluster, now) else {
            self.failures += 1;
            return wanted.iter().map(|_| None).collect();
        };
        wanted
            .iter()
            .map(|wanted| logs.find(wanted, cluster))
            .collect()
    }

    /// Reads each channel once, from where the first of them wants it.
    fn read(&mut self, wanted: &[&Wanted], cluster: &Cluster, now: Moment) -> Result<Logs, Away> {
        let oldest = self.now(now).ok_or(Away)?.saturating_sub(self.keep_ms);
        let mut channels: HashMap<String, u64> = HashMap::new();
        for (channel, from) in wanted.iter().flat_map(|one| channels_of(one, cluster)) {
            let from = from.max(oldest);
            let least = channels.entry(channel).or_insert(from);
            *least = from.min(*least);
        }
        let channels: Vec<_> = channels.into_iter().collect();
        let (hole, logs) = self.keeper.read(&channels)?;
        let names = channels.into_iter().map(|(channel, _)| channel);
        Ok(Logs {
            oldest,
            hole,
            by_channel: names.zip(logs).collect(),
        })
    }
}

/// The channels of a client, and since when each is its.
fn channels_of<'w>(
    wanted: &'w Wanted,
    cluster: &'w Cluster,
) -> impl Iterator<Item = (String, u64)> + 'w {
    let record = &wanted.record;
    let groups = record
        .groups()
        .map(|(kind, name, from)| (cluster.channel_of(kind, name), from));
    let everyone = (cluster.channel_of(Kind::Everyone, ""), record.since);
    groups.chain([everyone])
}

/// What was read.
struct Logs {
    /// What is older is of no use.
    oldest: u64,
    hole: u64,
    by_channel: HashMap<String, KeptLog>,
}

impl Logs {
    fn find(&self, wanted: &Wanted, cluster: &Cluster) -> Option<Vec<Found>> {
        if self.hole >= wanted.record.since {
            log::debug!("publications were lost before they were kept");
            return None;
        }
        let mut found = Vec::new();
        for (channel, from) in channels_of(wanted, cluster) {
            let log = self.by_channel.get(&channel)?;
            if !pick(log, from.max(self.oldest), wanted, &mut found) {
                log::debug!("publications that may be missed are not kept any more");
                return None;
            }
        }
        Some(found)
    }
}

/// Adds what of a log is of that time and later; false where something that was not seen is not whole, or may be missing before it.
pub(super) fn pick(log: &KeptLog, from: u64, wanted: &Wanted, found: &mut Vec<Found>) -> bool {
    let may_lack = log.is_full && log.oldest.is_some_and(|oldest| oldest >= from);
    let entries = log.entries.iter().filter(|(position, _)| *position >= from);
    for (nth, (position, message)) in entries.enumerate() {
        for envelope in bundle::envelopes(message) {
            let id = Envelope::known_by(envelope);
            let is_unseen = id.is_some_and(|id| !wanted.seen.has(id));
            let is_cut = is_unseen && Envelope::decode(envelope).is_none();
            // What came before the first that is kept was seen where that was.
            if is_cut || (nth == 0 && is_unseen && may_lack) {
                return false;
            }
            found.push(Found {
                position: *position,
                envelope: envelope.to_vec(),
            });
        }
    }
    true
}

fn decode(bytes: &[u8]) -> Option<Known> {
    serde_json::from_slice(bytes).ok()
}
