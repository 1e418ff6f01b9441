//! A connection on which messages are echoed: sends from the pattern, and compares what comes back with it.
//!
//! Where the bytes differ (a ping in between, other fragments) the decoder reads on until the input is between two
//! messages; then bytes are compared again. So any conforming server is measured, and most at the price of a comparison.

use std::collections::VecDeque;

use mio::net::TcpStream;

use super::failure::{Failure, Result};
use super::latency::Latency;
use super::link::{self, Decoder, Got, Link};
use super::pattern::{self, Pattern, READ_BYTES_MAX};
use crate::websocket::codec::Codec;
use crate::websocket::protocol::{Input, MessageKind};

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pattern: Pattern,
    pub(super) latency: Latency,
    /// Messages asked for before that are not measured, nanoseconds on the clock.
    pub(super) measured_from: u64,
    /// Bytes that one write sends at most.
    write_bytes_max: usize,
    is_verified: bool,
    codec: Codec,
    buffer: Vec<u8>,
}

impl Shared {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            latency: Latency::new(),
            measured_from: 0,
            write_bytes_max: usize::MAX,
            is_verified: true,
            codec: link::codec(),
            buffer: vec![0; READ_BYTES_MAX],
        }
    }

    pub(super) fn with_write_bytes_max(mut self, bytes: Option<usize>) -> Self {
        self.write_bytes_max = bytes.unwrap_or(usize::MAX);
        self
    }

    /// What comes back is counted by its length and not looked at.
    pub(super) fn unverified(mut self) -> Self {
        self.is_verified = false;
        self
    }
}

/// Messages that were asked for at the same time.
#[derive(Debug, Clone, Copy)]
struct Batch {
    /// Nanoseconds on the clock.
    at: u64,
    count: u64,
}

/// Messages that have not come back, the oldest first. The first batch, mostly the only one, lies within.
#[derive(Debug)]
struct UnderWay {
    first: Batch,
    rest: VecDeque<Batch>,
}

impl UnderWay {
    const NOTHING: Batch = Batch { at: 0, count: 0 };

    fn new() -> Self {
        Self {
            first: Self::NOTHING,
            rest: VecDeque::new(),
        }
    }

    #[inline]
    fn add(&mut self, batch: Batch) {
        if self.first.count == 0 {
            self.first = batch;
        } else {
            self.rest.push_back(batch);
        }
    }

    /// Takes out at most `count` of the oldest messages; none where nothing is under way.
    #[inline]
    fn take(&mut self, count: u64) -> Batch {
        let count = self.first.count.min(count);
        let taken = Batch {
            at: self.first.at,
            count,
        };
        self.first.count -= count;
        if self.first.count == 0 && !self.rest.is_empty() {
            self.first = self.rest.pop_front().unwrap_or(Self::NOTHING);
        }
        taken
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    /// Where in the pattern the next byte to send stands.
    sent_at: usize,
    unsent: usize,
    /// Where in the pattern the next byte to come back stands.
    echoed_at: usize,
    is_decoding: bool,
    under_way: UnderWay,
    decoder: Decoder,
    early: Vec<u8>,
}

impl Client {
    pub(super) fn new(link: Link) -> Self {
        Self {
            stream: link.stream,
            sent_at: 0,
            unsent: 0,
            echoed_at: 0,
            is_decoding: false,
            under_way: UnderWay::new(),
            decoder: link.decoder,
            early: link.early,
        }
    }

    /// Takes what came since the handshake: its events are over.
    pub(super) fn begin(&mut self, shared: &mut Shared) -> Result<()> {
        let early = std::mem::take(&mut self.early);
        for part in early.chunks(READ_BYTES_MAX) {
            shared.buffer[..part.len()].copy_from_slice(part);
            if self.take(part.len(), shared)? > 0 {
                return Err(unasked());
            }
        }
        if self.read(shared, true)? > 0 {
            return Err(unasked());
        }
        self.flush(shared)
    }

    /// Reads what is there; gives how many messages came back. With `until_empty` a short read does not end it: what may
    /// follow is the end of the stream.
    #[inline]
    pub(super) fn read(&mut self, shared: &mut Shared, until_empty: bool) -> Result<u64> {
        let mut messages = 0;
        loop {
            match link::read(&mut self.stream, &mut shared.buffer)? {
                Got::Bytes(read) => {
                    messages += self.take(read, shared)?;
                    if read < READ_BYTES_MAX && !until_empty {
                        return Ok(messages);
                    }
                }
                Got::Nothing => return Ok(messages),
            }
        }
    }

    /// The messages that came back are done with at `now`.
    #[inline]
    pub(super) fn settle(&mut self, messages: u64, now: u64, shared: &mut Shared) -> Result<()> {
        let mut left = messages;
        while left > 0 {
            let batch = self.under_way.take(left);
            if batch.count == 0 {
                return Err(unasked());
            }
            if batch.at >= shared.measured_from {
                let time = now.saturating_sub(batch.at);
                shared.latency.record(time, batch.count);
            }
            left -= batch.count;
        }
        Ok(())
    }

    /// Puts messages on their way, asked for at `at`. To be followed by `flush`.
    #[inline]
    pub(super) fn ask(&mut self, count: u64, at: u64, shared: &Shared) {
        self.unsent += count as usize * shared.pattern.sent_period;
        self.under_way.add(Batch { at, count });
    }

    /// Sends as much as the socket takes.
    #[inline]
    pub(super) fn flush(&mut self, shared: &Shared) -> Result<()> {
        let Pattern {
            sent, sent_period, ..
        } = &shared.pattern;
        loop {
            // A pong goes between two messages.
            let is_between = self.sent_at == 0;
            let has_replies = !self.decoder.replies.is_empty();
            if has_replies && is_between {
                link::flush(&mut self.stream, &mut self.decoder.replies)?;
                if !self.decoder.replies.is_empty() {
                    return Ok(());
                }
            }
            let wanted = if has_replies && !is_between {
                sent_period - self.sent_at
            } else {
                self.unsent.min(shared.write_bytes_max)
            };
            if wanted == 0 {
                return Ok(());
            }
            let end = sent.len().min(self.sent_at + wanted);
            let offered = end - self.sent_at;
            let written = link::write(&mut self.stream, &sent[self.sent_at..end])?;
            self.unsent -= written;
            self.sent_at += written;
            if self.sent_at >= *sent_period {
                self.sent_at %= sent_period;
            }
            if written < offered || !self.has_unsent() {
                return Ok(());
            }
        }
    }

    /// Whether there is something to send.
    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        self.unsent > 0 || !self.decoder.replies.is_empty()
    }

    /// When the oldest message that has not come back was asked for.
    pub(super) fn owed_since(&self) -> Option<u64> {
        (self.under_way.first.count > 0).then_some(self.under_way.first.at)
    }

    /// Takes the first `read` bytes of the buffer; gives how many messages they complete.
    #[inline]
    fn take(&mut self, read: usize, shared: &mut Shared) -> Result<u64> {
        if self.is_decoding {
            return self.decode(read, shared);
        }
        let (at, end) = (self.echoed_at, self.echoed_at + read);
        let pattern = &shared.pattern;
        if shared.is_verified && shared.buffer[..read] != pattern.echoed[at..end] {
            return self.take_other(read, shared);
        }
        if end == pattern.echoed_period {
            // One message, as at depth 1: no division.
            self.echoed_at = 0;
            return Ok(1);
        }
        self.echoed_at = end % pattern.echoed_period;
        Ok((end / pattern.echoed_period) as u64)
    }

    /// Bytes that differ from the pattern: from the last message that does not, they are decoded.
    #[cold]
    fn take_other(&mut self, read: usize, shared: &mut Shared) -> Result<u64> {
        let (at, period) = (self.echoed_at, shared.pattern.echoed_period);
        let pairs = shared.buffer[..read]
            .iter()
            .zip(&shared.pattern.echoed[at..]);
        let equal = pairs.take_while(|(a, b)| a == b).count();
        let whole = (at + equal) / period;
        let begun = (at + equal) % period;
        self.echoed_at = 0;
        self.is_decoding = true;
        let mut unread = shared.pattern.echoed[..begun].to_vec();
        unread.extend_from_slice(&shared.buffer[equal..read]);
        let Shared { pattern, codec, .. } = shared;
        let decoded = decode(&mut self.decoder, &mut unread, pattern, codec)?;
        self.is_decoding = !self.decoder.is_between_messages();
        Ok(whole as u64 + decoded)
    }

    #[cold]
    fn decode(&mut self, read: usize, shared: &mut Shared) -> Result<u64> {
        let bytes = &mut shared.buffer[..read];
        let messages = decode(&mut self.decoder, bytes, &shared.pattern, &mut shared.codec)?;
        self.is_decoding = !self.decoder.is_between_messages();
        Ok(messages)
    }
}

fn decode(
    decoder: &mut Decoder,
    bytes: &mut [u8],
    pattern: &Pattern,
    codec: &mut Codec,
) -> Result<u64> {
    let mut input = Input::new(bytes);
    let accept =
        |kind: MessageKind, payload: &[u8]| pattern::check(&pattern.content, kind, payload);
    let mut messages = 0;
    while decoder.next(&mut input, codec, accept)?.is_some() {
        messages += 1;
    }
    Ok(messages)
}

#[cold]
fn unasked() -> Failure {
    Failure::run("the server sent a message that nobody asked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_comes_back_in_order() {
        let mut under_way = UnderWay::new();
        let taken = |under_way: &mut UnderWay, count| {
            let batch = under_way.take(count);
            (batch.at, batch.count)
        };
        assert_eq!(taken(&mut under_way, 1).1, 0);
        for at in 1..=3 {
            under_way.add(Batch { at, count: 2 });
        }
        assert_eq!(taken(&mut under_way, 1), (1, 1));
        assert_eq!(taken(&mut under_way, 9), (1, 1));
        assert_eq!(taken(&mut under_way, 9), (2, 2));
        under_way.add(Batch { at: 4, count: 1 });
        assert_eq!(taken(&mut under_way, 2), (3, 2));
        assert_eq!(taken(&mut under_way, 2), (4, 1));
        assert_eq!(taken(&mut under_way, 2).1, 0);
    }
}
