//! What a session says during one call: gathered here, written at once afterwards.

use std::io::IoSlice;

use super::queue::{SLICES_MAX, SendQueue};
use crate::buffer::{Pool, Shared};

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

/// The replies of one call, in order: the segments, then what was said last, which is a run of the input or the end of the
/// cork. A call that says one thing has no segment.
#[derive(Debug, Default)]
pub struct Output {
    segments: Vec<Segment>,
    segment_bytes: usize,
    /// Where in the input's buffer the replies that lie there begin and end.
    run_from: usize,
    run_to: usize,
    cork: Vec<u8>,
    cork_sealed: usize,
    backlog: usize,
    congested_bytes: usize,
}

impl Output {
    /// Begins a call for a connection with `backlog` bytes in its send queue, that is congested from `congested_bytes` on.
    #[inline]
    pub(super) fn begin(&mut self, backlog: usize, congested_bytes: usize) {
        debug_assert!(self.bytes() == 0 && self.segments.is_empty());
        self.backlog = backlog;
        self.congested_bytes = congested_bytes;
    }

    /// Where small replies are encoded: bytes appended here leave in order with everything else.
    pub fn cork(&mut self) -> &mut Vec<u8> {
        self.seal_run();
        &mut self.cork
    }

    /// Sends the bytes of the input's buffer from `from` to `to`, from where they lie.
    #[inline]
    pub fn in_place(&mut self, from: usize, to: usize) {
        if self.run_to != from || self.run_from == self.run_to {
            self.begin_run(from);
        }
        self.run_to = to;
    }

    #[inline]
    fn begin_run(&mut self, from: usize) {
        self.seal();
        self.run_from = from;
    }

    /// Sends `bytes[from..]` and gives the buffer back afterwards.
    pub fn owned(&mut self, bytes: Vec<u8>, from: usize) {
        self.seal();
        self.segment_bytes += bytes.len() - from;
        self.segments.push(Segment::Owned { bytes, from });
    }

    /// Sends bytes that others send as well.
    pub fn shared(&mut self, bytes: &Shared) {
        self.seal();
        self.segment_bytes += bytes.len();
        self.segments.push(Segment::Shared(Shared::clone(bytes)));
    }

    /// Bytes said in this call.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.segment_bytes + (self.run_to - self.run_from) + (self.cork.len() - self.cork_sealed)
    }

    /// Bytes that waited in the send queue when the call began.
    pub fn backlog(&self) -> usize {
        self.backlog
    }

    /// Whether so much waits that no further input should be answered before it has left.
    pub fn is_congested(&self) -> bool {
        self.backlog + self.bytes() >= self.congested_bytes
    }

    /// Makes a segment of what was said last.
    #[inline]
    pub(super) fn seal(&mut self) {
        self.seal_run();
        if self.cork.len() > self.cork_sealed {
            self.segment_bytes += self.cork.len() - self.cork_sealed;
            self.segments.push(Segment::Cork {
                from: self.cork_sealed,
                to: self.cork.len(),
            });
            self.cork_sealed = self.cork.len();
        }
    }

    #[inline]
    fn seal_run(&mut self) {
        let (from, to) = (self.run_from, self.run_to);
        if from < to {
            self.segment_bytes += to - from;
            self.segments.push(Segment::Input { from, to });
            self.run_from = to;
        }
    }

    /// The bytes of a call that said one thing, which is the usual one, or nothing.
    #[inline]
    pub(super) fn only<'o>(&'o self, input: &'o [u8]) -> Option<&'o [u8]> {
        if !self.segments.is_empty() {
            return None;
        }
        Some(if self.run_from < self.run_to {
            &input[self.run_from..self.run_to]
        } else {
            &self.cork
        })
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
    /// whole go to `recycle`. To be called when it is sealed.
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
        self.seal();
        while let Some(segment) = self.segments.pop() {
            if let Segment::Owned { bytes, .. } = segment {
                recycle(bytes);
            }
        }
        self.reset();
    }

    /// What [`only`](Self::only) gave was written.
    #[inline]
    pub(super) fn written(&mut self) {
        self.run_from = self.run_to;
        if !self.cork.is_empty() {
            self.reset();
        }
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
        input[2..7].copy_from_slice(b"x:ABC");
        output.in_place(2, 7);
        input[9..14].copy_from_slice(b"y:DEF");
        output.in_place(9, 14);
        output.cork().extend_from_slice(b"23");
        output.owned(b"..owned".to_vec(), 2);
        input[22..27].copy_from_slice(b"z:GHI");
        output.in_place(22, 24);
        output.in_place(24, 27);
        output.shared(&Shared::from(b"shared".to_vec()));
        assert_eq!(output.bytes(), 29);
        assert!(!output.is_congested());
        assert_eq!(said(&mut output, &input), b"1x:ABCy:DEF23ownedz:GHIshared");
        for written in 0..=29 {
            let mut queue = SendQueue::default();
            let mut pool = Pool::new(4, 1024);
            let mut again = Output::default();
            let input = *b"hhx:ABChhy:DEF";
            again.begin(0, 5);
            again.in_place(2, 7);
            again.in_place(9, 14);
            again.owned(b"..owned".to_vec(), 2);
            again.cork().extend_from_slice(b"end");
            again.shared(&Shared::from(b"shared".to_vec()));
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
            assert_eq!(
                again.only(&input),
                Some(&b""[..]),
                "empty for the next call"
            );
        }
    }

    #[test]
    fn neighbours_in_the_input_are_one_slice() {
        let mut output = Output::default();
        output.begin(0, usize::MAX);
        for frame in 1..17 {
            output.in_place(frame * 10, frame * 10 + 10);
        }
        let input = [7; 200];
        assert_eq!(output.only(&input), Some(&input[10..170]));
        output.written();
        assert_eq!(output.bytes(), 0);
        output.cork().push(1);
        assert_eq!(output.only(&input), Some(&[1][..]));
        output.in_place(170, 171);
        assert_eq!(output.only(&input), None, "two things were said");
        assert_eq!(output.bytes(), 2);
    }
}
