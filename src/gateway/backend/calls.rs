//! Calls of the back end that a worker waits for, and what becomes of their answers.

use std::sync::Arc;

use slab::Slab;

use super::following::check_user;
use crate::backend::{Answer, Failure, Kind, Refused};
use crate::gateway::session::GatewaySession;
use crate::gateway::shard::Shard;
use crate::gateway::socketio::{self, Emitted, Entering};
use crate::hub;
use crate::id::ConnKey;
use crate::reactor::{Engine, Transport};

/// What was asked.
#[derive(Debug)]
pub(in crate::gateway) enum Purpose {
    /// Whether a client may connect.
    Connect {
        /// Of its token.
        user: Option<Arc<str>>,
    },
    /// What is to be done about a message.
    Message {
        /// Of the message, as it was written.
        id: Option<Box<str>>,
    },
    /// Whether a client of Socket.IO may be in a namespace.
    Enter(Entering),
    /// What is to be done about an event of Socket.IO.
    Event(Emitted),
}

/// A call that is not answered yet.
#[derive(Debug)]
struct Call {
    connection: ConnKey,
    purpose: Purpose,
}

/// The open calls of one worker. Each is answered once, so that none is left.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Calls(Slab<Call>);

impl Shard {
    /// Asks the back end something for a connection, which is told by and by.
    ///
    /// # Errors
    /// Why it is not asked.
    pub(in crate::gateway) fn call(
        &mut self,
        connection: ConnKey,
        purpose: Purpose,
        data: impl serde::Serialize,
    ) -> Result<(), Refused> {
        let kind = match purpose {
            Purpose::Connect { .. } | Purpose::Enter(_) => Kind::Connect,
            Purpose::Message { .. } | Purpose::Event(_) => Kind::Message,
        };
        let node = Arc::clone(&self.node);
        let behind = node.behind().ok_or(Refused::Stopped)?;
        let data = serde_json::value::to_raw_value(&data).expect("texts, and JSON");
        let id = self.id(connection);
        let number = self.calls.0.insert(Call {
            connection,
            purpose,
        });
        let ticket = (self.worker as u64) << 32 | number as u64;
        let posted = behind.post(
            kind,
            (behind.next_number(), ticket),
            key(self.worker, connection),
            self.node.shown(id),
            data,
        );
        posted.inspect_err(|refused| {
            self.calls.0.remove(number);
            log::debug!("{id} is not told to the back end: {refused}");
        })
    }
}

/// What is in order with each other: what a connection has asked. Two that share a number wait for each other, and no more.
fn key(worker: usize, connection: ConnKey) -> u64 {
    let mixed = u64::from(connection.generation) << 40 | u64::from(connection.index) << 8;
    mixed ^ worker as u64
}

/// The back end has answered, or never will.
pub(in crate::gateway) fn settle<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    number: u32,
    answer: Result<Answer, Failure>,
) {
    let Some(call) = engine.shard().calls.0.try_remove(number as usize) else {
        return;
    };
    let Call {
        connection,
        purpose,
    } = call;
    match purpose {
        Purpose::Connect { user } => {
            let mut has_come = false;
            engine.visit(connection, |session, cx| {
                has_come = session.on_admitted(&answer, cx);
            });
            if !has_come {
                never_came(engine.shard(), connection, user.as_deref(), &answer);
            }
            // What came behind the handshake is still to be read.
            engine.resume(connection);
        }
        Purpose::Message { id } => {
            engine.visit(connection, |session, cx| {
                session.on_answered(id.as_deref(), answer, cx);
            });
        }
        Purpose::Enter(entering) => {
            let now = engine.now();
            let shard = engine.shard();
            if !socketio::on_admitted(shard, connection, &entering, &answer, now) {
                never_came(shard, connection, entering.user.as_deref(), &answer);
            }
        }
        Purpose::Event(emitted) => {
            let now = engine.now();
            socketio::on_answered(engine.shard(), connection, &emitted, answer, now);
        }
    }
}

/// The back end has let a client in, or may have, that is not there: it has gone meanwhile, or the answer cannot be followed. To the back
/// end it is one that has gone. `shown` is the user of its token.
fn never_came(
    shard: &Shard,
    connection: ConnKey,
    shown: Option<&str>,
    answer: &Result<Answer, Failure>,
) {
    let user = match answer {
        Ok(Answer::Connect(answer)) => match check_user(answer, shown, &shard.config) {
            Ok(()) => answer.user_id.as_deref().or(shown),
            // Nobody can be that user.
            Err(_) => None,
        },
        Err(failure) if failure.is_in_doubt() => shown,
        _ => return,
    };
    let Some(behind) = shard.node.behind() else {
        return;
    };
    let Some(user) = user else {
        return behind.ended(&shard.node.shown(shard.id(connection)));
    };
    // First, as the registry of nodes has to know of whoever may have gone.
    behind.left(user);
    if let Some(cluster) = shard.node.cluster() {
        cluster.note(hub::Kind::User, user);
    }
}
