//! What a worker answers to questions, its own too, and what becomes of answers.

use std::sync::Arc;

use super::api;
use super::ask::{Act, Answered, Emit, Gathered, NodeReport, Purpose, Question, Who};
use super::backend::{self, Departure};
use super::cluster::Whom;
use super::session::{GatewaySession, Mail};
use super::shard::Shard;
use super::socketio;
use crate::hub::Kind;
use crate::id::ConnKey;
use crate::reactor::{Engine, Transport};

/// Users that a node names.
const REPORT_USERS_MAX: usize = 1_000;

/// The connection of whoever asks and is none of this worker's.
const NOBODY: ConnKey = ConnKey {
    index: u32::MAX,
    generation: 0,
};

/// Answers a question of the worker `from`, which calls it `number`.
pub(super) fn answer<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    from: usize,
    number: u32,
    question: &Question,
) {
    let part = match question {
        // Answered once clients have.
        Question::Emit(emit) => return socketio::ask(engine, from, number, emit),
        Question::UsersIn(room) => engine.shard().users_in(room),
        Question::Rooms {
            prefix,
            after,
            limit,
        } => rooms(engine, prefix, after.as_deref(), *limit),
        Question::Node => report(engine),
        Question::ConnectionsOf(user) => describe(engine, user),
        Question::Departed { node, users } => not_departed(engine.shard(), *node, users),
        Question::Act(who, act) => {
            let keys = keys_of(engine, who);
            let mut concerned = 0;
            for key in keys {
                concerned += u32::from(obey(engine, key, act));
            }
            Gathered {
                concerned,
                ..Gathered::default()
            }
        }
    };
    let is_concerned = part.concerned > 0;
    let part = Purpose::Part {
        worker: from,
        number,
        part: Box::new(part),
    };
    let told = match question {
        // Who is told of it may count on it from then on.
        Question::Act(_, Act::Join(room)) if is_concerned => {
            engine.shard().once_heard(NOBODY, Kind::Room, room, part)
        }
        _ => Some(part),
    };
    if let Some(part) = told {
        tell(engine, part);
    }
}

/// Has a connection or a session do something; whether that concerned it.
fn obey<T: Transport>(engine: &mut Engine<GatewaySession, T>, key: ConnKey, act: &Act) -> bool {
    if socketio::is_session(key) {
        let now = engine.now();
        return socketio::obey(engine.shard(), key, act, now);
    }
    let mut is_concerned = false;
    engine.visit(key, |session, cx| is_concerned = session.obey(act, cx));
    is_concerned
}

/// Tells a worker a part of the answer to its question.
fn tell<T: Transport>(engine: &mut Engine<GatewaySession, T>, purpose: Purpose) {
    if let Purpose::Part {
        worker,
        number,
        part,
    } = purpose
    {
        engine.shard().post(worker, Mail::Answer { number, part });
    }
}

/// Asks the other nodes about users who have left this one.
pub(super) fn ask_of_departures<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    users: Vec<Departure>,
) {
    let shard = engine.shard();
    let question = backend::question(&shard.node, &users);
    let whom = Some(Whom::Everywhere);
    let purpose = Purpose::Departed(users);
    let answered = shard.ask_all(NOBODY, &[], whom, &question, purpose, &mut None);
    if let Some(Answered {
        purpose: Purpose::Departed(users),
        gathered,
        ..
    }) = answered
    {
        heard_of(engine.shard(), &users, &gathered);
    }
}

/// It is known which of those users other nodes have.
fn heard_of(shard: &Shard, users: &[Departure], gathered: &Gathered) {
    if let Some(behind) = shard.node.behind() {
        let is_elsewhere = |user: &str| gathered.users.contains_key(user);
        // One that has died may still be counted among those who listen, for as long as its connection to Redis seems to stand.
        let is_heard = gathered.unanswered == 0 || shard.node.has_heard_all(&gathered.answered);
        let is_whole = is_heard && !gathered.is_unsent;
        behind.heard_of(&shard.node, users, &is_elsewhere, is_whole);
    }
}

/// Those of the users who are at this node, or have left it later than the one that asks.
fn not_departed(shard: &Shard, node: u64, users: &[(Arc<str>, u64)]) -> Gathered {
    let behind = shard.node.behind();
    let own = shard.node.number();
    let mut gathered = Gathered::default();
    for (user, left_at) in users {
        let here = shard.hub.directory().total(Kind::User, user);
        let departure = Departure {
            user: Arc::clone(user),
            left_at: *left_at,
        };
        if here > 0 || behind.is_some_and(|behind| behind.outranks(own, &departure, node)) {
            gathered.users.insert(departure.user, here);
        }
    }
    gathered
}

/// Answers a question of another node: whatever the workers of this one say.
pub(super) fn ask_for_node<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    origin: u64,
    ticket: u64,
    question: &Question,
) {
    let shard = engine.shard();
    let workers = match question {
        Question::UsersIn(room) => shard.workers_with(Kind::Room, room),
        // Any worker knows the rooms and users of all.
        Question::Rooms { .. } | Question::Node | Question::Departed { .. } => vec![shard.worker],
        Question::ConnectionsOf(user) => shard.workers_with(Kind::User, user),
        Question::Act(who, _) | Question::Emit(Emit { who, .. }) => shard.workers_of(who),
    };
    let purpose = Purpose::Node { origin, ticket };
    let answered = shard.ask_all(NOBODY, &workers, None, question, purpose, &mut None);
    if let Some(answered) = answered {
        tell_node(shard, origin, ticket, answered.gathered);
    }
}

/// Tells another node the answer to its question.
fn tell_node(shard: &Shard, origin: u64, ticket: u64, mut gathered: Gathered) {
    gathered.cut_for_node();
    if let Some(cluster) = shard.node.cluster() {
        cluster.reply(origin, ticket, &gathered);
    }
}

fn rooms<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Gathered {
    let directory = engine.shard().hub.directory();
    let (rooms, has_more) = directory.list(Kind::Room, prefix, after, limit);
    let rooms = rooms.into_iter().map(|room| (room.name, room.members));
    Gathered {
        rooms: rooms.collect(),
        has_more,
        ..Gathered::default()
    }
}

fn report<T: Transport>(engine: &mut Engine<GatewaySession, T>) -> Gathered {
    let shard = engine.shard();
    let directory = shard.hub.directory();
    let (names, _) = directory.list(Kind::User, "", None, REPORT_USERS_MAX);
    let report = NodeReport {
        users: directory.len(Kind::User),
        names: names.into_iter().map(|user| user.name).collect(),
    };
    Gathered {
        nodes: [(shard.node.name().to_owned(), report)].into(),
        ..Gathered::default()
    }
}

fn describe<T: Transport>(engine: &mut Engine<GatewaySession, T>, user: &Arc<str>) -> Gathered {
    let mut gathered = Gathered::default();
    for key in keys_of(engine, &Who::User(Arc::clone(user))) {
        if socketio::is_session(key) {
            let described = socketio::described(engine.shard(), key);
            gathered.connections.extend(described);
            continue;
        }
        engine.visit(key, |session, cx| {
            gathered.connections.extend(session.described(cx));
        });
    }
    gathered
}

/// Those of this worker.
pub(super) fn keys_of<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    who: &Who,
) -> Vec<ConnKey> {
    let mut members = |kind, name| {
        let members = engine.shard().hub.members(kind, name);
        members.map(|(_, key)| key).collect()
    };
    match who {
        Who::User(user) => members(Kind::User, user),
        Who::Room(room) => members(Kind::Room, room),
        Who::Connection(connection) => vec![connection.key],
        // Another node's.
        Who::ConnectionAt(..) => Vec::new(),
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
    let is_clients = matches!(
        purpose,
        Purpose::Presence { .. }
            | Purpose::Delivered { .. }
            | Purpose::Reply(_)
            | Purpose::Recovered(_)
    );
    if is_clients && socketio::is_session(connection) {
        let now = engine.now();
        return socketio::tell(engine.shard(), connection, &purpose, &gathered, now);
    }
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
    if let Purpose::Node { origin, ticket } = purpose {
        return tell_node(engine.shard(), origin, ticket, gathered);
    }
    if let Purpose::Departed(users) = &purpose {
        return heard_of(engine.shard(), users, &gathered);
    }
    if let Purpose::Reply(reply) = purpose {
        engine.visit(connection, |session, cx| session.on_reply(reply, cx));
        return;
    }
    if let Purpose::Part { .. } = purpose {
        return tell(engine, purpose);
    }
    let body = api::told(&purpose, &gathered);
    if let Some(claim) = claim {
        engine.shard().node.idempotency.end(&claim, 200, &body);
    }
    engine.visit(connection, |session, cx| session.on_told(&body, cx));
    // Further requests may lie behind the one that is answered.
    engine.resume(connection);
}
