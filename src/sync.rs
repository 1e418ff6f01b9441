//! What threads share without a lock. The modules whose protocols `make loom` checks take their atomics from here and not from
//! the standard library: `loom/` includes them as they stand, and has a `sync` of its own.

pub(crate) use std::sync::atomic;
