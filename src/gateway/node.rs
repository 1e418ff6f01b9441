//! What all workers of the process share: the doors, the farewell flag, the ways to each other.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use super::admission::Admission;
use super::api::Idempotency;
use super::backend::Behind;
use super::cluster::Cluster;
use super::config::EndpointKind;
use super::dashboard::{Arrival, Dashboards};
use super::metrics::{Scrape, WorkerMeters};
use super::session::{GatewaySession, Mail};
use super::socketio::{Names, Neighbours, Recovery};
use super::tally::Tally;
use crate::buffer::Account;
use crate::hub::Directory;
use crate::id::ConnectionId;
use crate::limits::NODE_EXPIRY;
use crate::reactor::{Command, Mailbox};
use crate::socketio::Moment;
use crate::socketio::engine::handshake::Transport;

/// A mailbox without room is tried again after this time.
const MAIL_RETRY: Duration = Duration::from_millis(1);

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
    /// How often limits were reached.
    pub tally: Tally,
    is_draining: AtomicBool,
    mailboxes: OnceLock<Vec<WorkerMailbox>>,
    directory: Arc<Directory>,
    /// Of the API's calls.
    pub(super) idempotency: Idempotency,
    /// WebSockets at each kind of endpoint.
    open: [AtomicU32; EndpointKind::ALL.len()],
    /// Of the sessions among them those that long-polling carries.
    polling: AtomicU32,
    pub(super) session_names: Names,
    number: u64,
    name: String,
    cluster: OnceLock<Cluster>,
    behind: OnceLock<Behind>,
    neighbours: OnceLock<Neighbours>,
    recovery: OnceLock<Recovery>,
    started_at: Instant,
    publication_bytes: Arc<AtomicUsize>,
    account: Arc<Account>,
    descriptor_freed: OnceLock<Hook>,
    meters: Vec<Arc<WorkerMeters>>,
    /// Clients that were told that messages of other nodes may be missing.
    cluster_gaps: AtomicU64,
    scrapes: OnceLock<SyncSender<Scrape>>,
    pub(super) dashboards: Dashboards,
}

/// What the node of that number is called among others.
fn node_name(number: u64) -> String {
    format!("{number:016x}")
}

impl Node {
    /// A node of `workers` workers.
    pub fn new(workers: usize, admission: Admission) -> Self {
        let number = rand::random();
        Self {
            admission,
            tally: Tally::default(),
            is_draining: AtomicBool::new(false),
            mailboxes: OnceLock::new(),
            directory: Arc::new(Directory::new(workers)),
            idempotency: Idempotency::default(),
            open: Default::default(),
            polling: AtomicU32::new(0),
            session_names: Names::default(),
            number,
            name: node_name(number),
            cluster: OnceLock::new(),
            behind: OnceLock::new(),
            neighbours: OnceLock::new(),
            recovery: OnceLock::new(),
            started_at: Instant::now(),
            publication_bytes: Arc::new(AtomicUsize::new(0)),
            account: Arc::default(),
            descriptor_freed: OnceLock::new(),
            meters: (0..workers).map(|_| Arc::default()).collect(),
            cluster_gaps: AtomicU64::new(0),
            scrapes: OnceLock::new(),
            dashboards: Dashboards::new(workers),
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

    /// What each worker counts.
    pub fn meters(&self) -> &[Arc<WorkerMeters>] {
        &self.meters
    }

    /// Tells once, before the workers run, where requests for metrics go.
    pub fn set_scrapes(&self, scrapes: SyncSender<Scrape>) {
        assert!(self.scrapes.set(scrapes).is_ok(), "there is one place");
    }

    /// Tells once, before the workers run, where dashboards announce themselves.
    pub fn set_dashboards(&self, arrivals: SyncSender<Arrival>) {
        self.dashboards.set_teller(arrivals);
    }

    /// Has a request for metrics answered by mail; false where nobody can.
    pub(super) fn scrape(&self, scrape: Scrape) -> bool {
        let scrapes = self.scrapes.get();
        scrapes.is_some_and(|scrapes| scrapes.try_send(scrape).is_ok())
    }

    /// So many clients are told that messages of other nodes may be missing.
    pub(super) fn count_cluster_gaps(&self, clients: u32) {
        self.cluster_gaps
            .fetch_add(u64::from(clients), Ordering::Relaxed);
    }

    /// Clients that were told so.
    pub(super) fn cluster_gaps(&self) -> u64 {
        self.cluster_gaps.load(Ordering::Relaxed)
    }

    /// Workers of the process.
    pub(super) fn workers(&self) -> usize {
        self.mailboxes.get().map_or(1, Vec::len)
    }

    /// What the process is called among others, as a number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The name of a connection for those outside: where there are other nodes, with this one's before it.
    pub(super) fn shown(&self, id: ConnectionId) -> String {
        match self.cluster() {
            Some(_) => format!("{}-{id}", self.name),
            None => id.to_string(),
        }
    }

    /// Goes among others, once, before the workers run.
    pub fn enter(&self, cluster: Cluster) {
        assert!(self.cluster.set(cluster).is_ok(), "there is one cluster");
    }

    /// Has a back end behind it, once, before the workers run.
    pub fn set_behind(&self, behind: Behind) {
        assert!(self.behind.set(behind).is_ok(), "there is one back end");
    }

    /// The back end, where there is one.
    pub fn behind(&self) -> Option<&Behind> {
        self.behind.get()
    }

    /// The names of the other nodes that are alive, as far as is known.
    fn company(&self) -> impl Iterator<Item = String> {
        let registered = self.cluster().map_or_else(Vec::new, Cluster::nodes);
        let others = registered.into_iter().filter(|other| {
            let is_alive = other.alive_at.is_some_and(|at| at.elapsed() < NODE_EXPIRY);
            is_alive && other.node != self.name
        });
        others.map(|other| other.node)
    }

    /// Whether another node is alive, as far as is known.
    pub(super) fn has_company(&self) -> bool {
        self.company().next().is_some()
    }

    /// Whether these numbers of nodes that have answered are all others that are alive. Who is not registered does not know.
    pub(super) fn has_heard_all(&self, numbers: &[u64]) -> bool {
        let cluster = self.cluster();
        let is_registered = cluster.is_some_and(|cluster| cluster.health().is_registered);
        let is_among = |name: &str| numbers.iter().any(|number| node_name(*number) == name);
        is_registered && self.company().all(|name| is_among(&name))
    }

    /// The other nodes, where there may be some.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.get()
    }

    /// Goes among Socket.IO servers, once.
    pub(super) fn meet(&self, neighbours: Neighbours) -> &Neighbours {
        self.neighbours.get_or_init(|| neighbours)
    }

    /// The Socket.IO servers that rooms are shared with, where they are with some.
    pub(super) fn neighbours(&self) -> Option<&Neighbours> {
        self.neighbours.get()
    }

    /// Recovers clients of Socket.IO, from before the workers run.
    pub(super) fn recover(&self, recovery: Recovery) {
        assert!(self.recovery.set(recovery).is_ok(), "there is one way");
    }

    /// The sessions have ended: waits until other nodes may recover them, for a second at most.
    pub fn lose_clients(&self) {
        if let Some(recovery) = self.recovery() {
            recovery.leave();
        }
    }

    /// How clients of Socket.IO are recovered, where they are.
    pub(super) fn recovery(&self) -> Option<&Recovery> {
        self.recovery.get()
    }

    /// What the process is called among others.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time since the process began, as sessions know it: the same at every worker.
    pub(super) fn moment(&self) -> Moment {
        Moment(self.started_at.elapsed().as_millis() as u64)
    }

    /// How long it has been running.
    pub fn uptime(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// WebSockets and sessions at endpoints of that kind.
    pub(super) fn open_at(&self, kind: EndpointKind) -> u32 {
        self.open[kind as usize].load(Ordering::Relaxed)
    }

    pub(super) fn opened(&self, kind: EndpointKind) {
        self.open[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self, kind: EndpointKind) {
        self.open[kind as usize].fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a session that came or went, or changed, where it is one of long-polling.
    pub(super) fn count_polling(&self, transport: Transport, difference: i32) {
        if transport == Transport::Polling {
            self.polling.fetch_add(difference as u32, Ordering::Relaxed);
        }
    }

    /// Engine.IO sessions.
    pub(super) fn sessions(&self) -> u32 {
        let kinds = EndpointKind::ALL.into_iter();
        let kinds = kinds.filter(|kind| kind.is_engineio());
        kinds.map(|kind| self.open_at(kind)).sum()
    }

    /// Sessions that long-polling carries.
    pub(super) fn polling(&self) -> u32 {
        self.polling.load(Ordering::Relaxed)
    }

    /// Users, rooms and channels, and the workers that have members of them.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
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

    /// Sends mail, waiting for room: for threads of their own, which bring no more until then. A worker never waits.
    pub(super) fn deliver(&self, worker: usize, mut mail: Mail) {
        while let Err(refused) = self.send(worker, mail) {
            mail = refused;
            thread::sleep(MAIL_RETRY);
        }
    }

    /// The counter that publications of this node add their bytes to while they are under way.
    pub(super) fn publication_bytes(&self) -> &Arc<AtomicUsize> {
        &self.publication_bytes
    }

    /// What the process holds for peers that have not read it.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Whether publications are under way in such an amount that publishers have to wait.
    pub(super) fn is_congested(&self) -> bool {
        self.publication_bytes.load(Ordering::Relaxed) >= PUBLICATION_BYTES_MAX
    }
}
