//! Names of connections. Plain values: who they belong to is known higher up.

use std::fmt;
use std::str::FromStr;

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

/// A text that is not the name of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoConnectionId;

impl FromStr for ConnectionId {
    type Err = NoConnectionId;

    fn from_str(text: &str) -> Result<Self, NoConnectionId> {
        let parts = || {
            let (worker, rest) = text.split_once('-')?;
            let (generation, index) = rest.split_once('.')?;
            let id = Self {
                worker: worker.parse().ok()?,
                key: ConnKey {
                    index: index.parse().ok()?,
                    generation: generation.parse().ok()?,
                },
            };
            // One name for each connection: no signs, no leading zeros.
            (id.to_string() == text).then_some(id)
        };
        parts().ok_or(NoConnectionId)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = ShortText::default();
        text.push_number(self.worker);
        text.push("-");
        text.push_number(self.key.generation);
        text.push(".");
        text.push_number(self.key.index);
        f.write_str(text.as_str())
    }
}

/// Bytes of a [`ShortText`].
const SHORT_TEXT_BYTES_MAX: usize = 32;

/// A name of a few numbers, put together on the stack and written at once: every line about a connection has two of them, and
/// the formatter of `std` takes many times as long.
#[derive(Debug, Default, Clone, Copy)]
pub struct ShortText {
    bytes: [u8; SHORT_TEXT_BYTES_MAX],
    len: usize,
}

impl ShortText {
    /// Appends `text`. What does not fit into 32 bytes in all is a mistake of the caller's, and panics.
    pub fn push(&mut self, text: &str) {
        for byte in text.bytes() {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
    }

    /// Appends a number in decimal, under the same condition.
    pub fn push_number(&mut self, number: impl itoa::Integer) {
        self.push(itoa::Buffer::new().format(number));
    }

    /// What was appended.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).expect("whole texts were appended")
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
        assert_eq!("1-9.3".parse(), Ok(id));
        for text in [
            "",
            "1-9",
            "1-9.3.",
            "+1-9.3",
            "01-9.3",
            "1-9.x",
            "70000-1.1",
            "1-9.3 ",
        ] {
            assert_eq!(text.parse::<ConnectionId>(), Err(NoConnectionId), "{text}");
        }
    }

    #[test]
    fn the_longest_id_has_room() {
        let id = ConnectionId {
            worker: u16::MAX,
            key: ConnKey {
                index: u32::MAX,
                generation: u32::MAX,
            },
        };
        assert_eq!(id.to_string(), "65535-4294967295.4294967295");
    }
}
