//! A worker: the engine over `mio`, its mailbox, the intake where it has one, and the paced farewell. One thread owns one of
//! these.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::alarm::Alarm;
use super::connection::Detached;
use super::engine::{Engine, Limits};
use super::intake::{INTAKE_INDEX, Intake};
use super::mailbox::Mailbox;
use super::meters::LoopMeters;
use super::readiness::Readiness;
use super::session::{CloseReason, Session};
use super::time::{Clock, Tick};
use super::transport::Stream;
use crate::buffer::Account;
use crate::id::ConnKey;
use crate::websocket::close::CloseCode;

const WAKE: Token = Token(usize::MAX);
/// A place that no connection has, as well.
const ALARM: Token = Token(usize::MAX - 1);
/// Events taken from the poller at once.
const EVENTS_MAX: usize = 1024;
/// Items taken from the mailbox in one turn.
const MAIL_PER_TURN_MAX: usize = 1024;
/// While connections are being sent away, a turn comes at least this often.
const DRAIN_STEP: Duration = Duration::from_millis(16);

/// What other threads ask of a worker.
#[derive(Debug)]
pub enum Command<S: Session> {
    /// Take a new connection in.
    Open(Stream, S),
    /// Take over a connection of another worker.
    Adopt(Detached<S, Stream>),
    /// Hand a connection over to the worker of that mailbox, with all that waits in either direction. One that is no longer
    /// open stays.
    HandOver(ConnKey, Arc<Mailbox<Command<S>>>),
    /// Mail for the sessions.
    Mail(S::Mail),
    /// Other limits from now on.
    Limits(Limits),
    /// Send every connection away, paced over the first duration; drop what is left after the second, and end.
    Drain(Duration, Duration),
}

/// A farewell in progress.
#[derive(Debug)]
struct Farewell {
    keys: Vec<ConnKey>,
    total: usize,
    begun: Tick,
    over: Duration,
    until: Tick,
}

/// One worker's loop.
#[derive(Debug)]
pub struct Reactor<S: Session> {
    poll: Poll,
    engine: Engine<S, Stream>,
    mailbox: Arc<Mailbox<Command<S>>>,
    clock: Clock,
    alarm: Alarm,
    intake: Option<Box<dyn Intake<S>>>,
    /// When the intake has something to do.
    intake_due: Option<Tick>,
    farewell: Option<Farewell>,
    has_more_mail: bool,
    /// The mailboxes of all workers.
    workers: Vec<Arc<Mailbox<Command<S>>>>,
}

impl<S: Session> Reactor<S> {
    /// A worker whose mailbox holds at most `mail_items_max` items. All workers of a process go by one `clock`: a connection
    /// that changes worker takes its ticks with it.
    ///
    /// # Errors
    /// What the system says to a poller and an event descriptor.
    pub fn new(
        shard: S::Shard,
        limits: Limits,
        clock: Clock,
        mail_items_max: usize,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mailbox = Arc::new(Mailbox::new(poll.registry(), WAKE, mail_items_max)?);
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let engine = Engine::new(shard, limits, clock.now());
        Ok(Self {
            poll,
            engine,
            mailbox,
            clock,
            alarm,
            intake: None,
            intake_due: None,
            farewell: None,
            has_more_mail: false,
            workers: Vec::new(),
        })
    }

    /// Shares the account of what is held for peers with other workers.
    pub fn set_account(&mut self, account: Arc<Account>) {
        self.engine.set_account(account);
    }

    /// Counts on `meters` from now on.
    pub fn set_meters(&mut self, meters: Arc<LoopMeters>) {
        self.engine.set_meters(meters);
    }

    /// Tells of all workers, by number, so that connections can be handed over to them.
    pub fn set_workers(&mut self, workers: Vec<Arc<Mailbox<Command<S>>>>) {
        self.workers = workers;
    }

    /// Where commands go.
    pub fn mailbox(&self) -> Arc<Mailbox<Command<S>>> {
        Arc::clone(&self.mailbox)
    }

    /// Has this worker's loop drive `intake` from now on.
    ///
    /// # Errors
    /// What the poller says to its sources.
    pub fn set_intake(&mut self, mut intake: Box<dyn Intake<S>>) -> io::Result<()> {
        intake.register(self.poll.registry())?;
        self.intake_due = intake.due(self.clock.now());
        self.intake = Some(intake);
        Ok(())
    }

    /// Serves until a farewell is over.
    ///
    /// # Errors
    /// What the poller says; nothing can be served after that.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let timeout = self.timeout()?;
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            self.turn(&events);
            if self.is_over() {
                S::on_stop(&mut self.engine);
                return Ok(());
            }
        }
    }

    fn turn(&mut self, events: &Events) {
        let begun = Instant::now();
        self.engine.begin_turn(self.clock.at(begun));
        let mut has_mail = std::mem::take(&mut self.has_more_mail);
        for event in events {
            if event.token() == WAKE {
                has_mail = true;
                continue;
            }
            if event.token() == ALARM {
                self.alarm.has_rung();
                continue;
            }
            let key = ConnKey::from_word(event.token().0 as u64);
            if key.index == INTAKE_INDEX {
                self.tell_intake(|intake, _| intake.ready(key.generation));
                continue;
            }
            let ended = event.is_read_closed() || event.is_error();
            self.engine.handle(
                key,
                Readiness::edge(event.is_readable(), event.is_writable(), ended),
            );
        }
        self.engine.run_waiting();
        self.take_in();
        if has_mail {
            self.take_mail();
        }
        self.say_farewell();
        self.engine.end_turn();
        while let Some((key, worker)) = self.engine.next_leaving() {
            if let Some(mailbox) = self.workers.get(worker).map(Arc::clone) {
                self.hand_over(key, &mailbox);
            }
        }
        let registry = self.poll.registry();
        self.engine
            .watch_room(|stream, key| stream.watch_room(registry, Token(key.to_word() as usize)));
        self.engine.meters().turns.record(begun.elapsed());
    }

    /// How long to wait for events; what is due before that is an event of the alarm's.
    fn timeout(&mut self) -> io::Result<Option<Duration>> {
        if self.engine.has_waiting() || self.has_more_mail {
            return Ok(Some(Duration::ZERO));
        }
        let due = match (self.engine.next_due(), self.intake_due) {
            (Some(timer), Some(intake)) => Some(timer.earlier(intake)),
            (timer, intake) => timer.or(intake),
        };
        if let Some(due) = due
            && !self.alarm.set(due, self.clock)?
        {
            return Ok(Some(Duration::ZERO));
        }
        Ok(self.farewell.is_some().then_some(DRAIN_STEP))
    }

    fn tell_intake(&mut self, tell: impl FnOnce(&mut dyn Intake<S>, Tick)) {
        let now = self.engine.now();
        if let Some(intake) = &mut self.intake {
            tell(&mut **intake, now);
            self.intake_due = intake.due(now);
        }
    }

    /// Takes in the connections that have come.
    fn take_in(&mut self) {
        let now = self.engine.now();
        if self.intake_due.is_none_or(|due| !due.is_reached(now)) {
            return;
        }
        self.intake_due = None;
        let Some(mut intake) = self.intake.take() else {
            return;
        };
        let flow = intake.run(now, &mut |stream, session| self.open(stream, session));
        if flow.is_continue() {
            self.intake_due = intake.due(now);
            self.intake = Some(intake);
        }
    }

    fn open(&mut self, stream: Stream, session: S) {
        let registry = self.poll.registry();
        // A registration fails only without memory for it; the connection is dropped and its session released.
        let key = self.engine.insert(stream, session, |stream, key| {
            stream.register(registry, Token(key.to_word() as usize))
        });
        if let (Ok(key), Some(farewell)) = (key, &mut self.farewell) {
            farewell.keys.push(key);
        }
    }

    fn take_mail(&mut self) {
        self.mailbox.begin_taking();
        self.tell_intake(|intake, now| intake.woken(now));
        for _ in 0..MAIL_PER_TURN_MAX {
            let Some(command) = self.mailbox.take() else {
                return;
            };
            self.obey(command);
        }
        self.has_more_mail = true;
    }

    fn obey(&mut self, command: Command<S>) {
        match command {
            Command::Open(stream, session) => self.open(stream, session),
            Command::Adopt(detached) => self.adopt(detached),
            Command::HandOver(key, mailbox) => self.hand_over(key, &mailbox),
            Command::Mail(mail) => self.engine.deliver(mail),
            Command::Limits(limits) => self.engine.set_limits(limits),
            Command::Drain(over, within) => {
                let keys = self.engine.open_keys();
                let begun = self.clock.now();
                let until = begun.after(within);
                let total = keys.len();
                self.farewell = Some(Farewell {
                    keys,
                    total,
                    begun,
                    over,
                    until,
                });
            }
        }
    }

    fn adopt(&mut self, detached: Detached<S, Stream>) {
        let registry = self.poll.registry();
        // As with a new connection: where it cannot be registered it is dropped.
        let key = self.engine.attach(detached, |stream, key| {
            stream.register(registry, Token(key.to_word() as usize))
        });
        if let (Ok(key), Some(farewell)) = (key, &mut self.farewell) {
            farewell.keys.push(key);
        }
    }

    fn hand_over(&mut self, key: ConnKey, to: &Mailbox<Command<S>>) {
        let Some(mut detached) = self.engine.detach(key) else {
            return;
        };
        // Out of this poller before it can be in another one, or both would be told of its edges.
        let _ = detached.transport.deregister(self.poll.registry());
        if let Err(Command::Adopt(detached)) = to.send(Command::Adopt(detached)) {
            self.adopt(detached);
        }
    }

    /// Sends away as many connections as the time that has passed allows.
    fn say_farewell(&mut self) {
        let Some(farewell) = &mut self.farewell else {
            return;
        };
        let now = self.clock.now();
        let elapsed = now.since(farewell.begun).as_secs_f64();
        let share = (elapsed / farewell.over.as_secs_f64().max(0.001)).min(1.0);
        let left = farewell.total - (share * farewell.total as f64).ceil() as usize;
        while farewell.keys.len() > left {
            let Some(key) = farewell.keys.pop() else {
                break;
            };
            self.engine.visit(key, Session::on_drain);
        }
        if farewell.until.is_reached(now) {
            let reason = CloseReason::server(CloseCode::GOING_AWAY, "the drain period is over");
            self.engine.abort_all(reason);
        }
    }

    fn is_over(&self) -> bool {
        self.farewell
            .as_ref()
            .is_some_and(|farewell| farewell.keys.is_empty())
            && self.engine.is_empty()
            && self.mailbox.is_empty()
    }
}

#[cfg(test)]
mod tests;
