//! Acknowledgements that a client owes, and for how long.

use crate::limits::SOCKETIO_ACKS_MAX;
use crate::socketio::Moment;

/// An acknowledgement that is awaited.
#[derive(Debug)]
struct Awaited {
    /// Of the stay in the namespace that the event was sent to.
    stay: u32,
    until: Moment,
    /// The id of the event.
    token: u64,
}

/// What comes of an event whose answer did not come in time, or cannot come any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// Its id.
    pub token: u64,
}

/// Those of one session. They own memory only while any are awaited.
#[derive(Debug, Default)]
pub(super) struct Acks {
    awaited: Vec<Awaited>,
}

impl Acks {
    /// Awaits one more; false where too many are.
    pub(super) fn expect(&mut self, stay: u32, token: u64, until: Moment) -> bool {
        let has_room = self.awaited.len() < SOCKETIO_ACKS_MAX;
        if has_room {
            self.awaited.push(Awaited { stay, until, token });
        }
        has_room
    }

    /// An answer has come; gives the id where it is awaited, which it is not any more.
    pub(super) fn take(&mut self, stay: u32, token: u64) -> Option<u64> {
        let mut awaited = self.awaited.iter();
        let index = awaited.position(|one| one.token == token && one.stay == stay)?;
        Some(self.remove(index))
    }

    /// Nothing comes any more from that stay in a namespace.
    pub(super) fn leave(&mut self, stay: u32) {
        for awaited in &mut self.awaited {
            if awaited.stay == stay {
                awaited.until = Moment(0);
            }
        }
    }

    /// One whose time is over.
    pub(super) fn poll_expired(&mut self, now: Moment) -> Option<Expired> {
        let index = self
            .awaited
            .iter()
            .position(|awaited| awaited.until.is_reached(now))?;
        let token = self.remove(index);
        Some(Expired { token })
    }

    /// One of those that are awaited, which is not any more.
    pub(super) fn take_any(&mut self) -> Option<u64> {
        let last = self.awaited.len().checked_sub(1)?;
        Some(self.remove(last))
    }

    /// When the next one's time is over.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.awaited.iter().map(|awaited| awaited.until).min()
    }

    #[cfg(test)]
    pub(super) fn owns_memory(&self) -> bool {
        self.awaited.capacity() > 0
    }

    fn remove(&mut self, index: usize) -> u64 {
        let token = self.awaited.remove(index).token;
        if self.awaited.is_empty() {
            self.awaited = Vec::new();
        }
        token
    }
}
