//! The loop without the poller: connections in a slab, their readiness, timers and send queues, over any transport and any
//! clock. `Reactor` puts a poller under it; benches and tests put memory under it.
//!
//! Order of calls in a turn: `begin_turn`, `handle` for each event, `run_waiting`, `deliver` for each piece of mail, `end_turn`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use super::connection::{Connection, Detached, DetachedState, Stage};
use super::meters::LoopMeters;
use super::output::Output;
use super::queue::{Keep, SendQueue, Tag};
use super::readiness::Readiness;
use super::session::{CloseReason, Context, Control, Session};
use super::time::Tick;
use super::transport::Transport;
use super::turn::Turn;
use super::wheel::{Entry, Wheel};
use crate::buffer::{Account, Pool, Shared};
use crate::id::ConnKey;

/// Emptied queues kept for their next use.
const QUEUES_KEPT_MAX: usize = 1024;
/// Send-queue buffers kept for their next use, and the largest capacity kept.
const POOL_BUFFERS_MAX: usize = 256;
const POOL_BUFFER_BYTES_MAX: usize = 128 * 1024;

/// What the engine allows each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes read at once, and the size of the worker's shared read buffer.
    pub read_bytes_max: usize,
    /// Bytes read from one connection in one turn, before others get theirs.
    pub turn_bytes_max: usize,
    /// Bytes of unsent replies from which on nothing more is read.
    pub congested_bytes: usize,
    /// Send-queue bytes tolerated for `send_queue_soft_for`.
    pub send_queue_soft_bytes_max: usize,
    /// Send-queue bytes that end the connection at once.
    pub send_queue_hard_bytes_max: usize,
    /// Bytes held for all peers of the process together; beyond them a connection that is congested ends as soon as its queue
    /// grows. 0 for any number.
    pub send_queue_total_bytes_max: usize,
    /// How long the soft limit may be passed.
    pub send_queue_soft_for: Duration,
    /// Time for the last words to leave and for the peer to end.
    pub close_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A frame of 64 KiB fits with its header, and a flood of them keeps its neighbours waiting for one.
            read_bytes_max: 68 * 1024,
            turn_bytes_max: 68 * 1024,
            congested_bytes: 64 * 1024,
            send_queue_soft_bytes_max: 1 << 20,
            send_queue_hard_bytes_max: 8 << 20,
            send_queue_total_bytes_max: 0,
            send_queue_soft_for: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
        }
    }
}

/// What the connections of one engine share besides the shard.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) now: Tick,
    pub(super) limits: Limits,
    pub(super) output: Output,
    pub(super) control: Control,
    pub(super) pool: Pool,
    /// What is held for peers that have not read it, by this engine and others.
    pub(super) account: Arc<Account>,
    pub(super) meters: Arc<LoopMeters>,
    pub(super) wheel: Wheel,
    /// Connections that go on without an event.
    pub(super) waiting: VecDeque<ConnKey>,
    /// Connections whose socket is full for the first time.
    pub(super) full: Vec<ConnKey>,
    /// Connections with something that waits for the end of the turn.
    pub(super) held: Vec<ConnKey>,
    pub(super) dead: Vec<ConnKey>,
    /// Connections that another worker is to have, and which one.
    pub(super) leaving: Vec<(ConnKey, usize)>,
    #[expect(
        clippy::vec_box,
        reason = "connections hold the box, one word each while idle"
    )]
    queues: Vec<Box<SendQueue>>,
}

impl Tools {
    pub(super) fn take_queue(&mut self) -> Box<SendQueue> {
        self.queues.pop().unwrap_or_default()
    }

    pub(super) fn give_queue(&mut self, mut queue: Box<SendQueue>) {
        queue.clear(&mut self.pool, &self.account);
        if self.queues.len() < QUEUES_KEPT_MAX {
            self.queues.push(queue);
        }
    }
}

/// All connections of one worker.
#[derive(Debug)]
pub struct Engine<S: Session, T> {
    connections: Slab<Connection<S, T>>,
    next_generation: u32,
    shard: S::Shard,
    tools: Tools,
    read_buffer: Box<[u8]>,
    /// How many of the waiting ones get their turn in this one.
    waiting_before: usize,
    due: Vec<Entry>,
}

impl<S: Session, T: Transport> Engine<S, T> {
    /// An engine without connections.
    pub fn new(shard: S::Shard, limits: Limits, now: Tick) -> Self {
        Self {
            connections: Slab::new(),
            next_generation: 0,
            shard,
            tools: Tools {
                now,
                limits,
                output: Output::default(),
                control: Control::default(),
                pool: Pool::new(POOL_BUFFERS_MAX, POOL_BUFFER_BYTES_MAX),
                account: Arc::default(),
                meters: Arc::default(),
                wheel: Wheel::new(now),
                waiting: VecDeque::new(),
                full: Vec::new(),
                held: Vec::new(),
                dead: Vec::new(),
                leaving: Vec::new(),
                queues: Vec::new(),
            },
            read_buffer: vec![0; limits.read_bytes_max].into_boxed_slice(),
            waiting_before: 0,
            due: Vec::new(),
        }
    }

    /// What the sessions share.
    pub fn shard(&mut self) -> &mut S::Shard {
        &mut self.shard
    }

    /// Other limits from now on; the read buffer keeps its size.
    pub fn set_limits(&mut self, limits: Limits) {
        self.tools.limits = limits;
    }

    /// Shares the account of what is held for peers with others, before there is a connection.
    pub fn set_account(&mut self, account: Arc<Account>) {
        debug_assert!(self.is_empty(), "what is held was put on the other account");
        self.tools.account = account;
    }

    /// Counts on `meters` from now on.
    pub fn set_meters(&mut self, meters: Arc<LoopMeters>) {
        self.tools.meters = meters;
    }

    /// What is counted of this loop.
    pub fn meters(&self) -> &LoopMeters {
        &self.tools.meters
    }

    /// Connections that hold a descriptor.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// The keys of all connections whose session is served.
    pub fn open_keys(&self) -> Vec<ConnKey> {
        self.connections
            .iter()
            .filter(|(_, connection)| connection.stage == Stage::Open)
            .map(|(index, connection)| ConnKey {
                index: index as u32,
                generation: connection.generation,
            })
            .collect()
    }

    /// The time of this turn.
    pub fn now(&self) -> Tick {
        self.tools.now
    }

    /// A turn begins at `now`.
    pub fn begin_turn(&mut self, now: Tick) {
        self.tools.now = now;
        self.waiting_before = self.tools.waiting.len();
    }

    /// Takes a connection in; `register` is told its key before the session is.
    ///
    /// # Errors
    /// What `register` says; the session is then released without a call.
    pub fn insert<E>(
        &mut self,
        mut transport: T,
        session: S,
        register: impl FnOnce(&mut T, ConnKey) -> Result<(), E>,
    ) -> Result<ConnKey, E> {
        let key = self.next_key();
        if let Err(error) = register(&mut transport, key) {
            session.released(&mut self.shard);
            return Err(error);
        }
        let connection = Connection::new(transport, session, key.generation, self.tools.now);
        self.connections.insert(connection);
        self.visit(key, Session::on_open);
        Ok(key)
    }

    fn next_key(&mut self) -> ConnKey {
        let index = self.connections.vacant_key() as u32;
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        ConnKey { index, generation }
    }

    /// Takes a connection out, with what waits in either direction, to be put into another engine that goes by the same clock.
    /// The peer does not notice. `None` where it is not open.
    pub fn detach(&mut self, key: ConnKey) -> Option<Detached<S, T>> {
        let connection = self.connections.get(key.index as usize)?;
        if connection.generation != key.generation || connection.stage != Stage::Open {
            return None;
        }
        let mut connection = self.connections.remove(key.index as usize);
        let mut offered_again = connection.session.on_detach(key, &mut self.shard);
        if !offered_again.is_empty() {
            let unread = connection.unread.get_or_insert_default();
            offered_again.append(&mut unread.bytes);
            unread.bytes = offered_again;
        }
        let now = self.tools.now;
        Some(Detached {
            transport: connection.transport,
            connection: DetachedState {
                session: connection.session,
                queue: connection.queue,
                unread: connection.unread,
                is_paused: connection.is_paused,
                deadline_in: connection.deadline.map(|deadline| deadline.since(now)),
            },
        })
    }

    /// A connection that another worker is to have, and which one; until there is none.
    pub fn next_leaving(&mut self) -> Option<(ConnKey, usize)> {
        self.tools.leaving.pop()
    }

    /// Puts a detached connection in; what it had not read is offered to its session in the next turn.
    ///
    /// # Errors
    /// What `register` says; the session is then released without a call.
    pub fn attach<E>(
        &mut self,
        detached: Detached<S, T>,
        register: impl FnOnce(&mut T, ConnKey) -> Result<(), E>,
    ) -> Result<ConnKey, E> {
        let Detached {
            mut transport,
            connection: state,
        } = detached;
        let key = self.next_key();
        if let Err(error) = register(&mut transport, key) {
            let mut session = state.session;
            session.on_attach(key, &mut self.shard);
            session.released(&mut self.shard);
            if let Some(queue) = state.queue {
                self.tools.give_queue(queue);
            }
            return Err(error);
        }
        let now = self.tools.now;
        let mut connection = Connection::new(transport, state.session, key.generation, now);
        connection.session.on_attach(key, &mut self.shard);
        connection.queue = state.queue;
        connection.unread = state.unread;
        connection.is_paused = state.is_paused;
        connection.deadline = state.deadline_in.map(|left| now.after(left));
        self.connections.insert(connection);
        if let Some(mut turn) = self.at(key) {
            turn.arm();
        }
        if let Some(mut turn) = self.at(key) {
            turn.connection
                .readiness
                .merge(Readiness::edge(true, true, false));
            turn.requeue();
        }
        Ok(key)
    }

    /// An edge for `key`: it is its turn, unless it waits for one already. A key that is gone is ignored.
    #[inline]
    pub fn handle(&mut self, key: ConnKey, edge: Readiness) {
        let Self {
            connections,
            shard,
            tools,
            read_buffer,
            ..
        } = self;
        if let Some(mut turn) = Turn::at(connections, shard, tools, key) {
            turn.connection.readiness.merge(edge);
            if !turn.connection.is_waiting {
                turn.drive(read_buffer);
            }
        }
    }

    /// Offers a connection what its session left unconsumed, in the next turn.
    pub fn resume(&mut self, key: ConnKey) {
        if let Some(mut turn) = self.at(key) {
            turn.requeue();
        }
    }

    /// Whether connections wait that need no event to go on.
    pub fn has_waiting(&self) -> bool {
        !self.tools.waiting.is_empty() || S::wants_turn(&self.shard)
    }

    /// Asks for a turn `ticks` from now, whatever else happens.
    pub fn turn_again_in(&mut self, ticks: Tick) {
        let at = Tick(self.tools.now.0.wrapping_add(ticks.0));
        self.tools.wheel.insert(
            ConnKey {
                index: u32::MAX,
                generation: 0,
            },
            at,
        );
    }

    /// When `end_turn` has something to do without an event.
    pub fn next_due(&self) -> Option<Tick> {
        self.tools.wheel.next_due()
    }

    /// Serves, once, every connection that waited when the turn began. Those with news came first: whoever has used up a
    /// whole turn before makes nobody wait.
    pub fn run_waiting(&mut self) {
        for _ in 0..std::mem::take(&mut self.waiting_before) {
            let Some(key) = self.tools.waiting.pop_front() else {
                return;
            };
            let Self {
                connections,
                shard,
                tools,
                read_buffer,
                ..
            } = self;
            if let Some(mut turn) = Turn::at(connections, shard, tools, key) {
                turn.connection.is_waiting = false;
                turn.drive(read_buffer);
            }
        }
    }

    fn at(&mut self, key: ConnKey) -> Option<Turn<'_, S, T>> {
        Turn::at(&mut self.connections, &mut self.shard, &mut self.tools, key)
    }

    /// Mail for the worker.
    pub fn deliver(&mut self, mail: S::Mail) {
        S::on_mail(self, mail);
    }

    /// Calls `call` with the session of `key`, as a turn of that connection; false where it is not open.
    pub fn visit(&mut self, key: ConnKey, call: impl FnOnce(&mut S, &mut Context<'_, S>)) -> bool {
        let Some(mut turn) = self.at(key) else {
            return false;
        };
        if turn.connection.stage != Stage::Open {
            return false;
        }
        turn.call_and_settle(call);
        true
    }

    /// Sends the same frames that others get, in order, in one write; false where the connection is not open.
    pub fn send_shared(&mut self, key: ConnKey, frames: &[Shared]) -> bool {
        let Some(mut turn) = self.at(key) else {
            return false;
        };
        if turn.connection.stage != Stage::Open {
            return false;
        }
        turn.send_shared(frames);
        true
    }

    /// Sends frames of a group, `tag`, whose older ones may be dropped where the peer reads too slowly: `keep` says which wait, and
    /// `gap` makes the frame that tells how many are missed. Gives how many were dropped now; `None` where the connection is not
    /// open.
    pub fn send_lossy(
        &mut self,
        key: ConnKey,
        frames: &[Shared],
        tag: Tag,
        keep: Keep,
        gap: impl FnOnce(u32) -> Shared,
    ) -> Option<u32> {
        match self.at(key) {
            Some(mut turn) if turn.connection.stage == Stage::Open => {
                Some(turn.send_lossy(frames, tag, keep, gap))
            }
            _ => None,
        }
    }

    /// As [`send_shared`](Self::send_shared), but written by [`send_held`](Self::send_held), together with everything else
    /// that is held for the connection.
    pub fn hold_shared(&mut self, key: ConnKey, frames: &[Shared]) -> bool {
        match self.at(key) {
            Some(mut turn) if turn.connection.stage == Stage::Open => {
                turn.hold_shared(frames);
                true
            }
            _ => false,
        }
    }

    /// Writes what is held.
    pub fn send_held(&mut self) {
        while let Some(key) = self.tools.held.pop() {
            if let Some(mut turn) = self.at(key) {
                turn.send_held();
            }
        }
    }

    /// Drops a connection as it is, whatever its stage.
    pub fn abort(&mut self, key: ConnKey, reason: CloseReason) {
        if let Some(mut turn) = self.at(key) {
            turn.abort(reason);
        }
    }

    /// Drops every connection as it is.
    pub fn abort_all(&mut self, reason: CloseReason) {
        let keys: Vec<_> = self
            .connections
            .iter()
            .map(|(index, connection)| ConnKey {
                index: index as u32,
                generation: connection.generation,
            })
            .collect();
        for key in keys {
            self.abort(key, reason);
        }
    }

    /// Gives `watch` every transport that has been full for the first time since: from now on its connection wants to hear of
    /// room. Called after each turn. One that cannot be watched is dropped.
    pub fn watch_room<E>(&mut self, mut watch: impl FnMut(&mut T, ConnKey) -> Result<(), E>) {
        while let Some(key) = self.tools.full.pop() {
            if let Some(turn) = self.at(key)
                && watch(&mut turn.connection.transport, key).is_err()
            {
                self.abort(key, CloseReason::RESET);
            }
        }
    }

    /// What goes out to many goes out, timers fire, the dead are buried.
    pub fn end_turn(&mut self) {
        S::on_turn_end(self);
        let mut due = std::mem::take(&mut self.due);
        self.tools.wheel.advance(self.tools.now, &mut due);
        for entry in due.drain(..) {
            if let Some(mut turn) = self.at(entry.key) {
                turn.look(entry.at);
            }
        }
        self.due = due;
        while let Some(key) = self.tools.dead.pop() {
            let connection = self.connections.remove(key.index as usize);
            if let Some(queue) = connection.queue {
                self.tools.give_queue(queue);
            }
            if let Some(unread) = connection.unread {
                self.tools.pool.give(unread.bytes);
            }
            drop(connection.transport);
            connection.session.released(&mut self.shard);
        }
    }
}

#[cfg(test)]
mod tests;
