//! A way to a server that can be cut, swallowed and narrowed: a TCP proxy on a port of its own.
//!
//! Two threads carry the bytes of a connection, one in each direction. Whatever wakes them is an event: a byte, the
//! end of a direction (`SHUT_RD` from here), or a change of the fault, which they wait for where they wait for time.
//!
//! A fault may concern only connections that subscribe, or only those that publish: what a client of Redis is for shows by the
//! first command of the two that it says.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::DEADLINE;

/// Bytes taken at once, and the receive buffers of the kernel: what is not carried on is soon felt by who sends.
const CHUNK_BYTES: usize = 64 * 1024;
/// Pieces a second on a narrow way.
const PIECES_PER_SECOND: u32 = 50;
/// How often a write that its receiver does not take is looked after.
const WRITE_LOOK: Duration = Duration::from_millis(20);

/// Which connections a fault concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    All,
    /// Those that have said `PUBLISH`.
    Publishers,
    /// Those that have said `SUBSCRIBE`.
    Listeners,
}

/// What shows the lane of a connection.
const WORDS: [(Lane, &[u8]); 2] = [
    (Lane::Publishers, b"PUBLISH"),
    (Lane::Listeners, b"SUBSCRIBE"),
];

/// What happens to the bytes.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Swallow,
    Narrow { bytes_per_second: u32 },
    Late { by: Duration },
}

struct State {
    fault: Fault,
    lane: Lane,
    /// Counts the changes, which end every wait.
    changes: u64,
    over: bool,
    carried: Vec<Carried>,
}

/// A connection, which is closed when the last of the threads that carry its bytes lets go of it.
struct Carried {
    connection: Weak<Connection>,
    threads: Vec<JoinHandle<()>>,
}

struct Connection {
    client: TcpStream,
    /// None where the connection came while everything was swallowed.
    server: Option<TcpStream>,
    /// Its bytes are swallowed, now and after the fault: what is missing would be missed in the middle of the stream.
    lost: AtomicBool,
    /// It ends by a reset as soon as its threads let go of it.
    reset: AtomicBool,
    /// What the client is for, once that has shown.
    lane: OnceLock<Lane>,
}

impl Connection {
    fn sockets(&self) -> impl Iterator<Item = &TcpStream> {
        [Some(&self.client), self.server.as_ref()]
            .into_iter()
            .flatten()
    }

    fn is_in(&self, lane: Lane) -> bool {
        lane == Lane::All || self.lane.get() == Some(&lane)
    }

    /// Learns what the client is for from what it says.
    fn learn(&self, said: &[u8]) {
        if self.lane.get().is_none() {
            let shows = |word: &[u8]| {
                let mut pieces = said.windows(word.len());
                pieces.any(|piece| piece.eq_ignore_ascii_case(word))
            };
            if let Some((lane, _)) = WORDS.into_iter().find(|(_, word)| shows(word)) {
                // One thread reads what a client says.
                let _ = self.lane.set(lane);
            }
        }
    }

    /// Makes its end a reset and wakes its threads. `SHUT_RD` tells the peers nothing.
    fn reset(&self) {
        self.reset.store(true, SeqCst);
        for socket in self.sockets() {
            // Both fail where the peer was first.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Read);
        }
    }
}

struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

/// A way to a server; dropping it resets what is on it.
pub(crate) struct Faults {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Faults {
    /// A way to `server` without a fault. Where the server refuses a connection, the client's is accepted and reset.
    pub(crate) fn forward(server: SocketAddr) -> Self {
        let listener = listener();
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let state = State {
            fault: Fault::None,
            lane: Lane::All,
            changes: 0,
            over: false,
            carried: Vec::new(),
        };
        let shared = Arc::new(Shared {
            server,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let acceptor = Arc::clone(&shared);
        let acceptor = thread::spawn(move || {
            for client in listener.incoming() {
                if !acceptor.take_in(client.expect("a connection can be accepted")) {
                    return;
                }
            }
        });
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Where clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections on the way, lost ones too.
    pub(crate) fn connections(&self) -> usize {
        let mut state = self.shared.lock();
        state.forget_ended();
        state.carried.len()
    }

    /// Ends every connection that has carried something by a reset on both sides. New ones come through, or not, as before.
    pub(crate) fn reset_all(&self) {
        self.reset_of(Lane::All);
    }

    /// The same of one lane.
    pub(crate) fn reset_of(&self, lane: Lane) {
        self.reset_where(|connection| connection.is_in(lane));
    }

    /// Ends those that have lost something, as their ends learn when a way is good again.
    pub(crate) fn reset_lost(&self) {
        self.reset_where(|connection| connection.lost.load(SeqCst));
    }

    fn reset_where(&self, concerns: impl Fn(&Connection) -> bool) {
        let mut state = self.shared.lock();
        let mut ended = Vec::new();
        for carried in std::mem::take(&mut state.carried) {
            match carried.connection.upgrade() {
                Some(connection) if !concerns(&connection) => state.carried.push(carried),
                Some(connection) => {
                    connection.reset();
                    ended.extend(carried.threads);
                }
                None => ended.extend(carried.threads),
            }
        }
        drop(state);
        self.shared.changed();
        for thread in ended {
            thread.join().expect("bytes were carried well");
        }
    }

    /// From now on nothing arrives and nothing is refused: connections are accepted and their bytes swallowed. Those that
    /// are there stay open, and are lost for good.
    pub(crate) fn black_hole(&self) {
        self.black_hole_of(Lane::All);
    }

    /// The same of one lane; of a new connection from when it shows what it is for.
    pub(crate) fn black_hole_of(&self, lane: Lane) {
        self.set(Fault::Swallow, lane);
    }

    /// Carries so many bytes a second in each direction of each connection, the rest waits with who sends.
    pub(crate) fn slow(&self, bytes_per_second: u32) {
        self.slow_of(Lane::All, bytes_per_second);
    }

    /// The same of one lane.
    pub(crate) fn slow_of(&self, lane: Lane, bytes_per_second: u32) {
        assert!(bytes_per_second > 0, "that would be a black hole");
        self.set(Fault::Narrow { bytes_per_second }, lane);
    }

    /// Holds each piece that arrives for so long before it goes on.
    pub(crate) fn late(&self, by: Duration) {
        self.late_of(Lane::All, by);
    }

    /// The same of one lane.
    pub(crate) fn late_of(&self, lane: Lane, by: Duration) {
        self.set(Fault::Late { by }, lane);
    }

    /// No fault any more, for new connections and for those that lost nothing.
    pub(crate) fn heal(&self) {
        self.set(Fault::None, Lane::All);
    }

    fn set(&self, fault: Fault, lane: Lane) {
        let mut state = self.shared.lock();
        state.fault = fault;
        state.lane = lane;
        if matches!(fault, Fault::Swallow) {
            let carried = state.carried.iter();
            for connection in carried.filter_map(|it| it.connection.upgrade()) {
                if connection.is_in(lane) {
                    connection.lost.store(true, SeqCst);
                }
            }
        }
        drop(state);
        self.shared.changed();
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        // The acceptor sees the end when it is woken; where it has failed already, its failure is told below.
        let _ = TcpStream::connect_timeout(&self.address, DEADLINE);
        let failed = self.acceptor.take().is_some_and(|it| it.join().is_err());
        if thread::panicking() {
            return;
        }
        assert!(!failed, "the way to {} failed", self.shared.server);
        self.reset_all();
    }
}

impl State {
    fn forget_ended(&mut self) {
        self.carried
            .retain(|carried| !carried.threads.iter().all(JoinHandle::is_finished));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.lock().changes += 1;
        self.changed.notify_all();
    }

    /// Takes in a connection; `false` where the way is no more.
    fn take_in(self: &Arc<Self>, client: TcpStream) -> bool {
        let mut state = self.lock();
        if state.over {
            return false;
        }
        state.forget_ended();
        // Connected under the lock, so that a fault comes before all of this or after.
        let lost = matches!((state.fault, state.lane), (Fault::Swallow, Lane::All));
        let server = if lost { None } else { connect(self.server) };
        let connection = Arc::new(Connection {
            client,
            lost: AtomicBool::new(lost),
            reset: AtomicBool::new(false),
            lane: OnceLock::new(),
            server,
        });
        if !lost && connection.server.is_none() {
            connection.reset();
            return true;
        }
        for socket in connection.sockets() {
            socket
                .set_nodelay(true)
                .and_then(|()| socket.set_write_timeout(Some(WRITE_LOOK)))
                .expect("options of a socket can be set");
        }
        let directions: &[bool] = if lost { &[true] } else { &[true, false] };
        let carry = |&there: &bool| {
            let (shared, connection) = (Arc::clone(self), Arc::clone(&connection));
            thread::spawn(move || shared.carry(&connection, there))
        };
        let threads = directions.iter().map(carry).collect();
        state.carried.push(Carried {
            connection: Arc::downgrade(&connection),
            threads,
        });
        true
    }

    /// Carries one direction to its end: from the client to the server (`there`), or back.
    fn carry(&self, connection: &Connection, there: bool) {
        let (from, to) = match &connection.server {
            None => (&connection.client, None),
            Some(server) if there => (&connection.client, Some(server)),
            Some(server) => (server, Some(&connection.client)),
        };
        let mut buffer = vec![0; CHUNK_BYTES];
        while !connection.reset.load(SeqCst) {
            let mut from = from;
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    let Some(to) = to else { continue };
                    if there {
                        connection.learn(&buffer[..length]);
                    }
                    if !self.carry_on(connection, to, &buffer[..length]) {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    // A reset goes through like anything else.
                    if !connection.lost.load(SeqCst) {
                        connection.reset();
                    }
                    return;
                }
            }
        }
        let silent = connection.lost.load(SeqCst) || connection.reset.load(SeqCst);
        if let (Some(to), false) = (to, silent) {
            // It fails where the other end has gone.
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    /// Writes what arrived as the fault of the moment wants it; `false` where the connection is over.
    fn carry_on(&self, connection: &Connection, mut to: &TcpStream, mut bytes: &[u8]) -> bool {
        let came = Instant::now();
        while !bytes.is_empty() {
            if connection.reset.load(SeqCst) {
                return false;
            }
            let (fault, changes) = {
                let state = self.lock();
                let is_concerned = connection.is_in(state.lane);
                let fault = if is_concerned {
                    state.fault
                } else {
                    Fault::None
                };
                // Set while it showed what it is for.
                let lost = matches!(fault, Fault::Swallow);
                connection.lost.fetch_or(lost, SeqCst);
                (fault, state.changes)
            };
            if connection.lost.load(SeqCst) {
                return true;
            }
            let (piece, wait) = match fault {
                Fault::None | Fault::Swallow => (bytes.len(), Duration::ZERO),
                Fault::Late { by } => (bytes.len(), by.saturating_sub(came.elapsed())),
                Fault::Narrow { bytes_per_second } => {
                    let left = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                    let piece = (bytes_per_second / PIECES_PER_SECOND).clamp(1, left);
                    let time = Duration::from_secs(1) * piece / bytes_per_second;
                    (piece as usize, time)
                }
            };
            if !self.wait(changes, wait) {
                continue;
            }
            match to.write(&bytes[..piece]) {
                Ok(written) => bytes = &bytes[written..],
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => {
                    connection.reset();
                    return false;
                }
            }
        }
        true
    }

    /// Lets time pass; `false` where something has changed since.
    fn wait(&self, changes: u64, time: Duration) -> bool {
        if time.is_zero() {
            return true;
        }
        let unchanged = |state: &mut State| state.changes == changes;
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), time, unchanged);
        waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// A socket whose buffers are small, as they are for everything that it accepts.
fn socket() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
    socket
        .set_recv_buffer_size(CHUNK_BYTES)
        .expect("a buffer size can be set");
    socket
}

fn listener() -> TcpListener {
    let socket = socket();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .and_then(|()| socket.listen(128))
        .expect("a free port");
    socket.into()
}

fn connect(server: SocketAddr) -> Option<TcpStream> {
    let socket = socket();
    let connected = socket.connect_timeout(&server.into(), DEADLINE);
    connected.ok().map(|()| socket.into())
}
