//! The floors that servers are measured against: bare TCP servers on the same kind of loop as Tidegate's, which look at no
//! byte.
//!
//! One thread, `mio`, edge-triggered, connections in a slab, one shared read buffer, the server's socket options; a short
//! read counts as drained. Nothing else: no timer, no limit, no protocol. Only what a socket does not take is copied.
//!
//! * `echo`: what was read is written at once from where it lies, to the connection that sent it.
//! * `fanout`: what was read is written at once from where it lies, to every connection, its sender included: one write for
//!   each receiver and read, however many messages it holds.
//! * `accept`: the least that a handshake and a close cost: accept, register, read, answer a constant 101, read, close.
//!
//! usage: `floor echo|fanout|accept [HOST:PORT]`; it says on stdout where it listens, and serves until it is killed.

mod accept;
mod connection;
mod echo;
mod fanout;
mod listener;
#[cfg(test)]
mod tests;

use std::env;
use std::error::Error;
use std::io::{self, Write};

use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use connection::Connection;

/// The most that one read takes.
const READ_BYTES_MAX: usize = 128 * 1024;
/// As the reactor takes them from the poller.
const EVENTS_MAX: usize = 1024;
const LISTENER: Token = Token(usize::MAX);
const ADDRESS: &str = "127.0.0.1:0";

fn accept_all(
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
        entry.insert(Connection::new(stream));
    }
}

/// Serves for ever. `work` is what is done when a connection is ready: the one at that index, which it may remove.
fn serve(
    mut listener: TcpListener,
    work: impl Fn(&mut Slab<Connection>, usize, &mut [u8]),
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut connections = Slab::new();
    let mut buffer = vec![0; READ_BYTES_MAX];
    loop {
        if let Err(error) = poll.poll(&mut events, None)
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error);
        }
        for event in &events {
            let index = event.token().0;
            if event.token() == LISTENER {
                accept_all(&listener, &mut connections, &poll)?;
            } else if let Some(connection) = connections.get(index)
                && is_worth_a_call(event, connection)
            {
                work(&mut connections, index, &mut buffer);
            }
        }
    }
}

/// Being writable is news only to one that waits for it: a new connection is writable at once.
fn is_worth_a_call(event: &Event, connection: &Connection) -> bool {
    event.is_readable() || event.is_read_closed() || event.is_error() || connection.has_unsent()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let kind = arguments.next().unwrap_or_default();
    let address = arguments.next().unwrap_or_else(|| ADDRESS.to_owned());
    let listener = listener::listen(address.parse()?)?;
    let told = listener.local_addr()?;
    writeln!(io::stdout(), "listening on {told}")?;
    match kind.as_str() {
        "echo" => serve(listener, echo::work)?,
        "fanout" => serve(listener, fanout::work)?,
        "accept" => serve(listener, accept::work)?,
        _ => return Err("usage: floor echo|fanout|accept [HOST:PORT]".into()),
    }
    Ok(())
}
