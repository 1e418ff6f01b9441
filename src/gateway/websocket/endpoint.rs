//! What a WebSocket is for: the endpoint of its route, and what the API does to it.

use std::sync::Arc;

use super::WebSocketStage;
use crate::gateway::ask::{Act, Gathered};
use crate::gateway::config::EndpointKind;
use crate::gateway::dashboard::{Dashboard, Telling};
use crate::gateway::json::{JsonEndpoint, Refusal, Surroundings};
use crate::gateway::session::GatewaySession;
use crate::gateway::shard::Shard;
use crate::gateway::socketio::{Carrier, Outbox, Session};
use crate::hub::{Encoding, Kind, PeerId};
use crate::id::ConnKey;
use crate::reactor::{CloseReason, Context};
use crate::websocket::close::CloseCode;
use crate::websocket::protocol::{MessageKind, Protocol};

/// What answers the messages.
#[derive(Debug)]
pub(super) enum Endpoint {
    Echo,
    /// The channel of that route.
    Broadcast {
        peer: PeerId,
        route: u16,
    },
    Json(JsonEndpoint),
    Dashboard(Dashboard),
    /// A session, whose messages these are.
    Carrier(Carrier),
    /// The connection says nothing any more, and nothing is for it.
    Gone,
}

impl Endpoint {
    /// What a route has for a connection of `user`, where it is known, and whether that user may have one more connection.
    pub(super) fn open(
        protocol: &Protocol,
        route: usize,
        user: Option<&str>,
        cx: &mut Context<'_, GatewaySession>,
    ) -> (Self, bool) {
        let encoding = encoding(protocol, cx.shard);
        let endpoint = match cx.shard.config.routes[route].endpoint {
            EndpointKind::Echo => Self::Echo,
            EndpointKind::Broadcast => {
                let peer = cx.shard.hub.enter(cx.key, encoding);
                cx.shard.listen(peer, route);
                Self::Broadcast {
                    peer,
                    route: route as u16,
                }
            }
            EndpointKind::Gateway => {
                let (json, is_allowed) = JsonEndpoint::open(cx.key, encoding, user, cx.shard);
                return (Self::Json(json), is_allowed);
            }
            EndpointKind::Dashboard => Self::Dashboard(Dashboard::open(cx.key, cx.now)),
            EndpointKind::SocketIo | EndpointKind::EngineIoEcho => {
                unreachable!("sessions have a way of their own")
            }
        };
        (endpoint, true)
    }

    /// What the route table calls it; `None` once it is gone.
    pub(super) fn kind(&self) -> Option<EndpointKind> {
        match self {
            Self::Echo => Some(EndpointKind::Echo),
            Self::Broadcast { .. } => Some(EndpointKind::Broadcast),
            Self::Json(_) => Some(EndpointKind::Gateway),
            Self::Dashboard(_) => Some(EndpointKind::Dashboard),
            // The session is counted, not what carries it.
            Self::Carrier(_) | Self::Gone => None,
        }
    }

    fn peer(&self) -> Option<PeerId> {
        match self {
            Self::Echo | Self::Dashboard(_) | Self::Carrier(_) | Self::Gone => None,
            Self::Broadcast { peer, .. } => Some(*peer),
            Self::Json(endpoint) => Some(endpoint.peer()),
        }
    }
}

impl WebSocketStage {
    /// Gives a message to the endpoint, which may have something to say.
    pub(super) fn hand_on(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        cx: &mut Context<'_, GatewaySession>,
    ) {
        match &mut self.endpoint {
            Endpoint::Echo | Endpoint::Gone => {}
            Endpoint::Broadcast { route, .. } => {
                cx.shard.publish_on(usize::from(*route), kind, payload);
            }
            Endpoint::Json(endpoint) => {
                let mut reply = cx.shard.take_reply();
                let mut foreign = None;
                match kind {
                    MessageKind::Text => {
                        let connection = cx.shard.id(cx.key);
                        let place = Surroundings {
                            connection,
                            now: cx.now,
                            bearer: &mut self.bearer,
                        };
                        foreign = endpoint.on_text(payload, place, cx.shard, &mut reply);
                    }
                    MessageKind::Binary => JsonEndpoint::on_binary(&mut reply),
                }
                if let Some(foreign) = foreign {
                    self.ask_behind(payload, foreign.id, &mut reply, cx);
                }
                self.reply(reply, cx);
            }
            Endpoint::Carrier(carrier) => {
                let carrier = *carrier;
                self.carry_message(carrier, kind, payload, cx);
            }
            Endpoint::Dashboard(dashboard) => match dashboard.on_message(payload, cx.shard) {
                Ok(()) => self.watch_silence(cx),
                Err(reason) => self.dismiss(reason, cx),
            },
        }
    }

    /// Gives a message to the session, and sends what that says in answer at once.
    fn carry_message(
        &mut self,
        carrier: Carrier,
        kind: MessageKind,
        payload: &[u8],
        cx: &mut Context<'_, GatewaySession>,
    ) {
        let mut out = Outbox::new(cx.shard);
        Session::receive(cx.shard, carrier, kind, payload, cx.now, &mut out);
        for (kind, message) in out.messages() {
            let codec = &mut cx.shard.codec;
            self.protocol
                .send_message(kind, message, codec, cx.out.cork());
        }
        out.give_back(cx.shard);
    }

    /// Sends a dashboard away; whatever it says after that is not heard.
    pub(super) fn dismiss(&mut self, reason: CloseReason, cx: &mut Context<'_, GatewaySession>) {
        self.leave_hub(cx.shard);
        self.end(reason, cx);
    }

    /// The dashboard is told something. That is not counted among the messages that it tells of.
    pub(in crate::gateway) fn on_dashboard(
        &mut self,
        telling: Telling,
        text: &str,
        cx: &mut Context<'_, GatewaySession>,
    ) {
        if let Endpoint::Dashboard(dashboard) = &mut self.endpoint
            && dashboard.is_for(telling)
        {
            let (kind, codec) = (MessageKind::Text, &mut cx.shard.codec);
            self.protocol
                .send_message(kind, text.as_bytes(), codec, cx.out.cork());
        }
    }

    /// Sends a text of the endpoint's, if there is one.
    pub(super) fn reply(&mut self, reply: Vec<u8>, cx: &mut Context<'_, GatewaySession>) {
        if !reply.is_empty() {
            cx.shard.meters.messages_sent.add(1);
            let codec = &mut cx.shard.codec;
            self.protocol
                .send_message(MessageKind::Text, &reply, codec, cx.out.cork());
        }
        cx.shard.give_reply(reply);
    }

    /// The question who is in a room has been answered.
    pub(in crate::gateway) fn on_presence(
        &mut self,
        room: &str,
        id: Option<&str>,
        gathered: &Gathered,
        cx: &mut Context<'_, GatewaySession>,
    ) {
        if let Endpoint::Json(_) = self.endpoint {
            let mut reply = cx.shard.take_reply();
            JsonEndpoint::tell_presence(room, id, gathered, &mut reply);
            self.reply(reply, cx);
        }
    }

    /// It is known to how many connections a message goes.
    pub(in crate::gateway) fn on_delivered(
        &mut self,
        id: &str,
        gathered: &Gathered,
        cx: &mut Context<'_, GatewaySession>,
    ) {
        if let Endpoint::Json(_) = self.endpoint {
            let mut reply = cx.shard.take_reply();
            JsonEndpoint::acknowledge(Some(id), gathered, &mut reply);
            self.reply(reply, cx);
        }
    }

    /// What the client was to be told may be told now.
    pub(in crate::gateway) fn on_reply(
        &mut self,
        reply: Vec<u8>,
        cx: &mut Context<'_, GatewaySession>,
    ) {
        if let Endpoint::Json(_) = self.endpoint {
            self.reply(reply, cx);
        }
    }

    /// Does what the API asks for; whether that concerned this connection.
    pub(in crate::gateway) fn obey(
        &mut self,
        act: &Act,
        cx: &mut Context<'_, GatewaySession>,
    ) -> bool {
        match (act, &self.endpoint) {
            (Act::Join(room), Endpoint::Json(endpoint)) => {
                let joined = endpoint.join(room, cx.shard);
                if let Some(limit) = joined.as_ref().err().and_then(Refusal::limit) {
                    let id = cx.shard.id(cx.key);
                    cx.shard.node.tally.reached(limit, 1, cx.now, &id);
                }
                joined.is_ok()
            }
            (Act::Leave(room), Endpoint::Json(endpoint)) => {
                cx.shard.hub.leave(endpoint.peer(), Kind::Room, room)
            }
            (Act::Disconnect(..), Endpoint::Gone) | (Act::Join(_) | Act::Leave(_), _) => false,
            (Act::Disconnect(code, reason), _) => {
                self.say_goodbye(
                    CloseReason::server(CloseCode(*code), "an API call closed it"),
                    reason,
                    cx,
                );
                true
            }
        }
    }

    /// The rooms that the connection is in.
    pub(in crate::gateway) fn rooms(&self, shard: &Shard) -> Vec<Arc<str>> {
        let Endpoint::Json(endpoint) = &self.endpoint else {
            return Vec::new();
        };
        let rooms = shard.hub.groups_of(endpoint.peer(), Kind::Room);
        rooms.map(|room| Arc::clone(room.name())).collect()
    }

    /// Whether messages go to others, who may have to be waited for.
    pub(super) fn publishes(&self) -> bool {
        matches!(
            self.endpoint,
            Endpoint::Broadcast { .. } | Endpoint::Json(_) | Endpoint::Carrier(_)
        )
    }

    /// The connection leaves this worker; what is published until it has arrived at the other one passes it by.
    pub(in crate::gateway) fn on_detach(&mut self, shard: &mut Shard) {
        match &mut self.endpoint {
            Endpoint::Echo | Endpoint::Gone => {}
            Endpoint::Broadcast { peer, .. } => shard.hub.remove(*peer),
            Endpoint::Json(endpoint) => endpoint.on_detach(shard),
            Endpoint::Dashboard(dashboard) => dashboard.leave(shard),
            // A session stays where it is, and loses it.
            Endpoint::Carrier(carrier) => Session::websocket_lost(shard, *carrier),
        }
    }

    pub(in crate::gateway) fn on_attach(&mut self, key: ConnKey, shard: &mut Shard) {
        let encoding = encoding(&self.protocol, shard);
        match &mut self.endpoint {
            Endpoint::Echo | Endpoint::Carrier(_) | Endpoint::Gone => {}
            Endpoint::Broadcast { peer, route } => {
                *peer = shard.hub.enter(key, encoding);
                shard.listen(*peer, usize::from(*route));
            }
            Endpoint::Json(endpoint) => endpoint.on_attach(key, encoding, shard),
            Endpoint::Dashboard(dashboard) => dashboard.arrive(key, shard),
        }
    }

    pub(super) fn leave_hub(&mut self, shard: &mut Shard) {
        if let Some(peer) = self.endpoint.peer() {
            shard.hub.remove(peer);
        }
        match &self.endpoint {
            Endpoint::Dashboard(dashboard) => dashboard.leave(shard),
            Endpoint::Carrier(carrier) => Session::websocket_lost(shard, *carrier),
            _ => {}
        }
        if let Some(kind) = self.endpoint.kind() {
            shard.node.closed(kind);
        }
        self.endpoint = Endpoint::Gone;
    }
}

/// The form in which a connection with that protocol gets what goes to many.
pub(super) fn encoding(protocol: &Protocol, shard: &Shard) -> Encoding {
    match protocol.shared_window_bits() {
        Some(window) if window >= shard.shared_window_bits() => Encoding::Deflated,
        _ => Encoding::Plain,
    }
}
