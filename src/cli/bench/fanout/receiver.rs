//! A connection that receives publications, and compares them with what others got.

use mio::net::TcpStream;

use super::super::failure::{Failure, Result};
use super::super::link::{self, Decoder, Got, Link};
use super::super::message::Content;
use super::super::pattern::READ_BYTES_MAX;
use super::log::Log;
use crate::websocket::codec::Codec;
use crate::websocket::protocol::{Input, MessageKind};

/// What all receivers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) log: Log,
    pub(super) content: Content,
    pub(super) codec: Codec,
    pub(super) buffer: Vec<u8>,
}

/// A receiver.
#[derive(Debug)]
pub(super) struct Receiver {
    stream: TcpStream,
    /// Number of the publication that is due; 0 before the first came.
    pub(super) next: u64,
    /// Offset in the log of the byte that is due.
    at: u64,
    is_decoding: bool,
    /// While it decodes: bytes since the last message, as they came.
    raw: Vec<u8>,
    decoder: Decoder,
    early: Vec<u8>,
    /// Whole frames that are to be sent.
    pub(super) out: Vec<u8>,
}

impl Receiver {
    pub(super) fn new(link: Link) -> Self {
        Self {
            stream: link.stream,
            next: 0,
            at: 0,
            is_decoding: true,
            raw: Vec::new(),
            decoder: link.decoder,
            early: link.early,
            out: Vec::new(),
        }
    }

    /// Takes what came with the handshake and since: its events are over.
    pub(super) fn begin(&mut self, shared: &mut Shared) -> Result<()> {
        let mut early = std::mem::take(&mut self.early);
        self.decode(&mut early, shared)?;
        self.read(shared, true)?;
        self.flush()
    }

    /// From now on publications are compared with the log, which begins with the one that is due.
    pub(super) fn follow(&mut self, log: &Log) {
        self.at = log.start_of(self.next);
        self.is_decoding = false;
        self.raw.clear();
    }

    /// Whether the last message is complete.
    pub(super) fn is_between_messages(&self) -> bool {
        self.decoder.is_between_messages()
    }

    /// Reads what is there; `next` tells what is complete.
    #[inline]
    pub(super) fn read(&mut self, shared: &mut Shared, until_empty: bool) -> Result<()> {
        loop {
            match link::read(&mut self.stream, &mut shared.buffer)? {
                Got::Bytes(read) => {
                    self.take(read, shared)?;
                    if read < READ_BYTES_MAX && !until_empty {
                        return Ok(());
                    }
                }
                Got::Nothing => return Ok(()),
            }
        }
    }

    /// Sends what is to be sent.
    #[inline]
    pub(super) fn flush(&mut self) -> Result<()> {
        if !self.decoder.replies.is_empty() {
            self.out.append(&mut self.decoder.replies);
        }
        link::flush(&mut self.stream, &mut self.out)
    }

    #[inline]
    fn take(&mut self, read: usize, shared: &mut Shared) -> Result<()> {
        if self.is_decoding {
            return self.decode_buffer(0, read, shared);
        }
        let known = shared.log.from(self.at);
        let count = known.len().min(read);
        if shared.buffer[..count] != known[..count] {
            return self.take_other(read, shared);
        }
        self.advance(count, &shared.log);
        if count == read {
            return Ok(());
        }
        self.decode_buffer(count, read, shared)
    }

    /// So many bytes are as the log has them.
    #[inline]
    fn advance(&mut self, count: usize, log: &Log) {
        self.at += count as u64;
        while let Some(end) = log.end_of(self.next)
            && end <= self.at
        {
            self.next += 1;
        }
    }

    /// Bytes that differ from the log: from the last message that does not, they are decoded.
    #[cold]
    fn take_other(&mut self, read: usize, shared: &mut Shared) -> Result<()> {
        let known = shared.log.from(self.at);
        let pairs = shared.buffer[..read].iter().zip(known);
        let equal = pairs.take_while(|(a, b)| a == b).count();
        self.advance(equal, &shared.log);
        let begun = shared.log.start_of(self.next);
        let mut unread = shared.log.from(begun)[..(self.at - begun) as usize].to_vec();
        unread.extend_from_slice(&shared.buffer[equal..read]);
        self.decode(&mut unread, shared)
    }

    #[cold]
    fn decode_buffer(&mut self, start: usize, end: usize, shared: &mut Shared) -> Result<()> {
        let mut buffer = std::mem::take(&mut shared.buffer);
        let decoded = self.decode(&mut buffer[start..end], shared);
        shared.buffer = buffer;
        decoded
    }

    fn decode(&mut self, bytes: &mut [u8], shared: &mut Shared) -> Result<()> {
        let Shared {
            log,
            content,
            codec,
            ..
        } = shared;
        let before = self.raw.len();
        // Decoding may unmask in place, and the log wants the bytes as they came.
        self.raw.extend_from_slice(bytes);
        let mut begun = 0;
        let mut input = Input::new(bytes);
        let accept = |kind: MessageKind, payload: &[u8]| {
            let number = content.stamp_of(kind, payload);
            number.ok_or_else(|| strange(payload))
        };
        while let Some(number) = self.decoder.next(&mut input, codec, accept)? {
            // Who has nothing yet may begin anywhere: it was not subscribed before.
            if self.next != 0 && number != self.next {
                return Err(Failure::run(format!(
                    "publication {number} came where {} was due",
                    self.next
                )));
            }
            let end = before + input.position();
            if !self.decoder.take_mixed() && number == log.next_number() {
                log.push(&self.raw[begun..end]);
            }
            self.next = number + 1;
            begun = end;
        }
        self.raw.drain(..begun);
        self.is_decoding = true;
        if self.decoder.is_between_messages() {
            // Nothing, or a control frame.
            self.raw.clear();
            self.decoder.take_mixed();
            if self.next != 0 && self.next <= log.next_number() {
                self.is_decoding = false;
                self.at = log.start_of(self.next);
            }
        }
        Ok(())
    }
}

#[cold]
fn strange(payload: &[u8]) -> Failure {
    Failure::run(format!(
        "the server sent something else than what was published: {} bytes that begin with {:?}",
        payload.len(),
        String::from_utf8_lossy(&payload[..payload.len().min(40)])
    ))
}
