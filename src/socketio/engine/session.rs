//! One Engine.IO session: its transports, its heartbeat, the change to a WebSocket, and its end.
//!
//! What requests and WebSockets bring is in `receive`, what is to be done in answer in `output`; the state and the time
//! live here.

mod output;
mod receive;

pub use output::Output;
pub use receive::Incoming;

use std::fmt;

use super::handshake::{Transport, open_json};
use super::packet::MESSAGE;
use super::payload::SEPARATOR;
use super::queue::Queue;
use crate::limits::{ENGINE_CLOSE_TIMEOUT_MS, ENGINE_NOOP_INTERVAL_MS};
use crate::socketio::Moment;

/// What all sessions of an endpoint share. Times are milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// A ping is sent so long after the handshake, and after each pong.
    pub ping_interval_ms: u32,
    /// A pong has to follow its ping within this time.
    pub ping_timeout_ms: u32,
    /// A WebSocket has to take over within this time, once it is there.
    pub upgrade_timeout_ms: u32,
    /// Bytes of a POST, and of a WebSocket message.
    pub payload_bytes_max: usize,
    /// Bytes of packets that wait while no request does; beyond it the session ends.
    pub queue_bytes_max: usize,
    /// Whether a session that has begun with long-polling may change to a WebSocket.
    pub allows_upgrades: bool,
}

impl Default for Config {
    /// As the servers of the Socket.IO project have it; the queue is this server's.
    fn default() -> Self {
        Self {
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            upgrade_timeout_ms: 10_000,
            payload_bytes_max: 1_000_000,
            queue_bytes_max: 1 << 20,
            allows_upgrades: true,
        }
    }
}

/// A WebSocket of a session. Each has another number, so that what an old one still says is not taken for the next one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebSocketId(u32);

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client said so.
    ClientClose,
    /// This server did: [`Session::close`] or [`Session::abort`].
    ServerClose,
    /// The WebSocket, or the connection of a request, was lost.
    TransportClose,
    /// No pong came in time.
    PingTimeout,
    /// A second GET or POST while one is under way, a ping of the client's, or a POST that is no text.
    Protocol,
    /// What arrived is no packet.
    Parse,
    /// A message is larger than allowed.
    TooLarge,
    /// More packets wait for a request than allowed.
    QueueFull,
}

impl End {
    /// A plain sentence, for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::ClientClose => "the client closed the session",
            Self::ServerClose => "the session was closed",
            Self::TransportClose => "the connection was lost",
            Self::PingTimeout => "the client did not answer a ping",
            Self::Protocol => "the client broke the protocol",
            Self::Parse => "the client sent what is no packet",
            Self::TooLarge => "a message is too large",
            Self::QueueFull => "the client fetches its packets too slowly",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// Why something is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// The session is over, or about to be.
    Closed,
    /// The text holds a record separator, which long-polling cannot carry. JSON never does.
    Separator,
    /// Too many bytes wait already. The session has ended.
    QueueFull,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the session is over",
            Self::Separator => "long-polling carries no record separators",
            Self::QueueFull => "too many packets wait",
        })
    }
}

impl std::error::Error for SendError {}

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// It ends with the first request that finds nothing waiting, or then.
    Closing(Moment),
    Ended(End),
}

/// The heartbeat: when the next thing is due.
#[derive(Debug, Clone, Copy)]
enum Heart {
    PingAt(Moment),
    PongBy(Moment),
}

/// A WebSocket that may take over from long-polling.
#[derive(Debug, Clone, Copy)]
enum Candidate {
    None,
    /// It has said nothing yet.
    Silent {
        until: Moment,
    },
    /// It has sent its probe.
    Probed {
        until: Moment,
        noop_at: Moment,
    },
}

/// One session.
///
/// The order of calls: [`open`](Self::open) makes it, and its first output is the answer to the request that opened it. Then
/// requests, messages and the passing of time are told as they come (`handle_*`, `begin_post`, `receive_*`), and
/// packets are sent (`send_*`, `close`). After each of these calls [`poll_output`](Self::poll_output) is called until it gives
/// `None`, which [`has_output`](Self::has_output) tells beforehand, and [`next_deadline`](Self::next_deadline) tells when [`handle_timeout`](Self::handle_timeout) is to be called. Nothing
/// depends on that call being punctual: each call that is given the time first does what is due.
///
/// * A GET for the session: `handle_poll`. It waits until an [`Output::Poll`] answers it; a refusal answers this one alone.
///   Where its connection is lost meanwhile: `handle_poll_lost`.
/// * A POST: `begin_post` at its head, then `receive_post` with its body until it gives `None`, which is answered by status 200
///   and `ok`. Instead of that: `refuse_post` where the body is too large, `handle_bad_post` where it is no UTF-8, and
///   `handle_post_lost` where it does not come whole.
/// * A WebSocket for the session: `handle_websocket`. Where that refuses it the opening handshake is answered all the
///   same and the WebSocket then closed: clients know the difference. Its messages go to `receive_websocket`, its end to
///   `handle_websocket_lost`.
/// * While [`websocket`](Self::websocket) gives one, messages may also be written to it directly: a text behind
///   [`packet::MESSAGE`](super::packet::MESSAGE), bytes as they are.
/// * [`Output::Ended`] is the last output; nothing has an effect after it.
///
/// It is a hundred bytes, and owns memory only while packets wait.
#[derive(Debug)]
pub struct Session {
    pub(super) queue: Queue,
    phase: Phase,
    heart: Heart,
    candidate: Candidate,
    transport: Transport,
    /// The WebSocket that carries the session or may take over; else the last that did.
    websocket: WebSocketId,
    /// A WebSocket that is to be closed.
    dismissed: Option<WebSocketId>,
    /// A GET waits.
    has_poll: bool,
    /// A POST is under way.
    has_post: bool,
    /// The probe waits for its answer.
    owes_probe: bool,
    /// The waiting GET is to be answered even if it is by a noop.
    owes_noop: bool,
    /// The end has been told.
    is_told: bool,
}

impl Session {
    /// A session that begins now: `sid` is its name, which nobody must be able to guess. The request that opened it waits
    /// for its answer, or, with `Transport::WebSocket`, its WebSocket is the one whose number is given.
    pub fn open(
        sid: &str,
        transport: Transport,
        now: Moment,
        config: &Config,
    ) -> (Self, WebSocketId) {
        let mut queue = Queue::default();
        queue.push_text(b'0', &open_json(sid, transport, config));
        let websocket = WebSocketId(0);
        let session = Self {
            queue,
            phase: Phase::Open,
            heart: Heart::PingAt(now.after(config.ping_interval_ms)),
            candidate: Candidate::None,
            transport,
            websocket,
            dismissed: None,
            has_poll: transport == Transport::Polling,
            has_post: false,
            owes_probe: false,
            owes_noop: false,
            is_told: false,
        };
        (session, websocket)
    }

    /// What carries it.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The WebSocket that carries it.
    pub fn carrier(&self) -> Option<WebSocketId> {
        let is_carried = self.transport == Transport::WebSocket && self.phase == Phase::Open;
        is_carried.then_some(self.websocket)
    }

    /// The WebSocket that carries it, where nothing waits to be sent before.
    pub fn websocket(&self) -> Option<WebSocketId> {
        self.carrier().filter(|_| self.queue.is_empty())
    }

    /// Bytes of packets that wait for something to carry them.
    pub fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Why it is over, where it is.
    pub fn end(&self) -> Option<End> {
        match self.phase {
            Phase::Ended(end) => Some(end),
            Phase::Open | Phase::Closing(_) => None,
        }
    }

    /// When something is due without anything arriving.
    pub fn next_deadline(&self) -> Option<Moment> {
        let own = match (self.phase, self.heart) {
            (Phase::Ended(_), _) => return None,
            (Phase::Closing(until), _) => until,
            (Phase::Open, Heart::PingAt(at) | Heart::PongBy(at)) => at,
        };
        let other = match self.candidate {
            Candidate::None => return Some(own),
            Candidate::Silent { until } => until,
            Candidate::Probed { until, noop_at } if self.has_poll => until.min(noop_at),
            Candidate::Probed { until, .. } => until,
        };
        Some(own.min(other))
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Moment, config: &Config) {
        self.pass_time(now, config);
    }

    /// Sends a text message, which is UTF-8.
    ///
    /// # Errors
    /// Where it is not sent.
    pub fn send_text(&mut self, text: &[u8], config: &Config) -> Result<(), SendError> {
        let is_polling = self.transport == Transport::Polling;
        if is_polling && memchr::memchr(SEPARATOR, text).is_some() {
            return Err(SendError::Separator);
        }
        self.check_room(text.len(), config)?;
        self.queue.push_text(MESSAGE, text);
        Ok(())
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// `Closed` or `QueueFull`.
    pub fn send_binary(&mut self, bytes: &[u8], config: &Config) -> Result<(), SendError> {
        self.check_room(bytes.len(), config)?;
        self.queue.push_binary(bytes);
        Ok(())
    }

    /// Whether a message of so many bytes may join the queue.
    fn check_room(&mut self, len: usize, config: &Config) -> Result<(), SendError> {
        if self.phase != Phase::Open {
            return Err(SendError::Closed);
        }
        let is_waiting = self.transport == Transport::Polling && !self.has_poll;
        if is_waiting && self.queue.bytes().saturating_add(len) > config.queue_bytes_max {
            self.finish(End::QueueFull);
            return Err(SendError::QueueFull);
        }
        Ok(())
    }

    /// Ends the session in good order: what waits is sent before, the end by the request after that. Without a request that could carry it
    /// the next one is waited for, but not for long.
    ///
    /// Clients in JavaScript read the packets of one answer later than its end: one that is put out of its namespace and
    /// told the end of the session in the same answer would take itself for disconnected twice.
    pub fn close(&mut self, now: Moment) {
        if self.phase != Phase::Open {
            return;
        }
        let is_all_told = self.has_poll && self.queue.is_empty();
        if self.transport == Transport::WebSocket || is_all_told {
            self.finish(End::ServerClose);
        } else {
            self.phase = Phase::Closing(now.after(ENGINE_CLOSE_TIMEOUT_MS));
        }
    }

    /// Ends the session because of a message that breaks what it is for: as after what is no packet, so that a POST that brought
    /// it is refused.
    pub fn fail(&mut self) {
        self.finish(End::Parse);
    }

    /// Ends the session because too much waits, for it or for all.
    pub fn overflow(&mut self) {
        self.finish(End::QueueFull);
    }

    /// Ends the session as it is.
    pub fn abort(&mut self) {
        self.finish(End::ServerClose);
    }

    /// Does what is due at `now`. What is due when is told by the schedule alone, however late this call comes: a ping that
    /// was never sent in time is as unanswered as one that was.
    fn pass_time(&mut self, now: Moment, config: &Config) {
        match self.phase {
            Phase::Open => self.beat(now, config),
            Phase::Closing(until) if until.is_reached(now) => self.finish(End::ServerClose),
            Phase::Closing(_) | Phase::Ended(_) => {}
        }
        match &mut self.candidate {
            Candidate::Silent { until } | Candidate::Probed { until, .. }
                if until.is_reached(now) =>
            {
                self.dismiss_candidate();
            }
            Candidate::Probed { noop_at, .. } if self.has_poll && noop_at.is_reached(now) => {
                *noop_at = now.after(ENGINE_NOOP_INTERVAL_MS);
                self.owes_noop = true;
            }
            _ => {}
        }
    }

    fn beat(&mut self, now: Moment, config: &Config) {
        if let Heart::PingAt(at) = self.heart
            && at.is_reached(now)
        {
            self.queue.push_text(b'2', b"");
            self.heart = Heart::PongBy(at.after(config.ping_timeout_ms));
        }
        if let Heart::PongBy(by) = self.heart
            && by.is_reached(now)
        {
            self.finish(End::PingTimeout);
        }
    }

    /// The session is over. A request that waits is still answered, and a WebSocket that carries it gets what waits for it.
    fn finish(&mut self, end: End) {
        if let Phase::Ended(_) = self.phase {
            return;
        }
        self.phase = Phase::Ended(end);
        if self.transport == Transport::WebSocket {
            self.dismissed = Some(self.websocket);
        } else {
            self.dismiss_candidate();
        }
    }

    /// The WebSocket that might have taken over does not.
    fn dismiss_candidate(&mut self) {
        if let Candidate::Silent { .. } | Candidate::Probed { .. } = self.candidate {
            self.candidate = Candidate::None;
            self.dismissed = Some(self.websocket);
        }
    }
}
