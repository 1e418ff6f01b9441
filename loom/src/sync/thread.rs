//! In place of `std::thread`, as much of it as parks threads. loom has a `park` of its own, but there an `unpark` also ends
//! the wait for a lock.

use std::sync::Arc;
use std::time::Duration;

use loom::sync::Notify;
pub use loom::thread::ThreadId;

loom::thread_local! {
    static TOKEN: Arc<Notify> = Arc::new(Notify::new());
}

/// A thread that may park.
#[derive(Debug, Clone)]
pub struct Thread {
    id: ThreadId,
    token: Arc<Notify>,
}

impl Thread {
    /// Which one it is.
    pub fn id(&self) -> ThreadId {
        self.id
    }

    /// Ends its parking, or that to come.
    pub fn unpark(&self) {
        self.token.notify();
    }
}

/// The one that runs.
pub fn current() -> Thread {
    Thread {
        id: loom::thread::current().id(),
        token: TOKEN.with(Arc::clone),
    }
}

/// Waits until somebody unparks this thread, or has since it last waited. Sometimes it does not wait, as with the real one.
pub fn park() {
    TOKEN.with(Arc::clone).wait();
}

/// The same: no time passes in a model, so who counts on the time that it may take at most waits for ever, and loom tells.
pub fn park_timeout(_time_max: Duration) {
    park();
}
