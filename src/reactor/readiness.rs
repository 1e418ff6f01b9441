//! What a socket is ready for, as a value. The poller speaks once for each edge; this remembers it until it was used.

/// Edges that were seen and not used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness(u8);

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;
const PEER_ENDED: u8 = 4;
const ROOM_WATCHED: u8 = 8;

impl Readiness {
    /// A socket right after it was connected: writing is worth a try, nothing is known to be there to read.
    pub fn fresh() -> Self {
        Self(WRITABLE)
    }

    /// An edge from the poller.
    pub fn edge(readable: bool, writable: bool, peer_ended: bool) -> Self {
        Self(
            (u8::from(readable || peer_ended) * READABLE)
                | (u8::from(writable) * WRITABLE)
                | (u8::from(peer_ended) * PEER_ENDED),
        )
    }

    /// Adds what a new edge says.
    pub fn merge(&mut self, edge: Self) {
        self.0 |= edge.0;
    }

    /// Whether a read may give bytes, or the end.
    pub fn is_readable(self) -> bool {
        self.0 & READABLE != 0
    }

    /// Whether a write may take bytes.
    pub fn is_writable(self) -> bool {
        self.0 & WRITABLE != 0
    }

    /// Whether the peer said that it sends no more: then a short read does not mean that all was read.
    pub fn has_peer_ended(self) -> bool {
        self.0 & PEER_ENDED != 0
    }

    /// A read would block, or gave less than was asked for (epoll(7): drained, on a stream).
    pub fn read_drained(&mut self) {
        self.0 &= !READABLE;
    }

    /// A write would block, or took less than was offered.
    pub fn write_filled(&mut self) {
        self.0 &= !WRITABLE;
    }

    /// The poller is to say when there is room again; whether nobody has asked for that before.
    pub fn watch_room(&mut self) -> bool {
        let is_first = self.0 & ROOM_WATCHED == 0;
        self.0 |= ROOM_WATCHED;
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_kept_until_they_are_used() {
        let mut readiness = Readiness::fresh();
        assert!(readiness.is_writable() && !readiness.is_readable());
        readiness.write_filled();
        readiness.merge(Readiness::edge(true, false, false));
        assert!(readiness.is_readable() && !readiness.is_writable());
        readiness.read_drained();
        readiness.merge(Readiness::edge(false, true, true));
        assert!(readiness.is_readable(), "the end is read like bytes");
        assert!(readiness.is_writable() && readiness.has_peer_ended());
        readiness.read_drained();
        assert!(readiness.has_peer_ended());
        assert!(readiness.watch_room() && !readiness.watch_room());
        assert!(readiness.is_writable() && readiness.has_peer_ended());
    }
}
