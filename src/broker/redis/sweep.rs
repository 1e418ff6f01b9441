//! Clears up after nodes that have died.
//!
//! A node that is registered and not alive is swept by whoever gets the lease for it. Only who has itself been alive without a
//! break for as long as a life lasts calls others dead: after an outage of Redis all of them seem to be, until they are back.
//! Even so one may come back while it is being swept: who sweeps looks for that with everything that it removes, and then takes
//! the node out of the registry, which it enters anew by itself.

use redis::{Cmd, Connection, RedisResult};

use super::register::{NO_KEY, Register, delete, millis, scan};
use crate::broker::List;
use crate::limits::SWEEP_LEASE;

/// A dead node that is being swept.
struct Sweep {
    node: String,
    /// Lists that are done.
    lists: usize,
    /// Where in the next one.
    cursor: u64,
    /// Removes those that the inbox was told of last.
    told: Option<Cmd>,
    counts: [usize; List::ALL.len()],
}

/// What is read of a list at once: where it goes on, and names.
type Found = (u64, Vec<Vec<u8>>);

/// Sweeps one node at a time.
pub(super) struct Sweeper<'d> {
    register: &'d Register,
    dead: Vec<String>,
    sweep: Option<Sweep>,
}

impl<'d> Sweeper<'d> {
    pub(super) fn new(register: &'d Register) -> Self {
        Self {
            register,
            dead: Vec::new(),
            sweep: None,
        }
    }

    /// Leaves everything to others, or to later.
    pub(super) fn rest(&mut self) {
        self.dead.clear();
        self.sweep = None;
    }

    /// The nodes that are dead now, whichever were before.
    pub(super) fn take_on(&mut self, dead: Vec<String>) {
        self.dead = dead;
    }

    /// Does a piece of work; whether there may be more of it.
    pub(super) fn turn(&mut self, link: &mut Connection) -> RedisResult<bool> {
        self.sweep = match self.sweep.take() {
            Some(sweep) => self.go_on(link, sweep)?,
            None => match self.dead.pop() {
                Some(node) => self.claim(link, node)?,
                None => return Ok(false),
            },
        };
        Ok(true)
    }

    /// Takes it upon this node to sweep another, where nobody else has.
    fn claim(&self, link: &mut Connection, node: String) -> RedisResult<Option<Sweep>> {
        let lease = self.register.key(&node, "sweep");
        let mut set = redis::cmd("SET");
        set.arg(&lease).arg(&self.register.node).arg("NX");
        let taken: Option<String> = set.arg("PX").arg(millis(SWEEP_LEASE)).query(link)?;
        if taken.is_none() {
            return Ok(None);
        }
        // Another may have swept it meanwhile: it took the node out first, and gave the lease back then.
        if !self.register.read_nodes(link)?.contains(&node) {
            delete(link, &lease)?;
            return Ok(None);
        }
        Ok(Some(Sweep {
            node,
            lists: 0,
            cursor: 0,
            told: None,
            counts: Default::default(),
        }))
    }

    /// Removes those that were told of and tells of the next; `None` where the sweep is over.
    fn go_on(&self, link: &mut Connection, mut sweep: Sweep) -> RedisResult<Option<Sweep>> {
        let key = |what| self.register.key(&sweep.node, what);
        let lease = key("sweep");
        let list = List::ALL.get(sweep.lists).copied();
        let mut pipeline = redis::pipe();
        if let Some(told) = sweep.told.take() {
            pipeline.add_command(told).ignore();
        }
        pipeline.cmd("PTTL").arg(key("alive"));
        pipeline.cmd("GET").arg(&lease);
        pipeline.cmd("PEXPIRE").arg(&lease).arg(millis(SWEEP_LEASE));
        pipeline.ignore();
        if let Some(list) = list {
            pipeline.add_command(scan(&key(list.name()), sweep.cursor));
        }
        let (life, holder, found): (i64, Option<Vec<u8>>, Option<Found>) = match list {
            Some(_) => pipeline.query(link)?,
            None => {
                let (life, holder) = pipeline.query(link)?;
                (life, holder, None)
            }
        };
        if life != NO_KEY {
            log::debug!("node {} is alive after all", sweep.node);
            self.register.take_out(link, &sweep.node)?;
            return Ok(None);
        }
        if holder.is_none_or(|holder| holder != self.register.node.as_bytes()) {
            return Ok(None);
        }
        if let Some((list, found)) = list.zip(found) {
            self.tell(&mut sweep, list, found);
            return Ok(Some(sweep));
        }
        self.register.take_out(link, &sweep.node)?;
        delete(link, &lease)?;
        self.register.count_swept();
        let ([users, rooms], node) = (sweep.counts, sweep.node);
        log::warn!("swept node {node}, which is dead: {users} users, {rooms} rooms");
        Ok(None)
    }

    fn tell(&self, sweep: &mut Sweep, list: List, (next, names): Found) {
        let key = self.register.key(&sweep.node, list.name());
        if next == 0 {
            sweep.told = Some(redis::cmd("DEL").arg(key).take());
            sweep.lists += 1;
        } else if !names.is_empty() {
            sweep.told = Some(redis::cmd("SREM").arg(key).arg(&names).take());
        }
        sweep.cursor = next;
        let texts = names.into_iter().map(String::from_utf8);
        let names: Vec<_> = texts.filter_map(Result::ok).collect();
        if !names.is_empty() {
            sweep.counts[list as usize] += names.len();
            self.register.inbox.gone(&sweep.node, list, &names);
        }
    }
}
