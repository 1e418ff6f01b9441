//! The floor that the server is measured against: a bare TCP echo on the same kind of loop, which looks at no byte.
//!
//! One thread, `mio`, edge-triggered, connections in a slab, one shared read buffer, the server's socket options; a short
//! read counts as drained; what was read is written at once from where it lies. Nothing else: no timer, no limit, no
//! protocol. Only what a socket does not take is copied.
//!
//! usage: `tcp_echo [HOST:PORT]`; it says on stdout where it listens, and serves until it is killed.

use std::env;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

/// As `reactor::Limits::read_bytes_max`.
const READ_BYTES_MAX: usize = 128 * 1024;
/// As the reactor takes them from the poller.
const EVENTS_MAX: usize = 1024;
/// The socket options of `server::listeners`.
const BACKLOG: i32 = 4096;
const NOTSENT_LOWAT_BYTES: u32 = 16 * 1024;
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(60);
const LISTENER: Token = Token(usize::MAX);

/// A connection, with what its socket has not taken yet.
struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
}

/// Whether a connection goes on.
#[derive(PartialEq, Eq)]
enum Fate {
    Lives,
    Ends,
}

impl Connection {
    /// Reads and writes until the socket is drained, or full.
    fn echo(&mut self, buffer: &mut [u8]) -> Fate {
        if !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Fate::Lives,
                Err(_) => return Fate::Ends,
            }
            if !self.unsent.is_empty() {
                return Fate::Lives;
            }
        }
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Fate::Ends,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Fate::Lives,
                Err(_) => return Fate::Ends,
            };
            let written = match self.stream.write(&buffer[..read]) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return Fate::Ends,
            };
            if written < read {
                self.unsent.extend_from_slice(&buffer[written..read]);
                return Fate::Lives;
            }
            if read < buffer.len() {
                return Fate::Lives;
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn accept(
    listener: &TcpListener,
    connections: &mut Slab<Connection>,
    poll: &Poll,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let entry = connections.vacant_entry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut stream, Token(entry.key()), interest)?;
        entry.insert(Connection {
            stream,
            unsent: Vec::new(),
        });
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let mut listener = listen(address.parse()?)?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let told = listener.local_addr()?;
    writeln!(io::stdout(), "listening on {told}")?;
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut connections: Slab<Connection> = Slab::new();
    let mut buffer = vec![0; READ_BYTES_MAX];
    loop {
        if let Err(error) = poll.poll(&mut events, None)
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &mut connections, &poll)?;
                continue;
            }
            let index = event.token().0;
            if let Some(connection) = connections.get_mut(index)
                && connection.echo(&mut buffer) == Fate::Ends
            {
                connections.remove(index);
            }
        }
    }
}
