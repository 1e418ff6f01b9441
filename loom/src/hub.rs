//! Of `src/hub`: the directory.

use std::sync::Arc;

#[path = "../../src/hub/directory.rs"]
mod directory;

pub use directory::{Audience, Directory, Kind, Listed};

/// One worker with its seat in the directory: what `src/hub/worker.rs` does when its first member comes and its last goes.
#[derive(Debug)]
pub struct Worker {
    /// Its number.
    pub number: usize,
    /// Of all workers.
    pub directory: Arc<Directory>,
}

impl Worker {
    /// Gets its first member of that room.
    pub fn enter(&self, room: &str) -> Arc<Audience> {
        let audience = self.directory.enter(Kind::Room, room);
        audience.set_count(self.number, 1);
        audience
    }

    /// Loses its last.
    pub fn exit(&self, audience: &Arc<Audience>) {
        audience.set_count(self.number, 0);
        self.directory.exit(audience);
    }
}
