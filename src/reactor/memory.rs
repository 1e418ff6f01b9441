//! A transport in memory: tests and benches drive the engine with it, without a socket, under any clock.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::transport::{Received, Transport};

/// What the peer of a [`MemoryTransport`] sees and does.
#[derive(Debug, Default, Clone)]
pub struct MemoryPeer {
    /// What the peer has sent and the engine has not read.
    pub to_engine: VecDeque<u8>,
    /// What the engine has written.
    pub from_engine: Vec<u8>,
    /// How many bytes the engine may still write before its writes would block.
    pub room: usize,
    /// The peer has ended its direction.
    pub has_ended: bool,
    /// The peer has reset the connection: reads and writes fail.
    pub is_reset: bool,
    /// Dropping the transport ends it in good order.
    pub ends_by_drop: bool,
    /// The engine has ended its direction.
    pub engine_ended: bool,
    /// The engine has dropped the transport.
    pub is_dropped: bool,
    /// Reads that the engine made.
    pub reads: usize,
    /// Writes that the engine made.
    pub writes: usize,
}

/// The engine's end.
#[derive(Debug)]
pub struct MemoryTransport {
    peer: Arc<Mutex<MemoryPeer>>,
}

impl MemoryTransport {
    /// A connected pair; the peer has room for `room` bytes.
    pub fn pair(room: usize) -> (Self, Arc<Mutex<MemoryPeer>>) {
        let peer = Arc::new(Mutex::new(MemoryPeer {
            room,
            ..MemoryPeer::default()
        }));
        (
            Self {
                peer: Arc::clone(&peer),
            },
            peer,
        )
    }

    fn peer(&self) -> MutexGuard<'_, MemoryPeer> {
        self.peer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.peer().is_dropped = true;
    }
}

impl Transport for MemoryTransport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut peer = self.peer();
        peer.reads += 1;
        if peer.is_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if peer.to_engine.is_empty() && !peer.has_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = io::Read::read(&mut peer.to_engine, buffer)?;
        Ok(Received {
            bytes,
            drained: bytes < buffer.len(),
        })
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut peer = self.peer();
        peer.writes += 1;
        if peer.is_reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut taken = 0;
        for slice in slices {
            let part = slice.len().min(peer.room);
            peer.room -= part;
            peer.from_engine.extend_from_slice(&slice[..part]);
            taken += part;
        }
        if taken == 0 {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            Ok(taken)
        }
    }

    fn ends_by_drop(&self) -> bool {
        self.peer().ends_by_drop
    }

    fn flush(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.peer().engine_ended = true;
        Ok(())
    }
}
