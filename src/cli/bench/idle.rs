//! Connections that do nothing, and what they cost the server.

use std::time::{Duration, Instant};

use mio::{Events, Poll};
use serde_json::json;

use super::arguments::IdleCommand;
use super::client::{Client, Shared};
use super::failure::{Failure, Result};
use super::message::Content;
use super::opening::{Ending, Opener};
use super::pattern::Pattern;
use super::process::{self, Memory};
use super::progress::Progress;
use super::report::{Report, Unit};
use super::target::Target;
use super::work::{EVENTS_MAX, SILENCE_MAX, wait};

struct Idle {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    shared: Shared,
}

impl Idle {
    /// Reads what came, on whichever connection; gives how many messages that completed.
    fn turn(&mut self, timeout: Duration) -> Result<u64> {
        wait(&mut self.poll, &mut self.events, timeout)?;
        let mut messages = 0;
        for event in &self.events {
            let number = event.token().0;
            let client = &mut self.clients[number];
            let mut answer = || {
                let messages = client.read(&mut self.shared, event.is_read_closed())?;
                client.settle(messages, 0, &mut self.shared)?;
                client.flush(&self.shared)?;
                Ok(messages)
            };
            messages += answer().map_err(|failure: Failure| failure.of_connection(number))?;
        }
        Ok(messages)
    }

    /// One message on each connection, one after the other: the server never needs memory for two.
    fn speak(&mut self, progress: &Progress) -> Result<()> {
        for number in 0..self.clients.len() {
            let client = &mut self.clients[number];
            client.ask(1, 0, &self.shared);
            let flushed = client.flush(&self.shared);
            flushed.map_err(|failure| failure.of_connection(number))?;
            let asked = Instant::now();
            while self.turn(Duration::from_secs(1))? == 0 {
                if asked.elapsed() > SILENCE_MAX {
                    let failure = Failure::run("the server is silent: no echo of a message");
                    return Err(failure.of_connection(number));
                }
            }
            progress.opened(number + 1);
        }
        Ok(())
    }

    fn hold(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if left.is_zero() {
                break;
            }
            self.turn(left.min(Duration::from_secs(1)))?;
        }
        Ok(())
    }
}

pub(super) fn run(command: &IdleCommand, progress: &mut Progress) -> Result<Report> {
    let common = &command.common;
    if common.pid.is_empty() {
        return Err(Failure::usage(
            "idle measures the memory of a process: --pid says which",
        ));
    }
    if common.plot.is_some() {
        return Err(Failure::usage("--plot: idle has no latencies"));
    }
    let target = Target::new(common)?;
    let content = Content::fixed(common.wish())?;
    process::check(&common.pid)?;
    let begun = Instant::now();
    let before = Memory::of_all(&common.pid)?;
    let mut poll = Poll::new()?;
    let opener = Opener::new(&target, Ending::Reset);
    let mut links = opener.open_all(&mut poll, command.connections, progress)?;
    let connected = Memory::of_all(&common.pid)?;
    let seconds = begun.elapsed().as_secs_f64();
    let pattern = Pattern::learn(&mut poll, &mut links[0], target.scheme, content, 1)?;
    let mut idle = Idle {
        poll,
        events: Events::with_capacity(EVENTS_MAX),
        clients: links.into_iter().map(Client::new).collect(),
        shared: Shared::new(pattern),
    };
    for (number, client) in idle.clients.iter_mut().enumerate() {
        let begun = client.begin(&mut idle.shared);
        begun.map_err(|failure| failure.of_connection(number))?;
    }
    progress.begin_opening(command.connections);
    idle.speak(progress)?;
    let spoken = Memory::of_all(&common.pid)?;
    progress.end();
    idle.hold(Duration::from_secs_f64(command.hold))?;
    let mut report = Report::new("idle", common, command.connections, Unit::Connection);
    report.memory(seconds, [before, connected, spoken], command.connections);
    report.add("pids", json!(common.pid));
    Ok(report)
}
