//! The back end behind the gateway: what it is asked and told, and what becomes of its answers.
//!
//! Which event it is, and what it says, is made here; how it gets there is [`crate::backend`]'s. A worker never waits for an answer:
//! it comes by mail, and finds the connection by the number of its call. Users who have gone are told of by a thread of their own.

mod calls;
mod departures;
mod events;
pub(super) mod following;
mod leaving;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::config::EndpointKind;
use super::node::Node;
use super::session::Mail;
use crate::backend::{
    Answer, Backend, Cause, DeliveryId, Event, Failure, Health, Inbox, Kind, Latency, Refused,
};
use crate::limits::NODE_BEAT_INTERVAL;
use crate::timestamp;
pub(super) use calls::{Calls, Purpose, settle};
pub(super) use departures::Departure;
pub(super) use events::{Asked, Opening, Said};
use leaving::Leaving;
pub(super) use leaving::question;
pub use leaving::serve_departures;

/// What the back end is told of.
#[derive(Debug, Clone)]
pub struct BackendPolicy {
    /// The kinds of events.
    pub events: Vec<Kind>,
    /// The endpoints whose connections it is asked about.
    pub endpoints: Vec<EndpointKind>,
    /// The header fields of a handshake that it sees, in lower case.
    pub headers: Vec<String>,
    /// A user who is back within this time has not gone.
    pub debounce: Duration,
    /// How long the end of the process waits for what is still under way.
    pub farewell: Duration,
}

/// What a ticket of a departure has, and no worker's.
const OF_DEPARTURE: u64 = 1 << 63;
/// The ticket of the end of a connection that was nobody's, for which nobody waits.
const OF_NOBODY: u64 = u64::MAX;

/// The back end, as the gateway knows it.
#[derive(Debug)]
pub struct Behind {
    backend: Backend,
    policy: BackendPolicy,
    leaving: Leaving,
    last_number: AtomicU64,
    /// Users and connections that have gone, and that it will not hear of.
    lost: AtomicU64,
}

/// Brings answers to whoever waits for them.
struct Answers(Weak<Node>);

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers")
    }
}

impl Inbox for Answers {
    fn settle(&self, ticket: u64, answer: Result<Answer, Failure>) {
        let Some(node) = self.0.upgrade() else {
            return;
        };
        if ticket == OF_NOBODY {
            if let (Err(_), Some(behind)) = (answer, node.behind()) {
                behind.lose();
            }
            return;
        }
        if ticket & OF_DEPARTURE != 0 {
            if let Some(behind) = node.behind() {
                behind
                    .leaving
                    .settled(behind, &node, ticket & !OF_DEPARTURE, &answer);
            }
            return;
        }
        let (worker, number) = ((ticket >> 32) as usize, ticket as u32);
        let answer = Box::new(answer);
        node.deliver(worker, Mail::Answered { number, answer });
    }
}

/// The name of an event. That of a departure follows from it, since it may be posted again where it was given up; then the back end knows it.
fn delivery_id(kind: Kind, number: u64, subject: &str) -> DeliveryId {
    if kind != Kind::Disconnect {
        return DeliveryId::random();
    }
    let of: [u8; 20] = Sha1::digest(subject.as_bytes()).into();
    let of = of
        .iter()
        .take(8)
        .fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
    let id = format!("gone_{number:020}_{of:016x}");
    DeliveryId::new(&id).unwrap_or_else(DeliveryId::random)
}

impl Behind {
    /// The back end that `start` makes for `node`.
    ///
    /// # Errors
    /// What `start` says.
    pub fn start(
        node: &Arc<Node>,
        policy: BackendPolicy,
        start: impl FnOnce(Arc<dyn Inbox>) -> io::Result<Backend>,
    ) -> io::Result<Self> {
        let backend = start(Arc::new(Answers(Arc::downgrade(node))))?;
        Ok(Self {
            backend,
            policy,
            leaving: Leaving::default(),
            last_number: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        })
    }

    /// Whether it is asked who may connect to an endpoint of that kind.
    pub(super) fn admits(&self, kind: EndpointKind) -> bool {
        self.tells(Kind::Connect) && self.policy.endpoints.contains(&kind)
    }

    /// Whether it answers the messages that clients of that endpoint send and the gateway does not know.
    pub(super) fn answers(&self, kind: EndpointKind) -> bool {
        self.tells(Kind::Message) && self.policy.endpoints.contains(&kind)
    }

    fn tells(&self, kind: Kind) -> bool {
        self.policy.events.contains(&kind)
    }

    /// The header fields of a handshake that it sees.
    pub(super) fn headers(&self) -> &[String] {
        &self.policy.headers
    }

    /// A number for an event: microseconds since 1970, and later than all before, whatever becomes of the clock.
    fn next_number(&self) -> u64 {
        let now = timestamp::since_1970().as_micros() as u64;
        let later = |last: u64| Some(now.max(last + 1));
        let last = self
            .last_number
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        let last = last.unwrap_or_else(|last| last);
        now.max(last + 1)
    }

    /// Posts an event. `subject` is what it happened to, `key` what it is in order with.
    ///
    /// # Errors
    /// Why it is not taken; nothing comes of it then.
    fn post(
        &self,
        kind: Kind,
        (number, ticket): (u64, u64),
        key: u64,
        subject: String,
        data: Box<serde_json::value::RawValue>,
    ) -> Result<(), Refused> {
        self.backend.post(Event {
            id: delivery_id(kind, number, &subject),
            kind,
            key,
            ticket,
            time: UNIX_EPOCH + Duration::from_micros(number),
            subject: Some(subject.into()),
            extensions: vec![("sequence", format!("{number:020}").into())],
            data,
        })
    }

    /// How the way to it is.
    pub fn health(&self) -> Health {
        self.backend.health()
    }

    /// How the way to it is, as people and programs are told.
    pub(super) fn told(&self) -> Value {
        let Health {
            breaker, counts, ..
        } = self.health();
        let failed = counts.failed.iter().sum::<u64>() - counts.failed[Cause::Declined as usize];
        let refused = counts.refused_full + counts.refused_key_full + counts.refused_away;
        json!({
            "state": breaker.name(),
            "inFlight": counts.in_flight,
            "waiting": counts.waiting(),
            "requests": self.latency_us().len(),
            "failed": failed + refused,
            "departures": self.departures(),
            "lost": self.lost(),
        })
    }

    /// How long requests took, microseconds.
    pub fn latency_us(&self) -> Latency {
        self.backend.latency_us()
    }

    /// The back end will not hear of somebody who has gone.
    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Users and connections that have gone, and that it will not hear of.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Users who may have gone, and of whom it does not know yet.
    pub(super) fn departures(&self) -> usize {
        self.leaving.len()
    }

    /// Whether something is still to be told of that user.
    pub(super) fn is_leaving(&self, user: &str) -> bool {
        self.leaving.is_pending(user)
    }

    /// The users of whom something is still to be told.
    pub(super) fn leaving(&self) -> Vec<Arc<str>> {
        self.leaving.names()
    }

    /// The user has no connection at this node any more.
    pub(super) fn left(&self, user: &str) {
        self.leave_after(user, self.policy.debounce);
    }

    /// The user had connections at a node that is dead. It has been so for up to a beat, which counts: the back end hears of it no later
    /// than the delay after the node's expiry.
    pub(super) fn died(&self, user: &str) {
        self.leave_after(
            user,
            self.policy.debounce.saturating_sub(NODE_BEAT_INTERVAL),
        );
    }

    fn leave_after(&self, user: &str, delay: Duration) {
        if self.tells(Kind::Disconnect) {
            let due = Instant::now() + delay;
            self.leaving.note(user, self.next_number(), due);
        }
    }

    /// Whether this node has the last word on that departure from another.
    pub(super) fn outranks(&self, own: u64, departure: &Departure, other: u64) -> bool {
        self.leaving.outranks(own, departure, other)
    }

    /// Other nodes have said which of these users they have.
    pub(super) fn heard_of(
        &self,
        node: &Node,
        departures: &[Departure],
        elsewhere: &dyn Fn(&str) -> bool,
        is_whole: bool,
    ) {
        self.leaving
            .heard_of(self, node, departures, elsewhere, is_whole);
    }
}
