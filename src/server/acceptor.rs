//! The acceptor: owns the listening sockets, counts who comes in, gives each connection to the worker that has the fewest.
//! It has no thread of its own: the loop of one worker drives it. Out of descriptors it waits for the next one to be freed,
//! and looks again after a while; it never spins.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use mio::{Interest, Registry};
use rustls::ServerConfig;

use super::listeners::{BACKLOG, Listener};
use crate::gateway::{ClientAddress, GatewaySession, Node, Verdict};
use crate::http::forwarded::TrustedProxies;
use crate::reactor::{Command, Intake, Mailbox, Socket, Stream, Tick, TlsStream, intake_token};

/// Connections accepted in one turn: those that the worker serves wait so long.
const ACCEPTS_PER_TURN_MAX: usize = 64;
/// Out of descriptors or memory, accepting is tried again after this time at the latest.
const STARVED_RETRY: Duration = Duration::from_millis(100);
/// The same trouble is logged once in this time.
const TROUBLE_LOG_INTERVAL: Duration = Duration::from_secs(5);

type WorkerMailbox = Arc<Mailbox<Command<GatewaySession>>>;

/// What other threads ask of the acceptor. The last of a kind counts.
#[derive(Debug, Default)]
struct Orders {
    config: Option<AcceptorConfig>,
    stop_after: Option<Duration>,
    is_descriptor_free: bool,
}

/// How other threads reach the acceptor.
#[derive(Debug)]
pub(super) struct AcceptorDesk {
    orders: Mutex<Orders>,
    has_orders: AtomicBool,
    /// Of the worker that drives it.
    worker: WorkerMailbox,
}

impl AcceptorDesk {
    pub(super) fn new(worker: WorkerMailbox) -> Self {
        Self {
            orders: Mutex::default(),
            has_orders: AtomicBool::new(false),
            worker,
        }
    }

    /// Other settings for connections to come.
    pub(super) fn configure(&self, config: AcceptorConfig) {
        self.tell(|orders| orders.config = Some(config));
    }

    /// Stop once this time has passed.
    pub(super) fn stop_after(&self, grace: Duration) {
        self.tell(|orders| orders.stop_after = Some(grace));
    }

    /// A descriptor was given back while the acceptor waited for one.
    pub(super) fn descriptor_freed(&self) {
        self.tell(|orders| orders.is_descriptor_free = true);
    }

    fn tell(&self, order: impl FnOnce(&mut Orders)) {
        order(&mut self.orders());
        self.has_orders.store(true, Ordering::Release);
        self.worker.wake();
    }

    fn take(&self) -> Option<Orders> {
        // Asked at each wake-up of the worker, whatever that is for: no write where there is nothing.
        let has_some = self.has_orders.load(Ordering::Relaxed)
            && self.has_orders.swap(false, Ordering::AcqRel);
        has_some.then(|| std::mem::take(&mut *self.orders()))
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        // A panic under this lock ends the process; nobody sees what it left.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a reload may change.
#[derive(Debug, Clone)]
pub(super) struct AcceptorConfig {
    /// Connections from these are counted by whom they speak for.
    pub(super) proxies: TrustedProxies,
    /// TLS on the TCP listeners.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// Takes in a connection that is for the worker whose loop this is.
type Opener<'o> = dyn FnMut(Stream, GatewaySession) + 'o;

#[derive(Debug)]
struct Door {
    listener: Listener,
    is_ready: bool,
}

/// The acceptor. One worker's loop owns it; dropped, it has closed the listeners.
#[derive(Debug)]
pub(super) struct Acceptor {
    desk: Arc<AcceptorDesk>,
    doors: Vec<Door>,
    /// The door whose turn is first.
    first: usize,
    config: AcceptorConfig,
    node: Arc<Node>,
    workers: Vec<WorkerMailbox>,
    /// The worker whose loop this is.
    own: usize,
    retry_at: Option<Tick>,
    stop_at: Option<Tick>,
    trouble_logged_at: Option<Tick>,
    /// The last field to be dropped: the other end hears that the listeners are closed.
    _stopped: mpsc::Sender<Infallible>,
}

impl Acceptor {
    /// An acceptor for the loop of worker `own`, whose mailbox `desk` knows. `stopped` is dropped after the listeners.
    pub(super) fn new(
        listeners: Vec<Listener>,
        config: AcceptorConfig,
        node: Arc<Node>,
        workers: Vec<WorkerMailbox>,
        own: usize,
        desk: Arc<AcceptorDesk>,
        stopped: mpsc::Sender<Infallible>,
    ) -> Self {
        let door = |listener| Door {
            listener,
            is_ready: true,
        };
        Self {
            desk,
            doors: listeners.into_iter().map(door).collect(),
            first: 0,
            config,
            node,
            workers,
            own,
            retry_at: None,
            stop_at: None,
            trouble_logged_at: None,
            _stopped: stopped,
        }
    }

    /// Accepts until nobody waits or `accepts_max` were accepted, of all doors together.
    fn accept_all(&mut self, mut accepts_max: usize, now: Tick, open: &mut Opener<'_>) {
        let doors = self.doors.len();
        for index in (self.first..doors).chain(0..self.first) {
            while self.doors[index].is_ready {
                if accepts_max == 0 {
                    // Whoever is busiest comes last in the next turn.
                    self.first = (index + 1) % doors;
                    return;
                }
                match self.accept_one(index) {
                    Ok((socket, client)) => {
                        accepts_max -= 1;
                        self.admit(index, socket, client, now, open);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.doors[index].is_ready = false;
                    }
                    Err(error) if concerns_one_connection(&error) => {}
                    Err(error) => {
                        self.node.admission.starve();
                        self.retry_at = Some(now.after(STARVED_RETRY));
                        return self.log_trouble(&error, now);
                    }
                }
            }
        }
    }

    fn accept_one(&self, index: usize) -> io::Result<(Socket, ClientAddress)> {
        match &self.doors[index].listener {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                Ok((Socket::Tcp(stream), address.into()))
            }
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                Ok((Socket::Unix(stream), ClientAddress::UNIX))
            }
        }
    }

    fn admit(
        &mut self,
        door: usize,
        socket: Socket,
        client: ClientAddress,
        now: Tick,
        open: &mut Opener<'_>,
    ) {
        let admission = &self.node.admission;
        let is_counted = admission.counts_addresses() && !self.config.proxies.contains(client.ip);
        let address = is_counted.then_some(client.ip);
        let verdict = admission.enter(address, now);
        if let Some(limit) = verdict.limit() {
            self.node.tally.reached(limit, 1, now, &client);
        }
        if verdict == Verdict::Dropped {
            return log::debug!("dropped: address={client}, too many refusals wait");
        }
        let counted = address.filter(|_| verdict == Verdict::Admitted);
        let Some(stream) = self.dress(door, socket) else {
            return self.leave(verdict, counted);
        };
        let session = GatewaySession::new(client, verdict, counted);
        let worker = self.node.admission.assign();
        if worker == self.own {
            return open(stream, session);
        }
        if self.workers[worker]
            .send(Command::Open(stream, session))
            .is_err()
        {
            self.node.admission.unassign(worker);
            self.leave(verdict, counted);
            log::warn!("dropped: address={client}, the mailbox of worker {worker} is full");
        }
    }

    /// Puts TLS over a TCP socket where that is set.
    fn dress(&self, door: usize, socket: Socket) -> Option<Stream> {
        let is_tcp = matches!(self.doors[door].listener, Listener::Tcp(_));
        match &self.config.tls {
            Some(tls) if is_tcp => match TlsStream::new(Arc::clone(tls), socket) {
                Ok(stream) => Some(Stream::Tls(Box::new(stream))),
                Err(error) => {
                    log::error!("TLS cannot be set up: {error}");
                    None
                }
            },
            _ => Some(Stream::Plain(socket)),
        }
    }

    fn leave(&self, verdict: Verdict, counted: Option<IpAddr>) {
        if let Some(address) = counted {
            self.node.admission.leave_address(address);
        }
        self.node.admission.leave(verdict);
    }

    fn log_trouble(&mut self, error: &io::Error, now: Tick) {
        if self
            .trouble_logged_at
            .is_none_or(|at| now.since(at) >= TROUBLE_LOG_INTERVAL)
        {
            self.trouble_logged_at = Some(now);
            log::error!("connections cannot be accepted for now: {error}");
        }
    }
}

impl Intake<GatewaySession> for Acceptor {
    fn register(&mut self, registry: &Registry) -> io::Result<()> {
        for (index, door) in self.doors.iter_mut().enumerate() {
            let token = intake_token(index as u32);
            match &mut door.listener {
                Listener::Tcp(tcp) => registry.register(tcp, token, Interest::READABLE)?,
                Listener::Unix(unix, _) => registry.register(unix, token, Interest::READABLE)?,
            }
        }
        Ok(())
    }

    fn ready(&mut self, source: u32) {
        self.doors[source as usize].is_ready = true;
    }

    fn woken(&mut self, now: Tick) {
        let Some(orders) = self.desk.take() else {
            return;
        };
        if let Some(mut config) = orders.config {
            // A listener does not turn from plain to TLS, or back, while it listens.
            if config.tls.is_some() != self.config.tls.is_some() {
                config.tls.clone_from(&self.config.tls);
            }
            self.config = config;
        }
        if let Some(grace) = orders.stop_after {
            self.stop_at = Some(now.after(grace));
        }
        if orders.is_descriptor_free {
            self.retry_at = None;
        }
    }

    fn due(&self, now: Tick) -> Option<Tick> {
        let is_busy = self.doors.iter().any(|door| door.is_ready);
        let next = self.retry_at.or(is_busy.then_some(now));
        match (next, self.stop_at) {
            (Some(next), Some(stop)) => Some(next.earlier(stop)),
            (next, stop) => next.or(stop),
        }
    }

    /// Once it is told to stop, and its time has passed, everything that the kernel had taken in by then has been accepted.
    fn run(&mut self, now: Tick, open: &mut Opener<'_>) -> ControlFlow<()> {
        if self.stop_at.is_some_and(|at| at.is_reached(now)) {
            let waiting_max = self.doors.len() * (BACKLOG as usize + 1);
            self.accept_all(waiting_max, now, open);
            return ControlFlow::Break(());
        }
        if self.retry_at.is_none_or(|at| at.is_reached(now)) {
            self.retry_at = None;
            self.accept_all(ACCEPTS_PER_TURN_MAX, now, open);
        }
        ControlFlow::Continue(())
    }
}

/// Whether an error of accept(2) is about the connection that was to be accepted, and says nothing of the next.
fn concerns_one_connection(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::PROTO
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
        )
    )
}

#[cfg(test)]
mod tests;
