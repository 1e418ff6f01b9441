//! The bytes of the publications that are under way, as they go to every receiver. Learned from whoever gets them first;
//! what the others get is compared with it.

use std::collections::VecDeque;

/// Bytes of forgotten publications that may stay in front of the others, so that they are not moved each time.
const FORGOTTEN_BYTES_MAX: usize = 1 << 20;

/// Publications in a row. Offsets count from the beginning of the run.
#[derive(Debug, Default)]
pub(super) struct Log {
    bytes: Vec<u8>,
    /// Offset of the first of `bytes`.
    base: u64,
    /// Number of the first publication that is held.
    first: u64,
    /// Offset at which that begins.
    start: u64,
    /// Offsets at which the publications end.
    ends: VecDeque<u64>,
}

impl Log {
    /// An empty log that begins with the publication `first`.
    pub(super) fn beginning_with(first: u64) -> Self {
        Self {
            first,
            ..Self::default()
        }
    }

    /// Number of the publication that is not known yet.
    #[inline]
    pub(super) fn next_number(&self) -> u64 {
        self.first + self.ends.len() as u64
    }

    /// Where the publication `number` ends; `None` where it is not known.
    #[inline]
    pub(super) fn end_of(&self, number: u64) -> Option<u64> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.ends.get(index).copied()
    }

    /// Where the publication `number`, known or the next, begins.
    pub(super) fn start_of(&self, number: u64) -> u64 {
        if number <= self.first {
            return self.start;
        }
        self.end_of(number - 1).unwrap_or(self.end())
    }

    fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// All that is known from `offset` on.
    #[inline]
    pub(super) fn from(&self, offset: u64) -> &[u8] {
        &self.bytes[(offset - self.base) as usize..]
    }

    /// Adds the next publication.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push_back(self.end());
    }

    /// Everybody has what comes before the publication `number`.
    pub(super) fn forget_before(&mut self, number: u64) {
        while self.first < number
            && let Some(end) = self.ends.pop_front()
        {
            self.first += 1;
            self.start = end;
        }
        // Nobody could say how it is written: all had it mixed with pings, for instance.
        self.first = self.first.max(number);
        let forgotten = (self.start - self.base) as usize;
        if forgotten == self.bytes.len() || forgotten > FORGOTTEN_BYTES_MAX {
            self.bytes.drain(..forgotten);
            self.base = self.start;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publications_are_found_by_number_and_offset() {
        let mut log = Log::beginning_with(7);
        assert_eq!((log.next_number(), log.start_of(7)), (7, 0));
        log.push(b"abc");
        log.push(b"de");
        assert_eq!(log.next_number(), 9);
        assert_eq!(
            (log.end_of(7), log.end_of(8), log.end_of(9)),
            (Some(3), Some(5), None)
        );
        assert_eq!((log.start_of(8), log.start_of(9)), (3, 5));
        assert_eq!(log.from(2), b"cde");
        log.forget_before(8);
        assert_eq!((log.start_of(8), log.from(3)), (3, &b"de"[..]));
        log.forget_before(11);
        assert_eq!((log.next_number(), log.start_of(11)), (11, 5));
        log.push(b"f");
        assert_eq!((log.end_of(11), log.from(5)), (Some(6), &b"f"[..]));
    }

    #[test]
    fn what_is_forgotten_takes_no_room_for_long() {
        let mut log = Log::default();
        let publication = vec![0; FORGOTTEN_BYTES_MAX / 4];
        for number in 0..100 {
            log.push(&publication);
            log.push(&publication);
            log.forget_before(2 * number + 1);
            assert!(log.bytes.len() <= 2 * FORGOTTEN_BYTES_MAX);
            log.forget_before(2 * number + 2);
            assert!(log.bytes.is_empty());
        }
    }
}
