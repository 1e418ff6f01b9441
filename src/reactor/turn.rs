//! What happens to one connection when it is its turn: read, let the session answer, write, end.

use std::io::{self, IoSlice};

use slab::Slab;

use super::connection::{Connection, Stage, Unread};
use super::engine::Tools;
use super::queue::SLICES_MAX;
use super::session::{CloseReason, Context, Control, Session};
use super::time::Tick;
use super::transport::{Received, Transport};
use crate::buffer::Shared;
use crate::id::ConnKey;
use crate::websocket::protocol::Input;

/// One connection and everything it may touch.
pub(super) struct Turn<'e, S: Session, T> {
    pub(super) connection: &'e mut Connection<S, T>,
    shard: &'e mut S::Shard,
    tools: &'e mut Tools,
    key: ConnKey,
}

impl<'e, S: Session, T: Transport> Turn<'e, S, T> {
    /// The turn of `key`; `None` where the key is stale.
    #[inline]
    pub(super) fn at(
        connections: &'e mut Slab<Connection<S, T>>,
        shard: &'e mut S::Shard,
        tools: &'e mut Tools,
        key: ConnKey,
    ) -> Option<Self> {
        let connection = connections.get_mut(key.index as usize)?;
        if connection.generation != key.generation || connection.stage == Stage::Dead {
            return None;
        }
        Some(Self {
            connection,
            shard,
            tools,
            key,
        })
    }

    /// Writes what waits, then reads what is there.
    pub(super) fn drive(&mut self, read_buffer: &mut [u8]) {
        if self.connection.readiness.is_writable() {
            self.write_on();
        }
        match self.connection.stage {
            Stage::Open => self.read(read_buffer),
            Stage::Closing | Stage::Lingering => self.drop_input(read_buffer),
            Stage::Dead => {}
        }
    }

    /// The socket takes bytes again.
    fn write_on(&mut self) {
        if self.connection.queue.is_some() {
            self.flush_queue();
            if self.connection.queue.is_none() && self.connection.stage == Stage::Open {
                self.call_and_settle(Session::on_drained);
            }
        } else if self.connection.transport.flush().is_err() {
            self.abort(CloseReason::RESET);
        }
        if self.connection.stage == Stage::Closing {
            self.finish_writing();
        }
    }

    /// Reads and feeds the session until the socket is drained, the turn's budget is spent, or replies pile up.
    fn read(&mut self, read_buffer: &mut [u8]) {
        let mut budget = self.tools.limits.turn_bytes_max;
        loop {
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
    fn feed_or_keep(&mut self, received: &mut [u8]) -> bool {
        let left = self.feed(received);
        if left == 0 || self.connection.stage != Stage::Open {
            return true;
        }
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
        let result = read_once(transport, space);
        Some(self.note(result))
    }

    /// What a read says of the connection: how many bytes it gave, and whether the socket is drained.
    fn note(&mut self, result: io::Result<Received>) -> Option<(usize, bool)> {
        match result {
            Ok(received) if received.bytes == 0 => {
                self.connection.readiness.read_drained();
                self.connection.is_read_ended = true;
                self.peer_ended();
                None
            }
            Ok(received) => {
                self.connection.last_activity = self.tools.now;
                // A short read is a drained socket, unless the end is known to stand behind it.
                let drained = received.drained && !self.connection.readiness.has_peer_ended();
                if drained {
                    self.connection.readiness.read_drained();
                }
                Some((received.bytes, drained))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.connection.readiness.read_drained();
                None
            }
            Err(_) => {
                self.abort(CloseReason::RESET);
                None
            }
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
    fn feed(&mut self, bytes: &mut [u8]) -> usize {
        let mut input = Input::new(bytes);
        loop {
            let before = input.position();
            let control = self.call(|session, cx| session.on_input(&mut input, cx));
            self.settle(control, input.buffer());
            let moved = input.position() > before;
            if input.is_empty()
                || !moved
                || self.connection.stage != Stage::Open
                || self.connection.backlog() >= self.tools.limits.congested_bytes
            {
                return input.remaining().len();
            }
        }
    }

    /// Reads and drops, so that the peer sees an end and no reset.
    fn drop_input(&mut self, buffer: &mut [u8]) {
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

    fn requeue(&mut self) {
        if !self.connection.is_queued {
            self.connection.is_queued = true;
            self.tools.ready.push_back(self.key);
        }
    }

    /// Calls the session; what it said stays in the output until `settle`.
    #[inline]
    fn call(&mut self, call: impl FnOnce(&mut S, &mut Context<'_, S>)) -> Control {
        let congested = self.tools.limits.congested_bytes;
        self.tools
            .output
            .begin(self.connection.backlog(), congested);
        let mut cx = Context {
            key: self.key,
            shard: self.shard,
            out: &mut self.tools.output,
            now: self.tools.now,
            last_activity: self.connection.last_activity,
            control: Control::default(),
        };
        call(&mut self.connection.session, &mut cx);
        cx.control
    }

    /// Calls the session outside of any input.
    pub(super) fn call_and_settle(&mut self, call: impl FnOnce(&mut S, &mut Context<'_, S>)) {
        let control = self.call(call);
        self.settle(control, &[]);
    }

    /// Writes what was said and does what was asked for.
    #[inline]
    fn settle(&mut self, control: Control, input: &[u8]) {
        self.write_output(input);
        if let Some(deadline) = control.deadline
            && self.connection.stage == Stage::Open
        {
            self.connection.deadline = deadline;
            self.arm();
        }
        if let Some(reason) = control.close {
            if control.abort {
                self.abort(reason);
            } else {
                self.close(reason);
            }
        }
    }

    /// Writes the output straight from where it lies; only what the socket does not take is copied.
    #[inline]
    fn write_output(&mut self, input: &[u8]) {
        if self.tools.output.seal() {
            return;
        }
        let total = self.tools.output.bytes();
        let mut written = 0;
        if self.connection.queue.is_none() && self.connection.readiness.is_writable() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let (filled, all) = self.tools.output.fill(input, &mut slices);
            match self.connection.transport.write(&slices[..filled]) {
                Ok(count) => {
                    written = count;
                    if all && count < total {
                        self.connection.readiness.write_filled();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.connection.readiness.write_filled();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.tools
                        .output
                        .discard(|buffer| S::recycle(self.shard, buffer));
                    return self.abort(CloseReason::RESET);
                }
            }
        }
        if written == total {
            return self
                .tools
                .output
                .discard(|buffer| S::recycle(self.shard, buffer));
        }
        let mut queue = self
            .connection
            .queue
            .take()
            .unwrap_or_else(|| self.tools.take_queue());
        let Tools { output, pool, .. } = &mut *self.tools;
        output.spill(written, input, &mut queue, pool, |buffer| {
            S::recycle(self.shard, buffer);
        });
        self.connection.queue = Some(queue);
        self.queue_grew();
    }

    /// Sends frames that others get as well: to the socket, and the rest to the queue.
    pub(super) fn send_shared(&mut self, frames: &[Shared]) {
        let mut written = 0;
        if self.connection.queue.is_none() && self.connection.readiness.is_writable() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            for (slice, frame) in slices.iter_mut().zip(frames) {
                *slice = IoSlice::new(frame);
            }
            let filled = frames.len().min(SLICES_MAX);
            let offered: usize = frames[..filled].iter().map(|frame| frame.len()).sum();
            match self.connection.transport.write(&slices[..filled]) {
                Ok(count) if count == offered && filled == frames.len() => return,
                Ok(count) => {
                    written = count;
                    if count < offered {
                        self.connection.readiness.write_filled();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.connection.readiness.write_filled();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.abort(CloseReason::RESET),
            }
        }
        let mut queue = self
            .connection
            .queue
            .take()
            .unwrap_or_else(|| self.tools.take_queue());
        for frame in frames {
            let skip = written.min(frame.len());
            written -= skip;
            if skip < frame.len() {
                queue.push_shared(Shared::clone(frame), skip);
            }
        }
        self.connection.queue = Some(queue);
        self.queue_grew();
    }

    /// Something was queued: the limits are looked at, and what can be written is.
    fn queue_grew(&mut self) {
        if self.connection.readiness.is_writable() {
            self.flush_queue();
        }
        let limits = self.tools.limits;
        let Some(queue) = self.connection.queue.as_mut() else {
            return;
        };
        if queue.bytes() > limits.send_queue_hard_bytes_max {
            return self.abort(CloseReason::SLOW_CONSUMER);
        }
        if queue.bytes() > limits.send_queue_soft_bytes_max && queue.soft_until.is_none() {
            queue.soft_until = Some(self.tools.now.after(limits.send_queue_soft_for));
            self.arm();
        }
    }

    /// Writes from the queue until it is empty or the socket is full.
    fn flush_queue(&mut self) {
        let Some(mut queue) = self.connection.queue.take() else {
            return;
        };
        while !queue.is_empty() && self.connection.readiness.is_writable() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let filled = queue.fill(&mut slices);
            let offered: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
            match self.connection.transport.write(&slices[..filled]) {
                Ok(count) => {
                    if count < offered {
                        self.connection.readiness.write_filled();
                    }
                    self.connection.last_activity = self.tools.now;
                    queue.consume(count, &mut self.tools.pool);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.connection.readiness.write_filled();
                }
                Err(_) => {
                    self.tools.give_queue(queue);
                    return self.abort(CloseReason::RESET);
                }
            }
        }
        if queue.is_empty() {
            return self.tools.give_queue(queue);
        }
        if queue.bytes() <= self.tools.limits.send_queue_soft_bytes_max {
            queue.soft_until = None;
        }
        self.connection.queue = Some(queue);
    }

    /// Ends the session and, once everything is written, the stream.
    fn close(&mut self, reason: CloseReason) {
        if self.connection.stage != Stage::Open {
            return;
        }
        self.leave_open(reason);
        if self.connection.stage != Stage::Closing {
            return;
        }
        let close_timeout = self.tools.limits.close_timeout;
        self.connection.deadline = Some(self.tools.now.after(close_timeout));
        self.arm();
        self.finish_writing();
        if self.connection.readiness.is_readable() {
            self.requeue();
        }
    }

    /// The session's last call, and its last words.
    fn leave_open(&mut self, reason: CloseReason) {
        self.connection.stage = Stage::Closing;
        if let Some(unread) = self.connection.unread.take() {
            self.tools.pool.give(unread.bytes);
        }
        let _ = self.call(|session, cx| session.on_close(reason, cx));
        self.write_output(&[]);
    }

    /// `shutdown(Write)` once nothing is left to write.
    fn finish_writing(&mut self) {
        if self.connection.queue.is_some() {
            return;
        }
        match self.connection.transport.flush() {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => return self.die(),
        }
        if self.connection.transport.shutdown_write().is_err() || self.connection.is_read_ended {
            return self.die();
        }
        self.connection.stage = Stage::Lingering;
    }

    /// Drops the connection as it is.
    pub(super) fn abort(&mut self, reason: CloseReason) {
        if self.connection.stage == Stage::Open {
            self.connection.stage = Stage::Closing;
            let _ = self.call(|session, cx| session.on_close(reason, cx));
            self.tools
                .output
                .discard(|buffer| S::recycle(self.shard, buffer));
        }
        self.die();
    }

    fn die(&mut self) {
        if self.connection.stage != Stage::Dead {
            self.connection.stage = Stage::Dead;
            self.tools.dead.push(self.key);
        }
    }

    /// Makes sure that the wheel has an entry no later than the next point to look at.
    pub(super) fn arm(&mut self) {
        let Some(at) = self.connection.next_look() else {
            return;
        };
        if self
            .connection
            .timer
            .is_none_or(|timer| !timer.is_reached(at))
        {
            self.connection.timer = Some(at);
            self.tools.wheel.insert(self.key, at);
        }
    }

    /// The wheel's entry for `at` has come.
    pub(super) fn look(&mut self, at: Tick) {
        if self.connection.timer != Some(at) {
            return;
        }
        self.connection.timer = None;
        let now = self.tools.now;
        let soft = self
            .connection
            .queue
            .as_ref()
            .and_then(|queue| queue.soft_until);
        if soft.is_some_and(|soft| soft.is_reached(now)) {
            return self.abort(CloseReason::SLOW_CONSUMER);
        }
        if self
            .connection
            .deadline
            .is_some_and(|deadline| deadline.is_reached(now))
        {
            self.connection.deadline = None;
            match self.connection.stage {
                Stage::Open => self.call_and_settle(Session::on_deadline),
                Stage::Closing | Stage::Lingering | Stage::Dead => return self.die(),
            }
        }
        if self.connection.stage != Stage::Dead {
            self.arm();
        }
    }
}

/// Reads, again where a signal interrupted it.
fn read_once(transport: &mut impl Transport, buffer: &mut [u8]) -> io::Result<Received> {
    loop {
        match transport.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
