//! Events that the gateway does not know, and what the back end answers.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::backend::{Answer, Failure, MessageAnswer};
use crate::gateway::backend::{Purpose, Said, following};
use crate::gateway::config::EndpointKind;
use crate::gateway::json::{JsonEndpoint, Refusal, is_own_event, write_refusal};
use crate::gateway::shard::Shard;
use crate::gateway::socketio::messages::Outbox;
use crate::gateway::socketio::session::Session;
use crate::gateway::socketio::sessions::with;
use crate::gateway::socketio::{connect, recovery, reply};
use crate::hub;
use crate::id::ConnKey;
use crate::reactor::Tick;
use crate::socketio::packet::{Event, put_ack, put_event};
use crate::socketio::recovery::Offset;

/// An event that the back end is to answer.
#[derive(Debug)]
pub(in crate::gateway) struct Emitted {
    namespace: Box<str>,
    /// Tells this time in the namespace from others.
    stay: u16,
    /// What its answer has to name, where one is wanted.
    id: Option<u64>,
}

/// An event, as the back end is told it: in the manner of a message of the gateway protocol.
#[derive(Serialize)]
struct Told<'t> {
    #[serde(rename = "type")]
    kind: &'t str,
    /// A list, as the client has written it.
    args: &'t RawValue,
}

/// Whether an event is the back end's to answer.
pub(in crate::gateway::socketio) fn is_foreign(event: &Event<'_>, shard: &Shard) -> bool {
    let behind = shard.node.behind();
    behind.is_some_and(|behind| behind.answers(EndpointKind::SocketIo))
        && !is_own_event(&event.name)
}

/// Has the back end answer an event; what the client is told at once is added to `out`.
pub(in crate::gateway::socketio) fn ask_about_event(
    session: &Session,
    key: ConnKey,
    shard: &mut Shard,
    namespace: &str,
    event: &Event<'_>,
    out: &mut Outbox,
) {
    if let Err(refusal) = post(session, key, shard, namespace, event) {
        tell_refusal(&refusal, namespace, event.id, out);
    }
}

fn post(
    session: &Session,
    key: ConnKey,
    shard: &mut Shard,
    namespace: &str,
    event: &Event<'_>,
) -> Result<(), Refusal> {
    let args = RawValue::from_string(format!("[{}]", event.args));
    let args = args.map_err(|error| Refusal::json(&error))?;
    let told = Told {
        kind: &event.name,
        args: &args,
    };
    let message = to_raw_value(&told).map_err(|error| Refusal::json(&error))?;
    let user = connect::user(session, shard);
    let backing = session.backing.as_ref();
    let said = Said {
        event: "message",
        connection_id: shard.node.shown(shard.id(key)),
        user_id: user.as_deref(),
        metadata: backing.and_then(|backing| backing.metadata.as_deref()),
        namespace: Some(namespace),
        message: &message,
    };
    let Some(stay) = session.stay(namespace) else {
        return Ok(());
    };
    let purpose = Purpose::Event(Emitted {
        namespace: namespace.into(),
        stay,
        id: event.id,
    });
    shard.call(key, purpose, &said).map_err(Refusal::from)
}

fn tell_refusal(refusal: &Refusal, namespace: &str, id: Option<u64>, out: &mut Outbox) {
    let id = id.map(|id| format!("{id}{namespace}"));
    let mut said = Vec::new();
    write_refusal(refusal, id.as_deref(), &mut said);
    reply::answer(&said, out);
}

/// The back end has said what is to be done about an event, or nothing that is any good.
pub(in crate::gateway) fn on_answered(
    shard: &mut Shard,
    key: ConnKey,
    emitted: &Emitted,
    answer: Result<Answer, Failure>,
    now: Tick,
) {
    let Emitted {
        namespace,
        stay,
        id,
    } = emitted;
    with(shard, key, |session, shard| {
        // Whoever is not there any more wants no answer.
        if !session.is_in(namespace) || session.stay(namespace) != Some(*stay) {
            return;
        }
        let mut out = Outbox::new(shard);
        match following::judge(answer, &shard.config) {
            Ok(answer) => session.follow(key, shard, now, emitted, &answer, out),
            Err(refusal) => {
                tell_refusal(&refusal, namespace, *id, &mut out);
                session.send(&mut out, shard);
                out.give_back(shard);
            }
        }
    });
}

impl Session {
    /// Does what the back end wants done, in its order.
    fn follow(
        &mut self,
        key: ConnKey,
        shard: &mut Shard,
        now: Tick,
        emitted: &Emitted,
        answer: &MessageAnswer,
        mut out: Outbox,
    ) {
        let Emitted { namespace, id, .. } = emitted;
        if let Some(json) = &self.json {
            following::join(json, &answer.join, key, shard, now);
            following::leave(json.peer(), &answer.leave, shard);
        }
        recovery::refresh(self, key, shard);
        let offset = recovery::offset(shard, key, namespace);
        for message in &answer.send {
            let message = message.get();
            let mut event = Vec::new();
            if !hub::put_event_of(namespace, message, &mut event) {
                put_event(namespace, None, "message", message, None, &mut event);
            }
            out.text(|to| match &offset {
                Some(offset) => Offset::put_behind(offset, &event, to),
                None => to.extend_from_slice(&event),
            });
        }
        let own = self.json.as_ref().map(JsonEndpoint::peer);
        following::publish(&answer.publish, own, shard, now);
        if let Some(id) = id {
            let args = answer.ack.as_ref().map_or("{}", |ack| ack.get());
            out.text(|to| put_ack(namespace, *id, args, None, to));
        }
        if let Some(close) = &answer.close {
            let id = shard.id(key);
            log::info!(reason = close.reason.as_str(); "{id} is closed by the back end: code={}", close.code);
            return self.dismiss(shard, out);
        }
        self.send(&mut out, shard);
        out.give_back(shard);
    }
}
