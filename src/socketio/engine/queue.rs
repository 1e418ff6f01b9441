//! Packets that wait until something can carry them: a request, or a WebSocket.

use super::packet::put_base64;
use super::payload::SEPARATOR;

/// In front of each packet are a byte for its kind and so many for its length.
const LEN_BYTES: usize = size_of::<usize>();
const TEXT: u8 = 0;
const BINARY: u8 = 1;

/// A packet as a WebSocket carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The payload of a text message: UTF-8.
    Text(&'a [u8]),
    /// The payload of a binary message.
    Binary(&'a [u8]),
}

/// Packets one behind the other in one buffer, which exists only while there are any.
#[derive(Debug, Default)]
pub(super) struct Queue(Vec<u8>);

impl Queue {
    /// Appends a text packet: its type and its data.
    pub(super) fn push_text(&mut self, kind: u8, data: &[u8]) {
        self.push_head(TEXT, data.len() + 1);
        self.0.push(kind);
        self.0.extend_from_slice(data);
    }

    /// Appends a binary message.
    pub(super) fn push_binary(&mut self, bytes: &[u8]) {
        self.push_head(BINARY, bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn push_head(&mut self, kind: u8, len: usize) {
        self.0.push(kind);
        self.0.extend_from_slice(&len.to_ne_bytes());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that the queue holds, its own included.
    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Takes the first packets, at most `packets_max`.
    pub(super) fn take_some(&mut self, packets_max: usize) -> Frames {
        let mut end = 0;
        for frame in frames(&self.0).take(packets_max) {
            let (Frame::Text(packet) | Frame::Binary(packet)) = frame;
            end += 1 + LEN_BYTES + packet.len();
        }
        if end == self.0.len() {
            return self.take();
        }
        Frames(self.0.drain(..end).collect())
    }

    /// Takes all packets, and leaves the queue without a buffer.
    pub(super) fn take(&mut self) -> Frames {
        Frames(std::mem::take(&mut self.0))
    }
}

/// The packets that lie one behind the other in `rest`.
fn frames(mut rest: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let (&kind, behind) = rest.split_first()?;
        let (&len, behind) = behind.split_first_chunk::<LEN_BYTES>()?;
        let (packet, behind) = behind.split_at(usize::from_ne_bytes(len));
        rest = behind;
        Some(match kind {
            TEXT => Frame::Text(packet),
            _ => Frame::Binary(packet),
        })
    })
}

/// Packets that have left the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frames(Vec<u8>);

impl Frames {
    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Frame<'_>> {
        frames(&self.0)
    }

    /// All of them as one payload.
    pub(super) fn into_payload(self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.0.len());
        for frame in self.iter() {
            if !payload.is_empty() {
                payload.push(SEPARATOR);
            }
            match frame {
                Frame::Text(text) => payload.extend_from_slice(text),
                Frame::Binary(bytes) => put_base64(bytes, &mut payload),
            }
        }
        payload
    }
}
