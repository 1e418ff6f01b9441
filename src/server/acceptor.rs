//! The acceptor thread: owns the listening sockets, counts who comes in, gives each connection to the worker that has the
//! fewest. Out of descriptors it waits for the next one to be freed, and looks again after a while; it never spins.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use rustls::ServerConfig;

use super::listeners::Listener;
use crate::gateway::{ClientAddress, GatewaySession, Node, Verdict};
use crate::http::forwarded::TrustedProxies;
use crate::reactor::{Command, Mailbox, Socket, Stream, TlsStream};

const WAKE: Token = Token(usize::MAX);
/// Connections accepted from one listener before the next gets its turn.
const ACCEPTS_PER_TURN_MAX: usize = 256;
/// Out of descriptors or memory, accepting is tried again after this time at the latest.
const STARVED_RETRY: Duration = Duration::from_millis(100);
/// The same trouble is logged once in this time.
const TROUBLE_LOG_INTERVAL: Duration = Duration::from_secs(5);
/// Commands that may wait for the acceptor.
pub(super) const COMMANDS_MAX: usize = 64;

/// What other threads ask of the acceptor.
#[derive(Debug)]
pub(super) enum AcceptorCommand {
    /// Other settings for connections to come.
    Configure(AcceptorConfig),
    /// Stop once this time has passed.
    StopAfter(Duration),
}

/// What a reload may change.
#[derive(Debug, Clone)]
pub(super) struct AcceptorConfig {
    /// Connections from these are counted by whom they speak for.
    pub(super) proxies: TrustedProxies,
    /// TLS on the TCP listeners.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

#[derive(Debug)]
struct Door {
    listener: Listener,
    is_ready: bool,
}

/// The acceptor. One thread owns it.
#[derive(Debug)]
pub(super) struct Acceptor {
    poll: Poll,
    mailbox: Arc<Mailbox<AcceptorCommand>>,
    doors: Vec<Door>,
    config: AcceptorConfig,
    node: Arc<Node>,
    workers: Vec<Arc<Mailbox<Command<GatewaySession>>>>,
    retry_at: Option<Instant>,
    stop_at: Option<Instant>,
    trouble_logged_at: Option<Instant>,
}

impl Acceptor {
    pub(super) fn new(
        listeners: Vec<Listener>,
        config: AcceptorConfig,
        node: Arc<Node>,
        workers: Vec<Arc<Mailbox<Command<GatewaySession>>>>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mailbox = Arc::new(Mailbox::new(poll.registry(), WAKE, COMMANDS_MAX)?);
        let mut doors = Vec::new();
        for (index, mut listener) in listeners.into_iter().enumerate() {
            let token = Token(index);
            match &mut listener {
                Listener::Tcp(tcp) => poll.registry().register(tcp, token, Interest::READABLE)?,
                Listener::Unix(unix, _) => {
                    poll.registry().register(unix, token, Interest::READABLE)?;
                }
            }
            doors.push(Door {
                listener,
                is_ready: true,
            });
        }
        Ok(Self {
            poll,
            mailbox,
            doors,
            config,
            node,
            workers,
            retry_at: None,
            stop_at: None,
            trouble_logged_at: None,
        })
    }

    pub(super) fn mailbox(&self) -> Arc<Mailbox<AcceptorCommand>> {
        Arc::clone(&self.mailbox)
    }

    /// Accepts until it is told to stop; then everything that the kernel had taken in by then has been accepted.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(64);
        loop {
            let now = Instant::now();
            let is_last = self.stop_at.is_some_and(|at| at <= now);
            if self.retry_at.is_none_or(|at| at <= now) {
                self.retry_at = None;
                self.accept_all(is_last);
            }
            if is_last {
                return Ok(());
            }
            if let Err(error) = self.poll.poll(&mut events, self.timeout())
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            for event in &events {
                match event.token() {
                    WAKE => self.obey(),
                    Token(index) => self.doors[index].is_ready = true,
                }
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let is_busy = self.retry_at.is_none() && self.doors.iter().any(|door| door.is_ready);
        if is_busy {
            return Some(Duration::ZERO);
        }
        let next = match (self.retry_at, self.stop_at) {
            (Some(retry), Some(stop)) => Some(retry.min(stop)),
            (retry, stop) => retry.or(stop),
        };
        next.map(|at| at.saturating_duration_since(now))
    }

    fn obey(&mut self) {
        self.mailbox.begin_taking();
        // Woken without a command: a descriptor is free again.
        self.retry_at = None;
        while let Some(command) = self.mailbox.take() {
            match command {
                AcceptorCommand::Configure(mut config) => {
                    // A listener does not turn from plain to TLS, or back, while it listens.
                    if config.tls.is_some() != self.config.tls.is_some() {
                        config.tls.clone_from(&self.config.tls);
                    }
                    self.config = config;
                }
                AcceptorCommand::StopAfter(grace) => self.stop_at = Some(Instant::now() + grace),
            }
        }
    }

    fn accept_all(&mut self, is_last: bool) {
        for index in 0..self.doors.len() {
            let mut accepted = 0;
            while self.doors[index].is_ready && (is_last || accepted < ACCEPTS_PER_TURN_MAX) {
                match self.accept_one(index) {
                    Ok((socket, client)) => {
                        accepted += 1;
                        self.admit(index, socket, client);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.doors[index].is_ready = false;
                    }
                    Err(error) if concerns_one_connection(&error) => {}
                    Err(error) => {
                        self.node.admission.starve();
                        self.retry_at = Some(Instant::now() + STARVED_RETRY);
                        return self.log_trouble(&error);
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

    fn admit(&mut self, door: usize, socket: Socket, client: ClientAddress) {
        let admission = &self.node.admission;
        let is_counted = admission.counts_addresses() && !self.config.proxies.contains(client.ip);
        let address = is_counted.then_some(client.ip);
        let verdict = admission.enter(address);
        if verdict == Verdict::Dropped {
            return log::debug!("dropped: address={client}, too many refusals wait");
        }
        let counted = address.filter(|_| verdict == Verdict::Admitted);
        let Some(stream) = self.dress(door, socket) else {
            return self.leave(verdict, counted);
        };
        let session = GatewaySession::new(client, verdict, counted);
        let worker = self.node.admission.assign();
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

    fn log_trouble(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self
            .trouble_logged_at
            .is_none_or(|at| now - at >= TROUBLE_LOG_INTERVAL)
        {
            self.trouble_logged_at = Some(now);
            log::error!("connections cannot be accepted for now: {error}");
        }
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
