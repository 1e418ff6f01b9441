//! The bytes of one connection, plain or under TLS: while it opens by calls that wait, afterwards by calls that do not.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustls::ClientConnection;

/// Plain text that TLS takes ahead of the socket, bytes.
const TLS_BUFFERED_BYTES_MAX: usize = 256 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Wire<S> {
    pub(super) socket: S,
    tls: Option<Box<ClientConnection>>,
}

/// What one read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Got {
    Bytes(usize),
    /// Nothing is there now.
    Nothing,
    /// The peer has ended.
    End,
}

/// A socket whose calls wait until a point in time and no longer.
#[derive(Debug)]
pub(super) struct Patient {
    socket: TcpStream,
    until: Instant,
}

impl Patient {
    pub(super) fn new(socket: TcpStream, until: Instant) -> Self {
        Self { socket, until }
    }

    /// Waits no longer than until then.
    pub(super) fn hurry(&mut self, until: Instant) {
        self.until = self.until.min(until);
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(Some(left))
        }
    }
}

// A signal, that of a window which changes its size for one, ends a call that has a time limit.
impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.socket.set_read_timeout(self.left()?)?;
            match self.socket.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.socket.set_write_timeout(self.left()?)?;
            match self.socket.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire<Patient> {
    /// Speaks TLS first, where `tls` is there.
    ///
    /// # Errors
    /// The socket's, or TLS's as `InvalidData`.
    pub(super) fn open(mut socket: Patient, tls: Option<ClientConnection>) -> io::Result<Self> {
        let mut tls = tls.map(Box::new);
        if let Some(tls) = &mut tls {
            tls.set_buffer_limit(Some(TLS_BUFFERED_BYTES_MAX));
            while tls.is_handshaking() {
                tls.complete_io(&mut socket)?;
            }
        }
        Ok(Self { socket, tls })
    }

    /// Reads what is there, waits for something.
    pub(super) fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.read(buffer),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).read(buffer),
        }
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.socket.write_all(bytes),
            Some(tls) => {
                let mut stream = rustls::Stream::new(&mut **tls, &mut self.socket);
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// From now on nothing waits.
    ///
    /// # Errors
    /// The socket's.
    pub(super) fn into_events(self) -> io::Result<Wire<mio::net::TcpStream>> {
        let socket = self.socket.socket;
        socket.set_nonblocking(true)?;
        Ok(Wire {
            socket: mio::net::TcpStream::from_std(socket),
            tls: self.tls,
        })
    }
}

impl<S: Read + Write> Wire<S> {
    /// Reads once.
    ///
    /// # Errors
    /// What ends the connection.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Got> {
        let Some(tls) = &mut self.tls else {
            return got(self.socket.read(buffer));
        };
        loop {
            match tls.reader().read(buffer) {
                Ok(0) => return Ok(Got::End),
                Ok(read) => return Ok(Got::Bytes(read)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            match got(tls.read_tls(&mut self.socket))? {
                // Without a close_notify before it, which only some peers send; the Close frame is what counts.
                Got::End => return Ok(Got::End),
                Got::Nothing => return Ok(Got::Nothing),
                Got::Bytes(_) => {}
            }
            tls.process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    /// Takes some of `bytes`; none where the socket is full.
    ///
    /// # Errors
    /// What ends the connection.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return written(self.socket.write(bytes));
        };
        let mut taken = 0;
        // Short of everything only where the socket is full: an edge follows then.
        while push(tls, &mut self.socket)? && taken < bytes.len() {
            taken += tls.writer().write(&bytes[taken..])?;
        }
        Ok(taken)
    }

    /// Moves on what TLS holds back; true once it holds nothing.
    ///
    /// # Errors
    /// What ends the connection.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        match &mut self.tls {
            None => Ok(true),
            Some(tls) => push(tls, &mut self.socket),
        }
    }
}

impl Wire<mio::net::TcpStream> {
    /// Ends as well as it can be ended at once: all has been said.
    pub(super) fn end(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        // Who does not read the last words has missed nothing.
        let _ = self.flush();
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

fn push(tls: &mut ClientConnection, socket: &mut impl Write) -> io::Result<bool> {
    while tls.wants_write() {
        if written(tls.write_tls(socket))? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn got(result: io::Result<usize>) -> io::Result<Got> {
    match result {
        Ok(0) => Ok(Got::End),
        Ok(read) => Ok(Got::Bytes(read)),
        Err(error) if is_for_later(&error) => Ok(Got::Nothing),
        Err(error) => Err(error),
    }
}

fn written(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if is_for_later(&error) => Ok(0),
        other => other,
    }
}

/// Calls that do not wait are not interrupted on Linux; where they are, the socket is tried again with the next event.
fn is_for_later(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
