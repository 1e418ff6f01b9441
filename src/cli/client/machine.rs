//! What a client does, as a value: connects, sends, shows, answers, waits, connects again, leaves. No socket, thread or clock
//! lives here: the loop hands in what happened with the time, and asks what is to be done.
//!
//! The order of calls: whatever happened goes to [`Machine::dialed`], [`receive`](Machine::receive), [`ended`](Machine::ended),
//! [`typed`](Machine::typed) or [`interrupt`](Machine::interrupt), and time to [`tick`](Machine::tick). Then
//! [`unsent`](Machine::unsent) is to be written and [`poll_line`](Machine::poll_line) to be shown, both before what
//! [`poll_act`](Machine::poll_act) gives is done.

mod connection;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::connection::Connection;
use super::arguments::Wait;
use super::backoff::Backoff;
use super::dial::{Failure, Opened};
use super::outcome::End;
use crate::cli::STATUS_FAILED;
use crate::websocket::close::CloseCode;
use crate::websocket::codec::{Codec, Config};
use crate::websocket::protocol::MessageKind;

/// Bytes that may wait for the server before no more input is taken; a message may go beyond it.
const UNSENT_BYTES_MAX: usize = 1 << 20;
/// Messages shorter than this go out as they are, bytes.
const COMPRESSION_BYTES_MIN: usize = 128;
const COMPRESSION_LEVEL: u8 = 6;
/// Time for the server to answer Close.
pub(super) const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);
/// Silence that means that everything is answered, once the server has had everything: it answers this ping then.
const QUIET: Duration = Duration::from_secs(1);
const LAST_PING: &[u8] = b"tidegate: all sent";
/// Time that such a silence, or that answer, is waited for.
const QUIET_TIME_MAX: Duration = Duration::from_secs(30);
/// Random numbers are below this.
const NUMBER_MAX: u32 = 1_000_000;

/// Where messages to send come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Somebody who types, sees what happens, and says when it is over.
    Person,
    /// A pipe, or the command line: it ends, and has to be sent whole.
    Lines,
    /// Random numbers.
    Random,
}

/// What the machine is to do.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) source: Source,
    /// As people read it.
    pub(super) url: String,
    pub(super) wait: Option<Wait>,
    pub(super) reconnects: bool,
    pub(super) reconnect_interval: Duration,
    pub(super) message_interval: Duration,
    pub(super) message_bytes_max: usize,
}

/// What was typed, or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    Message(MessageKind, Vec<u8>),
    /// At most 125 bytes.
    Ping(Vec<u8>),
    /// At most 125 bytes.
    Pong(Vec<u8>),
    Close(CloseCode, String),
    /// Nothing but Enter.
    Nudge,
    /// To be shown: help, or what is wrong with a command.
    Show(Line),
    /// The input cannot be sent, and nothing of what follows.
    Bad(String),
    /// The end of the input.
    Ended,
}

/// What is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// A message that came.
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// What nobody typed was sent.
    Sent(String),
    /// What was asked for.
    Help(&'static str),
    /// Good to know.
    Note(String),
    /// Something goes wrong.
    Problem(String),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// A connection is to be opened; the answer is [`Machine::dialed`].
    Dial,
    /// The connection is over.
    HangUp,
    /// The process ends with this status.
    Leave(u8),
}

#[derive(Debug)]
enum State {
    /// For the time of the next attempt.
    Waiting(Instant),
    Dialing,
    Open(Box<Connection>),
    Over,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Machine {
    plan: Plan,
    state: State,
    codec: Codec,
    backoff: Backoff,
    lines: VecDeque<Line>,
    acts: VecDeque<Act>,
    /// Nothing more will be typed.
    has_input_ended: bool,
    /// The input was refused.
    is_input_bad: bool,
    /// Since when everything is sent, after the end of the input.
    all_sent_at: Option<Instant>,
    /// The ping behind it is not answered.
    awaits_pong: bool,
    last_message_at: Instant,
    next_number_at: Instant,
    numbers: rand::rngs::StdRng,
}

impl Machine {
    /// Begins with an attempt to connect. All dice are thrown from `seed`.
    pub(super) fn new(plan: Plan, seed: [u8; 32], now: Instant) -> Self {
        let config = Config {
            message_bytes_max: plan.message_bytes_max,
            compression_bytes_min: COMPRESSION_BYTES_MIN,
            compression_level: COMPRESSION_LEVEL,
        };
        let mut numbers: rand::rngs::StdRng = rand::SeedableRng::from_seed(seed);
        Self {
            state: State::Waiting(now),
            codec: Codec::with_mask_seed(config, rand::RngExt::random(&mut numbers)),
            backoff: Backoff::new(plan.reconnect_interval, rand::RngExt::random(&mut numbers)),
            numbers,
            plan,
            lines: VecDeque::new(),
            acts: VecDeque::new(),
            has_input_ended: false,
            is_input_bad: false,
            all_sent_at: None,
            awaits_pong: false,
            last_message_at: now,
            next_number_at: now,
        }
    }

    /// Whether [`typed`](Self::typed) may be called: what comes through a pipe waits for a connection, and for room.
    pub(super) fn wants_input(&self) -> bool {
        let is_person = self.plan.source == Source::Person;
        match &self.state {
            State::Open(connection) => {
                let is_wanted = is_person || (connection.is_open() && !self.has_input_ended);
                is_wanted && connection.unsent().len() < UNSENT_BYTES_MAX
            }
            State::Waiting(_) | State::Dialing => is_person,
            State::Over => false,
        }
    }

    /// Whether the end is only waited for.
    pub(super) fn is_closing(&self) -> bool {
        match &self.state {
            State::Open(connection) => connection.closing.is_some(),
            State::Waiting(_) | State::Dialing => false,
            State::Over => true,
        }
    }

    /// What is to be written to the server.
    pub(super) fn unsent(&self) -> &[u8] {
        match &self.state {
            State::Open(connection) => connection.unsent(),
            _ => &[],
        }
    }

    /// `count` bytes of that were written.
    pub(super) fn sent(&mut self, count: usize, now: Instant) {
        if let State::Open(connection) = &mut self.state {
            connection.sent(count, &mut self.codec);
            self.settle(now);
        }
    }

    /// What is to be shown next.
    pub(super) fn poll_line(&mut self) -> Option<Line> {
        self.lines.pop_front()
    }

    /// What is to be done next.
    pub(super) fn poll_act(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting(until) => Some(*until),
            State::Open(connection) => match connection.closing {
                Some(until) => Some(until),
                None if self.plan.source == Source::Random => Some(self.next_number_at),
                None => self.answered_at(),
            },
            State::Dialing | State::Over => None,
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.deadline().is_none_or(|due| due > now) {
            return self.watch_end(now);
        }
        match &mut self.state {
            State::Waiting(_) => {
                self.state = State::Dialing;
                self.acts.push_back(Act::Dial);
            }
            State::Open(connection) if connection.closing.is_some() => {
                let why = format!(
                    "the server did not answer Close within {} s",
                    CLOSE_TIME_MAX.as_secs()
                );
                let end = connection.end.take().unwrap_or(End::Lost(why));
                self.over(&end, now);
            }
            State::Open(_) if self.plan.source == Source::Random => self.send_number(now),
            State::Open(_) => self.close(CloseCode::NORMAL, "", now),
            State::Dialing | State::Over => {}
        }
    }

    /// The attempt to connect has come to this.
    pub(super) fn dialed(&mut self, result: Result<Opened, Failure>, now: Instant) {
        if !matches!(self.state, State::Dialing) {
            return;
        }
        match result {
            Ok(opened) => {
                self.note(match &opened.subprotocol {
                    Some(name) => format!("Connected to {} as {name}", self.plan.url),
                    None => format!("Connected to {}", self.plan.url),
                });
                self.state = State::Open(Box::new(Connection::new(&opened, now)));
                self.all_sent_at = None;
                self.last_message_at = now;
                self.next_number_at = now;
            }
            Err(failure) => self.over(&End::Failed(failure), now),
        }
    }

    /// These bytes came from the server.
    pub(super) fn receive(&mut self, bytes: &mut [u8], now: Instant) {
        if let State::Open(connection) = &mut self.state {
            let before = self.lines.len();
            connection.receive(bytes, &mut self.codec, &mut self.lines, now);
            let fresh = self.lines.range(before..);
            for line in fresh {
                match line {
                    Line::Message(..) => self.last_message_at = now,
                    Line::Pong(payload) if payload == LAST_PING => {
                        self.awaits_pong = false;
                        self.last_message_at = now;
                    }
                    _ => {}
                }
            }
            self.settle(now);
        }
    }

    /// The server is not read now, because nobody reads what it said: its silence means nothing.
    pub(super) fn hold(&mut self, now: Instant) {
        self.all_sent_at = self.all_sent_at.map(|_| now);
    }

    /// TCP has ended: by the server without an error, or by what `why` says.
    pub(super) fn ended(&mut self, why: Option<String>, now: Instant) {
        if let State::Open(connection) = &mut self.state {
            let end = connection.end_without_answer(why);
            self.over(&end, now);
        }
    }

    /// Something was typed or read. Only while [`wants_input`](Self::wants_input).
    pub(super) fn typed(&mut self, typed: Typed, now: Instant) {
        match (typed, &mut self.state) {
            (Typed::Show(line), _) => self.lines.push_back(line),
            (Typed::Ended, _) => {
                self.has_input_ended = true;
                if self.plan.source == Source::Person {
                    self.interrupt(now);
                }
            }
            (Typed::Bad(why), _) => {
                self.lines.push_back(Line::Problem(why));
                self.is_input_bad = true;
                self.interrupt(now);
            }
            (Typed::Nudge, State::Waiting(until)) => *until = now,
            (Typed::Nudge, _) => {}
            (Typed::Close(code, reason), State::Open(_)) => self.close(code, &reason, now),
            (Typed::Close(..), _) => self.interrupt(now),
            (typed, State::Open(connection)) if connection.is_open() => {
                connection.send(&typed, &mut self.codec);
            }
            _ => self.problem("Not connected: not sent".to_owned()),
        }
    }

    /// The user wants to leave.
    pub(super) fn interrupt(&mut self, now: Instant) {
        match &self.state {
            State::Open(_) => self.close(CloseCode::NORMAL, "", now),
            State::Waiting(_) | State::Dialing => {
                self.note("Left without a connection".to_owned());
                self.leave(if self.is_input_bad {
                    End::BadInput.status()
                } else {
                    STATUS_FAILED
                });
            }
            State::Over => {}
        }
    }

    /// Notes when the last of the input is written: from then on answers are waited for.
    fn watch_end(&mut self, now: Instant) {
        let is_open = matches!(&self.state, State::Open(connection) if connection.is_open());
        let is_sent = is_open && self.unsent().is_empty();
        if self.has_input_ended && is_sent && self.all_sent_at.is_none() {
            self.all_sent_at = Some(now);
            self.awaits_pong = self.plan.wait.is_none();
            if let (State::Open(connection), true) = (&mut self.state, self.awaits_pong) {
                connection.send(&Typed::Ping(LAST_PING.to_vec()), &mut self.codec);
            }
        }
    }

    /// When everything counts as answered.
    fn answered_at(&self) -> Option<Instant> {
        let sent_at = self.all_sent_at?;
        match self.plan.wait {
            Some(Wait::Forever) => None,
            Some(Wait::For(time)) => Some(sent_at + time),
            None if self.awaits_pong => Some(sent_at + QUIET_TIME_MAX),
            None => {
                let quiet_at = self.last_message_at.max(sent_at) + QUIET;
                Some(quiet_at.min(sent_at + QUIET_TIME_MAX))
            }
        }
    }

    fn send_number(&mut self, now: Instant) {
        self.next_number_at = (self.next_number_at + self.plan.message_interval).max(now);
        let number = rand::RngExt::random_range(&mut self.numbers, 0..NUMBER_MAX).to_string();
        if let State::Open(connection) = &mut self.state
            && connection.unsent().len() < UNSENT_BYTES_MAX
        {
            let message = Typed::Message(MessageKind::Text, number.clone().into_bytes());
            connection.send(&message, &mut self.codec);
            self.lines.push_back(Line::Sent(number));
        }
    }

    fn close(&mut self, code: CloseCode, reason: &str, now: Instant) {
        if let State::Open(connection) = &mut self.state {
            connection.close(code, reason, &mut self.codec, now);
            self.settle(now);
        }
    }

    /// Ends a connection on which everything is said.
    fn settle(&mut self, now: Instant) {
        if let State::Open(connection) = &mut self.state
            && let Some(end) = connection.take_end()
        {
            self.over(&end, now);
        }
    }

    /// There is no connection any more, for this reason.
    fn over(&mut self, end: &End, now: Instant) {
        let mut is_ours = false;
        if let State::Open(connection) = &mut self.state {
            is_ours = connection.is_closed_by_us();
            if now.duration_since(connection.since) >= self.plan.reconnect_interval {
                self.backoff.reset();
            }
            connection.release(&mut self.codec);
            self.codec.trim();
            self.acts.push_back(Act::HangUp);
        }
        let sentence = end.sentence();
        if is_ours || !self.plan.reconnects || !end.is_transient() {
            if end.is_clean() {
                self.note(sentence);
            } else {
                self.problem(sentence);
            }
            let is_bad = self.is_input_bad && end.is_clean();
            return self.leave(if is_bad {
                End::BadInput.status()
            } else {
                end.status()
            });
        }
        let asked = match end {
            End::Failed(failure) => failure.retry_after,
            _ => None,
        };
        let wait = self.backoff.next(asked);
        self.problem(sentence);
        let hint = match self.plan.source {
            Source::Person => " (Enter: now)",
            _ => "",
        };
        self.note(format!("Trying again in {:.1} s{hint}", wait.as_secs_f64()));
        self.state = State::Waiting(now + wait);
    }

    fn leave(&mut self, status: u8) {
        self.state = State::Over;
        self.acts.push_back(Act::Leave(status));
    }

    fn note(&mut self, sentence: String) {
        self.lines.push_back(Line::Note(sentence));
    }

    fn problem(&mut self, sentence: String) {
        self.lines.push_back(Line::Problem(sentence));
    }
}
