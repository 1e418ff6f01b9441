//! Handshake and close, again and again: a number of connections is under way, each opens, sends Close, waits for the
//! server's Close and the end of TCP, and the next one begins.

use std::io::{self, Read};
use std::time::Duration;

use mio::{Events, Poll, Token};

use super::arguments::ConnectCommand;
use super::failure::{Failure, Result};
use super::latency::Latency;
use super::link::{self, Link};
use super::message::Dialect;
use super::opening::{Ending, Opener, Opening, Step};
use super::process;
use super::progress::Progress;
use super::report::{Report, Unit};
use super::target::{Scheme, Target};
use super::work::{Clock, EVENTS_MAX, Work, measure, wait};
use crate::websocket::close::CloseCode;
use crate::websocket::codec::Codec;
use crate::websocket::protocol::{Input, Protocol, Role};

const READ_BYTES_MAX: usize = 16 * 1024;

/// Where a connection stands.
enum Stage {
    Opening(Opening),
    Closing {
        link: Link,
        /// Whether the server's Close has come.
        is_answered: bool,
    },
    Ended,
}

struct Slot {
    stage: Stage,
    /// Which connection of the run it is.
    connection: usize,
    /// Nanoseconds on the clock.
    begun: u64,
}

struct Connect<'t> {
    poll: Poll,
    events: Events,
    opener: Opener<'t>,
    slots: Vec<Slot>,
    scheme: Scheme,
    close: Vec<u8>,
    codec: Codec,
    buffer: Vec<u8>,
    clock: Clock,
    begun: usize,
    ended: u64,
    /// From the first SYN to the end.
    latency: Latency,
    /// From the first SYN to the server's 101.
    opened: Latency,
}

impl<'t> Connect<'t> {
    fn new(target: &'t Target) -> Result<Self> {
        let mut codec = link::codec();
        let mut close = Vec::new();
        let mut protocol = Protocol::new(Role::Client, None);
        protocol.send_close(CloseCode::NORMAL, "", &mut codec, &mut close);
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            opener: Opener::new(target, Ending::Orderly).with_bare_head(),
            slots: Vec::new(),
            scheme: target.scheme,
            close,
            codec,
            buffer: vec![0; READ_BYTES_MAX],
            clock: Clock::start(),
            begun: 0,
            ended: 0,
            latency: Latency::new(),
            opened: Latency::new(),
        })
    }

    fn open(&mut self, number: usize) -> Result<Slot> {
        let begun = self.clock.now();
        // Each comes from the next address: a port is long free when its turn comes again.
        let connection = self.begun;
        let opening = self.opener.begin(&self.poll, Token(number), connection)?;
        self.begun += 1;
        Ok(Slot {
            stage: Stage::Opening(opening),
            connection,
            begun,
        })
    }

    /// Does all that can be done now with the connection in a slot; where it has ended, the next one begins there.
    fn advance(&mut self, number: usize) -> Result<()> {
        loop {
            let begun = self.slots[number].begun;
            match std::mem::replace(&mut self.slots[number].stage, Stage::Ended) {
                Stage::Opening(opening) => match opening.advance(&mut self.opener)? {
                    Step::Waiting(opening) => {
                        self.slots[number].stage = Stage::Opening(opening);
                        return Ok(());
                    }
                    Step::Open(link) => {
                        self.opened.record(self.clock.now() - begun, 1);
                        self.slots[number].stage = self.send_close(link)?;
                    }
                },
                Stage::Closing {
                    mut link,
                    mut is_answered,
                } => {
                    if !self.read_end(&mut link, &mut is_answered)? {
                        self.slots[number].stage = Stage::Closing { link, is_answered };
                        return Ok(());
                    }
                    drop(link);
                    self.latency.record(self.clock.now() - begun, 1);
                    self.ended += 1;
                }
                Stage::Ended => self.slots[number] = self.open(number)?,
            }
        }
    }

    fn send_close(&mut self, mut link: Link) -> Result<Stage> {
        let mut close = self.close.clone();
        link::flush(&mut link.stream, &mut close)?;
        if !close.is_empty() {
            return Err(Failure::run("the socket does not even take a Close frame"));
        }
        let mut early = std::mem::take(&mut link.early);
        let is_answered = self.is_close_in(&mut link, &mut early)?;
        Ok(Stage::Closing { link, is_answered })
    }

    /// Whether the server has ended the connection as it should.
    fn read_end(&mut self, link: &mut Link, is_answered: &mut bool) -> Result<bool> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let ended = loop {
            match link.stream.read(&mut buffer) {
                Ok(0) if *is_answered => break Ok(true),
                Ok(0) => {
                    break Err(Failure::run(
                        "the server ended the connection without a Close frame",
                    ));
                }
                Ok(read) => match self.is_close_in(link, &mut buffer[..read]) {
                    Ok(is_close) => *is_answered |= is_close,
                    Err(failure) => break Err(failure),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(Failure::run(format!("the server went away: {error}"))),
            }
        };
        self.buffer = buffer;
        ended
    }

    /// Whether the server's Close is in `bytes`. A bare server just ends.
    fn is_close_in(&mut self, link: &mut Link, bytes: &mut [u8]) -> Result<bool> {
        if self.scheme == Scheme::Bare {
            return Ok(true);
        }
        let mut input = Input::new(bytes);
        link.decoder.has_close(&mut input, &mut self.codec)
    }
}

impl Work for Connect<'_> {
    fn turn(&mut self, timeout: Duration) -> Result<()> {
        wait(&mut self.poll, &mut self.events, timeout)?;
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let number = event.token().0;
            if let Err(failure) = self.advance(number) {
                return Err(failure.of_connection(self.slots[number].connection));
            }
        }
        self.events = events;
        Ok(())
    }

    fn count(&self) -> u64 {
        self.ended
    }

    fn begin_window(&mut self) {
        self.latency.clear();
        self.opened.clear();
    }

    fn owed_since(&self) -> Option<u64> {
        self.slots.iter().map(|slot| slot.begun).min()
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn latency(&self) -> &Latency {
        &self.latency
    }
}

pub(super) fn run(command: &ConnectCommand, progress: &mut Progress) -> Result<Report> {
    let common = &command.common;
    if common.dialect != Dialect::Plain {
        return Err(Failure::usage(
            "--dialect: connect ends with the handshake, before anything is said",
        ));
    }
    let target = Target::new(common)?;
    let plan = common.plan()?;
    process::check(&plan.pids)?;
    let mut connect = Connect::new(&target)?;
    for number in 0..command.concurrency {
        let slot = connect.open(number)?;
        connect.slots.push(slot);
    }
    let window = measure(&mut connect, &plan, progress)?;
    let mut report = Report::new("connect", common, command.concurrency, Unit::Connection);
    report.window(&window, connect.latency(), &plan.pids);
    report.add("handshake_us", connect.opened.json());
    report.line(
        "handshake",
        format!(
            "{:.1} µs at the median, {:.1} µs at the 99th percentile",
            connect.opened.at(0.5),
            connect.opened.at(0.99)
        ),
    );
    Ok(report)
}
