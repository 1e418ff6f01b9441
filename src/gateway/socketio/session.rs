//! A session: what it is made of, and what requests and WebSockets bring to it.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::behind::{self, Backing};
use super::conformance::Greetings;
use super::messages::{Outbox, on_message};
use super::questions;
use super::sessions::with;
use super::sid::{self, Secret, Sid, SocketName};
use crate::gateway::address::AddressRefusal;
use crate::gateway::bearer::Bearer;
use crate::gateway::client::ClientAddress;
use crate::gateway::config::EndpointKind;
use crate::gateway::json::JsonEndpoint;
use crate::gateway::rate::Meter;
use crate::gateway::shard::Shard;
use crate::gateway::tally::Limit;
use crate::id::ConnKey;
use crate::reactor::Tick;
use crate::socketio::Moment;
use crate::socketio::engine::handshake::{Refusal, Transport};
use crate::socketio::engine::{self, End, Incoming, WebSocketId};
use crate::socketio::packet::MAIN_NAMESPACE;
use crate::socketio::socket::Sockets;
use crate::websocket::protocol::MessageKind;

/// Where much waits for all peers, a session of which more waits than this ends.
const LONG_QUEUE_BYTES: usize = 64 * 1024;

/// What the messages of a session are for.
#[derive(Debug)]
pub(super) enum Upper {
    /// They go back.
    Echo,
    /// They are packets of a Socket.IO client.
    Sockets(Sockets),
    /// Nothing any more.
    Over,
}

/// One session.
#[derive(Debug)]
pub(in crate::gateway) struct Session {
    pub(super) secret: Secret,
    pub(super) engine: engine::Session,
    pub(super) upper: Upper,
    pub(super) kind: EndpointKind,
    pub(super) client: ClientAddress,
    /// The address that it is counted under.
    counted: Option<IpAddr>,
    pub(super) bearer: Option<Box<Bearer>>,
    /// When the end of the token is to be looked at.
    pub(super) token_at: Option<Moment>,
    /// Who it is among users and rooms, while it is in the main namespace.
    pub(super) json: Option<JsonEndpoint>,
    /// The connection whose GET waits.
    pub(super) poll: Option<ConnKey>,
    /// Whether a GET was answered after its end.
    pub(super) has_last_poll: bool,
    /// The connections of its WebSockets.
    pub(super) carriers: SmallVec<[(WebSocketId, ConnKey); 1]>,
    /// The one that takes deflated what goes to many.
    pub(super) deflates: Option<WebSocketId>,
    /// What it has to do with the back end.
    pub(super) backing: Option<Box<Backing>>,
    /// What it is to be told of itself, for the conformance suite.
    pub(super) greetings: Option<Box<Greetings>>,
    /// What its POSTs may bring, where that is limited.
    pub(super) meter: Option<Box<Meter>>,
    /// The one entry among the timers that counts.
    pub(super) timer: Option<Moment>,
    /// Whether it is on the list of those that want something done.
    pub(super) is_dirty: bool,
    /// Whether a WebSocket carried it when that was last counted.
    is_counted_as_websocket: bool,
    /// Bytes of it that are on the account of what waits for peers.
    accounted: usize,
}

/// What a session begins with.
#[derive(Debug)]
pub(in crate::gateway) struct Opening<'o> {
    pub(in crate::gateway) transport: Transport,
    /// Of the request that opens it.
    pub(in crate::gateway) connection: ConnKey,
    pub(in crate::gateway) kind: EndpointKind,
    pub(in crate::gateway) client: ClientAddress,
    pub(in crate::gateway) bearer: Option<Box<Bearer>>,
    pub(in crate::gateway) backing: Option<Box<Backing>>,
    /// What a proxy has chosen this node by.
    pub(in crate::gateway) route: Option<&'o str>,
}

/// A WebSocket of a session, as its connection knows it.
#[derive(Debug, Clone, Copy)]
pub(in crate::gateway) struct Carrier {
    pub(in crate::gateway) session: ConnKey,
    pub(super) id: WebSocketId,
}

/// Where the session of a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Place {
    Here(ConnKey),
    /// At another worker.
    At(usize),
    /// Its client has closed it just now: a GET that was sent before, and came by another way, may be answered.
    Parted(Sid),
    Nowhere,
}

/// Why there is not one more session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Full {
    /// The process has all that it may have.
    Process,
    /// The address has.
    Address(AddressRefusal),
}

impl Session {
    /// Begins one; gives its key, and its WebSocket where one opens it.
    pub(in crate::gateway) fn open(
        shard: &mut Shard,
        opening: Opening<'_>,
        now: Tick,
    ) -> Result<Carrier, Full> {
        let counted = admit(shard, opening.client.ip, now)?;
        let at = shard.moment();
        let sid = Sid {
            secret: sid::secret(),
            worker: shard.worker as u16,
            place: shard.socketio.vacant_place(),
        };
        let name = shard.node.session_names.write(&sid, opening.route);
        let config = &shard.config.socketio;
        let (engine, id) = engine::Session::open(&name, opening.transport, at, &config.engine);
        let upper = match opening.kind {
            EndpointKind::EngineIoEcho => Upper::Echo,
            _ => Upper::Sockets(Sockets::new(at, &config.sockets)),
        };
        let mut session = Box::new(Self {
            secret: sid.secret,
            engine,
            upper,
            kind: opening.kind,
            client: opening.client,
            counted,
            bearer: None,
            token_at: None,
            json: None,
            poll: None,
            has_last_poll: false,
            carriers: SmallVec::new(),
            deflates: None,
            backing: opening.backing,
            greetings: None,
            meter: None,
            timer: None,
            is_dirty: false,
            is_counted_as_websocket: opening.transport == Transport::WebSocket,
            accounted: 0,
        });
        if let Some(bearer) = opening.bearer {
            session.show(bearer, at, now);
        }
        match opening.transport {
            Transport::Polling => session.poll = Some(opening.connection),
            Transport::WebSocket => session.carriers.push((id, opening.connection)),
        }
        shard.node.opened(opening.kind);
        shard.node.count_polling(opening.transport, 1);
        shard.meters.count_opened(opening.kind);
        let client = opening.client;
        let key = shard.socketio.insert(session);
        log::info!(
            "{} opened: address={client} transport={}",
            shard.id(key),
            transport_name(opening.transport)
        );
        // Its first packet waits.
        with(shard, key, |_, _| ());
        Ok(Carrier { session: key, id })
    }

    /// What it is called in a namespace that it is in or asks for.
    pub(super) fn socket_name(
        &self,
        namespace: &str,
        key: ConnKey,
        shard: &Shard,
    ) -> Option<String> {
        let desk = shard.recovery.as_ref();
        let own = desk.and_then(|desk| desk.sid(key));
        if let Some(sid) = own.filter(|_| namespace == MAIN_NAMESPACE) {
            return Some(sid.to_owned());
        }
        let name = SocketName {
            worker: shard.worker as u16,
            session: key,
            stay: self.stay(namespace)?,
        };
        Some(shard.node.session_names.write_socket(&name))
    }

    /// What tells this time in a namespace from others in the name of its socket.
    pub(super) fn stay(&self, namespace: &str) -> Option<u16> {
        match &self.upper {
            Upper::Sockets(sockets) => Some(sockets.stay(namespace)? as u16),
            Upper::Echo | Upper::Over => None,
        }
    }

    /// Whether it is in a namespace.
    pub(super) fn is_in(&self, namespace: &str) -> bool {
        matches!(&self.upper, Upper::Sockets(sockets) if sockets.is_connected(namespace))
    }

    /// Where the session of that name is.
    pub(in crate::gateway) fn find(shard: &Shard, name: &str) -> Place {
        match shard.node.session_names.read(name) {
            Some(sid) if usize::from(sid.worker) != shard.worker => {
                Place::At(usize::from(sid.worker))
            }
            Some(sid) => match shard.socketio.find(&sid) {
                Some(key) => Place::Here(key),
                None if shard.socketio.has_parted(&sid) => Place::Parted(sid),
                None => Place::Nowhere,
            },
            None => Place::Nowhere,
        }
    }

    /// A GET that waits; whether it does, or may be answered by a noop because the client has closed the session meanwhile.
    pub(in crate::gateway) fn poll(
        shard: &mut Shard,
        key: ConnKey,
        connection: ConnKey,
    ) -> Result<bool, Refusal> {
        let polled = with(shard, key, |session, shard| {
            let at = shard.moment();
            let config = &shard.config.socketio.engine;
            match session.engine.handle_poll(at, config) {
                Ok(()) => session.poll = Some(connection),
                Err(_) if session.owes_last_poll() => {
                    session.has_last_poll = true;
                    return Ok(false);
                }
                Err(refusal) => return Err(refusal),
            }
            Ok(true)
        });
        polled.unwrap_or(Err(Refusal::UnknownSession))
    }

    /// A GET for a session that its client has closed just now; whether it may be answered by a noop.
    pub(in crate::gateway) fn last_poll(shard: &mut Shard, sid: &Sid) -> bool {
        let at = shard.moment();
        shard.socketio.take_parted(sid, at)
    }

    /// Whether its client has closed it, and a GET of the client's may be under way.
    pub(super) fn owes_last_poll(&self) -> bool {
        self.engine.end() == Some(End::ClientClose)
            && self.engine.transport() == Transport::Polling
            && !self.has_last_poll
    }

    /// Another request waits behind the GET that waits.
    pub(in crate::gateway) fn hurry_poll(shard: &mut Shard, key: ConnKey) {
        with(shard, key, |session, _| session.engine.hurry_poll());
    }

    /// The connection of a GET that waited was lost.
    pub(in crate::gateway) fn poll_lost(shard: &mut Shard, key: ConnKey, connection: ConnKey) {
        with(shard, key, |session, _| {
            if session.poll == Some(connection) {
                session.poll = None;
                session.engine.handle_poll_lost();
            }
        });
    }

    /// A WebSocket that would carry a session which has begun with long-polling.
    pub(in crate::gateway) fn upgrade(
        shard: &mut Shard,
        key: ConnKey,
        connection: ConnKey,
    ) -> Result<Carrier, Refusal> {
        let upgraded = with(shard, key, |session, shard| {
            let at = shard.moment();
            let config = &shard.config.socketio.engine;
            let id = session.engine.handle_websocket(at, config)?;
            session.carriers.push((id, connection));
            Ok(Carrier { session: key, id })
        });
        upgraded.unwrap_or(Err(Refusal::UnknownSession))
    }

    /// A message of a WebSocket. What is said to it is in `out` where it may be written at once, and waits in the session where not.
    pub(in crate::gateway) fn receive(
        shard: &mut Shard,
        carrier: Carrier,
        kind: MessageKind,
        payload: &[u8],
        now: Tick,
        out: &mut Outbox,
    ) {
        let incoming = match kind {
            MessageKind::Text => match simdutf8::basic::from_utf8(payload) {
                Ok(text) => Incoming::Text(text),
                Err(_) => return,
            },
            MessageKind::Binary => Incoming::Binary(payload),
        };
        let key = carrier.session;
        with(shard, key, |session, shard| {
            let at = shard.moment();
            let config = &shard.config.socketio.engine;
            let message = session
                .engine
                .receive_websocket(carrier.id, incoming, at, config);
            session.count_transport(shard);
            let Some(message) = message else {
                return;
            };
            shard.meters.messages_received.add(1);
            on_message(session, key, shard, now, &message, out);
            if session.engine.websocket() == Some(carrier.id) {
                shard.meters.messages_sent.add(out.len() as u64);
            } else {
                session.send(out, shard);
            }
        });
    }

    /// A WebSocket has ended.
    pub(in crate::gateway) fn websocket_lost(shard: &mut Shard, carrier: Carrier) {
        with(shard, carrier.session, |session, _| {
            session.carriers.retain(|(id, _)| *id != carrier.id);
            session.engine.handle_websocket_lost(carrier.id);
        });
    }

    /// The server goes away: the session ends, and its client may go on elsewhere.
    pub(in crate::gateway) fn leave(shard: &mut Shard, key: ConnKey) {
        with(shard, key, |session, shard| {
            session.engine.close(shard.moment());
        });
    }

    /// Sends what is in `out`, and empties it.
    pub(super) fn send(&mut self, out: &mut Outbox, shard: &Shard) {
        let config = &shard.config.socketio.engine;
        for (kind, message) in out.messages() {
            shard.meters.messages_sent.add(1);
            // What cannot be sent ends the session, or comes to one that is over.
            let _ = match kind {
                MessageKind::Text => self.engine.send_text(&message[1..], config),
                MessageKind::Binary => self.engine.send_binary(message, config),
            };
        }
        out.clear();
    }

    /// The connection of a WebSocket.
    pub(super) fn connection_of(&self, websocket: WebSocketId) -> Option<ConnKey> {
        let mut carriers = self.carriers.iter();
        let carrier = carriers.find(|(id, _)| *id == websocket)?;
        Some(carrier.1)
    }

    /// The client has shown a token.
    pub(super) fn show(&mut self, bearer: Box<Bearer>, at: Moment, now: Tick) {
        // Later in any case: who looks is told not to look again at once.
        let left = bearer.look_at().since(now).as_millis().max(1);
        self.token_at = Some(at.after(left as u32));
        self.bearer = Some(bearer);
    }

    /// When it is to be looked at without anything arriving.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        let engine = self.engine.next_deadline()?;
        let upper = match &self.upper {
            Upper::Sockets(sockets) => sockets.next_deadline(),
            Upper::Echo | Upper::Over => None,
        };
        let others = [upper, self.token_at, self.greets_at()];
        others.into_iter().flatten().chain([engine]).min()
    }

    /// Counts a change from one transport to the other.
    fn count_transport(&mut self, shard: &Shard) {
        if !self.is_counted_as_websocket && self.engine.transport() == Transport::WebSocket {
            self.is_counted_as_websocket = true;
            shard.node.count_polling(Transport::Polling, -1);
            shard.meters.socketio_upgrades.add(1);
        }
    }

    /// Puts what waits in it on the account of what waits for peers. Where that is more than may wait for all of them, and much of it is
    /// this session's, it ends.
    pub(super) fn settle_account(&mut self, shard: &Shard) {
        let bytes = self.engine.queued_bytes();
        if bytes == self.accounted {
            return;
        }
        let account = shard.node.account();
        if bytes < self.accounted {
            account.take(self.accounted - bytes);
        } else {
            account.add(bytes - self.accounted);
            let total_max = shard.config.socketio.queues_bytes_max;
            if total_max > 0 && bytes > LONG_QUEUE_BYTES && account.bytes() > total_max {
                self.engine.overflow();
            }
        }
        self.accounted = bytes;
    }

    /// Its client is not listened to any more, and answers nothing.
    pub(super) fn be_over(&mut self, shard: &mut Shard) {
        if let Upper::Sockets(mut sockets) = std::mem::replace(&mut self.upper, Upper::Over) {
            questions::give_up_all(shard, &mut sockets);
        }
    }

    /// It is over, and nobody knows it any more.
    pub(super) fn bury(mut self: Box<Self>, key: ConnKey, shard: &mut Shard) {
        behind::tell_end(&mut self, key, shard);
        self.be_over(shard);
        if let Some(json) = self.json.take() {
            shard.hub.remove(json.peer());
        }
        if let Some(address) = self.counted {
            shard.node.admission.leave_session(address);
        }
        if !self.is_counted_as_websocket {
            shard.node.count_polling(Transport::Polling, -1);
        }
        shard.node.account().take(self.accounted);
        shard.node.closed(self.kind);
    }
}

/// Whether there may be one more session; gives the address that it is counted under.
fn admit(shard: &Shard, address: IpAddr, now: Tick) -> Result<Option<IpAddr>, Full> {
    let node = &shard.node;
    if node.sessions() as usize >= node.admission.connections_max() {
        node.tally.reached(Limit::Connections, 1, now, &address);
        return Err(Full::Process);
    }
    match node.admission.enter_session(address, now) {
        Ok(true) => Ok(Some(address)),
        Ok(false) => Ok(None),
        Err(refusal) => {
            node.tally
                .reached(Limit::AddressConnections, 1, now, &address);
            Err(Full::Address(refusal))
        }
    }
}

pub(super) fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Polling => "polling",
        Transport::WebSocket => "websocket",
    }
}
