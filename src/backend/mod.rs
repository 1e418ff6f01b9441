//! The HTTP way to the back end: events are posted to it in order, and what it answers is told.
//!
//! Whoever posts an event never waits for the network: [`Backend::post`] puts it into a bounded queue, or says why not.
//! A pool of threads sends, each one request at a time, and tells the [`Inbox`] what came of each event that was taken, once.
//!
//! # The contract with the back end
//!
//! Every event is a `POST` to one URL: a CloudEvent 1.0 ([`cloudevents`]) that is signed by Standard Webhooks ([`signature`]).
//!
//! ```text
//! POST /events HTTP/1.1
//! content-type: application/json
//! webhook-id: msg_5f0c…          the same for every attempt, and ce-id
//! webhook-timestamp: 1795300000  of this attempt
//! webhook-signature: v1,K5oZ…    two of them while secrets are rotated
//! ce-specversion: 1.0
//! ce-id: msg_5f0c…
//! ce-source: /tidegate/NODE
//! ce-type: io.tidegate.connect | io.tidegate.message | io.tidegate.disconnect
//! ce-time: 2026-11-21T22:26:40.000Z
//! ce-subject: 1-9.3
//!
//! {…}
//! ```
//!
//! | it answers | to `connect` | to `message` | to `disconnect` |
//! |---|---|---|---|
//! | 2xx without a body | the client may | nothing is to be done | it has it |
//! | 2xx, `application/json` | [`ConnectAnswer`] | [`MessageAnswer`] | it has it |
//! | 4xx | the client is refused with this status, and a sentence where there is one | the client gets an error | tried again |
//! | 3xx | an error: never followed | an error | tried again |
//! | 5xx, nothing in time, anything else | 503 for the client | an error | tried again |
//!
//! A sentence is the body as `text/plain`, or `detail` of `application/problem+json`. What is tried again and when is
//! told in [`retry`]; a back end has to know a `webhook-id` that it has had. Answers have
//! [`ANSWER_BYTES_MAX`](crate::limits::ANSWER_BYTES_MAX) bytes at most.
//!
//! # Order, and what waits
//!
//! Events of one key reach the back end one after the other, in the order in which they were posted; the next one is sent when the
//! one before is answered and told, or given up. Keys take turns. A key whose event is tried again later holds no thread.
//! Of a key that has an event given up before it was sent, the failure may be told before the answers to those in front of it.
//!
//! Disconnects are reckoned apart: no policy drops them, they wait for as long as it takes, and while the back end is away they stay.
//! They are lost beyond [`DISCONNECTS_MAX`](crate::limits::DISCONNECTS_MAX), after `disconnect_age_max`, by a 410, and where the process ends;
//! all of it is counted.

pub mod answer;
pub mod breaker;
mod client;
pub mod cloudevents;
pub mod failure;
pub mod health;
mod pool;
pub mod queue;
mod reach;
mod resolver;
pub mod retry;
pub mod signature;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use answer::{Answer, Close, ConnectAnswer, MessageAnswer, Publish};
pub use breaker::{BreakerLimits, BreakerState};
use client::Client;
pub use client::{BackendUrl, CONNECT_TIMEOUT, ClientConfig};
pub use cloudevents::{Event, Kind, Mode};
pub use failure::{Cause, Failure, Refused};
pub use health::{Counts, Health, Latency};
use pool::Pool;
use queue::Queue;
pub use queue::{QueueLimits, QueuePolicy};
pub use reach::Reached;
pub use signature::{DeliveryId, Secrets};

/// Requests at one time, which each has a thread.
pub const CONCURRENCY_MAX: usize = 256;

/// Who is told what came of events. Called from the back end's threads; whoever waits in a call makes the next events wait.
pub trait Inbox: Send + Sync + fmt::Debug {
    /// What came of the event with that ticket.
    fn settle(&self, ticket: u64, answer: Result<Answer, Failure>);
}

/// What the way to a back end is made of.
#[derive(Debug, Clone)]
pub struct BackendConfig {
    /// Where events go, and how.
    pub client: ClientConfig,
    /// How many are under way at one time: 1 to [`CONCURRENCY_MAX`].
    pub concurrency: usize,
    /// How many wait.
    pub queue: QueueLimits,
    /// When nothing is sent for a while.
    pub breaker: BreakerLimits,
}

/// The way to a back end. Dropped, it ends its threads, and gives up what waits.
#[derive(Debug)]
pub struct Backend {
    pool: Arc<Pool>,
}

impl Backend {
    /// Starts the threads. `inbox` is called from them from now on. Nothing is sent before the first event.
    ///
    /// # Errors
    /// Certificates that are none ([`io::ErrorKind::InvalidInput`]), and what the system says to more threads.
    pub fn start(config: BackendConfig, inbox: Arc<dyn Inbox>) -> io::Result<Self> {
        let threads = config.concurrency.clamp(1, CONCURRENCY_MAX);
        let client = Client::new(config.client, threads)
            .map_err(|problem| io::Error::new(io::ErrorKind::InvalidInput, problem))?;
        let queue = Queue::new(config.queue, config.breaker, rand::random(), Instant::now());
        let pool = Pool::start(client, queue, threads, inbox)?;
        Ok(Self { pool })
    }

    /// Takes an event, behind all others of its key. Never waits for the network.
    ///
    /// # Errors
    /// Why it is not taken. It is counted, and its ticket not given back.
    pub fn post(&self, event: Event) -> Result<(), Refused> {
        self.pool.post(event)
    }

    /// How it is.
    pub fn health(&self) -> Health {
        self.pool.health()
    }

    /// How long requests took, microseconds, each attempt by itself.
    pub fn latency_us(&self) -> Latency {
        self.pool.latency_us()
    }

    /// Waits until nothing waits any more and nothing is under way; false where that takes longer. Not for an event loop.
    pub fn drain(&self, within: Duration) -> bool {
        self.pool.drain(within)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.pool.stop();
    }
}
