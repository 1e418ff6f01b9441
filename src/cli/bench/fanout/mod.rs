//! One publisher, many receivers: a number of publications is under way, and as many as everybody has are published again,
//! in one write.

mod log;
mod receiver;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use serde_json::json;

use self::log::Log;
use self::receiver::{Receiver, Shared};
use super::arguments::FanoutCommand;
use super::failure::{Failure, Result};
use super::latency::Latency;
use super::link;
use super::message::{Content, Dialect};
use super::opening::{Ending, Opener};
use super::pattern::READ_BYTES_MAX;
use super::process;
use super::progress::Progress;
use super::report::{Report, Unit};
use super::target::{Scheme, Target};
use super::work::{Clock, EVENTS_MAX, SILENCE_MAX, Work, measure, wait};
use crate::websocket::extension::DeflateParams;
use crate::websocket::protocol::MessageKind;

/// Until everybody has heard something, a publication goes out this often.
const CALL_INTERVAL: Duration = Duration::from_millis(300);

/// A publication that not everybody has.
#[derive(Debug)]
struct Publication {
    /// Nanoseconds on the clock.
    at: u64,
    missing: usize,
}

/// Who has what.
#[derive(Debug)]
struct Ledger {
    publications: VecDeque<Publication>,
    /// Number of the first of them.
    first: u64,
    receivers: usize,
    deliveries: u64,
    latency: Latency,
}

impl Ledger {
    /// A receiver has got the publications from `begin` to before `end`.
    #[inline]
    fn deliver(&mut self, begin: u64, end: u64, now: u64) -> Result<()> {
        let mut at = 0;
        let mut count = 0;
        for number in begin..end {
            let index = (number - self.first) as usize;
            let publication = self.publications.get_mut(index);
            let publication = publication
                .ok_or_else(|| Failure::run(format!("publication {number} was never sent")))?;
            publication.missing -= 1;
            // Those of one write have one time.
            if publication.at != at && count > 0 {
                self.latency.record(now.saturating_sub(at), count);
                count = 0;
            }
            at = publication.at;
            count += 1;
        }
        if count > 0 {
            self.latency.record(now.saturating_sub(at), count);
        }
        self.deliveries += end - begin;
        Ok(())
    }

    /// Takes out what everybody has; gives how many publications.
    fn take_complete(&mut self) -> usize {
        let mut count = 0;
        while self
            .publications
            .front()
            .is_some_and(|one| one.missing == 0)
        {
            self.publications.pop_front();
            self.first += 1;
            count += 1;
        }
        count
    }
}

struct Fanout {
    poll: Poll,
    events: Events,
    /// The first is the publisher too.
    receivers: Vec<Receiver>,
    shared: Shared,
    ledger: Ledger,
    clock: Clock,
    scheme: Scheme,
    deflate: Option<DeflateParams>,
    /// Number of the last publication.
    published: u64,
    /// Scratch space for a frame.
    frame: Vec<u8>,
}

impl Fanout {
    fn open(command: &FanoutCommand, target: &Target, progress: &mut Progress) -> Result<Self> {
        let content = Content::stamped(command.common.wish())?;
        let mut poll = Poll::new()?;
        let opener = Opener::new(target, Ending::Reset);
        let links = opener.open_all(&mut poll, command.receivers, progress)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            scheme: target.scheme,
            deflate: links[0].deflate,
            ledger: Ledger {
                publications: VecDeque::new(),
                first: 0,
                receivers: links.len(),
                deliveries: 0,
                latency: Latency::new(),
            },
            receivers: links.into_iter().map(Receiver::new).collect(),
            shared: Shared {
                log: Log::default(),
                content,
                codec: link::codec(),
                buffer: vec![0; READ_BYTES_MAX],
            },
            clock: Clock::start(),
            published: 0,
            frame: Vec::new(),
        })
    }

    /// Has everybody say what has to be said before anything is heard.
    fn enter(&mut self, dialect: Dialect) {
        let mut said = Vec::new();
        for packet in dialect.entrance() {
            let (kind, codec) = (MessageKind::Text, &mut self.shared.codec);
            link::encode(kind, packet.as_bytes(), self.deflate, codec, &mut said);
        }
        for receiver in &mut self.receivers {
            receiver.out.extend_from_slice(&said);
        }
    }

    /// Encodes the next publication and puts it where the publisher's bytes wait.
    fn encode_next(&mut self) {
        let Shared { content, codec, .. } = &mut self.shared;
        self.published += 1;
        content.set_stamp(self.published);
        self.frame.clear();
        let frame = &mut self.frame;
        link::encode(content.kind, content.sent(), self.deflate, codec, frame);
        self.receivers[0].out.extend_from_slice(frame);
    }

    /// Publishes until everybody has heard something: a server may still be busy subscribing when its handshake is over.
    fn call_roll(&mut self) -> Result<()> {
        for (number, receiver) in self.receivers.iter_mut().enumerate() {
            let begun = receiver.begin(&mut self.shared);
            begun.map_err(|failure| failure.of_connection(number))?;
        }
        let begun = Instant::now();
        let mut next_call = begun;
        loop {
            let missing = |receiver: &&Receiver| receiver.next == 0;
            let unheard = self.receivers.iter().filter(missing).count();
            if unheard > 0 && Instant::now() >= next_call {
                next_call = Instant::now() + CALL_INTERVAL;
                self.encode_next();
                self.receivers[0].flush()?;
            }
            let due = self.published + 1;
            let is_there = |one: &Receiver| one.next == due && one.is_between_messages();
            if unheard == 0 && self.receivers.iter().all(is_there) {
                return Ok(());
            }
            if begun.elapsed() > SILENCE_MAX {
                return Err(Failure::run(format!(
                    "{unheard} of {} receivers get nothing of what is published",
                    self.receivers.len()
                )));
            }
            wait(&mut self.poll, &mut self.events, CALL_INTERVAL / 10)?;
            for event in &self.events {
                let number = event.token().0;
                let receiver = &mut self.receivers[number];
                let read = receiver.read(&mut self.shared, event.is_read_closed());
                read.and_then(|()| receiver.flush())
                    .map_err(|failure| failure.of_connection(number))?;
            }
        }
    }

    /// Everybody is there: what comes now is counted.
    fn begin(&mut self, window: usize) -> Result<()> {
        let first = self.published + 1;
        self.shared.log = Log::beginning_with(first);
        self.ledger.first = first;
        for receiver in &mut self.receivers {
            receiver.follow(&self.shared.log);
        }
        self.publish(window)
    }

    /// Publishes `count` messages in one write.
    fn publish(&mut self, count: usize) -> Result<()> {
        let at = self.clock.now();
        for _ in 0..count {
            self.encode_next();
            if self.scheme == Scheme::Bare {
                self.shared.log.push(&self.frame);
            }
            self.ledger.publications.push_back(Publication {
                at,
                missing: self.ledger.receivers,
            });
        }
        self.receivers[0].flush()
    }
}

impl Work for Fanout {
    fn turn(&mut self, timeout: Duration) -> Result<()> {
        wait(&mut self.poll, &mut self.events, timeout)?;
        for event in &self.events {
            let number = event.token().0;
            let receiver = &mut self.receivers[number];
            let due = receiver.next;
            let read = receiver.read(&mut self.shared, event.is_read_closed());
            let flushed = read.and_then(|()| receiver.flush());
            flushed.map_err(|failure| failure.of_connection(number))?;
            if receiver.next > due {
                let now = self.clock.now();
                self.ledger.deliver(due, receiver.next, now)?;
            }
        }
        let complete = self.ledger.take_complete();
        if complete > 0 {
            self.shared.log.forget_before(self.ledger.first);
            self.publish(complete)?;
        }
        Ok(())
    }

    fn count(&self) -> u64 {
        self.ledger.deliveries
    }

    fn begin_window(&mut self) {
        self.ledger.latency.clear();
    }

    fn owed_since(&self) -> Option<u64> {
        self.ledger.publications.front().map(|one| one.at)
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn latency(&self) -> &Latency {
        &self.ledger.latency
    }
}

pub(super) fn run(command: &FanoutCommand, progress: &mut Progress) -> Result<Report> {
    let common = &command.common;
    let target = Target::new(common)?;
    let plan = common.plan()?;
    process::check(&plan.pids)?;
    let mut fanout = Fanout::open(command, &target, progress)?;
    fanout.enter(common.dialect);
    fanout.call_roll()?;
    fanout.begin(command.window)?;
    let window = measure(&mut fanout, &plan, progress)?;
    let mut report = Report::new("fanout", common, command.receivers, Unit::Delivery);
    report.window(&window, fanout.latency(), &plan.pids);
    report.entitle(&format!("window {}", command.window));
    report.add("window", json!(command.window));
    report.add(
        "publications_per_second",
        json!(window.count as f64 / command.receivers as f64 / window.seconds),
    );
    Ok(report)
}
