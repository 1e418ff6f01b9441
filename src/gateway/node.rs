//! What all workers of the process share: the doors, the farewell flag, the ways to each other.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::admission::Admission;
use super::config::{EndpointKind, Route};
use super::session::{GatewaySession, Mail};
use crate::reactor::{Command, Mailbox};

/// Bytes of publications on their way to the workers; from here on publishers are not read.
const PUBLICATION_BYTES_MAX: usize = 64 << 20;

type WorkerMailbox = Arc<Mailbox<Command<GatewaySession>>>;

/// Something to be called when a connection has gone.
struct Hook(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

/// The process, as its workers see it.
#[derive(Debug)]
pub struct Node {
    /// Who is let in.
    pub admission: Admission,
    is_draining: AtomicBool,
    mailboxes: OnceLock<Vec<WorkerMailbox>>,
    /// Receivers of each channel at each worker: written by that worker, read by all.
    receivers: Vec<Vec<AtomicUsize>>,
    publication_bytes: Arc<AtomicUsize>,
    descriptor_freed: OnceLock<Hook>,
}

impl Node {
    /// A node of `workers` workers serving `routes`.
    pub fn new(workers: usize, routes: &[Route], admission: Admission) -> Self {
        let channels = routes
            .iter()
            .filter(|route| route.endpoint == EndpointKind::Broadcast);
        Self {
            admission,
            is_draining: AtomicBool::new(false),
            mailboxes: OnceLock::new(),
            receivers: channels
                .map(|_| (0..workers).map(|_| AtomicUsize::new(0)).collect())
                .collect(),
            publication_bytes: Arc::new(AtomicUsize::new(0)),
            descriptor_freed: OnceLock::new(),
        }
    }

    /// Tells the workers of each other, once, before they run. `descriptor_freed` is called when a descriptor was closed
    /// while the acceptor waited for one.
    pub fn connect(
        &self,
        mailboxes: Vec<WorkerMailbox>,
        descriptor_freed: impl Fn() + Send + Sync + 'static,
    ) {
        let first = self.mailboxes.set(mailboxes).is_ok();
        let second = self
            .descriptor_freed
            .set(Hook(Box::new(descriptor_freed)))
            .is_ok();
        assert!(first && second, "the workers are connected once");
    }

    /// The server is going away: `/health` says 503, new WebSockets are refused.
    pub fn begin_draining(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// A connection of `worker` has given its descriptor back.
    pub fn connection_gone(&self, worker: usize) {
        self.admission.unassign(worker);
        if self.admission.feed()
            && let Some(Hook(call)) = self.descriptor_freed.get()
        {
            call();
        }
    }

    /// Channels of the node.
    pub(super) fn channels(&self) -> usize {
        self.receivers.len()
    }

    /// `worker` now has `count` receivers of `channel`.
    pub(super) fn set_receivers(&self, channel: usize, worker: usize, count: usize) {
        self.receivers[channel][worker].store(count, Ordering::Relaxed);
    }

    /// The workers other than `own` that have a receiver of `channel`.
    pub(super) fn audience(&self, channel: usize, own: usize) -> impl Iterator<Item = usize> + '_ {
        let workers = self.receivers[channel].iter().enumerate();
        workers
            .filter(move |(worker, count)| *worker != own && count.load(Ordering::Relaxed) > 0)
            .map(|(worker, _)| worker)
    }

    /// Sends mail to `worker`.
    ///
    /// # Errors
    /// The mail, where its mailbox is full.
    pub(super) fn send(&self, worker: usize, mail: Mail) -> Result<(), Mail> {
        let Some(mailbox) = self.mailboxes.get().and_then(|all| all.get(worker)) else {
            return Ok(());
        };
        match mailbox.send(Command::Mail(mail)) {
            Err(Command::Mail(mail)) => Err(mail),
            _ => Ok(()),
        }
    }

    /// The counter that publications of this node add their bytes to while they are under way.
    pub(super) fn publication_bytes(&self) -> &Arc<AtomicUsize> {
        &self.publication_bytes
    }

    /// Whether publications are under way in such an amount that publishers have to wait.
    pub(super) fn is_congested(&self) -> bool {
        self.publication_bytes.load(Ordering::Relaxed) >= PUBLICATION_BYTES_MAX
    }
}
