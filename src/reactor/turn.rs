//! What happens to one connection when it is its turn: `read` it, let the session answer, `write`, end. The ways in and the
//! ways out are here, bytes are in the two modules below.

mod read;
mod write;

use std::time::Duration;

use slab::Slab;

use super::connection::{Connection, Stage};
use super::engine::Tools;
use super::session::{CloseReason, Context, Control, Session};
use super::time::Tick;
use super::transport::Transport;
use crate::id::ConnKey;

/// A connection whose deadline is farther away is looked at once in this time.
const LOOK_AHEAD_MAX: Duration = Duration::from_secs(60);

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
    #[inline]
    pub(super) fn drive(&mut self, read_buffer: &mut [u8]) {
        if self.connection.readiness.is_writable()
            && (self.connection.queue.is_some()
                || self.connection.stage == Stage::Closing
                || self.connection.transport.holds_back())
        {
            self.write_on();
        }
        match self.connection.stage {
            Stage::Open => self.read(read_buffer),
            Stage::Closing | Stage::Lingering => self.drop_input(read_buffer),
            Stage::Dead => {}
        }
    }

    /// Calls the session; what it said stays in the output, and what it asked for in the control, until `settle`.
    #[inline]
    fn call(&mut self, call: impl FnOnce(&mut S, &mut Context<'_, S>)) {
        let tools = &mut *self.tools;
        let congested = tools.limits.congested_bytes;
        tools.output.begin(self.connection.backlog(), congested);
        let mut cx = Context {
            key: self.key,
            shard: self.shard,
            out: &mut tools.output,
            now: tools.now,
            last_activity: self.connection.last_activity,
            control: &mut tools.control,
        };
        call(&mut self.connection.session, &mut cx);
    }

    /// Calls the session for the last time: what it asks for is of no account.
    fn call_last(&mut self, reason: CloseReason) {
        self.call(|session, cx| session.on_close(reason, cx));
        self.tools.control = Control::default();
    }

    /// Calls the session outside of any input.
    pub(super) fn call_and_settle(&mut self, call: impl FnOnce(&mut S, &mut Context<'_, S>)) {
        self.call(call);
        self.settle(&[]);
    }

    /// Writes what was said and does what was asked for.
    #[inline]
    fn settle(&mut self, input: &[u8]) {
        if self.tools.control.is_asked {
            return self.obey(input);
        }
        self.write_output(input);
    }

    #[inline(never)]
    fn obey(&mut self, input: &[u8]) {
        let control = std::mem::take(&mut self.tools.control);
        if control.close.is_some() && !control.abort {
            self.write_last_output(input);
        } else {
            self.write_output(input);
        }
        if let Some(deadline) = control.deadline
            && self.connection.stage == Stage::Open
        {
            self.connection.deadline = deadline;
            self.arm();
        }
        if let Some(wanted) = control.wants_input {
            self.connection.is_paused = !wanted;
            if wanted {
                self.requeue();
            }
        }
        if let Some(worker) = control.hand_over {
            self.tools.leaving.push((self.key, worker));
        }
        if let Some(reason) = control.close {
            if control.abort {
                self.abort(reason);
            } else {
                self.close(reason, control.is_peer_done);
            }
        }
    }

    /// Ends the session and, once everything is written, the stream.
    fn close(&mut self, reason: CloseReason, is_peer_done: bool) {
        if self.connection.stage != Stage::Open {
            return;
        }
        self.leave_open(reason);
        if self.connection.stage != Stage::Closing {
            return;
        }
        if is_peer_done && self.may_end_at_once() {
            return self.die();
        }
        let close_timeout = self.tools.limits.close_timeout;
        self.connection.deadline = Some(self.tools.now.after(close_timeout));
        self.arm();
        self.finish_writing();
        if self.connection.readiness.is_readable() {
            self.requeue();
        }
    }

    /// Whether a drop loses nothing in either direction. With input unread it would send a reset, which can overtake our
    /// last words.
    fn may_end_at_once(&self) -> bool {
        let connection = &*self.connection;
        connection.queue.is_none()
            && !connection.readiness.is_readable()
            && connection.transport.ends_by_drop()
    }

    /// The session's last call, and its last words.
    fn leave_open(&mut self, reason: CloseReason) {
        self.connection.stage = Stage::Closing;
        if let Some(unread) = self.connection.unread.take() {
            self.tools.pool.give(unread.bytes);
        }
        self.call_last(reason);
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
            self.call_last(reason);
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
        // An entry outlives a connection that ends before it: not for longer than this.
        let at = at.earlier(self.tools.now.after(LOOK_AHEAD_MAX));
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
