//! In place of `src/sync.rs`: what loom sees.

pub use loom::sync::atomic;
