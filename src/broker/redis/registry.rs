//! The thread that keeps the registry: which nodes there are, whether each is alive, and who is at which.
//!
//! A node says that it is alive by a key that expires, and lists its users and rooms in sets of its own. Notes only say where to
//! look: what is written is what is true by then, so that no order of joining and leaving can leave something wrong. Whenever
//! something may be missing, because the link was lost, Redis refused something, or others took this node for dead, all of it is
//! written anew.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, ErrorKind, RedisError, RedisResult, ServerErrorKind};

use super::link::Doubts;
use super::register::{Register, delete, scan};
use super::sweep::Sweeper;
use super::{Backoff, log_loss};
use crate::broker::List;
use crate::limits::{NODE_BEAT_INTERVAL, NODE_EXPIRY, REGISTRY_LEAVE_TIMEOUT};

/// Notes are worked off this often.
const TICK: Duration = Duration::from_millis(50);

/// The thread's own.
struct Registrar<'d> {
    register: &'d Register,
    doubts: Doubts,
    sweeper: Sweeper<'d>,
    /// What is written is not what is true.
    is_stale: bool,
    /// Since when this node has been alive without a break, as Redis sees it.
    steady_since: Option<Instant>,
    /// Something was refused, and nothing has gone well since.
    is_refused: bool,
    /// The server that was written to takes no writes any more.
    is_demoted: bool,
}

/// The registry. Dropped, it ends its thread.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) register: Arc<Register>,
    /// Ends with the thread: nothing is ever sent.
    ended: Mutex<mpsc::Receiver<Infallible>>,
}

impl Registry {
    /// Begins to connect, and goes on trying. Where another server than before takes writes, `doubts` are raised.
    pub(super) fn start(
        register: Register,
        doubts: Doubts,
        connect: impl Fn() -> RedisResult<Connection> + Send + 'static,
    ) -> io::Result<Self> {
        let register = Arc::new(register);
        let its_register = Arc::clone(&register);
        let (ends, ended) = mpsc::channel();
        thread::Builder::new()
            .name("redis-registry".to_owned())
            .spawn(move || {
                let _ends: mpsc::Sender<Infallible> = ends;
                run(connect, &its_register, doubts);
            })?;
        let ended = Mutex::new(ended);
        Ok(Self { register, ended })
    }

    /// See [`crate::broker::Broker::leave`].
    pub(super) fn leave(&self) {
        self.register.stop();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // An error either way: the thread has ended, or takes too long.
        let _ = ended.recv_timeout(REGISTRY_LEAVE_TIMEOUT);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.register.stop();
    }
}

fn run(connect: impl Fn() -> RedisResult<Connection>, register: &Register, doubts: Doubts) {
    let mut registrar = Registrar {
        register,
        doubts,
        sweeper: Sweeper::new(register),
        is_stale: true,
        steady_since: None,
        is_refused: false,
        is_demoted: false,
    };
    let mut backoff = Backoff::new();
    while !register.is_stopping() {
        match connect() {
            Ok(mut link) => match registrar.keep(&mut link) {
                Ok(()) => return,
                Err(error) => registrar.tell(&error),
            },
            // The other links are lost with it, and tell of it.
            Err(error) => log::debug!("the registry is out of reach: {error}"),
        }
        if registrar.give_up() {
            backoff = Backoff::new();
        }
        let until = Instant::now() + backoff.wait();
        while !register.is_stopping() && Instant::now() < until {
            thread::sleep(TICK);
        }
    }
}

impl Registrar<'_> {
    /// Keeps the registry until the link breaks, or the node goes: then it is in it no more.
    fn keep(&mut self, link: &mut Connection) -> RedisResult<()> {
        let mut beat_at = None::<Instant>;
        while !self.register.is_stopping() {
            let beats = beat_at.is_none_or(|at| at.elapsed() >= NODE_BEAT_INTERVAL);
            if beats {
                beat_at = Some(Instant::now());
            }
            match self.turn(link, beats) {
                Ok(true) => {}
                Ok(false) => thread::sleep(TICK),
                Err(error) if is_refusal(&error) => self.refused(&error),
                Err(error) => return Err(error),
            }
        }
        self.leave(link)
    }

    /// Tells why a link is left.
    fn tell(&mut self, error: &RedisError) {
        match error.kind() {
            ErrorKind::Io | ErrorKind::Server(ServerErrorKind::Moved) => {
                log::debug!("the link to the registry is lost: {error}");
            }
            kind => {
                log_loss("not in the registry", error, &mut self.is_refused);
                self.is_demoted |= kind == ErrorKind::Server(ServerErrorKind::ReadOnly);
            }
        }
    }

    /// There is no link; whether all was well until now.
    fn give_up(&mut self) -> bool {
        self.steady_since = None;
        self.doubt()
    }

    /// Redis is there and does not do what it is asked to: it is asked again at the next beat.
    fn refused(&mut self, error: &RedisError) {
        log_loss("not in the registry", error, &mut self.is_refused);
        self.doubt();
    }

    /// Nothing counts as written any more; whether it did.
    fn doubt(&mut self) -> bool {
        self.is_stale = true;
        self.sweeper.rest();
        self.register.set_registered(false)
    }

    /// Does what there is to do; whether there is more of it.
    fn turn(&mut self, link: &mut Connection, beats: bool) -> RedisResult<bool> {
        if beats {
            self.beat(link)?;
        }
        if self.is_stale {
            return Ok(false);
        }
        self.follow(link)?;
        self.sweeper.turn(link)
    }

    /// Says that this node is alive, and looks who else is.
    fn beat(&mut self, link: &mut Connection) -> RedisResult<()> {
        let register = self.register;
        // A Redis that is full refuses to set the key anew, but not to let it live on.
        if !register.live_on().query::<bool>(link)? {
            register.rise(link)?;
            self.steady_since = None;
        }
        let steady_since = *self.steady_since.get_or_insert_with(Instant::now);
        let nodes = register.read_nodes(link)?;
        let is_entered = nodes.contains(&register.node);
        let dead = register.look(link, nodes)?;
        if !is_entered {
            if register.is_registered() {
                log::warn!("this node was no longer in the registry, and enters it anew");
            }
            self.is_stale = true;
            register.enter(link)?;
        }
        if self.is_stale || register.notes.has_lost() {
            self.write_all(link)?;
        }
        self.be_well();
        let is_steady = steady_since.elapsed() >= NODE_EXPIRY;
        let dead = if is_steady { dead } else { Vec::new() };
        self.sweeper.take_on(dead);
        Ok(())
    }

    fn be_well(&mut self) {
        if mem::take(&mut self.is_refused) {
            log::info!("in the registry again");
        }
        self.register.set_registered(true);
        if mem::take(&mut self.is_demoted) {
            // The others may still speak with the server that was left here, which takes what they say.
            self.doubts.raise();
        }
    }

    /// Writes what is true, whatever was written before.
    fn write_all(&mut self, link: &mut Connection) -> RedisResult<()> {
        let register = self.register;
        // Notes that come from here on are about what may have changed while it was listed.
        register.notes.forget();
        let inbox = &self.register.inbox;
        let channels = inbox.held();
        for list in List::ALL {
            let entries = channels.iter().filter_map(|channel| inbox.entry(channel));
            let ours = entries.filter(|(its, _)| *its == list);
            let held: HashSet<&[u8]> = ours.map(|(_, name)| name.as_bytes()).collect();
            let names: Vec<_> = held.iter().copied().collect();
            register.write(link, "SADD", list, &names)?;
            let mut cursor = 0;
            loop {
                let scan = scan(&register.own_key(list.name()), cursor);
                let (next, names): (u64, Vec<Vec<u8>>) = scan.query(link)?;
                let names = names.iter().map(Vec::as_slice);
                let others: Vec<_> = names.filter(|name| !held.contains(name)).collect();
                register.write(link, "SREM", list, &others)?;
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        self.is_stale = false;
        Ok(())
    }

    /// Looks at what was noted: whether this node holds it now, whatever it did before.
    fn follow(&mut self, link: &mut Connection) -> RedisResult<()> {
        let (noted, inbox) = (self.register.notes.take(), &self.register.inbox);
        for list in List::ALL {
            let entries = noted.iter().filter_map(|channel| {
                let (its, name) = inbox.entry(channel)?;
                (its == list).then(|| (name.as_bytes(), inbox.is_held(channel)))
            });
            let (held, gone): (Vec<_>, Vec<_>) = entries.partition(|(_, is_held)| *is_held);
            for (command, entries) in [("SADD", held), ("SREM", gone)] {
                let names: Vec<_> = entries.into_iter().map(|(name, _)| name).collect();
                self.register.write(link, command, list, &names)?;
            }
        }
        Ok(())
    }

    /// The node goes. It is alive until nobody knows of it any more, so that nobody sweeps it.
    fn leave(&self, link: &mut Connection) -> RedisResult<()> {
        let register = self.register;
        for list in List::ALL {
            delete(link, &register.own_key(list.name()))?;
        }
        register.take_out(link, &register.node)?;
        delete(link, &register.own_key("alive"))
    }
}

/// Whether Redis is there, and does not want to. One that takes no writes, or has the keys no more, is not the one that is wanted.
fn is_refusal(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => {
            !matches!(kind, ServerErrorKind::ReadOnly | ServerErrorKind::Moved)
        }
        kind => kind == ErrorKind::Extension,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_refuses_is_told_from_a_link_that_is_no_good() {
        let error = |code: &str| redis::make_extension_error(code.to_owned(), None);
        assert!(is_refusal(&error("OOM")));
        let parts = [
            (ServerErrorKind::NoPerm, true),
            (ServerErrorKind::ReadOnly, false),
            (ServerErrorKind::Moved, false),
        ];
        for (kind, expected) in parts {
            let error = RedisError::from((ErrorKind::Server(kind), "said"));
            assert_eq!(is_refusal(&error), expected, "{kind:?}");
        }
        let lost = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(!is_refusal(&RedisError::from(lost)));
    }
}
