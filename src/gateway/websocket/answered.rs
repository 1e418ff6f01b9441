//! What the back end does to a connection: whom it makes of it, what it answers to messages, what it is told of the end.

use serde_json::value::RawValue;

use super::WebSocketStage;
use super::endpoint::Endpoint;
use crate::backend::{Answer, Failure, MessageAnswer};
use crate::gateway::backend::{Purpose, Said, following};
use crate::gateway::json::JsonEndpoint;
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
            following::join(endpoint, rooms, cx.key, cx.shard, cx.now);
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
            namespace: None,
            metadata: self
                .memory
                .as_ref()
                .and_then(|memory| memory.metadata.as_deref()),
            message,
        };
        let purpose = Purpose::Message {
            id: id.map(Box::from),
        };
        if let Err(refused) = cx.shard.call(cx.key, purpose, &said) {
            JsonEndpoint::refuse(&refused.into(), id, reply);
        }
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
        match following::judge(answer, &cx.shard.config) {
            Ok(answer) => self.follow(&answer, id, cx),
            Err(refusal) => {
                let mut reply = cx.shard.take_reply();
                JsonEndpoint::refuse(&refusal, id, &mut reply);
                self.reply(reply, cx);
            }
        }
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
        following::join(endpoint, &answer.join, cx.key, cx.shard, cx.now);
        following::leave(peer, &answer.leave, cx.shard);
        for message in &answer.send {
            cx.shard.meters.messages_sent.add(1);
            let (codec, text) = (&mut cx.shard.codec, message.get().as_bytes());
            self.protocol
                .send_message(MessageKind::Text, text, codec, cx.out.cork());
        }
        following::publish(&answer.publish, Some(peer), cx.shard, cx.now);
        if id.is_some() {
            let mut reply = cx.shard.take_reply();
            let data = answer.ack.as_ref().map(|ack| ack.get());
            JsonEndpoint::confirm(id, data, &mut reply);
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
