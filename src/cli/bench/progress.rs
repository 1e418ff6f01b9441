//! A bar on the terminal while a run goes on. Nothing where stderr is no terminal, or where JSON is asked for.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The bar.
#[derive(Debug)]
pub(super) struct Progress {
    is_shown: bool,
    bar: ProgressBar,
    last: (Duration, u64),
}

impl Progress {
    pub(super) fn new(is_quiet: bool) -> Self {
        Self {
            is_shown: !is_quiet && io::stderr().is_terminal(),
            bar: ProgressBar::hidden(),
            last: (Duration::ZERO, 0),
        }
    }

    fn begin(&mut self, length: u64, template: &str) {
        self.bar.finish_and_clear();
        if !self.is_shown {
            return;
        }
        let style = ProgressStyle::with_template(template).expect("the template is sound");
        self.bar = ProgressBar::new(length).with_style(style.progress_chars("━╸─"));
    }

    /// Connections are to be opened.
    pub(super) fn begin_opening(&mut self, count: usize) {
        self.begin(count as u64, "connecting {bar:30.cyan/dim} {pos}/{len}");
    }

    /// So many connections are open.
    pub(super) fn opened(&self, count: usize) {
        self.bar.set_position(count as u64);
    }

    /// The run begins.
    pub(super) fn begin_run(&mut self, time: Duration) {
        self.last = (Duration::ZERO, 0);
        let milliseconds = time.as_millis() as u64;
        self.begin(
            milliseconds,
            "measuring  {bar:30.cyan/dim} {percent:>3} %  {msg}",
        );
    }

    /// Where a stage of the run stands.
    pub(super) fn running(&mut self, elapsed: Duration, count: u64) {
        if !self.is_shown {
            return;
        }
        let (before, count_before) = self.last;
        let time = elapsed.saturating_sub(before);
        self.bar.inc(time.as_millis() as u64);
        let rate = count.saturating_sub(count_before) as f64 / time.as_secs_f64().max(1e-9);
        self.bar.set_message(format!("{rate:.0}/s"));
        self.last = (elapsed, count);
    }

    /// A stage of the run is over.
    pub(super) fn ran(&mut self, elapsed: Duration) {
        self.bar
            .inc(elapsed.saturating_sub(self.last.0).as_millis() as u64);
        self.last.0 = Duration::ZERO;
    }

    /// Nothing is left on the terminal.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
