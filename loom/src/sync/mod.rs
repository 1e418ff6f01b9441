//! In place of `src/sync.rs`: what loom sees.

pub mod thread;

pub use loom::sync::{Condvar, Mutex, MutexGuard, atomic};
