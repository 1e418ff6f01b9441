//! What threads wait for each other with. The modules whose protocols `make loom` checks take it from here and not from the
//! standard library: `loom/` includes them as they stand, and has a `sync` of its own.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};
pub(crate) use std::thread;
