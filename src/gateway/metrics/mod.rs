//! `GET /metrics`: what is counted, and how it is told. Each worker counts for itself; a thread of its own puts the counts together
//! and into words, so that a scrape stops no loop: the worker that was asked hands the question over, and the answer comes by mail.

mod backend;
mod families;
mod meters;
mod recovery;
mod text;

use std::sync::Weak;
use std::sync::mpsc::Receiver;
use std::time::Duration;

pub use meters::WorkerMeters;
pub(super) use meters::{Asked, CODES, INITIATORS};
pub(super) use text::Format;

use super::node::Node;
use super::session::Mail;
use crate::id::ConnKey;

/// Scrapes that may wait for the thread; beyond it 503.
pub const SCRAPES_MAX: usize = 64;

/// What the system says of the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessFigures {
    /// CPU time that it has used.
    pub cpu: Duration,
    /// When it started, since 1970.
    pub started_at: Duration,
    /// Bytes of memory in RAM.
    pub resident_bytes: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Those that may be open.
    pub descriptors_max: u64,
}

/// A request for all metrics.
#[derive(Debug)]
pub struct Scrape {
    /// The worker that was asked.
    pub(super) worker: usize,
    /// Who has asked it.
    pub(super) connection: ConnKey,
    pub(super) format: Format,
}

/// Answers scrapes until the node is gone. `process` is asked for each.
pub fn serve_scrapes(
    node: &Weak<Node>,
    scrapes: &Receiver<Scrape>,
    process: impl Fn() -> ProcessFigures,
) {
    for scrape in scrapes {
        let Some(node) = node.upgrade() else {
            return;
        };
        let text = text::of(&node, process(), scrape.format);
        let mail = Mail::Metrics {
            connection: scrape.connection,
            text,
        };
        node.deliver(scrape.worker, mail);
    }
}
