//! What the back end does to a connection: whom it makes of it, what it answers to messages, what it is told of the end.

use serde_json::value::RawValue;

use super::WebSocketStage;
use super::endpoint::Endpoint;
use crate::backend::{Answer, Failure, MessageAnswer, Publish, Refused};
use crate::gateway::backend::{Purpose, Said};
use crate::gateway::json::{JsonEndpoint, Refusal};
use crate::gateway::name::check_name;
use crate::gateway::session::GatewaySession;
use crate::hub::Kind;
use crate::reactor::{CloseReason, Context};
use crate::websocket::close::CloseCode;
use crate::websocket::protocol::MessageKind;

impl WebSocketStage {
    /// Joins the rooms that the back end wants it in from the beginning.
    pub(in crate::gateway) fn enter_rooms(
        &mut self,
        rooms: &[String],
        cx: &mut Context<'_, GatewaySession>,
    ) {
        if let Endpoint::Json(endpoint) = &self.endpoint {
            for room in rooms {
                join(endpoint, room, cx);
            }
        }
    }

    /// Has the back end answer a message that the gateway does not know; what the client is told at once is appended to `reply`.
    pub(super) fn ask_behind(
        &mut self,
        message: &[u8],
        id: Option<&str>,
        reply: &mut Vec<u8>,
        cx: &mut Context<'_, GatewaySession>,
    ) {
        // It is JSON: its type has been read.
        let Ok(message) = serde_json::from_slice::<&RawValue>(message) else {
            return;
        };
        let Endpoint::Json(endpoint) = &self.endpoint else {
            return;
        };
        let user = cx.shard.hub.groups_of(endpoint.peer(), Kind::User).next();
        let user = user.map(|user| std::sync::Arc::clone(user.name()));
        let said = Said {
            event: "message",
            connection_id: cx.shard.node.shown(cx.shard.id(cx.key)),
            user_id: user.as_deref(),
            metadata: self
                .memory
                .as_ref()
                .and_then(|memory| memory.metadata.as_deref()),
            message,
        };
        let purpose = Purpose::Message {
            id: id.map(Box::from),
        };
        let refusal = match cx.shard.call(cx.key, purpose, &said) {
            Ok(()) => return,
            Err(Refused::Full | Refused::KeyFull) => Refusal::Busy,
            Err(Refused::Away | Refused::Stopped) => Refusal::Away,
        };
        JsonEndpoint::refuse(&refusal, id, reply);
    }

    /// The back end has said what is to be done about a message, or nothing that is any good.
    pub(in crate::gateway) fn on_answered(
        &mut self,
        id: Option<&str>,
        answer: Result<Answer, Failure>,
        cx: &mut Context<'_, GatewaySession>,
    ) {
        let Endpoint::Json(_) = &self.endpoint else {
            return;
        };
        let refusal = match answer {
            Ok(Answer::Message(answer)) => {
                let problem = check(&answer, cx.shard.config.name_chars_max).err();
                let Some(problem) = problem else {
                    return self.follow(&answer, id, cx);
                };
                log::warn!("the answer of the back end is no good: {problem}");
                Refusal::Failed
            }
            Ok(_) => Refusal::Failed,
            Err(Failure::Declined { sentence, .. }) => Refusal::Declined(sentence),
            Err(Failure::Away | Failure::Stopped | Failure::Unreachable(_)) => Refusal::Away,
            Err(Failure::Dropped | Failure::Expired) => Refusal::Busy,
            Err(failure) => {
                log::debug!("{}: {failure}", cx.shard.id(cx.key));
                Refusal::Failed
            }
        };
        let mut reply = cx.shard.take_reply();
        JsonEndpoint::refuse(&refusal, id, &mut reply);
        self.reply(reply, cx);
    }

    /// Does what the back end wants done, in its order.
    fn follow(
        &mut self,
        answer: &MessageAnswer,
        id: Option<&str>,
        cx: &mut Context<'_, GatewaySession>,
    ) {
        let Endpoint::Json(endpoint) = &self.endpoint else {
            return;
        };
        let peer = endpoint.peer();
        for room in &answer.join {
            join(endpoint, room, cx);
        }
        for room in &answer.leave {
            cx.shard.hub.leave(peer, Kind::Room, room);
        }
        for message in &answer.send {
            cx.shard.meters.messages_sent.add(1);
            let (codec, text) = (&mut cx.shard.codec, message.get().as_bytes());
            self.protocol
                .send_message(MessageKind::Text, text, codec, cx.out.cork());
        }
        for Publish {
            room,
            event,
            data,
            echo,
        } in &answer.publish
        {
            let except = (!echo).then_some(peer);
            let data = data.as_ref().map_or("null", |data| data.get());
            cx.shard.publish_object(
                Kind::Room,
                room,
                except,
                cx.now,
                "message",
                None,
                |object| {
                    object
                        .text("room", room)
                        .text("event", event)
                        .json("data", data)
                },
            );
        }
        if id.is_some() {
            let mut reply = cx.shard.take_reply();
            JsonEndpoint::confirm(id, &mut reply);
            self.reply(reply, cx);
        }
        if let Some(close) = &answer.close {
            let detail = "the back end closed it";
            let reason = CloseReason::server(CloseCode(close.code), detail);
            self.say_goodbye(reason, &close.reason, cx);
        }
    }

    /// Tells the back end of the end of a connection that it has let in and that nobody has a name for. Of users it is told where they
    /// have no connection left.
    pub(super) fn tell_end(&mut self, cx: &mut Context<'_, GatewaySession>) {
        let Some(_) = self.memory.take() else {
            return;
        };
        let is_user = match &self.endpoint {
            Endpoint::Json(endpoint) => {
                let mut users = cx.shard.hub.groups_of(endpoint.peer(), Kind::User);
                users.next().is_some()
            }
            _ => false,
        };
        if let (false, Some(behind)) = (is_user, cx.shard.node.behind()) {
            behind.ended(&cx.shard.node.shown(cx.shard.id(cx.key)));
        }
    }
}

fn join(endpoint: &JsonEndpoint, room: &str, cx: &mut Context<'_, GatewaySession>) {
    if let Err(refusal) = endpoint.join(room, cx.shard) {
        let id = cx.shard.id(cx.key);
        log::warn!(room = room; "{id} is not where the back end wants it: {refusal}");
        if let Some(limit) = refusal.limit() {
            cx.shard.node.tally.reached(limit, 1, cx.now, &id);
        }
    }
}

/// Whether all names in an answer are ones.
fn check(answer: &MessageAnswer, chars_max: usize) -> Result<(), String> {
    let published = answer.publish.iter();
    let rooms = published.clone().map(|publish| ("room", &publish.room));
    let events = published.map(|publish| ("event", &publish.event));
    let named = answer.join.iter().map(|room| ("join", room));
    let mut names = rooms.chain(events).chain(named);
    names.try_for_each(|(field, name)| {
        check_name(name, chars_max).map_err(|problem| problem.told(field))
    })
}
