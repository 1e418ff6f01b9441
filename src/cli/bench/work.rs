//! What every command's run has in common: a warm-up, a window in which things are measured, and a server that must not
//! fall silent.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use super::failure::{Failure, Result};
use super::latency::Latency;
use super::process::{Sample, Usage};
use super::progress::Progress;

/// Events taken from the poller at once.
pub(super) const EVENTS_MAX: usize = 1024;
/// A server that owes something and sends nothing for so long is stuck.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(20);
/// How often the progress is shown and the silence looked at.
const TICK: Duration = Duration::from_millis(100);

/// Nanoseconds since the run began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    #[inline]
    pub(super) fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// A load on a server.
pub(super) trait Work {
    /// Waits for events, at most `timeout`, and handles them.
    fn turn(&mut self, timeout: Duration) -> Result<()>;

    /// What has been done so far, in the command's unit.
    fn count(&self) -> u64;

    /// What is done from now on is measured.
    fn begin_window(&mut self);

    /// Nanoseconds on the work's clock at which the oldest of what the server owes was asked for.
    fn owed_since(&self) -> Option<u64>;

    /// The clock.
    fn clock(&self) -> Clock;

    /// What was measured.
    fn latency(&self) -> &Latency;
}

/// How long a run takes.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) warm_up: Duration,
    pub(super) window: Duration,
    /// An earlier end, in the command's unit.
    pub(super) count_max: u64,
    pub(super) pids: Vec<u32>,
}

/// What the window showed.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) seconds: f64,
    pub(super) count: u64,
    pub(super) count_in_all: u64,
    pub(super) server: Option<Usage>,
    pub(super) load: Usage,
}

/// Runs the warm-up and the window.
pub(super) fn measure(
    work: &mut impl Work,
    plan: &Plan,
    progress: &mut Progress,
) -> Result<Window> {
    progress.begin_run(plan.warm_up + plan.window);
    run(work, plan.warm_up, plan.count_max, progress)?;
    work.begin_window();
    let before = (work.count(), Sample::take(&plan.pids)?);
    let begun = Instant::now();
    run(work, plan.window, plan.count_max, progress)?;
    let seconds = begun.elapsed().as_secs_f64();
    let after = (work.count(), Sample::take(&plan.pids)?);
    let count = after.0 - before.0;
    if count == 0 {
        return Err(Failure::run(
            "nothing came back while it was measured; --seconds and --messages want to be larger",
        ));
    }
    Ok(Window {
        seconds,
        count,
        count_in_all: after.0,
        server: after.1.server_since(&before.1, &plan.pids)?,
        load: after.1.load_since(&before.1),
    })
}

fn run(
    work: &mut impl Work,
    time: Duration,
    count_max: u64,
    progress: &mut Progress,
) -> Result<()> {
    let begun = Instant::now();
    let mut next_tick = TICK;
    loop {
        let elapsed = begun.elapsed();
        if elapsed >= time || work.count() >= count_max {
            progress.ran(elapsed);
            return Ok(());
        }
        if elapsed >= next_tick {
            next_tick = elapsed + TICK;
            progress.running(elapsed, work.count());
            check_silence(work)?;
        }
        work.turn(time.min(next_tick) - elapsed.min(time).min(next_tick))?;
    }
}

/// Refuses to wait for a server any longer that owes something for too long.
pub(super) fn check_silence(work: &impl Work) -> Result<()> {
    let now = work.clock().now();
    match work.owed_since() {
        Some(since) if now.saturating_sub(since) > SILENCE_MAX.as_nanos() as u64 => {
            Err(Failure::run(format!(
                "the server is silent: it owes an answer for {} s",
                SILENCE_MAX.as_secs()
            )))
        }
        _ => Ok(()),
    }
}

/// Waits for events; a signal is none.
pub(super) fn wait(poll: &mut Poll, events: &mut Events, timeout: Duration) -> Result<()> {
    match poll.poll(events, Some(timeout)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that owes something since the clock began.
    struct Owed {
        clock: Clock,
        since: Option<u64>,
        latency: Latency,
    }

    impl Work for Owed {
        fn turn(&mut self, _: Duration) -> Result<()> {
            Ok(())
        }

        fn count(&self) -> u64 {
            0
        }

        fn begin_window(&mut self) {}

        fn owed_since(&self) -> Option<u64> {
            self.since
        }

        fn clock(&self) -> Clock {
            self.clock
        }

        fn latency(&self) -> &Latency {
            &self.latency
        }
    }

    #[test]
    fn a_server_that_owes_something_for_too_long_is_silent() {
        let begun = Instant::now().checked_sub(SILENCE_MAX + Duration::from_secs(1));
        let mut work = Owed {
            clock: Clock(begun.expect("the machine runs for longer")),
            since: None,
            latency: Latency::new(),
        };
        check_silence(&work).expect("it owes nothing");
        work.since = Some(work.clock.now());
        check_silence(&work).expect("it may take its time");
        work.since = Some(0);
        let failure = check_silence(&work).expect_err("silent");
        assert!(failure.to_string().contains("silent"), "{failure}");
    }

    #[test]
    fn a_window_in_which_nothing_came_back_is_no_result() {
        let mut work = Owed {
            clock: Clock::start(),
            since: None,
            latency: Latency::new(),
        };
        let plan = Plan {
            warm_up: Duration::ZERO,
            window: Duration::from_millis(1),
            count_max: u64::MAX,
            pids: Vec::new(),
        };
        let failure = measure(&mut work, &plan, &mut Progress::new(true)).expect_err("nothing");
        assert!(
            failure.to_string().contains("nothing came back"),
            "{failure}"
        );
    }
}
