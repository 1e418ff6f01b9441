//! Names of connections. Plain values: who they belong to is known higher up.

use std::fmt;

/// A connection within one worker: its place, and which of the place's tenants it is. A key that outlives its connection
/// finds nothing, because the next tenant of the place has another generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnKey {
    /// Place in the worker's slab.
    pub index: u32,
    /// Counts the worker's connections, wrapping.
    pub generation: u32,
}

impl ConnKey {
    /// The key packed into one word, for the poller.
    pub fn to_word(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The key that `to_word` packed.
    pub fn from_word(word: u64) -> Self {
        Self {
            index: (word & 0xffff_ffff) as u32,
            generation: (word >> 32) as u32,
        }
    }
}

/// A connection within the process, for people: `worker-generation.index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// Number of the worker that owns it.
    pub worker: u16,
    /// Its key there.
    pub key: ConnKey,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every line about a connection begins with it, and the formatter of `std` takes several times as long.
        let mut digits = itoa::Buffer::new();
        f.write_str(digits.format(self.worker))?;
        f.write_str("-")?;
        f.write_str(digits.format(self.key.generation))?;
        f.write_str(".")?;
        f.write_str(digits.format(self.key.index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_packing() {
        let key = ConnKey {
            index: u32::MAX - 1,
            generation: 7,
        };
        assert_eq!(ConnKey::from_word(key.to_word()), key);
        let id = ConnectionId {
            worker: 1,
            key: ConnKey {
                index: 3,
                generation: 9,
            },
        };
        assert_eq!(id.to_string(), "1-9.3");
    }
}
