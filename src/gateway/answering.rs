//! What a worker answers to questions, its own too, and what becomes of answers.

use std::sync::Arc;

use super::api;
use super::ask::{Answered, Gathered, Purpose, Question, Who};
use super::session::{GatewaySession, Mail};
use crate::hub::Kind;
use crate::id::ConnKey;
use crate::reactor::{Engine, Transport};

/// Answers a question of the worker `from`, which calls it `number`.
pub(super) fn answer<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    from: usize,
    number: u32,
    question: &Question,
) {
    let part = match question {
        Question::UsersIn(room) => engine.shard().users_in(room),
        Question::ConnectionsOf(user) => describe(engine, user),
        Question::Act(who, act) => {
            let keys = keys_of(engine, who);
            let mut concerned = 0;
            for key in keys {
                let mut is_concerned = false;
                engine.visit(key, |session, cx| is_concerned = session.obey(act, cx));
                concerned += u32::from(is_concerned);
            }
            Gathered {
                concerned,
                ..Gathered::default()
            }
        }
    };
    engine.shard().post(from, Mail::Answer { number, part });
}

fn describe<T: Transport>(engine: &mut Engine<GatewaySession, T>, user: &Arc<str>) -> Gathered {
    let mut gathered = Gathered::default();
    for key in keys_of(engine, &Who::User(Arc::clone(user))) {
        engine.visit(key, |session, cx| {
            gathered.connections.extend(session.described(cx));
        });
    }
    gathered
}

fn keys_of<T: Transport>(engine: &mut Engine<GatewaySession, T>, who: &Who) -> Vec<ConnKey> {
    match who {
        Who::User(user) => {
            let members = engine.shard().hub.members(Kind::User, user);
            members.map(|(_, key)| key).collect()
        }
        Who::Connection(connection) => vec![connection.key],
    }
}

/// A worker's part of an answer has come.
pub(super) fn take<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    number: u32,
    part: Gathered,
) {
    let Some(answered) = engine.shard().asks.answer(number, part) else {
        return;
    };
    let Answered {
        connection,
        purpose,
        claim,
        gathered,
    } = answered;
    if let Purpose::Presence { room, id } = &purpose {
        engine.visit(connection, |session, cx| {
            session.on_presence(room, id.as_deref(), &gathered, cx);
        });
        return;
    }
    if let Purpose::Delivered { id } = &purpose {
        engine.visit(connection, |session, cx| {
            session.on_delivered(id, &gathered, cx);
        });
        return;
    }
    if let Purpose::Reply(reply) = purpose {
        engine.visit(connection, |session, cx| session.on_reply(reply, cx));
        return;
    }
    let body = api::told(&purpose, &gathered);
    if let Some(claim) = claim {
        engine.shard().node.idempotency.end(&claim, 200, &body);
    }
    engine.visit(connection, |session, cx| session.on_told(&body, cx));
    // Further requests may lie behind the one that is answered.
    engine.resume(connection);
}
