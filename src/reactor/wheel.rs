//! The timer wheel: two levels of 256 slots. Setting a timer is one push; a million timers that wait cost nothing.
//!
//! The wheel holds no truth: an entry says when to look at a connection again. The connection's own deadline decides, so a
//! deadline that moves later touches nothing here.

use super::time::Tick;
use crate::id::ConnKey;

const SLOTS: usize = 256;
const SLOT_BITS: u32 = 8;
/// The farthest that the second level reaches; a later entry is looked at then and put in again.
const HORIZON_TICKS: u32 = (SLOTS as u32 - 1) << SLOT_BITS;
/// A slot's room above this is given back once the slot has been emptied.
const SLOT_ENTRIES_KEPT_MAX: usize = 256;

/// When to look at which connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// The connection.
    pub(super) key: ConnKey,
    /// The tick that was asked for.
    pub(super) at: Tick,
}

#[derive(Debug)]
struct Level {
    slots: Vec<Vec<Entry>>,
    occupied: [u64; SLOTS / 64],
}

impl Level {
    fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; SLOTS / 64],
        }
    }

    fn push(&mut self, slot: usize, entry: Entry) {
        self.slots[slot].push(entry);
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    fn take(&mut self, slot: usize) -> Vec<Entry> {
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        std::mem::take(&mut self.slots[slot])
    }

    fn give_back(&mut self, slot: usize, mut emptied: Vec<Entry>) {
        if self.slots[slot].is_empty() && emptied.capacity() <= SLOT_ENTRIES_KEPT_MAX {
            emptied.clear();
            self.slots[slot] = emptied;
        }
    }

    fn is_occupied(&self, slot: usize) -> bool {
        self.occupied[slot / 64] & (1 << (slot % 64)) != 0
    }

    /// Slots from `from` (exclusive, going round) to the first occupied one.
    fn distance(&self, from: usize) -> Option<u32> {
        const WORDS: usize = SLOTS / 64;
        let first = (from + 1) % SLOTS;
        // The word that the search begins in is looked at twice: its upper part first, its lower part last.
        for step in 0..=WORDS {
            let word = (first / 64 + step) % WORDS;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= u64::MAX << (first % 64);
            } else if step == WORDS {
                bits &= !(u64::MAX << (first % 64));
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                return Some(((slot + SLOTS - first) % SLOTS) as u32 + 1);
            }
        }
        None
    }
}

/// The wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    now: Tick,
    near: Level,
    far: Level,
    entries: usize,
}

impl Wheel {
    /// An empty wheel that has seen every tick up to `now`.
    pub(super) fn new(now: Tick) -> Self {
        Self {
            now,
            near: Level::new(),
            far: Level::new(),
            entries: 0,
        }
    }

    /// Asks for a look at `key` at `at`; at the next tick where that has passed.
    pub(super) fn insert(&mut self, key: ConnKey, at: Tick) {
        self.entries += 1;
        self.place(Entry { key, at });
    }

    fn place(&mut self, entry: Entry) {
        let ahead = entry.at.ticks_since(self.now).clamp(1, HORIZON_TICKS);
        let tick = self.now.0.wrapping_add(ahead);
        if ahead < SLOTS as u32 {
            self.near.push(tick as usize % SLOTS, entry);
        } else {
            self.far.push((tick >> SLOT_BITS) as usize % SLOTS, entry);
        }
    }

    /// Moves on to `now` and appends every entry whose time came to `due`, earliest first.
    pub(super) fn advance(&mut self, now: Tick, due: &mut Vec<Entry>) {
        while self.now.ticks_since(now) == 0 && self.now != now {
            if self.entries == 0 {
                self.now = now;
                return;
            }
            self.now = Tick(self.now.0.wrapping_add(1));
            let slot = self.now.0 as usize % SLOTS;
            if slot == 0 {
                self.cascade(due);
            }
            if self.near.is_occupied(slot) {
                let mut entries = self.near.take(slot);
                self.entries -= entries.len();
                due.append(&mut entries);
                self.near.give_back(slot, entries);
            }
        }
    }

    fn cascade(&mut self, due: &mut Vec<Entry>) {
        let slot = (self.now.0 >> SLOT_BITS) as usize % SLOTS;
        if !self.far.is_occupied(slot) {
            return;
        }
        let mut entries = self.far.take(slot);
        for entry in entries.drain(..) {
            if entry.at.is_reached(self.now) {
                self.entries -= 1;
                due.push(entry);
            } else {
                self.place(entry);
            }
        }
        self.far.give_back(slot, entries);
    }

    /// The tick at which `advance` has something to do next.
    pub(super) fn next_due(&self) -> Option<Tick> {
        if self.entries == 0 {
            return None;
        }
        let slot = self.now.0 as usize % SLOTS;
        let near = self.near.distance(slot);
        let far_slot = (self.now.0 >> SLOT_BITS) as usize % SLOTS;
        let far = self
            .far
            .distance(far_slot)
            .map(|slots| (slots << SLOT_BITS) - slot as u32);
        let ahead = match (near, far) {
            (Some(near), Some(far)) => near.min(far),
            (near, far) => near.or(far)?,
        };
        Some(Tick(self.now.0.wrapping_add(ahead)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn key(index: u32) -> ConnKey {
        ConnKey {
            index,
            generation: 0,
        }
    }

    #[test]
    fn an_entry_is_due_at_its_tick_and_not_before() {
        for at in [
            1, 2, 255, 256, 257, 511, 512, 65_279, 65_280, 65_536, 200_000,
        ] {
            for start in [0, 1, 200, 255, 256, u32::MAX - 300] {
                let mut wheel = Wheel::new(Tick(start));
                let target = Tick(start.wrapping_add(at));
                wheel.insert(key(1), target);
                let mut due = Vec::new();
                let mut reached = None;
                for _ in 0..2_000 {
                    let next = wheel.next_due().expect("an entry waits");
                    assert!(
                        next.is_reached(target) || next == target,
                        "{next:?} past {target:?}"
                    );
                    wheel.advance(next, &mut due);
                    if let Some(entry) = due.pop() {
                        reached = Some((next, entry.at));
                        break;
                    }
                }
                assert_eq!(reached, Some((target, target)), "start {start}, ahead {at}");
                assert_eq!(wheel.entries, 0);
            }
        }
    }

    #[test]
    fn what_has_passed_is_due_at_the_next_tick() {
        let mut wheel = Wheel::new(Tick(500));
        wheel.insert(key(1), Tick(10));
        assert_eq!(wheel.next_due(), Some(Tick(501)));
        let mut due = Vec::new();
        wheel.advance(Tick(501), &mut due);
        assert_eq!(due.len(), 1);
    }

    #[test]
    fn random_timers_all_come_in_order_whatever_the_steps() {
        let mut random = StdRng::seed_from_u64(7);
        let mut wheel = Wheel::new(Tick(u32::MAX - 10_000));
        let start = wheel.now;
        let mut expected: Vec<u32> = (0..5_000).map(|_| random.random_range(1..90_000)).collect();
        for (index, ahead) in expected.iter().enumerate() {
            wheel.insert(key(index as u32), Tick(start.0.wrapping_add(*ahead)));
        }
        let mut seen = Vec::new();
        let mut due = Vec::new();
        let mut now = start;
        while wheel.entries > 0 {
            let before = now;
            now = Tick(now.0.wrapping_add(random.random_range(1..700)));
            wheel.advance(now, &mut due);
            for entry in due.drain(..) {
                assert!(entry.at.is_reached(now) && !entry.at.is_reached(before));
                seen.push(entry.at.0.wrapping_sub(start.0));
            }
        }
        expected.sort_unstable();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_million_waiting_timers_cost_no_turn_anything() {
        let mut wheel = Wheel::new(Tick(0));
        for index in 0..1_000_000 {
            wheel.insert(key(index), Tick(50_000 + index % 10_000));
        }
        let mut due = Vec::new();
        // The hands pass 40,000 ticks; only a cascade of slots that are not due would move entries, and there is none.
        wheel.advance(Tick(40_000), &mut due);
        assert!(due.is_empty());
        assert_eq!(wheel.entries, 1_000_000);
        wheel.advance(Tick(60_000), &mut due);
        assert_eq!(due.len(), 1_000_000);
    }
}
