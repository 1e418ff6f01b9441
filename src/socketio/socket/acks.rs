//! Acknowledgements that a client owes, and for how long.

use crate::limits::SOCKETIO_ACKS_MAX;
use crate::socketio::Moment;

/// An acknowledgement that is awaited.
#[derive(Debug)]
struct Awaited {
    /// Of the event.
    id: u64,
    /// Of the stay in the namespace that it was sent to.
    stay: u32,
    until: Moment,
    token: u64,
}

/// What comes of an event whose answer did not come in time, or cannot come any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// What the caller knows it by.
    pub token: u64,
}

/// Those of one session. They own memory only while any are awaited.
#[derive(Debug, Default)]
pub(super) struct Acks {
    awaited: Vec<Awaited>,
    next_id: u64,
}

impl Acks {
    /// Awaits one more; gives the id that the event has to carry. `None` where too many are.
    pub(super) fn expect(&mut self, stay: u32, token: u64, until: Moment) -> Option<u64> {
        if self.awaited.len() >= SOCKETIO_ACKS_MAX {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.awaited.push(Awaited {
            id,
            stay,
            until,
            token,
        });
        Some(id)
    }

    /// The answer to `id` has come; gives what the caller knows it by, the first time.
    pub(super) fn take(&mut self, stay: u32, id: u64) -> Option<u64> {
        let index = self
            .awaited
            .iter()
            .position(|awaited| awaited.id == id && awaited.stay == stay)?;
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
