//! The way of a departure: noted by a worker, waited for, asked of the other nodes, told to the back end until it knows.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crossbeam_queue::SegQueue;
use slab::Slab;

use super::departures::{ASK_AGAIN, Departure, Departures};
use super::{Behind, OF_DEPARTURE};
use crate::backend::{Answer, Cause, Failure, Kind};
use crate::gateway::ask::Question;
use crate::gateway::node::Node;
use crate::gateway::session::Mail;
use crate::hub;

/// The thread looks so often, while somebody may have gone.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Users of one question to other nodes.
const BATCH_MAX: usize = 500;
/// A departure that the queue to the back end has no room for, or that was given up there, is tried again after this time.
const TELL_AGAIN: Duration = Duration::from_secs(5);
/// How often other nodes are asked that do not answer. Then what is known here has to be enough.
const ASKS_MAX: u32 = 10;
/// The worker that asks them.
const ASKING_WORKER: usize = 0;

/// What the lock is around.
#[derive(Debug, Default)]
struct State {
    departures: Departures,
    /// Those that the back end is being told of, by their tickets.
    told: Slab<Departure>,
    /// Questions in a row that were not answered by all.
    unanswered: u32,
}

/// Users who may have gone.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// From the workers, which wait for nobody.
    noted: SegQueue<(Arc<str>, u64, Instant)>,
    state: Mutex<State>,
    hasher: OnceLock<RandomState>,
    thread: OnceLock<Thread>,
    is_asleep: AtomicBool,
}

impl Leaving {
    /// The state, with all that was noted.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((user, left_at, due)) = self.noted.pop() {
            state.departures.note(&user, left_at, due);
        }
        state
    }

    pub(super) fn note(&self, user: &str, left_at: u64, due: Instant) {
        self.noted.push((Arc::from(user), left_at, due));
        if self.is_asleep.swap(false, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    pub(super) fn is_pending(&self, user: &str) -> bool {
        self.lock().departures.is_pending(user)
    }

    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.lock().departures.names()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().departures.len()
    }

    pub(super) fn outranks(&self, own: u64, departure: &Departure, other: u64) -> bool {
        self.lock().departures.outranks(own, departure, other)
    }

    /// Other nodes have said which of these users they have; not all of them, where it is not the whole.
    pub(super) fn heard_of(
        &self,
        behind: &Behind,
        node: &Node,
        departures: &[Departure],
        is_elsewhere: &dyn Fn(&str) -> bool,
        is_whole: bool,
    ) {
        let mut state = self.lock();
        state.unanswered = if is_whole { 0 } else { state.unanswered + 1 };
        let is_enough = is_whole || state.unanswered > ASKS_MAX;
        let mut over = Vec::new();
        for departure in departures {
            if is_elsewhere(&departure.user) {
                if state.departures.end(departure) {
                    over.push(Arc::clone(&departure.user));
                }
            } else if is_enough {
                behind.tell(&mut state, departure);
            } else {
                state
                    .departures
                    .again(departure, Instant::now() + ASK_AGAIN);
            }
        }
        drop(state);
        forget(node, &over);
    }

    /// The back end knows of a departure, or will not.
    pub(super) fn settled(
        &self,
        behind: &Behind,
        node: &Node,
        ticket: u64,
        answer: &Result<Answer, Failure>,
    ) {
        let mut state = self.lock();
        let Some(departure) = state.told.try_remove(ticket as usize) else {
            return;
        };
        let user = &departure.user;
        if let Err(failure) = answer {
            if failure.cause() == Cause::Stopped {
                // Another node goes on with it.
                return;
            }
            behind.lose();
            log::warn!(user = &**user; "the back end was not told that a user has gone: {failure}");
        }
        let is_over = state.departures.told(&departure, Instant::now());
        drop(state);
        if is_over {
            forget(node, &[departure.user]);
        }
    }

    /// Those who are due, where nobody is to be asked, or are to be asked for.
    fn look(&self, behind: &Behind, node: &Node) {
        let mut state = self.lock();
        let is_here = |user: &str| node.directory().find(hub::Kind::User, user).is_some();
        let (gone, _) = state
            .departures
            .take_due(Instant::now(), BATCH_MAX, is_here);
        if gone.is_empty() {
            return;
        }
        if node.cluster().is_none() {
            for departure in &gone {
                behind.tell(&mut state, departure);
            }
            return;
        }
        drop(state);
        let mail = Mail::Departed(gone);
        node.deliver(ASKING_WORKER, mail);
    }

    /// Waits until there may be something to do.
    fn sleep(&self) {
        let is_idle = self.lock().departures.next_due().is_none();
        if !is_idle {
            return thread::park_timeout(LOOK_INTERVAL);
        }
        self.is_asleep.store(true, Ordering::Release);
        if self.noted.is_empty() {
            // Now and then all the same: the node may have ended.
            thread::park_timeout(ASK_AGAIN);
        }
        self.is_asleep.store(false, Ordering::Release);
    }
}

/// The registry need not know of these any more.
fn forget(node: &Node, users: &[Arc<str>]) {
    if let Some(cluster) = node.cluster() {
        for user in users {
            cluster.note(hub::Kind::User, user);
        }
    }
}

impl Behind {
    /// Tells the back end that a user has gone.
    fn tell(&self, state: &mut State, departure: &Departure) {
        if !state.departures.tell(departure) {
            return;
        }
        let Departure { user, left_at } = departure;
        let ticket = state.told.insert(departure.clone());
        // What is told of one user is told in order.
        let hasher = self.leaving.hasher.get_or_init(RandomState::new);
        let posted = self.post(
            Kind::Disconnect,
            (*left_at, OF_DEPARTURE | ticket as u64),
            hasher.hash_one(user),
            user.to_string(),
            Self::gone(user, *left_at),
        );
        if let Err(refused) = posted {
            state.told.remove(ticket);
            log::debug!(user = &**user; "the back end is told later that a user has gone: {refused}");
            state
                .departures
                .again(departure, Instant::now() + TELL_AGAIN);
        }
    }

    /// The process ends, and with it its connections: whoever has gone from here is told of at once, where there is no other node that
    /// will do so. Whether nothing is left to tell.
    pub fn finish(&self, node: &Node) -> bool {
        let end = Instant::now() + self.policy.farewell;
        if node.has_company() {
            self.backend.drain(self.policy.farewell);
            return self.departures() == 0;
        }
        let everybody_has_gone = |_: &str| false;
        let mut state = self.leaving.lock();
        state.departures.hurry();
        let (gone, _) = state
            .departures
            .take_due(Instant::now(), usize::MAX, everybody_has_gone);
        for departure in &gone {
            self.tell(&mut state, departure);
        }
        drop(state);
        self.backend
            .drain(end.saturating_duration_since(Instant::now()));
        self.departures() == 0
    }
}

/// The thread that tells of users who have gone. It ends with the node.
pub fn serve_departures(node: &Weak<Node>) {
    while let Some(node) = node.upgrade() {
        let Some(behind) = node.behind() else {
            return;
        };
        // Once: it is this thread from now on.
        let _ = behind.leaving.thread.get_or_init(thread::current);
        behind.leaving.look(behind, &node);
        behind.leaving.sleep();
    }
}

/// What other nodes are asked about departures.
pub(in crate::gateway) fn question(node: &Node, departures: &[Departure]) -> Question {
    Question::Departed {
        node: node.number(),
        users: departures
            .iter()
            .map(|departure| (Arc::clone(&departure.user), departure.left_at))
            .collect(),
    }
}
