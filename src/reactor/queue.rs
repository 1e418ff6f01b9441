//! The send queue: what the socket did not take. It exists only while there is something in it.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::time::Tick;
use crate::buffer::{Pool, Shared};

/// Slices handed to one gathering write.
pub(super) const SLICES_MAX: usize = 32;
/// A copied chunk is filled up to this size before another is begun.
const CHUNK_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
enum Chunk {
    Owned { bytes: Vec<u8>, from: usize },
    Shared { bytes: Shared, from: usize },
}

impl Chunk {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Owned { bytes, from } => &bytes[*from..],
            Self::Shared { bytes, from } => &bytes[*from..],
        }
    }

    fn skip(&mut self, count: usize) {
        let (Self::Owned { from, .. } | Self::Shared { from, .. }) = self;
        *from += count;
    }
}

/// Bytes that wait for the socket, in order.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// When the soft limit, passed and not left since, ends the connection.
    pub(super) soft_until: Option<Tick>,
}

impl SendQueue {
    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Copies `bytes` to the end.
    pub(super) fn push_copy(&mut self, bytes: &[u8], pool: &mut Pool) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        if let Some(Chunk::Owned { bytes: last, .. }) = self.chunks.back_mut()
            && last.len() + bytes.len() <= CHUNK_BYTES_MAX
        {
            last.extend_from_slice(bytes);
            return;
        }
        let mut chunk = pool.take();
        chunk.extend_from_slice(bytes);
        self.chunks.push_back(Chunk::Owned {
            bytes: chunk,
            from: 0,
        });
    }

    /// Appends `bytes[from..]` without a copy.
    pub(super) fn push_owned(&mut self, bytes: Vec<u8>, from: usize) {
        self.bytes += bytes.len() - from;
        self.chunks.push_back(Chunk::Owned { bytes, from });
    }

    /// Appends `bytes[from..]`, shared with others.
    pub(super) fn push_shared(&mut self, bytes: Shared, from: usize) {
        self.bytes += bytes.len() - from;
        self.chunks.push_back(Chunk::Shared { bytes, from });
    }

    /// The front of the queue for one gathering write; gives how many slices were filled.
    pub(super) fn fill<'q>(&'q self, slices: &mut [IoSlice<'q>; SLICES_MAX]) -> usize {
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk.as_slice());
            filled += 1;
        }
        filled
    }

    /// The socket took `count` bytes; emptied buffers go to `pool`.
    pub(super) fn consume(&mut self, mut count: usize, pool: &mut Pool) {
        assert!(count <= self.bytes, "more written than was queued");
        self.bytes -= count;
        while count > 0 {
            let front = self.chunks.front_mut().expect("bytes are counted right");
            let len = front.as_slice().len();
            if count < len {
                front.skip(count);
                return;
            }
            count -= len;
            if let Some(Chunk::Owned { bytes, .. }) = self.chunks.pop_front() {
                pool.give(bytes);
            }
        }
    }

    /// Gives every buffer back.
    pub(super) fn clear(&mut self, pool: &mut Pool) {
        self.consume(self.bytes, pool);
        self.chunks.clear();
        self.soft_until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(queue: &SendQueue) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let filled = queue.fill(&mut slices);
        slices[..filled]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect()
    }

    #[test]
    fn bytes_leave_in_the_order_they_came_whatever_is_taken_at_once() {
        for step in 1..12 {
            let mut pool = Pool::new(8, 1 << 20);
            let mut queue = SendQueue::default();
            queue.push_copy(b"abc", &mut pool);
            queue.push_copy(b"def", &mut pool);
            queue.push_owned(b"..ghi".to_vec(), 2);
            queue.push_shared(Shared::from(&b".jkl"[..]), 1);
            queue.push_copy(b"", &mut pool);
            let mut expected = b"abcdefghijkl".to_vec();
            assert_eq!(queue.bytes(), expected.len());
            while !queue.is_empty() {
                assert_eq!(contents(&queue), expected);
                let count = step.min(expected.len());
                queue.consume(count, &mut pool);
                expected.drain(..count);
            }
            assert!(pool.take().capacity() > 0, "a buffer came back");
        }
    }

    #[test]
    fn small_copies_share_a_chunk_and_large_ones_do_not_grow_it() {
        let mut pool = Pool::new(8, 1 << 20);
        let mut queue = SendQueue::default();
        for _ in 0..1_000 {
            queue.push_copy(&[7; 100], &mut pool);
        }
        assert_eq!(queue.chunks.len(), 2);
        queue.clear(&mut pool);
        assert!(queue.is_empty() && queue.chunks.is_empty());
    }
}
