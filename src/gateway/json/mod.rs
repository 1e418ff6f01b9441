//! The gateway protocol: JSON messages of users who talk to each other, to rooms, to everyone. `docs/protocol.md` describes it.
//!
//! What a message asks for is done at once in the hub; what goes to others leaves at the end of the turn.

pub(super) mod message;
mod refusal;
pub(super) mod request;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::ask::{Gathered, Purpose};
use super::bearer::{Bearer, grant_of};
use super::config::EndpointKind;
use super::shard::Shard;
use crate::auth::token::Grant;
use crate::hub::{Encoding, Joined, Kind, PeerId};
use crate::id::{ConnKey, ConnectionId};
use crate::reactor::Tick;
use crate::timestamp;
use message::Object;
pub(super) use message::write_refusal;
pub(super) use refusal::Refusal;
use request::{Id, Request};
pub(super) use request::{is_own_event, parse_event};

/// Groups by kind and name.
type Luggage = Vec<(Kind, Arc<str>)>;

/// A connection of the gateway protocol.
#[derive(Debug)]
pub(super) struct JsonEndpoint {
    peer: PeerId,
    /// The groups that it is in, while it goes from one worker to another.
    luggage: Option<Box<Luggage>>,
}

/// The kinds of groups that a connection may be in.
const GROUPS: [Kind; 3] = [Kind::Everyone, Kind::User, Kind::Room];

/// A message of a type that is not the gateway's.
pub(super) struct Foreign<'m> {
    pub(super) id: Id<'m>,
}

/// Where a message has come from.
pub(super) struct Surroundings<'s> {
    pub(super) connection: ConnectionId,
    pub(super) now: Tick,
    /// The token that the connection has shown.
    pub(super) bearer: &'s mut Option<Box<Bearer>>,
}

/// A request under way.
struct Call<'c, 'm> {
    peer: PeerId,
    shard: &'c mut Shard,
    connection: ConnectionId,
    now: Tick,
    bearer: &'c mut Option<Box<Bearer>>,
    id: Id<'m>,
    reply: &'c mut Vec<u8>,
}

impl JsonEndpoint {
    /// A connection that gets what is for it in that form, of the user that its token names, or nobody's yet; whether that user
    /// may have it.
    pub(super) fn open(
        key: ConnKey,
        encoding: Encoding,
        user: Option<&str>,
        shard: &mut Shard,
    ) -> (Self, bool) {
        let peer = shard.hub.enter(key, encoding);
        shard.hub.join(peer, Kind::Everyone, "");
        let is_allowed = user.is_none_or(|user| become_user(peer, user, shard).is_ok());
        let endpoint = Self {
            peer,
            luggage: None,
        };
        (endpoint, is_allowed)
    }

    pub(super) fn peer(&self) -> PeerId {
        self.peer
    }

    /// Does what a text message asks for; the answer, if any, is appended to `reply`. A message that is the back end's to answer is given
    /// back.
    pub(super) fn on_text<'m>(
        &mut self,
        message: &'m [u8],
        surroundings: Surroundings<'_>,
        shard: &mut Shard,
        reply: &mut Vec<u8>,
    ) -> Option<Foreign<'m>> {
        let (id, request) = request::parse(message, shard.config.name_chars_max);
        let behind = shard.node.behind();
        if matches!(request, Err(Refusal::UnknownType))
            && behind.is_some_and(|behind| behind.answers(EndpointKind::Gateway))
        {
            return Some(Foreign { id });
        }
        self.on_request(id, request, surroundings, shard, reply);
        None
    }

    /// Does what is asked for under that id, or says why not; the answer, if any, is appended to `reply`.
    pub(super) fn on_request(
        &mut self,
        id: Id<'_>,
        request: Result<Request<'_>, Refusal>,
        surroundings: Surroundings<'_>,
        shard: &mut Shard,
        reply: &mut Vec<u8>,
    ) {
        let Surroundings {
            connection,
            now,
            bearer,
        } = surroundings;
        let mut call = Call {
            peer: self.peer,
            shard,
            connection,
            now,
            bearer,
            id,
            reply,
        };
        if let Err(refusal) = request.and_then(|request| call.run(request)) {
            if let Some(limit) = refusal.limit() {
                let tally = &call.shard.node.tally;
                tally.reached(limit, 1, now, &connection);
            }
            write_refusal(&refusal, id, call.reply);
        }
    }

    /// Joins a room for the API.
    pub(super) fn join(&self, room: &str, shard: &mut Shard) -> Result<Joined, Refusal> {
        join(self.peer, room, shard)
    }

    /// Tells who is in a room.
    pub(super) fn tell_presence(room: &str, id: Id<'_>, gathered: &Gathered, reply: &mut Vec<u8>) {
        let presence = Object::new(reply, "presence").id(id).text("room", room);
        let users = gathered.users.keys().map(|user| &**user);
        with_missing(gathered, presence.texts("users", users)).end();
    }

    /// Tells to how many connections a message goes.
    pub(super) fn acknowledge(id: Id<'_>, gathered: &Gathered, reply: &mut Vec<u8>) {
        let delivered = gathered.delivered.first().copied().unwrap_or(0);
        let ack = Object::new(reply, "ack").id(id);
        with_missing(gathered, ack.number("delivered", delivered)).end();
    }

    /// Tells what a message was refused for.
    pub(super) fn refuse(refusal: &Refusal, id: Id<'_>, reply: &mut Vec<u8>) {
        write_refusal(refusal, id, reply);
    }

    /// Tells that a message was followed, and what the back end says about it, which is JSON.
    pub(super) fn confirm(id: Id<'_>, data: Option<&str>, reply: &mut Vec<u8>) {
        let ack = Object::new(reply, "ack").id(id);
        match data {
            Some(data) => ack.json("data", data).end(),
            None => ack.end(),
        }
    }

    /// The connection goes to another worker, and takes its groups along.
    pub(super) fn on_detach(&mut self, shard: &mut Shard) {
        let groups = GROUPS.iter().flat_map(|&kind| {
            let names = shard.hub.groups_of(self.peer, kind);
            names.map(move |audience| (kind, Arc::clone(audience.name())))
        });
        self.luggage = Some(Box::new(groups.collect()));
        shard.hub.remove(self.peer);
    }

    /// It has arrived there.
    pub(super) fn on_attach(&mut self, key: ConnKey, encoding: Encoding, shard: &mut Shard) {
        self.peer = shard.hub.enter(key, encoding);
        for (kind, name) in self.luggage.take().map_or_else(Vec::new, |groups| *groups) {
            shard.hub.join(self.peer, kind, &name);
        }
    }

    /// Answers a binary message, which is not one of ours.
    pub(super) fn on_binary(reply: &mut Vec<u8>) {
        write_refusal(&Refusal::Binary, None, reply);
    }
}

/// Says where an answer does not know of all nodes.
fn with_missing<'o>(gathered: &Gathered, mut object: Object<'o>) -> Object<'o> {
    if gathered.unanswered > 0 {
        object = object.number("unanswered", u64::from(gathered.unanswered));
    }
    if gathered.is_unsent {
        object = object.json("unsent", "true");
    }
    object
}

/// Gives a connection to a user.
fn become_user(peer: PeerId, user: &str, shard: &mut Shard) -> Result<(), Refusal> {
    let connections_max = shard.config.connections_per_user_max;
    let hub = &mut shard.hub;
    hub.join(peer, Kind::User, user);
    // Looked at afterwards: of two that come at once at two workers one may be refused for nothing, but none is let in
    // too many.
    let connections = hub.directory().total(Kind::User, user) as usize;
    if connections_max > 0 && connections > connections_max {
        hub.leave(peer, Kind::User, user);
        return Err(Refusal::TooManyConnections(connections_max));
    }
    Ok(())
}

fn join(peer: PeerId, room: &str, shard: &mut Shard) -> Result<Joined, Refusal> {
    let rooms_max = shard.config.rooms_per_connection_max;
    let hub = &mut shard.hub;
    let is_full = hub.groups_of(peer, Kind::Room).count() >= rooms_max;
    if is_full && !hub.is_member(peer, Kind::Room, room) {
        return Err(Refusal::TooManyRooms(rooms_max));
    }
    Ok(hub.join(peer, Kind::Room, room))
}

impl<'m> Call<'_, 'm> {
    fn run(&mut self, request: Request<'m>) -> Result<(), Refusal> {
        match request {
            Request::Register { user } => self.register(user),
            Request::Auth { token } => self.authenticate(&token),
            Request::Ping => {
                let timestamp = self.shard.timestamp(self.now);
                Object::new(self.reply, "pong")
                    .id(self.id)
                    .text("timestamp", timestamp)
                    .end();
                Ok(())
            }
            Request::Notification { user, action, data } => {
                let from = self.user()?;
                self.send("notification", Kind::User, &user, None, |object| {
                    object
                        .text("fromUserId", &from)
                        .text("action", &action)
                        .json("data", data)
                });
                Ok(())
            }
            Request::Chat { user, text } => {
                let from = self.user()?;
                self.send("chat", Kind::User, &user, None, |object| {
                    object.text("fromUserId", &from).text("text", &text)
                });
                Ok(())
            }
            Request::Join { room } => self.join(&room),
            Request::Leave { room } => {
                self.user()?;
                if !self.shard.hub.leave(self.peer, Kind::Room, &room) {
                    return Err(Refusal::NotAMember);
                }
                self.acknowledge_room(&room);
                Ok(())
            }
            Request::Presence { room } => self.presence(&room),
            Request::Publish {
                room,
                event,
                data,
                echo,
            } => self.publish(&room, &event, data, echo),
            Request::Broadcast { event, data } => self.broadcast(&event, data),
            Request::SendMessage { user, content } => self.send_message(&user, content),
        }
    }

    /// The user that the connection belongs to.
    fn user(&self) -> Result<Arc<str>, Refusal> {
        let mut users = self.shard.hub.groups_of(self.peer, Kind::User);
        let user = users.next().ok_or(Refusal::NotRegistered)?;
        Ok(Arc::clone(user.name()))
    }

    fn register(&mut self, wanted: Option<Cow<'m, str>>) -> Result<(), Refusal> {
        let wanted = match (wanted, self.user()) {
            (Some(wanted), _) => wanted,
            // Who has shown a token is known.
            (None, Ok(user)) if self.bearer.is_some() => Cow::Owned(String::from(&*user)),
            (None, _) => return Err(Refusal::Missing("userId")),
        };
        match self.user() {
            Ok(user) if *user != *wanted => return Err(Refusal::AlreadyRegistered),
            Ok(_) => {}
            // A name is what tokens are for, where they are believed.
            Err(_) if self.shard.config.tokens.is_some() => return Err(Refusal::NotAuthenticated),
            Err(_) => {
                self.become_user(&wanted)?;
            }
        }
        let id = self.id;
        let connection = self.shard.node.shown(self.connection);
        self.reply_once_heard(Kind::User, &wanted, |reply| {
            Object::new(reply, "registered")
                .id(id)
                .text("userId", &wanted)
                .text("connectionId", &connection)
                .end();
        });
        Ok(())
    }

    fn become_user(&mut self, user: &str) -> Result<(), Refusal> {
        become_user(self.peer, user, self.shard)?;
        log::info!(user = user; "{} registered", self.connection);
        Ok(())
    }

    /// Another token in place of the one that was shown, or the first.
    fn authenticate(&mut self, token: &str) -> Result<(), Refusal> {
        let config = &self.shard.config;
        let tokens = config.tokens.as_ref().ok_or(Refusal::NoTokens)?;
        let grant = grant_of(token, tokens, config).map_err(Refusal::Token)?;
        match self.user() {
            Ok(user) if user != grant.user => return Err(Refusal::AlreadyRegistered),
            Ok(_) => {}
            Err(_) => self.become_user(&grant.user)?,
        }
        let id = self.id;
        self.reply_once_heard(Kind::User, &grant.user, |reply| {
            let expires_at = timestamp::rfc3339(UNIX_EPOCH + grant.expires_at);
            Object::new(reply, "authenticated")
                .id(id)
                .text("userId", &grant.user)
                .text("expiresAt", &expires_at)
                .end();
        });
        *self.bearer = Some(Box::new(Bearer::new(grant, self.now)));
        Ok(())
    }

    fn grant(&self) -> Option<&Grant> {
        self.bearer.as_ref().map(|bearer| bearer.grant())
    }

    fn join(&mut self, room: &str) -> Result<(), Refusal> {
        self.user()?;
        if self.grant().is_some_and(|grant| !grant.allows_room(room)) {
            return Err(Refusal::Forbidden("join this room"));
        }
        if join(self.peer, room, self.shard)? == Joined::New {
            log::debug!(room = room; "{} joined", self.connection);
        }
        if let Some(id) = self.id {
            self.reply_once_heard(Kind::Room, room, |reply| {
                Object::new(reply, "ack")
                    .id(Some(id))
                    .text("room", room)
                    .end();
            });
        }
        Ok(())
    }

    /// Tells the client something that is true once other nodes know where it is.
    fn reply_once_heard(&mut self, kind: Kind, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if self.shard.node.cluster().is_none() {
            return write(self.reply);
        }
        let mut reply = Vec::new();
        write(&mut reply);
        let (connection, purpose) = (self.connection.key, Purpose::Reply(reply));
        if let Some(Purpose::Reply(reply)) = self.shard.once_heard(connection, kind, name, purpose)
        {
            self.reply.extend_from_slice(&reply);
        }
    }

    fn presence(&mut self, room: &str) -> Result<(), Refusal> {
        self.user()?;
        if !self.shard.hub.is_member(self.peer, Kind::Room, room) {
            return Err(Refusal::NotAMember);
        }
        let Some(audience) = self.shard.hub.directory().find(Kind::Room, room) else {
            return Err(Refusal::NotAMember);
        };
        let id = self.id;
        let purpose = Purpose::Presence {
            room: Arc::from(room),
            id: id.map(Box::from),
        };
        // Other workers' members are theirs to tell.
        let connection = self.connection.key;
        if let Some(gathered) = self.shard.ask_presence(connection, &audience, purpose) {
            JsonEndpoint::tell_presence(room, id, &gathered, self.reply);
        }
        Ok(())
    }

    fn publish(&mut self, room: &str, event: &str, data: &str, echo: bool) -> Result<(), Refusal> {
        let from = self.user()?;
        if !self.shard.hub.is_member(self.peer, Kind::Room, room) {
            return Err(Refusal::NotAMember);
        }
        if self.grant().is_some_and(|grant| !grant.may_publish) {
            return Err(Refusal::Forbidden("publish in rooms"));
        }
        let except = (!echo).then_some(self.peer);
        self.send("message", Kind::Room, room, except, |object| {
            object
                .text("room", room)
                .text("event", event)
                .json("data", data)
                .text("fromUserId", &from)
        });
        Ok(())
    }

    fn broadcast(&mut self, event: &str, data: &str) -> Result<(), Refusal> {
        let from = self.user()?;
        let said = self.grant().and_then(|grant| grant.may_broadcast);
        if !said.unwrap_or(self.shard.config.may_clients_broadcast) {
            return Err(Refusal::Forbidden("send to everyone"));
        }
        self.send("broadcast", Kind::Everyone, "", None, |object| {
            object
                .text("event", event)
                .json("data", data)
                .text("fromUserId", &from)
        });
        Ok(())
    }

    /// A message whose content is no text, which a chat would be.
    fn send_message(&mut self, user: &str, content: &str) -> Result<(), Refusal> {
        let from = self.user()?;
        let sender = serde_json::Value::from(&*from);
        let timestamp = self.shard.timestamp(self.now);
        let data =
            format!("{{\"sender\":{sender},\"content\":{content},\"timestamp\":\"{timestamp}\"}}");
        self.send("message", Kind::User, user, None, |object| {
            object
                .text("event", "message")
                .json("data", &data)
                .text("fromUserId", &from)
        });
        Ok(())
    }

    /// Sends a message with a timestamp to a group, and acknowledges it once it is known to how many connections.
    fn send(
        &mut self,
        kind: &str,
        to: Kind,
        name: &str,
        except: Option<PeerId>,
        fill: impl for<'o> FnOnce(Object<'o>) -> Object<'o>,
    ) {
        let connection = self.connection.key;
        let number = self.id.and_then(|_| self.shard.begin_count(connection));
        let asker = self.shard.asker(number, 0);
        let delivered = self
            .shard
            .publish_object(to, name, except, self.now, kind, asker, fill);
        let Some(id) = self.id else {
            return;
        };
        let mut own = Gathered::default();
        own.deliver(0, delivered);
        let Some(number) = number else {
            return JsonEndpoint::acknowledge(Some(id), &own, self.reply);
        };
        let purpose = Purpose::Delivered { id: Box::from(id) };
        if let Some(answered) = self.shard.asks.end_count(number, purpose, None, own) {
            JsonEndpoint::acknowledge(Some(id), &answered.gathered, self.reply);
        }
    }

    fn acknowledge_room(&mut self, room: &str) {
        if self.id.is_some() {
            Object::new(self.reply, "ack")
                .id(self.id)
                .text("room", room)
                .end();
        }
    }
}
