//! Byte buffers that are lent and given back: no socket, no protocol.

mod shared;

pub use shared::{Account, Shared};

/// Buffers waiting for their next use, so that the steady state allocates nothing.
#[derive(Debug)]
pub struct Pool {
    free: Vec<Vec<u8>>,
    buffers_max: usize,
    buffer_bytes_max: usize,
}

impl Pool {
    /// A pool that keeps at most `buffers_max` buffers, none of a larger capacity than `buffer_bytes_max`.
    pub fn new(buffers_max: usize, buffer_bytes_max: usize) -> Self {
        Self {
            free: Vec::new(),
            buffers_max,
            buffer_bytes_max,
        }
    }

    /// An empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_default()
    }

    /// Takes a buffer back; what the limits do not admit is freed.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        if self.free.len() < self.buffers_max
            && buffer.capacity() > 0
            && buffer.capacity() <= self.buffer_bytes_max
        {
            buffer.clear();
            self.free.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty_and_within_the_limits() {
        let mut pool = Pool::new(1, 64);
        let mut buffer = pool.take();
        buffer.extend_from_slice(&[1; 40]);
        pool.give(buffer);
        pool.give(vec![2; 10]);
        let again = pool.take();
        assert!(again.is_empty() && again.capacity() >= 40);
        assert_eq!(pool.take().capacity(), 0, "one buffer is kept, not two");
        pool.give(vec![0; 65]);
        assert_eq!(pool.take().capacity(), 0, "a large buffer is freed");
    }
}
