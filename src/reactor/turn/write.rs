//! The writing half of a turn: what was said goes out from where it lies; only what the socket does not take is queued.

use std::io::{self, IoSlice};

use super::Turn;
use crate::buffer::Shared;
use crate::reactor::connection::Stage;
use crate::reactor::engine::Tools;
use crate::reactor::queue::{Keep, SLICES_MAX, Tag};
use crate::reactor::session::{CloseReason, Session};
use crate::reactor::transport::Transport;

impl<S: Session, T: Transport> Turn<'_, S, T> {
    /// The socket takes bytes again.
    pub(super) fn write_on(&mut self) {
        if self.connection.queue.is_some() {
            self.flush_queue(true);
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

    /// Writes the output straight from where it lies; only what the socket does not take is copied.
    #[inline]
    pub(super) fn write_output(&mut self, input: &[u8]) {
        let Some(bytes) = self.tools.output.only(input) else {
            return self.write_segments(input);
        };
        if bytes.is_empty() {
            return;
        }
        let connection = &mut *self.connection;
        if connection.queue.is_none() && connection.readiness.is_writable() {
            match connection.transport.write(&[IoSlice::new(bytes)]) {
                Ok(count) if count == bytes.len() => {
                    self.tools.meters.sent_bytes.add(count as u64);
                    return self.tools.output.written();
                }
                result => return self.write_fell_short(result, input),
            }
        }
        self.spill_output(0, input);
    }

    /// As `write_output`, for the last words before the end of the stream.
    pub(super) fn write_last_output(&mut self, input: &[u8]) {
        let connection = &mut *self.connection;
        match self.tools.output.only(input) {
            Some(bytes)
                if !bytes.is_empty()
                    && connection.queue.is_none()
                    && connection.readiness.is_writable() =>
            {
                match connection.transport.write_last(bytes) {
                    Ok(count) if count == bytes.len() => {
                        self.tools.meters.sent_bytes.add(count as u64);
                        self.tools.output.written();
                    }
                    result => self.write_fell_short(result, input),
                }
            }
            _ => self.write_output(input),
        }
    }

    /// The output of a call that said several things.
    fn write_segments(&mut self, input: &[u8]) {
        self.tools.output.seal();
        let connection = &mut *self.connection;
        if connection.queue.is_some() || !connection.readiness.is_writable() {
            return self.spill_output(0, input);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let (filled, all) = self.tools.output.fill(input, &mut slices);
        match connection.transport.write(&slices[..filled]) {
            Ok(count) if count == self.tools.output.bytes() => {
                self.tools.meters.sent_bytes.add(count as u64);
                self.tools
                    .output
                    .discard(|buffer| S::recycle(self.shard, buffer));
            }
            Ok(count) if !all => {
                self.tools.meters.sent_bytes.add(count as u64);
                self.spill_output(count, input);
            }
            result => self.write_fell_short(result, input),
        }
    }

    /// The socket did not take all that it was offered.
    #[cold]
    fn write_fell_short(&mut self, result: io::Result<usize>, input: &[u8]) {
        self.tools.output.seal();
        let written = match result {
            Ok(count) => {
                self.tools.meters.sent_bytes.add(count as u64);
                self.connection.readiness.write_filled();
                count
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.connection.readiness.write_filled();
                0
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(_) => {
                self.tools
                    .output
                    .discard(|buffer| S::recycle(self.shard, buffer));
                return self.abort(CloseReason::RESET);
            }
        };
        self.spill_output(written, input);
    }

    /// What is past the first `written` bytes of the output has to wait.
    fn spill_output(&mut self, written: usize, input: &[u8]) {
        let mut queue = self
            .connection
            .queue
            .take()
            .unwrap_or_else(|| self.tools.take_queue());
        let Tools { output, pool, .. } = &mut *self.tools;
        output.seal();
        output.spill(written, input, &mut queue, pool, |buffer| {
            S::recycle(self.shard, buffer);
        });
        self.connection.queue = Some(queue);
        self.queue_grew();
    }

    /// Sends frames that others get as well: to the socket, and the rest to the queue.
    pub(in crate::reactor) fn send_shared(&mut self, frames: &[Shared]) {
        let mut written = 0;
        // Short publications of one turn come as one piece, so that there is more than one only where they are long.
        let Some((first, rest)) = frames.split_first() else {
            return;
        };
        if self.connection.queue.is_none() && self.connection.readiness.is_writable() {
            let offered = first.len();
            match self.connection.transport.write(&[IoSlice::new(first)]) {
                Ok(count) => {
                    self.tools.meters.sent_bytes.add(count as u64);
                    if count == offered && rest.is_empty() {
                        return;
                    }
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

    /// Puts frames that others get as well into the queue, to be written by `send_held`.
    pub(in crate::reactor) fn hold_shared(&mut self, frames: &[Shared]) {
        let tools = &mut *self.tools;
        let queue = &mut self.connection.queue;
        let queue = queue.get_or_insert_with(|| tools.take_queue());
        for frame in frames {
            queue.push_shared(Shared::clone(frame), 0);
        }
        if !self.connection.is_held {
            self.connection.is_held = true;
            self.tools.held.push(self.key);
        }
    }

    /// Sends frames of a group whose older ones may be dropped where the peer reads too slowly; gives how many were. What is held
    /// for the connection leaves before them.
    pub(in crate::reactor) fn send_lossy(
        &mut self,
        frames: &[Shared],
        tag: Tag,
        keep: Keep,
        gap: impl FnOnce(u32) -> Shared,
    ) -> u32 {
        let tools = &mut *self.tools;
        let queue = &mut self.connection.queue;
        let queue = queue.get_or_insert_with(|| tools.take_queue());
        for frame in frames {
            queue.push_lossy(Shared::clone(frame), tag);
        }
        if self.connection.readiness.is_writable() {
            self.flush_queue(false);
        }
        let Some(queue) = self.connection.queue.as_mut() else {
            return 0;
        };
        let soft_bytes_max = self.tools.limits.send_queue_soft_bytes_max;
        let dropped = queue.thin(tag, keep, soft_bytes_max, gap);
        self.queue_grew();
        dropped
    }

    /// Writes what was held.
    pub(in crate::reactor) fn send_held(&mut self) {
        self.connection.is_held = false;
        self.queue_grew();
    }

    /// Something was queued: the limits are looked at, and what can be written is.
    fn queue_grew(&mut self) {
        if self.connection.readiness.is_writable() {
            self.flush_queue(false);
        }
        let limits = self.tools.limits;
        let Some(queue) = self.connection.queue.as_mut() else {
            return;
        };
        let account = &*self.tools.account;
        queue.settle(account);
        let total_max = limits.send_queue_total_bytes_max;
        if total_max > 0 && queue.bytes() > limits.congested_bytes && account.bytes() > total_max {
            return self.abort(CloseReason::SEND_QUEUES_FULL);
        }
        if queue.bytes() > limits.send_queue_hard_bytes_max {
            return self.abort(CloseReason::SLOW_CONSUMER);
        }
        if queue.bytes() > limits.send_queue_soft_bytes_max && queue.soft_until.is_none() {
            queue.soft_until = Some(self.tools.now.after(limits.send_queue_soft_for));
            self.arm();
        }
        self.await_room();
    }

    /// What is queued waits for the socket, and nobody may have asked to hear of room in it.
    fn await_room(&mut self) {
        if self.connection.readiness.watch_room() {
            self.tools.full.push(self.key);
        }
    }

    /// Writes from the queue until it is empty or the socket is full. Room in a socket that was full is a sign of life.
    pub(super) fn flush_queue(&mut self, was_full: bool) {
        let Some(mut queue) = self.connection.queue.take() else {
            return;
        };
        while !queue.is_empty() && self.connection.readiness.is_writable() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let filled = queue.fill(&mut slices);
            let offered: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
            match self.connection.transport.write(&slices[..filled]) {
                Ok(count) => {
                    self.tools.meters.sent_bytes.add(count as u64);
                    if count < offered {
                        self.connection.readiness.write_filled();
                    }
                    if was_full {
                        self.connection.last_activity = self.tools.now;
                    }
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
        queue.settle(&self.tools.account);
        self.connection.queue = Some(queue);
        self.await_room();
    }
}
