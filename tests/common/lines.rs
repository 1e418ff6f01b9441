//! The lines that a process writes, kept in a bounded memory and waited for with a deadline.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Lines kept; the oldest go first.
const LINES_MAX: usize = 20_000;
/// Bytes kept of one line.
const LINE_BYTES_MAX: usize = 64 * 1024;

#[derive(Default)]
struct State {
    lines: VecDeque<String>,
    /// Lines that were dropped from the front, so that a position in the stream stays valid.
    dropped: usize,
    ended: bool,
}

/// Everything that a process wrote to one of its streams so far.
#[derive(Clone, Default)]
pub(crate) struct Lines {
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Lines {
    /// Reads `stream` to its end in a thread of its own.
    pub(crate) fn collect(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let writer = lines.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while let Ok(1..) = reader.read_until(b'\n', &mut line) {
                line.truncate(LINE_BYTES_MAX);
                writer.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
            writer.lock().ended = true;
            writer.shared.1.notify_all();
        });
        lines
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: String) {
        let mut state = self.lock();
        if state.lines.len() == LINES_MAX {
            state.lines.pop_front();
            state.dropped += 1;
        }
        state.lines.push_back(line);
        self.shared.1.notify_all();
    }

    /// Position behind the last line so far, for [`Lines::wait_after`].
    pub(crate) fn position(&self) -> usize {
        let state = self.lock();
        state.dropped + state.lines.len()
    }

    /// First line at or after `position` that `accept` takes, with the position behind it; `None` at the deadline
    /// or at the end of the stream.
    pub(crate) fn wait_after(
        &self,
        position: usize,
        deadline: Duration,
        accept: impl Fn(&str) -> bool,
    ) -> Option<(usize, String)> {
        let end = Instant::now() + deadline;
        let mut next = position;
        let mut state = self.lock();
        loop {
            let from = next.saturating_sub(state.dropped).min(state.lines.len());
            let mut fresh = state.lines.range(from..).enumerate();
            if let Some((index, line)) = fresh.find(|(_, line)| accept(line)) {
                return Some((state.dropped + from + index + 1, line.clone()));
            }
            next = state.dropped + state.lines.len();
            let left = end.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return None;
            }
            state = self
                .shared
                .1
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// First line, old or new, that contains `substring`.
    pub(crate) fn wait_for(&self, substring: &str, deadline: Duration) -> Option<String> {
        self.wait_after(0, deadline, |line| line.contains(substring))
            .map(|(_, line)| line)
    }

    /// Waits until the stream has ended, so that nothing is missing from [`Lines::text`].
    pub(crate) fn wait_end(&self, deadline: Duration) {
        let end = Instant::now() + deadline;
        let mut state = self.lock();
        while !state.ended {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "a process left its output open");
            state = self
                .shared
                .1
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// How many of the lines kept contain `substring`.
    pub(crate) fn count(&self, substring: &str) -> usize {
        let state = self.lock();
        state
            .lines
            .iter()
            .filter(|line| line.contains(substring))
            .count()
    }

    /// Everything kept, for the message of a failed test.
    pub(crate) fn text(&self) -> String {
        let state = self.lock();
        state
            .lines
            .iter()
            .flat_map(|line| [line.as_str(), "\n"])
            .collect()
    }
}
