//! Of `src/server`: the way of log lines to the thread that writes them.

use std::time::Duration;

use queue::{Queue, Sink, Written};

#[path = "../../src/server/logging/queue.rs"]
#[expect(
    dead_code,
    reason = "who writes the log is asked by those who make lines"
)]
mod queue;

/// Longer than any check runs.
const LONG: Duration = Duration::from_secs(3_600);

/// Where lines end: whatever is done with them.
struct Out<'o>(&'o mut dyn FnMut(&str));

impl Sink for Out<'_> {
    fn write_lines(&mut self, lines: &str) -> Written {
        (self.0)(lines);
        Written::default()
    }
}

/// A log.
pub struct Log {
    queue: Queue,
}

impl Log {
    /// A log whose writer rests for hours after each write where it `rests`, and otherwise not at all.
    pub fn new(lines_max: usize, rests: bool) -> Self {
        let rest = if rests { LONG } else { Duration::ZERO };
        Self {
            queue: Queue::new(lines_max, rest),
        }
    }

    /// Logs a line.
    pub fn push(&self, line: &str) {
        self.queue.push(line);
    }

    /// Waits until all that was logged before is written.
    pub fn flush(&self) {
        assert!(self.queue.flush(LONG), "the time is over");
    }

    /// Waits for the end.
    pub fn stop(&self) {
        assert!(self.queue.stop(LONG), "the time is over");
    }

    /// Writes until [`stop`](Self::stop).
    pub fn write_to(&self, mut out: impl FnMut(&str)) {
        let own_line = |what: &str| format!("own: {what}\n");
        self.queue.drain_into(&mut Out(&mut out), &own_line);
    }
}
