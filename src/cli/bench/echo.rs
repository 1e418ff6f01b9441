//! The closed loop: each connection keeps a number of messages under way, and sends as many as came back, in one write.

use std::time::Duration;

use mio::{Events, Poll};
use serde_json::json;

use super::arguments::EchoCommand;
use super::client::{Client, Shared};
use super::failure::Result;
use super::latency::Latency;
use super::message::Content;
use super::opening::{Ending, Opener};
use super::pattern::Pattern;
use super::process;
use super::progress::Progress;
use super::report::{Report, Unit};
use super::target::Target;
use super::work::{Clock, EVENTS_MAX, Work, measure, wait};

/// Connections that echo; those behind the first `active` ones are silent.
struct Echo {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    active: usize,
    shared: Shared,
    clock: Clock,
    messages: u64,
}

impl Echo {
    fn open(command: &EchoCommand, target: &Target, progress: &mut Progress) -> Result<Self> {
        let content = Content::fixed(command.common.wish())?;
        let mut poll = Poll::new()?;
        let opener = Opener::new(target, Ending::Reset);
        let active = command.connections;
        let count = active + command.idle as usize;
        let mut links = opener.open_all(&mut poll, count, progress)?;
        let scheme = target.scheme;
        let pattern = Pattern::learn(&mut poll, &mut links[0], scheme, content, command.depth)?;
        let shared = Shared::new(pattern).with_write_bytes_max(command.write_bytes_max);
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            clients: links.into_iter().map(Client::new).collect(),
            active,
            shared: if command.no_verify {
                shared.unverified()
            } else {
                shared
            },
            clock: Clock::start(),
            messages: 0,
        })
    }

    fn begin(&mut self, depth: usize) -> Result<()> {
        for (number, client) in self.clients.iter_mut().enumerate() {
            let begun = client.begin(&mut self.shared);
            begun.map_err(|failure| failure.of_connection(number))?;
        }
        for (number, client) in self.clients[..self.active].iter_mut().enumerate() {
            client.ask(depth as u64, self.clock.now(), &self.shared);
            let flushed = client.flush(&self.shared);
            flushed.map_err(|failure| failure.of_connection(number))?;
        }
        Ok(())
    }
}

/// Reads what is there and asks again for as many messages as came back; gives how many.
#[inline]
fn answer(client: &mut Client, shared: &mut Shared, is_ending: bool, clock: Clock) -> Result<u64> {
    let messages = client.read(shared, is_ending)?;
    if messages > 0 {
        let now = clock.now();
        client.settle(messages, now, shared)?;
        client.ask(messages, now, shared);
    }
    if client.has_unsent() {
        client.flush(shared)?;
    }
    Ok(messages)
}

impl Work for Echo {
    fn turn(&mut self, timeout: Duration) -> Result<()> {
        wait(&mut self.poll, &mut self.events, timeout)?;
        for event in &self.events {
            let number = event.token().0;
            let client = &mut self.clients[number];
            let answered = answer(client, &mut self.shared, event.is_read_closed(), self.clock);
            self.messages += answered.map_err(|failure| failure.of_connection(number))?;
        }
        Ok(())
    }

    fn count(&self) -> u64 {
        self.messages
    }

    fn begin_window(&mut self) {
        self.shared.latency.clear();
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

pub(super) fn run(command: &EchoCommand, progress: &mut Progress) -> Result<Report> {
    let target = Target::new(&command.common)?;
    let mut plan = command.common.plan()?;
    plan.count_max = command.messages.unwrap_or(u64::MAX);
    process::check(&plan.pids)?;
    let mut echo = Echo::open(command, &target, progress)?;
    echo.begin(command.depth)?;
    let window = measure(&mut echo, &plan, progress)?;
    let mut report = Report::new("echo", &command.common, command.connections, Unit::Message);
    report.window(&window, echo.latency(), &plan.pids);
    report.entitle(&format!("depth {}", command.depth));
    report.add("depth", json!(command.depth));
    report.add("idle", json!(command.idle));
    let pattern = &echo.shared.pattern;
    report.add(
        "wire_bytes",
        json!({ "sent": pattern.sent_period, "received": pattern.echoed_period }),
    );
    Ok(report)
}
