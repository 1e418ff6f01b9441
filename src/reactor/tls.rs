//! TLS as a transport: rustls between the socket and the connection, with the same interface as a plain socket.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use super::queue::SLICES_MAX;
use super::transport::{Received, Socket, Transport};

/// Plain text accepted ahead of the socket. Small, so that a stalled reader parks its bytes in the send queue, where they
/// are counted.
const BUFFERED_BYTES_MAX: usize = 64 * 1024;

/// A server-side TLS stream over a socket.
#[derive(Debug)]
pub struct TlsStream {
    tls: ServerConnection,
    socket: Socket,
    /// The socket said that nothing is there; an edge will say when that changes.
    socket_drained: bool,
    socket_ended: bool,
}

impl TlsStream {
    /// Begins a handshake on `socket`.
    ///
    /// # Errors
    /// What rustls says to the configuration.
    pub fn new(config: Arc<ServerConfig>, socket: Socket) -> Result<Self, rustls::Error> {
        let mut tls = ServerConnection::new(config)?;
        tls.set_buffer_limit(Some(BUFFERED_BYTES_MAX));
        Ok(Self {
            tls,
            socket,
            socket_drained: false,
            socket_ended: false,
        })
    }

    pub(super) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Takes records off the socket until it is drained, or until there is plain text to read.
    fn pull(&mut self) -> io::Result<()> {
        self.socket_drained = false;
        loop {
            match self.tls.read_tls(&mut self.socket) {
                Ok(0) => {
                    self.socket_ended = true;
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket_drained = true;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let state = self.tls.process_new_packets().map_err(|error| {
                // The alert is the peer's only word on why; losing it to a full socket changes nothing else.
                let _ = self.tls.write_tls(&mut self.socket);
                io::Error::new(io::ErrorKind::InvalidData, error)
            })?;
            if self.tls.wants_write() {
                self.push()?;
            }
            if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
                return Ok(());
            }
        }
    }

    /// Writes records to the socket; true once none waits.
    fn push(&mut self) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Plain text that is there already; `None` where more must come off the socket first.
    fn take_plain(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.tls.reader().read(buffer) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Transport for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut filled = 0;
        loop {
            match self.take_plain(&mut buffer[filled..])? {
                Some(0) if filled == 0 => {
                    return Ok(Received {
                        bytes: 0,
                        drained: true,
                    });
                }
                Some(0) => {
                    return Ok(Received {
                        bytes: filled,
                        drained: false,
                    });
                }
                Some(bytes) => filled += bytes,
                None if self.socket_ended && filled == 0 => {
                    return Ok(Received {
                        bytes: 0,
                        drained: true,
                    });
                }
                None if self.socket_ended => {
                    return Ok(Received {
                        bytes: filled,
                        drained: false,
                    });
                }
                None => {
                    self.pull()?;
                    if self.socket_drained && self.tls.reader().fill_is_empty() {
                        return match filled {
                            0 => Err(io::ErrorKind::WouldBlock.into()),
                            bytes => Ok(Received {
                                bytes,
                                drained: true,
                            }),
                        };
                    }
                }
            }
            if filled == buffer.len() {
                return Ok(Received {
                    bytes: filled,
                    drained: false,
                });
            }
        }
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut space = [IoSlice::new(&[]); SLICES_MAX];
        let mut rest = &mut space[..slices.len().min(SLICES_MAX)];
        rest.copy_from_slice(&slices[..rest.len()]);
        let mut taken = 0;
        // What is taken short of everything must mean that the socket is full: only then does an edge follow. The bound on
        // buffered records alone would end a write with the socket empty.
        while self.push()? && !rest.is_empty() {
            let count = self.tls.writer().write_vectored(rest)?;
            if count == 0 {
                break;
            }
            taken += count;
            IoSlice::advance_slices(&mut rest, count);
        }
        if taken == 0 {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            Ok(taken)
        }
    }

    fn flush(&mut self) -> io::Result<bool> {
        self.push()
    }

    fn holds_back(&self) -> bool {
        self.tls.wants_write()
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        self.push()?;
        self.socket.shutdown_write()
    }
}

/// Whether a reader has nothing, without taking anything.
trait FillIsEmpty {
    fn fill_is_empty(&mut self) -> bool;
}

impl FillIsEmpty for rustls::Reader<'_> {
    fn fill_is_empty(&mut self) -> bool {
        use std::io::BufRead;
        !matches!(self.fill_buf(), Ok(bytes) if !bytes.is_empty())
    }
}
