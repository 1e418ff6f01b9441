//! In place of `mio`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as PlainUsize;

use loom::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, Default)]
struct Bell {
    rings: AtomicBool,
    /// Only counted: not a step that loom has to look at.
    wakes: PlainUsize,
}

/// One poller and the registry of it: its only source is the waker.
#[derive(Debug, Default)]
pub struct Registry {
    bell: Arc<Bell>,
}

impl Registry {
    /// Whether the worker was woken since it was last asked. What polls and finds nothing waits on, so it is not in the model.
    pub fn poll(&self) -> bool {
        self.bell.rings.swap(false, Ordering::Relaxed)
    }

    /// Whether the next poll finds a wake-up.
    pub fn rings(&self) -> bool {
        self.bell.rings.load(Ordering::Relaxed)
    }

    /// Wake-ups so far.
    pub fn wakes(&self) -> usize {
        self.bell.wakes.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// The name of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(pub usize);

/// The waker. It orders nothing: what a worker must see when it wakes is the sender's to publish.
#[derive(Debug)]
pub struct Waker {
    bell: Arc<Bell>,
}

impl Waker {
    /// A waker of that poller.
    ///
    /// # Errors
    /// None; the real one has some.
    pub fn new(registry: &Registry, _token: Token) -> io::Result<Self> {
        Ok(Self {
            bell: Arc::clone(&registry.bell),
        })
    }

    /// Wakes it.
    ///
    /// # Errors
    /// None; the real one has some.
    pub fn wake(&self) -> io::Result<()> {
        self.bell
            .wakes
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.bell.rings.swap(true, Ordering::Relaxed);
        Ok(())
    }
}
