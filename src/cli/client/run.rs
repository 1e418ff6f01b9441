//! The loop: hands the machine what happens, and does what it asks for.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mio::{Interest, Poll, Token};

use super::dial::dial;
use super::events::{Event, Events};
use super::input;
use super::machine::{Act, Machine, Typed};
use super::options::Options;
use super::output::Output;
use super::prompt::Terminal;
use super::render::Style;
use super::target::Target;
use super::wire::{Got, Wire};

const WAKER: Token = Token(0);
const SOCKET: Token = Token(1);
const EVENTS_MAX: usize = 8;
/// Bytes read at once.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Reads in one turn, so that what is typed is not kept waiting by a server that never stops.
const READS_PER_TURN_MAX: usize = 16;
/// Time for the last lines to be written after somebody wanted to leave.
const LAST_LINES_TIME_MAX: Duration = Duration::from_secs(2);
/// The same after somebody wanted to leave at once: the prompt is to be stopped all the same.
const LAST_PROMPT_TIME_MAX: Duration = Duration::from_millis(500);
/// Exit status of who does not wait for the server's Close, as a shell has it for Ctrl-C.
const STATUS_IMPATIENT: u8 = 130;

/// A client at work.
pub(super) struct Run {
    machine: Machine,
    target: Arc<Target>,
    style: Style,
    poll: Poll,
    events: Events,
    received: Receiver<Event>,
    typed: Receiver<Typed>,
    /// Nothing is typed that was not taken, as far as we know.
    is_input_dry: bool,
    output: Output,
    terminal: Option<Terminal>,
    wire: Option<Wire<mio::net::TcpStream>>,
    is_readable: bool,
    buffer: Vec<u8>,
    /// Somebody wanted to leave.
    is_leaving: bool,
    /// And once more, while the server was to answer.
    is_impatient: bool,
}

impl Run {
    /// # Errors
    /// A poller or a signal handler that the system does not give.
    pub(super) fn new(options: &Options) -> io::Result<Self> {
        let poll = Poll::new()?;
        let (events, received) = Events::new(poll.registry(), WAKER)?;
        events.watch_signals()?;
        let input = input::open(options, events.clone());
        Ok(Self {
            machine: Machine::new(options.plan.clone(), rand::random(), Instant::now()),
            target: options.target.clone(),
            style: options.style,
            poll,
            output: Output::start(input.sink, events.clone()),
            events,
            received,
            typed: input.typed,
            is_input_dry: false,
            terminal: input.terminal,
            wire: None,
            is_readable: false,
            buffer: vec![0; READ_BYTES_MAX],
            is_leaving: false,
            is_impatient: false,
        })
    }

    /// Runs until the machine leaves; gives the exit status.
    ///
    /// # Errors
    /// The poller's.
    pub(super) fn finish(mut self) -> io::Result<u8> {
        let result = self.turns();
        self.drain();
        result
    }

    fn turns(&mut self) -> io::Result<u8> {
        let mut events = mio::Events::with_capacity(EVENTS_MAX);
        loop {
            if let Some(status) = self.turn()? {
                return Ok(status);
            }
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    WAKER => self.is_input_dry = false,
                    _ => self.is_readable = true,
                }
            }
        }
    }

    /// Until when nothing is to be done; zero where something was left.
    fn timeout(&self) -> Option<Duration> {
        let has_input = self.machine.wants_input() && !self.is_input_dry;
        if has_input || self.can_read() {
            return Some(Duration::ZERO);
        }
        let due = self.machine.deadline()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Once we close, what comes is not shown any more, but for the answer.
    fn can_read(&self) -> bool {
        let is_wanted = self.output.has_room() || self.machine.is_closing();
        self.is_readable && self.wire.is_some() && is_wanted
    }

    fn turn(&mut self) -> io::Result<Option<u8>> {
        while let Ok(event) = self.received.try_recv() {
            self.take(event)?;
        }
        if self.is_impatient {
            return Ok(Some(STATUS_IMPATIENT));
        }
        self.take_typed();
        self.read();
        self.write();
        if !self.output.has_room() {
            self.machine.hold(Instant::now());
        }
        self.machine.tick(Instant::now());
        self.write();
        self.act()
    }

    fn take(&mut self, event: Event) -> io::Result<()> {
        let now = Instant::now();
        match event {
            Event::Dialed(Ok(mut link)) => {
                let both = Interest::READABLE | Interest::WRITABLE;
                let socket = &mut link.wire.socket;
                self.poll.registry().register(socket, SOCKET, both)?;
                self.wire = Some(link.wire);
                // TLS may have taken more off the socket than was asked for: no edge tells of that.
                self.is_readable = true;
                self.machine.dialed(Ok(link.opened), now);
                self.machine.receive(&mut link.early, now);
            }
            Event::Dialed(Err(failure)) => self.machine.dialed(Err(failure), now),
            Event::Interrupt if self.machine.is_closing() => self.is_impatient = true,
            Event::Interrupt | Event::OutputBroken => {
                self.is_leaving = true;
                self.machine.interrupt(now);
            }
            Event::OutputDone => {}
        }
        Ok(())
    }

    fn take_typed(&mut self) {
        while self.machine.wants_input() && !self.is_input_dry {
            match self.typed.try_recv() {
                Ok(typed) => self.machine.typed(typed, Instant::now()),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => self.is_input_dry = true,
            }
        }
    }

    fn read(&mut self) {
        for _ in 0..READS_PER_TURN_MAX {
            if !self.can_read() {
                return;
            }
            self.read_once();
            self.show();
        }
    }

    fn read_once(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let result = wire.read(&mut self.buffer);
        let now = Instant::now();
        match result {
            Ok(Got::Bytes(read)) => self.machine.receive(&mut self.buffer[..read], now),
            Ok(Got::Nothing) => self.is_readable = false,
            Ok(Got::End) => {
                self.is_readable = false;
                self.machine.ended(None, now);
            }
            Err(error) => {
                self.is_readable = false;
                self.machine.ended(Some(error.to_string()), now);
            }
        }
    }

    fn write(&mut self) {
        while let Some(wire) = &mut self.wire {
            let unsent = self.machine.unsent();
            let result = match unsent {
                [] => wire.flush().map(|_| 0),
                unsent => wire.write(unsent),
            };
            match result {
                Ok(0) => return,
                Ok(written) => self.machine.sent(written, Instant::now()),
                Err(error) => return self.write_failed(&error),
            }
        }
    }

    /// Why may stand in what the server has sent: it is read first.
    fn write_failed(&mut self, error: &io::Error) {
        self.is_readable = true;
        self.read();
        self.machine.ended(Some(error.to_string()), Instant::now());
    }

    fn show(&mut self) {
        while let Some(line) = self.machine.poll_line() {
            if let Some((stream, bytes)) = self.style.render(&line, SystemTime::now()) {
                self.output.write(stream, bytes);
            }
        }
    }

    fn act(&mut self) -> io::Result<Option<u8>> {
        self.show();
        while let Some(act) = self.machine.poll_act() {
            match act {
                Act::Dial => {
                    let (target, events) = (self.target.clone(), self.events.clone());
                    thread::Builder::new()
                        .spawn(move || events.send(Event::Dialed(dial(&target))))?;
                }
                Act::HangUp => {
                    if let Some(wire) = self.wire.take() {
                        wire.end();
                    }
                }
                Act::Leave(status) => return Ok(Some(status)),
            }
        }
        Ok(None)
    }

    /// Waits until all is written: as long as it takes, unless somebody wants to leave.
    fn drain(self) {
        drop(self.output);
        let mut until = match (self.is_impatient, self.is_leaving) {
            (true, _) => Some(Instant::now() + LAST_PROMPT_TIME_MAX),
            (false, true) => Some(Instant::now() + LAST_LINES_TIME_MAX),
            (false, false) => None,
        };
        loop {
            let event = match until {
                None => self.received.recv().ok(),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    self.received.recv_timeout(left).ok()
                }
            };
            match event {
                Some(Event::OutputDone) | None => break,
                Some(Event::Interrupt) => {
                    let soon = Instant::now() + LAST_PROMPT_TIME_MAX;
                    until = Some(until.map_or(soon, |until| until.min(soon)));
                }
                Some(_) => {}
            }
        }
        if let Some(terminal) = self.terminal {
            terminal.restore();
        }
    }
}
