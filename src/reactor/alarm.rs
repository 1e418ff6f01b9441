//! The alarm of a loop: a timer of the kernel's own, set where something is due earlier than it rings, and left alone else.
//!
//! A time limit of epoll_wait(2) is set and taken back in every turn that waits, which was measured to cost half a microsecond
//! of a turn's sixteen.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::time::{Clock, Tick};

/// Rings as an event of its token.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: OwnedFd,
    /// When it rings; `None` where it has rung.
    set_for: Option<Tick>,
}

impl Alarm {
    /// An alarm that nobody has set.
    ///
    /// # Errors
    /// What the system says to one more descriptor.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self {
            timer,
            set_for: None,
        })
    }

    /// Makes it ring at `due`, or earlier; false where that has come already.
    ///
    /// # Errors
    /// What the system says to the timer.
    pub(super) fn set(&mut self, due: Tick, clock: Clock) -> io::Result<bool> {
        if self.set_for.is_some_and(|at| at.is_reached(due)) {
            return Ok(true);
        }
        let left = clock.until(due);
        if left.is_zero() {
            return Ok(false);
        }
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: i64::from(left.subsec_nanos()),
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.set_for = Some(due);
        Ok(true)
    }

    /// Its event has come. What the timer counts is never read: setting it again clears that.
    pub(super) fn has_rung(&mut self) {
        self.set_for = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use mio::{Events, Poll};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn rings(poll: &mut Poll) -> usize {
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, Some(LONG)).expect("poll");
        events.iter().count()
    }

    #[test]
    fn it_rings_at_the_earliest_of_what_it_was_set_for_and_can_be_set_again() {
        let mut poll = Poll::new().expect("poll");
        let mut alarm = Alarm::new(poll.registry(), Token(7)).expect("alarm");
        let clock = Clock::start();
        let soon = |milliseconds| clock.now().after(Duration::from_millis(milliseconds));
        for _ in 0..3 {
            let begun = Instant::now();
            let far = clock.now().after(LONG);
            let near = soon(40);
            assert!(alarm.set(far, clock).expect("set"));
            assert!(alarm.set(near, clock).expect("set"));
            assert!(alarm.set(far, clock).expect("left alone"));
            assert_eq!(alarm.set_for, Some(near));
            assert_eq!(rings(&mut poll), 1);
            assert!(near.is_reached(clock.now()), "not before its time");
            assert!(begun.elapsed() < LONG / 2);
            alarm.has_rung();
        }
        assert!(!alarm.set(clock.now(), clock).expect("nothing to set"));
        assert_eq!(alarm.set_for, None);
    }
}
