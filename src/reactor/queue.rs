//! The send queue: what the socket did not take. It exists only while there is something in it.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::time::Tick;
use crate::buffer::{Account, Pool, Shared};

/// Slices handed to one gathering write.
pub(super) const SLICES_MAX: usize = 32;
/// A copied chunk is filled up to this size before another is begun.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Frames that may be dropped and wait: beyond it the older half is. Bounds the search for them.
const LOSSY_FRAMES_MAX: usize = 1_024;

/// Who may drop a frame that waits: the number of a group, and never 0.
pub type Tag = u32;
/// Of frames that nobody may drop.
const NO_TAG: Tag = 0;

/// Which frames of a group go on waiting for a peer that reads too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The newest.
    Newest,
    /// All, up to the soft limit of the send queue or 1,024 frames; beyond it the newer ones.
    Newer,
}

#[derive(Debug)]
enum Chunk {
    Owned {
        bytes: Vec<u8>,
        from: usize,
    },
    Shared {
        bytes: Shared,
        from: usize,
        tag: Tag,
        /// Frames that this one stands for; 0 where it is one itself.
        missed: u32,
    },
}

impl Chunk {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Owned { bytes, from } => &bytes[*from..],
            Self::Shared { bytes, from, .. } => &bytes[*from..],
        }
    }

    fn skip(&mut self, count: usize) {
        let (Self::Owned { from, .. } | Self::Shared { from, .. }) = self;
        *from += count;
    }

    fn is_lossy(&self) -> bool {
        matches!(self, Self::Shared { tag, .. } if *tag != NO_TAG)
    }

    /// Of a frame of that group of which nothing was written: for how many it stands.
    fn whole_of(&self, of: Tag) -> Option<u32> {
        match self {
            Self::Shared {
                from: 0,
                tag,
                missed,
                ..
            } if *tag == of => Some(*missed),
            _ => None,
        }
    }
}

/// Bytes that wait for the socket, in order.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Chunks with a tag.
    lossy: usize,
    /// Bytes of chunks that nobody else has.
    owned: usize,
    /// Of them those that are on the account.
    accounted: usize,
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
        self.owned += bytes.len();
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
        self.owned += bytes.len() - from;
        self.chunks.push_back(Chunk::Owned { bytes, from });
    }

    /// Appends `bytes[from..]`, shared with others.
    pub(super) fn push_shared(&mut self, bytes: Shared, from: usize) {
        self.bytes += bytes.len() - from;
        self.chunks.push_back(Chunk::Shared {
            bytes,
            from,
            tag: NO_TAG,
            missed: 0,
        });
    }

    /// Appends a frame of a group whose older frames may be dropped for it.
    pub(super) fn push_lossy(&mut self, bytes: Shared, tag: Tag) {
        self.bytes += bytes.len();
        self.lossy += 1;
        self.chunks.push_back(Chunk::Shared {
            bytes,
            from: 0,
            tag,
            missed: 0,
        });
    }

    /// Drops the older frames of a group that `keep` does not want to wait, never one that was begun. Where the first of them
    /// stood `gap` takes their place, made for the number of all that are missed there. Gives how many were dropped.
    pub(super) fn thin(
        &mut self,
        tag: Tag,
        keep: Keep,
        soft_bytes_max: usize,
        gap: impl FnOnce(u32) -> Shared,
    ) -> u32 {
        let (goal_bytes, goal_frames) = match keep {
            Keep::Newest => (0, 0),
            Keep::Newer if self.bytes <= soft_bytes_max && self.lossy <= LOSSY_FRAMES_MAX => {
                return 0;
            }
            Keep::Newer => (soft_bytes_max / 2, LOSSY_FRAMES_MAX / 2),
        };
        let is_frame = |chunk: &Chunk| chunk.whole_of(tag) == Some(0);
        let Some(newest) = self.chunks.iter().rposition(is_frame) else {
            return 0;
        };
        if !self.chunks.range(..newest).any(is_frame) {
            return 0;
        }
        let (mut bytes, mut lossy) = (self.bytes, self.lossy);
        let (mut dropped, mut missed, mut place) = (0, 0, None);
        let (mut index, mut kept) = (0, 0);
        self.chunks.retain(|chunk| {
            let stands_for = chunk.whole_of(tag).filter(|_| index < newest);
            index += 1;
            let is_wanted = match stands_for {
                None => true,
                Some(0) => bytes <= goal_bytes && lossy <= goal_frames,
                Some(_) => false,
            };
            if is_wanted {
                kept += 1;
                return true;
            }
            place.get_or_insert(kept);
            bytes -= chunk.as_slice().len();
            lossy -= 1;
            match stands_for {
                Some(0) => dropped += 1,
                earlier => missed += earlier.unwrap_or(0),
            }
            false
        });
        missed += dropped;
        let gap = gap(missed);
        self.bytes = bytes + gap.len();
        self.lossy = lossy + 1;
        let gap = Chunk::Shared {
            bytes: gap,
            from: 0,
            tag,
            missed,
        };
        self.chunks.insert(place.unwrap_or(0), gap);
        dropped
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
            let taken = count.min(len);
            if let Chunk::Owned { .. } = front {
                self.owned -= taken;
            }
            if count < len {
                front.skip(count);
                return;
            }
            count -= len;
            self.lossy -= usize::from(front.is_lossy());
            if let Some(Chunk::Owned { bytes, .. }) = self.chunks.pop_front() {
                pool.give(bytes);
            }
        }
    }

    /// Puts on the account what has come since the last call, and takes from it what has gone. What is shared is on it already.
    pub(super) fn settle(&mut self, account: &Account) {
        if self.owned > self.accounted {
            account.add(self.owned - self.accounted);
        } else if self.owned < self.accounted {
            account.take(self.accounted - self.owned);
        }
        self.accounted = self.owned;
    }

    /// Gives every buffer back.
    pub(super) fn clear(&mut self, pool: &mut Pool, account: &Account) {
        self.consume(self.bytes, pool);
        self.settle(account);
        self.chunks.clear();
        self.lossy = 0;
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
            queue.push_shared(Shared::from(b".jkl".to_vec()), 1);
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
        queue.clear(&mut pool, &Account::default());
        assert!(queue.is_empty() && queue.chunks.is_empty());
    }

    const ROOM: Tag = 7;

    fn gap(missed: u32) -> Shared {
        Shared::from(format!("<{missed}>").into_bytes())
    }

    fn push(queue: &mut SendQueue, frames: &str) {
        for frame in frames.bytes() {
            let tag = if frame.is_ascii_digit() { ROOM } else { 9 };
            match frame {
                b'.' => queue.push_shared(Shared::from(vec![frame; 2]), 0),
                frame => queue.push_lossy(Shared::from(vec![frame; 2]), tag),
            }
        }
    }

    fn thin(queue: &mut SendQueue, keep: Keep, soft_bytes_max: usize) -> (u32, String) {
        let dropped = queue.thin(ROOM, keep, soft_bytes_max, gap);
        let told = contents(queue);
        assert_eq!(told.len(), queue.bytes());
        let tagged = queue.chunks.iter().filter(|chunk| chunk.is_lossy());
        assert_eq!(tagged.count(), queue.lossy);
        (dropped, String::from_utf8(told).expect("text"))
    }

    #[test]
    fn the_newest_waits_and_a_gap_for_the_others_where_they_stood() {
        let mut queue = SendQueue::default();
        let mut pool = Pool::new(1, 64);
        push(&mut queue, "1");
        assert_eq!(thin(&mut queue, Keep::Newest, 0), (0, "11".to_owned()));
        push(&mut queue, ".2a3.");
        let expected = "<2>..aa33..".to_owned();
        assert_eq!(thin(&mut queue, Keep::Newest, 0), (2, expected.clone()));
        assert_eq!(thin(&mut queue, Keep::Newest, 0), (0, expected));
        push(&mut queue, "4");
        let expected = "<3>..aa..44".to_owned();
        assert_eq!(thin(&mut queue, Keep::Newest, 0), (1, expected));
        // A gap that was begun stays, and another one follows it.
        queue.consume(1, &mut pool);
        push(&mut queue, "56");
        let expected = "3>..aa..<2>66".to_owned();
        assert_eq!(thin(&mut queue, Keep::Newest, 0), (2, expected));
        // So does a frame.
        queue.consume(11, &mut pool);
        queue.consume(1, &mut pool);
        assert_eq!(contents(&queue), b"6");
        push(&mut queue, "78");
        assert_eq!(thin(&mut queue, Keep::Newest, 0), (1, "6<1>88".to_owned()));
        queue.clear(&mut pool, &Account::default());
        assert_eq!((queue.bytes(), queue.lossy), (0, 0));
    }

    #[test]
    fn the_older_ones_are_dropped_beyond_the_limit() {
        let mut queue = SendQueue::default();
        push(&mut queue, "1a2.345");
        assert_eq!(thin(&mut queue, Keep::Newer, 14).0, 0);
        push(&mut queue, "6");
        // 16 bytes down to 7, as far as they are this group's.
        let expected = "<5>aa..66".to_owned();
        assert_eq!(thin(&mut queue, Keep::Newer, 15), (5, expected.clone()));
        assert_eq!(
            thin(&mut queue, Keep::Newer, 4),
            (0, expected),
            "the newest waits"
        );
        let mut queue = SendQueue::default();
        push(&mut queue, "12345678");
        assert_eq!(
            thin(&mut queue, Keep::Newer, 15),
            (5, "<5>667788".to_owned())
        );
        let mut queue = SendQueue::default();
        for _ in 0..LOSSY_FRAMES_MAX {
            push(&mut queue, "1");
        }
        assert_eq!(queue.thin(ROOM, Keep::Newer, 1 << 20, gap), 0);
        push(&mut queue, "2");
        let dropped = queue.thin(ROOM, Keep::Newer, 1 << 20, gap) as usize;
        assert_eq!(dropped, LOSSY_FRAMES_MAX / 2 + 1);
    }
}
