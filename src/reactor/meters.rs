//! What a loop counts of itself.

use crate::metrics::{Counter, Durations};

/// The counts of one loop, which alone writes them. Aligned so that no other loop writes near them.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct LoopMeters {
    /// Bytes that were read from connections, within TLS.
    pub received_bytes: Counter,
    /// Bytes that were written to connections, within TLS.
    pub sent_bytes: Counter,
    /// Turns, from the poller's return to the end of all work that it brought.
    pub turns: Durations,
}
