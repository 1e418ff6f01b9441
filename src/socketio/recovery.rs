//! What a client has seen, so that one that comes back hears the rest: an offset that stands behind each event, and says of every
//! worker that publishes how far its publications have come.
//!
//! A publication is known by who has published it and by a number that this origin gives it. What one origin publishes is
//! processed by a worker in that order, so a number for each origin says exactly what a worker has processed, and what its clients have
//! seen with the event that carries it. No clock is asked but for how long an origin has been silent.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::Moment;
use crate::limits::{RECOVERY_OFFSET_BYTES_MAX, RECOVERY_ORIGINS_MAX};

/// The first byte of every offset.
const VERSION: u8 = 1;
/// Between the data of an event and its offset, and behind it.
const BEFORE: &[u8] = b",\"";
const BEHIND: &[u8] = b"\"]";

/// Who has published something: a worker of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The node.
    pub node: u64,
    /// Its worker.
    pub worker: u16,
}

/// What a publication is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicationId {
    /// Who has published it.
    pub origin: Origin,
    /// Larger than that of everything before it from there, and never 0.
    pub sequence: u64,
}

/// What has been seen: of each origin everything up to a number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(Vec<(Origin, u64)>);

impl Seen {
    /// Whether that publication is among it.
    pub fn has(&self, id: PublicationId) -> bool {
        self.of(id.origin) >= id.sequence
    }

    /// Adds everything of its origin up to that publication.
    pub fn add(&mut self, id: PublicationId) {
        match self
            .0
            .binary_search_by_key(&id.origin, |(origin, _)| *origin)
        {
            Ok(index) => self.0[index].1 = self.0[index].1.max(id.sequence),
            Err(index) => self.0.insert(index, (id.origin, id.sequence)),
        }
    }

    /// Adds what has been seen elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for &(origin, sequence) in &other.0 {
            self.add(PublicationId { origin, sequence });
        }
    }

    /// Leaves out what is of other origins than these.
    pub fn retain(&mut self, is_one: impl Fn(Origin) -> bool) {
        self.0.retain(|(origin, _)| is_one(*origin));
    }

    /// Whether anything of that origin is among it.
    pub fn knows(&self, origin: Origin) -> bool {
        self.of(origin) > 0
    }

    /// Whether all of `other` is among it.
    pub fn covers(&self, other: &Self) -> bool {
        let mut others = other.0.iter();
        others.all(|&(origin, sequence)| self.of(origin) >= sequence)
    }

    fn of(&self, origin: Origin) -> u64 {
        let found = self.0.binary_search_by_key(&origin, |(origin, _)| *origin);
        found.map_or(0, |index| self.0[index].1)
    }
}

/// What stands behind an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offset {
    /// The publication that the event is; `None` where it has no number.
    pub own: Option<PublicationId>,
    /// What a client has seen with it.
    pub seen: Seen,
}

impl Offset {
    /// The text of it; empty, which is none, where there are more than [`RECOVERY_ORIGINS_MAX`] origins.
    pub fn encode(&self) -> String {
        let entries = &self.seen.0;
        if entries.len() > RECOVERY_ORIGINS_MAX {
            return String::new();
        }
        let own = self.own.and_then(|own| {
            let is_own = |entry: &(Origin, u64)| *entry == (own.origin, own.sequence);
            entries.iter().position(is_own)
        });
        let mut bytes = vec![VERSION];
        put_number(own.map_or(0, |index| index as u64 + 1), &mut bytes);
        for workers in entries.chunk_by(|(one, _), (next, _)| one.node == next.node) {
            bytes.extend_from_slice(&workers[0].0.node.to_be_bytes());
            put_number(workers.len() as u64, &mut bytes);
            for (origin, sequence) in workers {
                put_number(u64::from(origin.worker), &mut bytes);
                put_number(*sequence, &mut bytes);
            }
        }
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a text says; `None` where it is not as [`encode`](Self::encode) writes it.
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() > RECOVERY_OFFSET_BYTES_MAX {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (&VERSION, mut rest) = bytes.split_first()? else {
            return None;
        };
        let own = take_number(&mut rest)?;
        let mut entries: Vec<(Origin, u64)> = Vec::new();
        while !rest.is_empty() {
            let (&node, behind) = rest.split_first_chunk()?;
            rest = behind;
            let node = u64::from_be_bytes(node);
            let is_next = entries.last().is_none_or(|(last, _)| last.node < node);
            let count = take_number(&mut rest).filter(|count| *count > 0 && is_next)?;
            for nth in 0..count {
                let worker = u16::try_from(take_number(&mut rest)?).ok()?;
                let sequence = take_number(&mut rest).filter(|sequence| *sequence > 0)?;
                let is_next = nth == 0 || entries.last()?.0.worker < worker;
                if !is_next || entries.len() >= RECOVERY_ORIGINS_MAX {
                    return None;
                }
                entries.push((Origin { node, worker }, sequence));
            }
        }
        let own = match usize::try_from(own).ok()?.checked_sub(1) {
            Some(index) => {
                let &(origin, sequence) = entries.get(index)?;
                Some(PublicationId { origin, sequence })
            }
            None => None,
        };
        let seen = Seen(entries);
        Some(Self { own, seen })
    }

    /// Appends an event with the offset as its last argument. `event` ends as `put_event` ends it.
    pub fn put_behind(offset: &str, event: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(event.strip_suffix(b"]").unwrap_or(event));
        out.extend_from_slice(BEFORE);
        out.extend_from_slice(offset.as_bytes());
        out.extend_from_slice(BEHIND);
    }

    /// The event that an offset was put behind, without it, and the offset.
    pub fn take_off(event: &[u8]) -> Option<(Vec<u8>, Self)> {
        let rest = event.strip_suffix(BEHIND)?;
        let at = memchr::memmem::rfind(rest, BEFORE)?;
        let offset = str::from_utf8(&rest[at + BEFORE.len()..]).ok()?;
        let offset = Self::decode(offset)?;
        let mut event = rest[..at].to_vec();
        event.push(b']');
        Some((event, offset))
    }
}

/// How far a worker has come with what each origin publishes.
#[derive(Debug)]
pub struct Positions {
    /// In order of the origins, each with its last number and when that came.
    entries: Vec<(Origin, u64, Moment)>,
    /// An origin that has been silent for longer is left out: nothing of it is kept any more.
    keep_ms: u32,
}

impl Positions {
    /// A worker that has processed nothing yet, where nothing is kept for longer than `keep_ms`.
    pub fn new(keep_ms: u32) -> Self {
        Self {
            entries: Vec::new(),
            keep_ms,
        }
    }

    /// The publication is processed next.
    pub fn advance(&mut self, id: PublicationId, now: Moment) {
        match self
            .entries
            .binary_search_by_key(&id.origin, |entry| entry.0)
        {
            Ok(index) => {
                let entry = &mut self.entries[index];
                (entry.1, entry.2) = (entry.1.max(id.sequence), now);
            }
            Err(index) => {
                let keep_ms = self.keep_ms;
                self.entries.insert(index, (id.origin, id.sequence, now));
                // Origins come seldom, with nodes: that is when others are looked at.
                self.entries
                    .retain(|(_, _, heard_at)| !heard_at.after(keep_ms).is_reached(now));
            }
        }
    }

    /// The offset of an event that is `own`, or none that has a number.
    pub fn offset(&self, own: Option<PublicationId>, now: Moment) -> Offset {
        let is_kept = |heard_at: Moment| !heard_at.after(self.keep_ms).is_reached(now);
        let entries = self.entries.iter().filter(|entry| is_kept(entry.2));
        let seen = Seen(entries.map(|entry| (entry.0, entry.1)).collect());
        Offset { own, seen }
    }
}

/// Appends a number, seven bits a byte, the least first; the last byte has no eighth bit.
fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off the front, where it is written as briefly as it can be.
fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return (byte != 0 || shift == 0).then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests;
