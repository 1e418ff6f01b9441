//! The open loop: messages at a steady rate, whether or not the last ones came back. Latency counts from when a message was
//! meant to be sent, so a server that stalls pays for everything that should have happened meanwhile (no coordinated
//! omission), and so does this side where it is late itself; how late it was is told.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use serde_json::json;

use super::arguments::RateCommand;
use super::client::{Client, Shared};
use super::failure::{Failure, Result};
use super::latency::Latency;
use super::message::Content;
use super::opening::{Ending, Opener};
use super::pattern::Pattern;
use super::process;
use super::progress::Progress;
use super::report::{Report, Unit, grouped};
use super::target::Target;
use super::work::{Clock, EVENTS_MAX, SILENCE_MAX, Work, check_silence, measure, wait};

const TIMER: Token = Token(usize::MAX);
/// Messages of one connection that one write sends, where a backlog has grown.
const WRITE_MESSAGES_MAX: usize = 64;
/// Messages sent in one turn before what came back is looked at.
const SEND_MESSAGES_MAX: usize = 256;
/// Later than that at the 99th percentile, this side could not keep the rate.
const LATENESS_MAX: Duration = Duration::from_millis(1);
/// Time in which this side may send, after the window, what was due in it. Who needs longer could not keep the rate.
const OVERDUE_MAX: Duration = Duration::from_secs(1);
const NANOSECONDS: f64 = 1e9;

struct Rate {
    poll: Poll,
    events: Events,
    timer: Timer,
    clients: Vec<Client>,
    shared: Shared,
    lateness: Latency,
    clock: Clock,
    /// When the first message was due, nanoseconds on the clock.
    begun: u64,
    /// From one message to the next, nanoseconds.
    step: f64,
    /// Messages sent.
    sent: u64,
    /// Messages that came back.
    echoed: u64,
    /// What is due later is not sent.
    end: u64,
    window: Duration,
}

impl Rate {
    fn open(command: &RateCommand, target: &Target, progress: &mut Progress) -> Result<Self> {
        let content = Content::fixed(command.common.wish())?;
        let mut poll = Poll::new()?;
        let opener = Opener::new(target, Ending::Reset);
        let mut links = opener.open_all(&mut poll, command.connections, progress)?;
        let link = &mut links[0];
        let depth = WRITE_MESSAGES_MAX;
        let pattern = Pattern::learn(&mut poll, link, target.scheme, content, depth)?;
        let timer = Timer::new(&poll)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            timer,
            clients: links.into_iter().map(Client::new).collect(),
            shared: Shared::new(pattern),
            lateness: Latency::new(),
            clock: Clock::start(),
            begun: 0,
            step: NANOSECONDS / command.rate,
            sent: 0,
            echoed: 0,
            end: u64::MAX,
            window: Duration::from_secs_f64(command.common.seconds),
        })
    }

    fn begin(&mut self) -> Result<()> {
        for (number, client) in self.clients.iter_mut().enumerate() {
            let begun = client.begin(&mut self.shared);
            begun.map_err(|failure| failure.of_connection(number))?;
        }
        self.begun = self.clock.now();
        Ok(())
    }

    /// When the next message is due.
    fn due(&self) -> u64 {
        self.begun + (self.sent as f64 * self.step) as u64
    }

    /// Sends what is due; gives the time until the next message is.
    fn send_due(&mut self) -> Result<Duration> {
        for _ in 0..SEND_MESSAGES_MAX {
            let due = self.due();
            if due >= self.end {
                return Ok(SILENCE_MAX);
            }
            let now = self.clock.now();
            if due > now {
                return Ok(Duration::from_nanos(due - now));
            }
            if due >= self.shared.measured_from {
                self.lateness.record(now - due, 1);
            }
            let number = (self.sent % self.clients.len() as u64) as usize;
            let client = &mut self.clients[number];
            client.ask(1, due, &self.shared);
            let flushed = client.flush(&self.shared);
            flushed.map_err(|failure| failure.of_connection(number))?;
            self.sent += 1;
        }
        Ok(Duration::ZERO)
    }

    /// Sends what is overdue, and waits for the last answers.
    fn drain(&mut self) -> Result<()> {
        let begun = Instant::now();
        while self.due() < self.end || self.echoed < self.sent {
            if begun.elapsed() > OVERDUE_MAX {
                self.end = 0;
            }
            self.turn(Duration::from_millis(100))?;
            if begun.elapsed() > SILENCE_MAX {
                return Err(Failure::run(format!(
                    "{} of the last messages do not come back within {} s",
                    grouped((self.sent - self.echoed) as f64),
                    SILENCE_MAX.as_secs()
                )));
            }
            check_silence(self)?;
        }
        Ok(())
    }
}

impl Work for Rate {
    fn turn(&mut self, timeout: Duration) -> Result<()> {
        let wait_max = self.send_due()?.min(timeout);
        // The poller counts in milliseconds, the timer in nanoseconds.
        if !wait_max.is_zero() {
            self.timer.set(wait_max)?;
        }
        wait(&mut self.poll, &mut self.events, wait_max)?;
        for event in &self.events {
            if event.token() == TIMER {
                continue;
            }
            let number = event.token().0;
            let client = &mut self.clients[number];
            let clock = self.clock;
            let shared = &mut self.shared;
            let mut answer = || {
                let messages = client.read(shared, event.is_read_closed())?;
                client.settle(messages, clock.now(), shared)?;
                client.flush(shared)?;
                Ok(messages)
            };
            let answered: Result<u64> = answer();
            self.echoed += answered.map_err(|failure| failure.of_connection(number))?;
        }
        Ok(())
    }

    fn count(&self) -> u64 {
        self.echoed
    }

    fn begin_window(&mut self) {
        let now = self.clock.now();
        self.shared.measured_from = now;
        self.shared.latency.clear();
        self.lateness.clear();
        self.end = now + self.window.as_nanos() as u64;
    }

    fn owed_since(&self) -> Option<u64> {
        self.clients.iter().filter_map(Client::owed_since).min()
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn latency(&self) -> &Latency {
        &self.shared.latency
    }
}

/// Wakes the poller at a time finer than its own milliseconds.
struct Timer(OwnedFd);

impl Timer {
    fn new(poll: &Poll) -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)
            .map_err(|error| Failure::run(format!("timerfd: {error}")))?;
        let source = timer.as_raw_fd();
        let mut source = SourceFd(&source);
        poll.registry()
            .register(&mut source, TIMER, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Setting it again also takes back that it has rung, so it needs no reading.
    fn set(&self, time: Duration) -> Result<()> {
        let time = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: time.as_secs() as i64,
                tv_nsec: i64::from(time.subsec_nanos()),
            },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &time)
            .map_err(|error| Failure::run(format!("timerfd: {error}")))?;
        Ok(())
    }
}

pub(super) fn run(command: &RateCommand, progress: &mut Progress) -> Result<Report> {
    let common = &command.common;
    let target = Target::new(common)?;
    let plan = common.plan()?;
    process::check(&plan.pids)?;
    let mut rate = Rate::open(command, &target, progress)?;
    rate.begin()?;
    let window = measure(&mut rate, &plan, progress)?;
    rate.drain()?;
    let mut report = Report::new("rate", common, command.connections, Unit::Message);
    report.window(&window, rate.latency(), &plan.pids);
    let (p99, max) = (rate.lateness.at(0.99), rate.lateness.max());
    let is_late = p99 > LATENESS_MAX.as_secs_f64() * 1e6;
    report.entitle(&format!("{} messages a second", grouped(command.rate)));
    report.add("rate", json!(command.rate));
    report.add("intended", json!(rate.lateness.count()));
    report.add("lateness_us", rate.lateness.json());
    report.add("generator_late", json!(is_late));
    let late = format!("{p99:.0} µs at the 99th percentile, {max:.0} µs at most");
    report.line("lateness", late.clone());
    if is_late {
        report.warning = Some(format!(
            "this side could not keep the rate ({late} late): the result says nothing about the server"
        ));
    }
    Ok(report)
}
