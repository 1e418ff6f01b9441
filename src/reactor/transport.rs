//! What a connection's bytes travel over: one interface for plain sockets, TLS, and memory.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::tls::TlsStream;

/// What a read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes written to the front of the buffer; 0 is the end of the stream.
    pub bytes: usize,
    /// Nothing more is there now: the next edge will say when there is.
    pub drained: bool,
}

/// A non-blocking byte stream.
pub trait Transport {
    /// Reads into `buffer`.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there; anything else ends the connection.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received>;

    /// Writes from `slices`, in order; gives how many bytes were taken.
    ///
    /// # Errors
    /// `WouldBlock` where none was; anything else ends the connection.
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Writes the last bytes of all. They may wait to leave together with the end of the stream, which follows at once.
    ///
    /// # Errors
    /// As `write`.
    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(&[IoSlice::new(bytes)])
    }

    /// Whether a drop ends the stream as well as [`shutdown_write`](Self::shutdown_write) does, where all that has come was read.
    fn ends_by_drop(&self) -> bool {
        false
    }

    /// Moves on what the transport itself holds back (encrypted records); true once nothing is held.
    ///
    /// # Errors
    /// What ends the connection.
    fn flush(&mut self) -> io::Result<bool>;

    /// Whether [`flush`](Self::flush) has something to do.
    fn holds_back(&self) -> bool {
        false
    }

    /// Says that nothing more will be written; what the peer sends can still be read.
    ///
    /// # Errors
    /// What ends the connection.
    fn shutdown_write(&mut self) -> io::Result<()>;
}

/// A stream socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// Unix domain.
    Unix(UnixStream),
}

impl Socket {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }
}

// Plain system calls by rustix: libc's `recv` and `send` are points of thread cancellation, and turn it off and on again
// around each call of a process with several threads.
impl Read for Socket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (received, _) = match self {
            Self::Tcp(stream) => recv(&*stream, buffer, RecvFlags::empty())?,
            Self::Unix(stream) => recv(&*stream, buffer, RecvFlags::empty())?,
        };
        Ok(received)
    }
}

impl Write for Socket {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(match self {
            Self::Tcp(stream) => send(&*stream, bytes, SendFlags::NOSIGNAL)?,
            Self::Unix(stream) => send(&*stream, bytes, SendFlags::NOSIGNAL)?,
        })
    }

    #[inline]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(slices),
            Self::Unix(stream) => stream.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let bytes = Read::read(self, buffer)?;
        Ok(Received {
            bytes,
            drained: bytes < buffer.len(),
        })
    }

    #[inline]
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [slice] => Write::write(self, slice),
            slices => self.write_vectored(slices),
        }
    }

    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // One segment carries them and the FIN.
        let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
        Ok(match self {
            Self::Tcp(stream) => send(&*stream, bytes, flags)?,
            Self::Unix(stream) => send(&*stream, bytes, flags)?,
        })
    }

    fn ends_by_drop(&self) -> bool {
        true
    }

    fn flush(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

/// A connection as it comes from a listener.
#[derive(Debug)]
pub enum Stream {
    /// As it is.
    Plain(Socket),
    /// Under TLS.
    Tls(Box<TlsStream>),
}

impl Stream {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// Registers for the edges that are always wanted. Most plain sockets never fill up, and need not wake the loop right away
    /// to say that there is room; TLS holds records back on its own.
    ///
    /// # Errors
    /// What the poller says.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = match self {
            Self::Plain(_) => Interest::READABLE,
            Self::Tls(_) => Interest::READABLE | Interest::WRITABLE,
        };
        self.socket().source().register(registry, token, interest)
    }

    /// Registers for the edge of room as well, for good; it comes at once where there is room now.
    ///
    /// # Errors
    /// What the poller says.
    pub fn watch_room(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Plain(_) => {
                let interest = Interest::READABLE | Interest::WRITABLE;
                self.socket().source().reregister(registry, token, interest)
            }
            Self::Tls(_) => Ok(()),
        }
    }

    /// Takes the stream out of the poller, to be registered elsewhere.
    ///
    /// # Errors
    /// What the poller says.
    pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket().source().deregister(registry)
    }
}

impl Transport for Stream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        match self {
            Self::Plain(socket) => Transport::read(socket, buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    #[inline]
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => Transport::write(socket, slices),
            Self::Tls(stream) => stream.write(slices),
        }
    }

    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write_last(bytes),
            Self::Tls(stream) => stream.write_last(bytes),
        }
    }

    fn ends_by_drop(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.ends_by_drop(),
            // The peer's close_notify may be under way.
            Self::Tls(_) => false,
        }
    }

    fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(socket) => Transport::flush(socket),
            Self::Tls(stream) => stream.flush(),
        }
    }

    #[inline]
    fn holds_back(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.holds_back(),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.shutdown_write(),
            Self::Tls(stream) => stream.shutdown_write(),
        }
    }
}
