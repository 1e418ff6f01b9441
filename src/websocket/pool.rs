//! What unfinished messages borrow and give back: assembly buffers and the states of unfinished frames.
//!
//! Bounded in number and in bytes. Nothing here knows a protocol rule.

use super::assembler::Partial;
use crate::limits::{
    ASSEMBLY_GROWTH_FACTOR_MAX, ASSEMBLY_LARGE_POOLED_BYTES_MAX, ASSEMBLY_LARGE_POOLED_MAX,
    ASSEMBLY_SMALL_BYTES, ASSEMBLY_SMALL_POOLED_MAX, PARTIALS_POOLED_MAX,
};

/// Unused buffers and states. A buffer's length is how much of it is initialised; what stands in it is of no account.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    large_bytes: usize,
    #[expect(
        clippy::vec_box,
        reason = "the boxes themselves are handed out and come back"
    )]
    partials: Vec<Box<Partial>>,
}

impl Pool {
    /// A buffer of at least `wanted` bytes. Kept ones may be larger, `ideal` best of all, but not out of proportion to
    /// `arrived`, so that a peer who sends little cannot hold much.
    pub(crate) fn buffer(&mut self, wanted: usize, ideal: usize, arrived: usize) -> Vec<u8> {
        if wanted <= ASSEMBLY_SMALL_BYTES && ideal <= ASSEMBLY_SMALL_BYTES {
            return self
                .small
                .pop()
                .unwrap_or_else(|| vec![0; ASSEMBLY_SMALL_BYTES]);
        }
        let most = wanted.max(arrived.saturating_mul(ASSEMBLY_GROWTH_FACTOR_MAX));
        let found = self
            .smallest_within(ideal, most)
            .or_else(|| self.smallest_within(wanted, most));
        if let Some(index) = found {
            let buffer = self.large.swap_remove(index);
            self.large_bytes -= buffer.capacity();
            return buffer;
        }
        if wanted <= ASSEMBLY_SMALL_BYTES {
            return self
                .small
                .pop()
                .unwrap_or_else(|| vec![0; ASSEMBLY_SMALL_BYTES]);
        }
        vec![0; wanted]
    }

    /// Takes a buffer back, or frees it where enough are kept.
    pub(crate) fn give_buffer(&mut self, buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity < ASSEMBLY_SMALL_BYTES {
            return;
        }
        if capacity == ASSEMBLY_SMALL_BYTES {
            if self.small.len() < ASSEMBLY_SMALL_POOLED_MAX {
                self.small.push(buffer);
            }
        } else {
            self.keep_large(buffer);
        }
    }

    /// Keeps a large buffer, in the place of the smallest one where there are enough: what costs most to make is kept.
    fn keep_large(&mut self, buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if self.large.len() == ASSEMBLY_LARGE_POOLED_MAX {
            let smallest = self.smallest_within(0, capacity - 1);
            let Some(index) = smallest else {
                return;
            };
            let freed = self.large.swap_remove(index);
            self.large_bytes -= freed.capacity();
        }
        if self.large_bytes + capacity <= ASSEMBLY_LARGE_POOLED_BYTES_MAX {
            self.large_bytes += capacity;
            self.large.push(buffer);
        }
    }

    /// A state in which nothing has begun.
    pub(crate) fn partial(&mut self) -> Box<Partial> {
        self.partials.pop().unwrap_or_default()
    }

    /// Takes a state back, and the buffer that it may hold.
    pub(crate) fn give_partial(&mut self, mut partial: Box<Partial>) {
        partial.message.assembly.release(self);
        if self.partials.len() < PARTIALS_POOLED_MAX {
            *partial = Partial::default();
            self.partials.push(partial);
        }
    }

    /// Frees everything that is not in use.
    pub(crate) fn trim(&mut self) {
        *self = Self::default();
    }

    /// Bytes of the buffers that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.small.len() * ASSEMBLY_SMALL_BYTES + self.large_bytes
    }

    fn smallest_within(&self, least: usize, most: usize) -> Option<usize> {
        self.large
            .iter()
            .enumerate()
            .filter(|(_, buffer)| (least..=most).contains(&buffer.capacity()))
            .min_by_key(|(_, buffer)| buffer.capacity())
            .map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_bounded_in_number_and_in_bytes() {
        let mut pool = Pool::default();
        for _ in 0..2 * ASSEMBLY_SMALL_POOLED_MAX {
            pool.give_buffer(vec![0; ASSEMBLY_SMALL_BYTES]);
        }
        assert_eq!(pool.small.len(), ASSEMBLY_SMALL_POOLED_MAX);
        for _ in 0..2 * ASSEMBLY_LARGE_POOLED_MAX {
            pool.give_buffer(vec![0; ASSEMBLY_SMALL_BYTES + 1]);
        }
        assert_eq!(pool.large.len(), ASSEMBLY_LARGE_POOLED_MAX);
        pool.trim();
        pool.give_buffer(vec![0; ASSEMBLY_LARGE_POOLED_BYTES_MAX + 1]);
        assert_eq!(pool.bytes(), 0);
        for _ in 0..10 {
            pool.give_buffer(vec![0; ASSEMBLY_LARGE_POOLED_BYTES_MAX / 4]);
        }
        assert_eq!(pool.bytes(), ASSEMBLY_LARGE_POOLED_BYTES_MAX);
        for _ in 0..2 * PARTIALS_POOLED_MAX {
            pool.give_partial(Box::default());
        }
        assert_eq!(pool.partials.len(), PARTIALS_POOLED_MAX);
    }

    #[test]
    fn of_many_buffers_the_largest_are_kept() {
        let mut pool = Pool::default();
        let first = 10_000;
        for n in 0..2 * ASSEMBLY_LARGE_POOLED_MAX {
            pool.give_buffer(vec![0; first + n]);
        }
        pool.give_buffer(vec![0; first]);
        assert_eq!(pool.large.len(), ASSEMBLY_LARGE_POOLED_MAX);
        let capacities = pool.large.iter().map(Vec::capacity);
        assert_eq!(capacities.min(), Some(first + ASSEMBLY_LARGE_POOLED_MAX));
        let bytes: usize = pool.large.iter().map(Vec::capacity).sum();
        assert_eq!(pool.large_bytes, bytes);
    }

    #[test]
    fn a_large_buffer_is_not_lent_to_who_sent_little() {
        let mut pool = Pool::default();
        pool.give_buffer(vec![0; 1 << 20]);
        assert_eq!(
            pool.buffer(100, 1 << 20, 100).capacity(),
            ASSEMBLY_SMALL_BYTES
        );
        assert_eq!(pool.buffer(10_000, 1 << 20, 10_000).capacity(), 10_000);
        assert_eq!(pool.buffer(1 << 17, 1 << 20, 1 << 17).capacity(), 1 << 20);
    }

    #[test]
    fn the_ideal_size_is_preferred_and_otherwise_the_smallest_that_does() {
        let mut pool = Pool::default();
        for capacity in [100_000, 20_000, 40_000] {
            pool.give_buffer(vec![0; capacity]);
        }
        assert_eq!(pool.buffer(15_000, 30_000, 15_000).capacity(), 40_000);
        assert_eq!(pool.buffer(15_000, 300_000, 15_000).capacity(), 20_000);
        assert_eq!(pool.large_bytes, 100_000);
    }
}
