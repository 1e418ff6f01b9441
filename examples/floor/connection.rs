//! A connection, with what its socket has not taken yet.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

/// Whether a connection goes on.
#[derive(PartialEq, Eq)]
pub(crate) enum Fate {
    Lives,
    Ends,
}

pub(crate) struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
    /// The 101 has gone out (`accept` alone).
    pub(crate) is_answered: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            unsent: Vec::new(),
            is_answered: false,
        }
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// One read; `None` where there is nothing to read.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Fate> {
        match self.stream.read(buffer) {
            Ok(0) => Err(Fate::Ends),
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(_) => Err(Fate::Ends),
        }
    }

    /// One write, behind what is unsent; keeps what the socket does not take.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Fate {
        let mut written = 0;
        if self.unsent.is_empty() {
            written = match self.stream.write(bytes) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return Fate::Ends,
            };
        }
        self.unsent.extend_from_slice(&bytes[written..]);
        Fate::Lives
    }

    /// One write of what is unsent.
    pub(crate) fn flush(&mut self) -> Fate {
        if self.unsent.is_empty() {
            return Fate::Lives;
        }
        match self.stream.write(&self.unsent) {
            Ok(written) => drop(self.unsent.drain(..written)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Fate::Ends,
        }
        Fate::Lives
    }
}
