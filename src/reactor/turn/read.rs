//! The reading half of a turn: bytes to the session, until the socket is drained, the budget is spent, or replies pile up.

use std::io;

use super::Turn;
use crate::reactor::connection::{Connection, Stage, Unread};
use crate::reactor::session::{CloseReason, Session};
use crate::reactor::transport::{Received, Transport};
use crate::websocket::protocol::Input;

impl<S: Session, T: Transport> Turn<'_, S, T> {
    /// Reads and feeds the session until the socket is drained, the turn's budget is spent, or replies pile up.
    pub(super) fn read(&mut self, read_buffer: &mut [u8]) {
        let mut budget = self.tools.limits.turn_bytes_max;
        loop {
            if self.connection.is_paused && self.connection.stage == Stage::Open {
                return;
            }
            if let Some(mut unread) = self.connection.unread.take() {
                let left = self.feed(&mut unread.bytes);
                if self.connection.stage != Stage::Open || left == 0 {
                    self.tools.pool.give(unread.bytes);
                } else {
                    let consumed = unread.bytes.len() - left;
                    unread.bytes.drain(..consumed);
                    self.connection.unread = Some(unread);
                    return;
                }
            }
            if self.connection.stage != Stage::Open {
                return self.drop_input(read_buffer);
            }
            if !self.connection.readiness.is_readable()
                || self.connection.backlog() >= self.tools.limits.congested_bytes
            {
                return;
            }
            if budget == 0 {
                return self.requeue();
            }
            let (bytes, drained) = match self.receive_directly() {
                Some(Some(received)) => {
                    self.call_and_settle(|session, cx| session.on_space_filled(received.0, cx));
                    received
                }
                Some(None) => return,
                None => {
                    let Some((bytes, drained)) = self.receive(read_buffer) else {
                        return;
                    };
                    if !self.feed_or_keep(&mut read_buffer[..bytes]) {
                        return;
                    }
                    (bytes, drained)
                }
            };
            budget = budget.saturating_sub(bytes);
            if drained && self.connection.stage == Stage::Open {
                return;
            }
        }
    }

    /// Feeds the session and keeps what it leaves; whether it left nothing, or will never come back to it.
    #[inline]
    fn feed_or_keep(&mut self, received: &mut [u8]) -> bool {
        let left = self.feed(received);
        if left == 0 || self.connection.stage != Stage::Open {
            return true;
        }
        self.keep(received, left)
    }

    /// Keeps the last `left` bytes of what was received.
    #[cold]
    fn keep(&mut self, received: &[u8], left: usize) -> bool {
        let mut kept = self.tools.pool.take();
        kept.extend_from_slice(&received[received.len() - left..]);
        self.connection.unread = Some(Box::new(Unread { bytes: kept }));
        false
    }

    /// One read into `buffer`; `None` where there is nothing to feed: drained, ended, or broken.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<(usize, bool)> {
        let result = read_once(&mut self.connection.transport, buffer);
        self.note(result)
    }

    /// One read to where the session wants it; `None` where it wants nothing but the usual.
    fn receive_directly(&mut self) -> Option<Option<(usize, bool)>> {
        let Connection {
            transport, session, ..
        } = &mut *self.connection;
        let space = session.read_space(self.shard)?;
        let len = space.len().min(self.tools.limits.read_bytes_max);
        let result = read_once(transport, &mut space[..len]);
        Some(self.note(result))
    }

    /// What a read says of the connection: how many bytes it gave, and whether the socket is drained.
    #[inline(always)]
    fn note(&mut self, result: io::Result<Received>) -> Option<(usize, bool)> {
        match result {
            Ok(received) if received.bytes > 0 => {
                self.connection.last_activity = self.tools.now;
                self.tools.meters.received_bytes.add(received.bytes as u64);
                // A short read is a drained socket, unless the end is known to stand behind it.
                let drained = received.drained && !self.connection.readiness.has_peer_ended();
                if drained {
                    self.connection.readiness.read_drained();
                }
                Some((received.bytes, drained))
            }
            nothing => {
                self.note_nothing(nothing.map(drop));
                None
            }
        }
    }

    /// A read gave no byte.
    #[cold]
    fn note_nothing(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => {
                self.connection.readiness.read_drained();
                self.connection.is_read_ended = true;
                self.peer_ended();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.connection.readiness.read_drained();
            }
            Err(_) => self.abort(CloseReason::RESET),
        }
    }

    fn peer_ended(&mut self) {
        match self.connection.stage {
            Stage::Open => self.call_and_settle(Session::on_end),
            Stage::Lingering => self.die(),
            Stage::Closing | Stage::Dead => {}
        }
    }

    /// Lets the session consume `bytes` as far as its replies can leave; gives how many it left.
    #[inline]
    fn feed(&mut self, bytes: &mut [u8]) -> usize {
        let mut input = Input::new(bytes);
        loop {
            let before = input.position();
            self.call(|session, cx| session.on_input(&mut input, cx));
            self.settle(input.buffer());
            let moved = input.position() > before;
            if input.is_empty()
                || !moved
                || self.connection.is_paused
                || self.connection.stage != Stage::Open
                || self.connection.backlog() >= self.tools.limits.congested_bytes
            {
                return input.remaining().len();
            }
        }
    }

    /// Reads and drops, so that the peer sees an end and no reset.
    pub(super) fn drop_input(&mut self, buffer: &mut [u8]) {
        let mut budget = self.tools.limits.turn_bytes_max;
        while self.connection.readiness.is_readable() && !self.connection.is_read_ended {
            if budget == 0 {
                return self.requeue();
            }
            match self.receive(buffer) {
                Some((bytes, _)) => budget = budget.saturating_sub(bytes),
                None => return,
            }
        }
    }

    pub(in crate::reactor) fn requeue(&mut self) {
        if !self.connection.is_waiting {
            self.connection.is_waiting = true;
            self.tools.waiting.push_back(self.key);
        }
    }
}

/// Reads, again where a signal interrupted it.
#[inline(always)]
fn read_once(transport: &mut impl Transport, buffer: &mut [u8]) -> io::Result<Received> {
    loop {
        match transport.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
