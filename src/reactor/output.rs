//! What a session says during one call: gathered here, written at once afterwards.

use std::io::IoSlice;

use super::queue::{SLICES_MAX, SendQueue};
use crate::buffer::{Pool, Shared};

/// Frames that lie apart in the read buffer are moved together up to this size: one more slice costs the kernel more
/// than the copy.
const COALESCE_BYTES_MAX: usize = 2 * 1024;
/// The cork keeps this much room between calls.
const CORK_BYTES_KEPT_MAX: usize = 256 * 1024;

#[derive(Debug)]
enum Segment {
    /// A range of the buffer that the input lies in.
    Input { from: usize, to: usize },
    /// A range of the cork.
    Cork { from: usize, to: usize },
    /// A buffer of its own, from an offset on.
    Owned { bytes: Vec<u8>, from: usize },
    /// Bytes that others send as well.
    Shared(Shared),
}

/// The replies of one call, in order.
#[derive(Debug, Default)]
pub struct Output {
    cork: Vec<u8>,
    cork_sealed: usize,
    segments: Vec<Segment>,
    segment_bytes: usize,
    backlog: usize,
    congested_bytes: usize,
}

impl Output {
    /// Begins a call for a connection with `backlog` bytes in its send queue, that is congested from `congested_bytes` on.
    pub(super) fn begin(&mut self, backlog: usize, congested_bytes: usize) {
        debug_assert!(self.segments.is_empty() && self.cork.is_empty());
        self.backlog = backlog;
        self.congested_bytes = congested_bytes;
    }

    /// Where small replies are encoded: bytes appended here leave in order with everything else.
    pub fn cork(&mut self) -> &mut Vec<u8> {
        &mut self.cork
    }

    /// Sends `buffer[start..start + len]`, the payload of a message that lies in the input's buffer, with `header` written
    /// in front of it, where the peer's own header was.
    pub fn in_place(&mut self, buffer: &mut [u8], start: usize, len: usize, header: &[u8]) {
        self.seal_cork();
        let (mut from, to) = (start - header.len(), start + len);
        buffer[from..start].copy_from_slice(header);
        self.segment_bytes += to - from;
        if let Some(Segment::Input { to: end, .. }) = self.segments.last_mut()
            && to - from <= COALESCE_BYTES_MAX
        {
            buffer.copy_within(from..to, *end);
            from = *end;
            *end = from + header.len() + len;
            return;
        }
        self.segments.push(Segment::Input { from, to });
    }

    /// Sends `bytes[from..]` and gives the buffer back afterwards.
    pub fn owned(&mut self, bytes: Vec<u8>, from: usize) {
        self.seal_cork();
        self.segment_bytes += bytes.len() - from;
        self.segments.push(Segment::Owned { bytes, from });
    }

    /// Sends bytes that others send as well.
    pub fn shared(&mut self, bytes: &Shared) {
        self.seal_cork();
        self.segment_bytes += bytes.len();
        self.segments.push(Segment::Shared(Shared::clone(bytes)));
    }

    /// Bytes said in this call.
    pub fn bytes(&self) -> usize {
        self.segment_bytes + self.cork.len() - self.cork_sealed
    }

    /// Bytes that waited in the send queue when the call began.
    pub fn backlog(&self) -> usize {
        self.backlog
    }

    /// Whether so much waits that no further input should be answered before it has left.
    pub fn is_congested(&self) -> bool {
        self.backlog + self.bytes() >= self.congested_bytes
    }

    fn seal_cork(&mut self) {
        if self.cork.len() > self.cork_sealed {
            self.segment_bytes += self.cork.len() - self.cork_sealed;
            self.segments.push(Segment::Cork {
                from: self.cork_sealed,
                to: self.cork.len(),
            });
            self.cork_sealed = self.cork.len();
        }
    }

    /// Seals the call; true where there is nothing to write.
    pub(super) fn seal(&mut self) -> bool {
        self.seal_cork();
        self.segments.is_empty()
    }

    /// The bytes of a call that said one thing, which is the usual one.
    #[inline]
    pub(super) fn only<'o>(&'o self, input: &'o [u8]) -> Option<&'o [u8]> {
        match self.segments.as_slice() {
            [Segment::Input { from, to }] => Some(&input[*from..*to]),
            [Segment::Cork { from, to }] => Some(&self.cork[*from..*to]),
            _ => None,
        }
    }

    /// The first slices for one gathering write of `input` and the rest; gives how many, and whether that is all.
    pub(super) fn fill<'o>(
        &'o self,
        input: &'o [u8],
        slices: &mut [IoSlice<'o>; SLICES_MAX],
    ) -> (usize, bool) {
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            *slice = IoSlice::new(match segment {
                Segment::Input { from, to } => &input[*from..*to],
                Segment::Cork { from, to } => &self.cork[*from..*to],
                Segment::Owned { bytes, from } => &bytes[*from..],
                Segment::Shared(bytes) => bytes,
            });
        }
        (
            self.segments.len().min(SLICES_MAX),
            self.segments.len() <= SLICES_MAX,
        )
    }

    /// Moves everything past the first `written` bytes to `queue` and is empty for the next call. Buffers that were written
    /// whole go to `recycle`.
    pub(super) fn spill(
        &mut self,
        mut written: usize,
        input: &[u8],
        queue: &mut SendQueue,
        pool: &mut Pool,
        mut recycle: impl FnMut(Vec<u8>),
    ) {
        for segment in self.segments.drain(..) {
            let len = match &segment {
                Segment::Input { from, to } | Segment::Cork { from, to } => to - from,
                Segment::Owned { bytes, from } => bytes.len() - from,
                Segment::Shared(bytes) => bytes.len(),
            };
            let skip = written.min(len);
            written -= skip;
            match segment {
                Segment::Owned { bytes, .. } if skip == len => recycle(bytes),
                _ if skip == len => {}
                Segment::Input { from, to } => queue.push_copy(&input[from + skip..to], pool),
                Segment::Cork { from, to } => queue.push_copy(&self.cork[from + skip..to], pool),
                Segment::Owned { bytes, from } => queue.push_owned(bytes, from + skip),
                Segment::Shared(bytes) => queue.push_shared(bytes, skip),
            }
        }
        self.reset();
    }

    /// Everything was written, or nobody is left to read it.
    #[inline]
    pub(super) fn discard(&mut self, mut recycle: impl FnMut(Vec<u8>)) {
        while let Some(segment) = self.segments.pop() {
            if let Segment::Owned { bytes, .. } = segment {
                recycle(bytes);
            }
        }
        self.reset();
    }

    fn reset(&mut self) {
        self.cork.clear();
        if self.cork.capacity() > CORK_BYTES_KEPT_MAX {
            self.cork.shrink_to(CORK_BYTES_KEPT_MAX);
        }
        self.cork_sealed = 0;
        self.segment_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(output: &mut Output, input: &[u8]) -> Vec<u8> {
        output.seal();
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let (filled, all) = output.fill(input, &mut slices);
        assert!(all);
        slices[..filled]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect()
    }

    #[test]
    fn everything_leaves_in_the_order_it_was_said() {
        let mut output = Output::default();
        output.begin(0, 100);
        let mut input = *b"hhmmABChhmmDEF....hhmmmmGHI";
        output.cork().extend_from_slice(b"1");
        output.in_place(&mut input, 4, 3, b"x:");
        output.in_place(&mut input, 11, 3, b"y:");
        output.cork().extend_from_slice(b"23");
        output.owned(b"..owned".to_vec(), 2);
        output.in_place(&mut input, 24, 3, b"z:");
        output.shared(&Shared::from(&b"shared"[..]));
        assert_eq!(output.bytes(), 29);
        assert!(!output.is_congested());
        assert_eq!(said(&mut output, &input), b"1x:ABCy:DEF23ownedz:GHIshared");
        for written in 0..=29 {
            let mut queue = SendQueue::default();
            let mut pool = Pool::new(4, 1024);
            let mut again = Output::default();
            let mut input = *b"hhmmABChhmmDEF";
            again.begin(0, 5);
            again.in_place(&mut input, 4, 3, b"x:");
            again.in_place(&mut input, 11, 3, b"y:");
            again.owned(b"..owned".to_vec(), 2);
            again.cork().extend_from_slice(b"end");
            again.shared(&Shared::from(&b"shared"[..]));
            assert!(again.is_congested());
            again.seal();
            let whole = b"x:ABCy:DEFownedendshared";
            let written = written.min(whole.len());
            let mut recycled = 0;
            again.spill(written, &input, &mut queue, &mut pool, |_| recycled += 1);
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let filled = queue.fill(&mut slices);
            let rest: Vec<u8> = slices[..filled]
                .iter()
                .flat_map(|slice| slice.to_vec())
                .collect();
            assert_eq!(rest, whole[written..]);
            assert_eq!(recycled, usize::from(written >= 15));
            assert!(again.seal(), "empty for the next call");
        }
    }

    #[test]
    fn small_neighbours_share_a_slice() {
        let mut output = Output::default();
        output.begin(0, usize::MAX);
        let mut input = vec![0u8; 16 * 10];
        for frame in 0..16 {
            output.in_place(&mut input, frame * 10 + 6, 4, &[0x82, 4]);
        }
        assert_eq!(output.segments.len(), 1);
        assert_eq!(output.bytes(), 16 * 6);
    }
}
