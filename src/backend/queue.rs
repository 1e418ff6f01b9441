//! What waits for the back end, and who is next: no thread, no clock, no network.
//!
//! Events of one key wait in a lane, and a lane gives one at a time. It is always in one of four places: ready (its next event can
//! go now), resting (its next event is tried again later), held (its next event waits until the back end is back), or out (one of its
//! events is under way). Lanes that are ready take turns, so that a long one starves nobody.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::breaker::{Admission, Breaker, BreakerLimits};
use super::cloudevents::{Event, Kind};
use super::failure::{Failure, Refused};
use super::health::Counts;
use super::retry;
use crate::limits::{DISCONNECT_BYTES_MAX, DISCONNECTS_MAX};

/// What happens where an event comes and as many wait already as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueuePolicy {
    /// It is not taken.
    #[default]
    Refuse,
    /// Those that have waited longest give way to it. What is under way, or is tried again, does not.
    DropOldest,
}

/// How much may wait, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Events that may wait or be under way, without disconnects.
    pub events_max: usize,
    /// Bytes of them, more or less.
    pub bytes_max: usize,
    /// Events of one key that may wait, without disconnects.
    pub key_events_max: usize,
    /// What happens beyond the first two.
    pub policy: QueuePolicy,
    /// How long an event may wait before it is sent; disconnects wait for as long as it takes.
    pub wait_max: Duration,
    /// Time for a request; with `connect` and `message` also for all that it takes to try it again.
    pub time_limit: Duration,
    /// How often `connect` and `message` are tried again.
    pub retries: u32,
    /// How long a disconnect is tried again.
    pub disconnect_age_max: Duration,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            events_max: 10_000,
            bytes_max: 64 << 20,
            key_events_max: 64,
            policy: QueuePolicy::Refuse,
            wait_max: Duration::from_secs(10),
            time_limit: Duration::from_secs(5),
            retries: 2,
            disconnect_age_max: Duration::from_secs(3_600),
        }
    }
}

/// Events that are given up at one go, while others wait for the queue.
const STEPS_MAX: usize = 64;

/// An event that was taken.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) event: Event,
    /// In the order in which they were posted.
    number: u64,
    bytes: usize,
    posted_at: Instant,
    /// When it was first sent.
    sent_at: Option<Instant>,
    attempts: u32,
    /// Whether an earlier attempt may have done its work.
    is_in_doubt: bool,
}

impl Entry {
    /// What came of it, where the last attempt has come to `failure`: that does not undo an earlier one. A no does, as it is the answer
    /// to all of them.
    pub(super) fn outcome(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Declined { .. } | Failure::Stopped => failure,
            _ if self.is_in_doubt && !failure.is_in_doubt() => Failure::Lost,
            _ => failure,
        }
    }

    fn is_disconnect(&self) -> bool {
        self.event.kind == Kind::Disconnect
    }
}

/// An event that is under way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) entry: Entry,
    /// Time for this attempt.
    pub(super) time_limit: Duration,
    is_probe: bool,
}

/// An event that never was sent, or is not any more: its ticket, and why.
pub(super) type Undelivered = (u64, Failure);

type Key = u64;
type Lane = VecDeque<Entry>;

#[derive(Debug)]
pub(super) struct Queue {
    limits: QueueLimits,
    pub(super) breaker: Breaker,
    lanes: HashMap<Key, Lane>,
    ready: VecDeque<Key>,
    resting: BinaryHeap<Reverse<(Instant, Key)>>,
    held: VecDeque<Key>,
    /// Events that have never been sent, without disconnects, by their numbers.
    fresh: BTreeMap<u64, (Key, Instant)>,
    next_number: u64,
    pub(super) counts: Counts,
    /// To be told to whoever posted them.
    undelivered: Vec<Undelivered>,
    is_stopped: bool,
    /// Of the waits between attempts.
    rng: StdRng,
}

impl Queue {
    pub(super) fn new(
        limits: QueueLimits,
        breaker: BreakerLimits,
        seed: u64,
        now: Instant,
    ) -> Self {
        Self {
            limits,
            breaker: Breaker::new(breaker, now),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            resting: BinaryHeap::new(),
            held: VecDeque::new(),
            fresh: BTreeMap::new(),
            next_number: 0,
            counts: Counts::default(),
            undelivered: Vec::new(),
            is_stopped: false,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Takes an event.
    pub(super) fn push(&mut self, event: Event, now: Instant) -> Result<(), Refused> {
        let bytes = event.bytes();
        let result = self.make_room(&event, bytes, now);
        if let Err(refused) = result {
            self.counts.refused(event.kind, refused);
            return result;
        }
        let (key, number) = (event.key, self.next_number);
        self.next_number += 1;
        self.counts.taken(event.kind, bytes);
        if event.kind != Kind::Disconnect {
            self.fresh.insert(number, (key, now));
        }
        let lane = self.lanes.entry(key).or_insert_with(|| {
            self.ready.push_back(key);
            Lane::new()
        });
        lane.push_back(Entry {
            event,
            number,
            bytes,
            posted_at: now,
            sent_at: None,
            attempts: 0,
            is_in_doubt: false,
        });
        Ok(())
    }

    /// Sees to it that an event has room, where it is welcome at all.
    fn make_room(&mut self, event: &Event, bytes: usize, now: Instant) -> Result<(), Refused> {
        if self.is_stopped {
            return Err(Refused::Stopped);
        }
        let counts = &self.counts;
        if event.kind == Kind::Disconnect {
            let fits = counts.disconnects < DISCONNECTS_MAX
                && counts.disconnect_bytes + bytes <= DISCONNECT_BYTES_MAX;
            return if fits { Ok(()) } else { Err(Refused::Full) };
        }
        if self.breaker.refuses(now) {
            return Err(Refused::Away);
        }
        let of_key = self.lanes.get(&event.key).map_or(0, Lane::len);
        if of_key >= self.limits.key_events_max {
            return Err(Refused::KeyFull);
        }
        if bytes > self.limits.bytes_max {
            return Err(Refused::Full);
        }
        while self.counts.events >= self.limits.events_max
            || self.counts.bytes + bytes > self.limits.bytes_max
        {
            let gives_way = self.limits.policy == QueuePolicy::DropOldest;
            if !gives_way || !self.drop_oldest(Failure::Dropped) {
                return Err(Refused::Full);
            }
        }
        Ok(())
    }

    /// Takes out the event that has waited longest; false where none may be.
    fn drop_oldest(&mut self, why: Failure) -> bool {
        let Some((number, (key, _))) = self.fresh.pop_first() else {
            return false;
        };
        // Its lane may be empty now. It is removed when its turn comes.
        let lane = self.lanes.get_mut(&key).expect("a lane that has events");
        let place = lane.binary_search_by_key(&number, |entry| entry.number);
        let entry = lane.remove(place.expect("a fresh event is in its lane"));
        self.give_up(&entry.expect("it was just found"), why);
        true
    }

    fn give_up(&mut self, entry: &Entry, why: Failure) {
        self.counts.gone(entry.event.kind, entry.bytes);
        self.counts.failed(&why);
        let outcome = entry.outcome(why);
        self.undelivered.push((entry.event.ticket, outcome));
    }

    /// The event that is next, where one can go now. Where none is found and lanes are ready all the same there is more to look
    /// through: whoever posts is not to wait for all of it.
    pub(super) fn take(&mut self, now: Instant) -> Option<Job> {
        for _ in 0..STEPS_MAX {
            let key = self.ready.pop_front()?;
            let lane = self
                .lanes
                .get_mut(&key)
                .expect("lanes that are ready exist");
            let Some(mut entry) = lane.pop_front() else {
                self.lanes.remove(&key);
                continue;
            };
            self.fresh.remove(&entry.number);
            if let Some(why) = self.is_late(&entry, now) {
                self.give_up(&entry, why);
                self.put_back(key);
                continue;
            }
            let admission = self.breaker.admit(now);
            if admission == Admission::Refuse {
                if entry.is_disconnect() {
                    self.unsend(entry);
                    self.held.push_back(key);
                } else {
                    self.give_up(&entry, Failure::Away);
                    self.put_back(key);
                }
                continue;
            }
            let sent_at = *entry.sent_at.get_or_insert(now);
            entry.attempts += 1;
            self.counts.in_flight += 1;
            let time_limit = if entry.is_disconnect() {
                self.limits.time_limit
            } else {
                (sent_at + self.limits.time_limit).saturating_duration_since(now)
            };
            return Some(Job {
                entry,
                time_limit,
                is_probe: admission == Admission::Probe,
            });
        }
        None
    }

    /// Why it is too late for an event, where it is.
    fn is_late(&self, entry: &Entry, now: Instant) -> Option<Failure> {
        let waited = now.saturating_duration_since(entry.posted_at);
        if entry.is_disconnect() {
            return (waited >= self.limits.disconnect_age_max).then_some(Failure::Expired);
        }
        match entry.sent_at {
            None => (waited >= self.limits.wait_max).then_some(Failure::Expired),
            Some(sent_at) => {
                let spent = now.saturating_duration_since(sent_at);
                (spent >= self.limits.time_limit).then_some(Failure::TimedOut)
            }
        }
    }

    /// The event is the first of its lane again.
    fn unsend(&mut self, entry: Entry) {
        let lane = self.lanes.entry(entry.event.key).or_default();
        lane.push_front(entry);
    }

    /// A lane that was out, or whose first event is gone, is ready for the next one, or there is none.
    fn put_back(&mut self, key: Key) {
        if self.lanes.get(&key).is_some_and(|lane| !lane.is_empty()) {
            self.ready.push_back(key);
        } else {
            self.lanes.remove(&key);
        }
    }

    /// An attempt has ended: with a failure that it may be worth to try it again after, or not. Gives the event back where that was
    /// the last one; then it is to be told, and the lane to be [released](Self::release).
    pub(super) fn end(
        &mut self,
        job: Job,
        failure: Option<&Failure>,
        asked: Option<Duration>,
        now: Instant,
    ) -> Option<Entry> {
        self.counts.in_flight -= 1;
        let is_outage = failure.is_some_and(Failure::is_outage);
        self.breaker.record(now, job.is_probe, is_outage);
        if self.breaker.is_closed() {
            self.ready.append(&mut self.held);
        }
        let mut entry = job.entry;
        let again_at = failure.and_then(|failure| self.again_at(&entry, failure, asked, now));
        if let Some(at) = again_at {
            self.counts.retried += 1;
            entry.is_in_doubt |= failure.is_some_and(Failure::is_in_doubt);
            self.resting.push(Reverse((at, entry.event.key)));
            self.unsend(entry);
            return None;
        }
        self.counts.gone(entry.event.kind, entry.bytes);
        match failure {
            Some(failure) => self.counts.failed(failure),
            None => self.counts.answered += 1,
        }
        Some(entry)
    }

    /// The next event of that key may go.
    pub(super) fn release(&mut self, key: Key) {
        self.put_back(key);
    }

    /// When to try an event again, where that is allowed, and could end in time.
    fn again_at(
        &mut self,
        entry: &Entry,
        failure: &Failure,
        asked: Option<Duration>,
        now: Instant,
    ) -> Option<Instant> {
        if self.is_stopped || !retry::is_worth_it(entry.event.kind, failure) {
            return None;
        }
        let at = now + retry::wait(entry.attempts, asked, &mut self.rng);
        let end = if entry.is_disconnect() {
            entry.posted_at + self.limits.disconnect_age_max
        } else if entry.attempts <= self.limits.retries {
            entry.sent_at? + self.limits.time_limit
        } else {
            return None;
        };
        (at < end).then_some(at)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some(Reverse((at, key))) = self.resting.peek()
            && *at <= now
        {
            self.ready.push_back(*key);
            self.resting.pop();
        }
        for _ in 0..STEPS_MAX {
            let oldest = self.fresh.first_key_value();
            if oldest.is_none_or(|(_, (_, posted_at))| *posted_at + self.limits.wait_max > now) {
                break;
            }
            self.drop_oldest(Failure::Expired);
        }
        // One that is to find out, where nobody else comes.
        let is_probe_due = self.breaker.probe_at().is_some_and(|at| at <= now);
        if is_probe_due && self.ready.is_empty() {
            self.ready.extend(self.held.pop_front());
        }
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        let resting = self.resting.peek().map(|Reverse((at, _))| *at);
        let fresh = self.fresh.first_key_value();
        let fresh = fresh.map(|(_, (_, posted_at))| *posted_at + self.limits.wait_max);
        let is_held = !self.held.is_empty() && self.ready.is_empty();
        let probe = self.breaker.probe_at().filter(|_| is_held);
        [resting, fresh, probe].into_iter().flatten().min()
    }

    /// Lanes whose next event can go now.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn has_undelivered(&self) -> bool {
        !self.undelivered.is_empty()
    }

    pub(super) fn take_undelivered(&mut self) -> Vec<Undelivered> {
        std::mem::take(&mut self.undelivered)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Nothing is sent any more: what waits is given up.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
        let lanes = std::mem::take(&mut self.lanes);
        for entry in lanes.into_values().flatten() {
            self.give_up(&entry, Failure::Stopped);
        }
        self.fresh.clear();
        self.ready.clear();
        self.resting.clear();
        self.held.clear();
    }
}

#[cfg(test)]
#[path = "tests/queue.rs"]
mod tests;
