//! Calls of the back end that a worker waits for, and what becomes of their answers.

use slab::Slab;

use super::Behind;
use crate::backend::{Answer, Failure, Kind, Refused};
use crate::gateway::session::GatewaySession;
use crate::gateway::shard::Shard;
use crate::id::ConnKey;
use crate::reactor::{Engine, Transport};

/// What was asked.
#[derive(Debug)]
pub(in crate::gateway) enum Purpose {
    /// Whether a client may connect.
    Connect,
    /// What is to be done about a message.
    Message {
        /// Of the message, as it was written.
        id: Option<Box<str>>,
    },
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
            Purpose::Connect => Kind::Connect,
            Purpose::Message { .. } => Kind::Message,
        };
        let node = std::sync::Arc::clone(&self.node);
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
        Purpose::Connect => {
            let mut answer = Some(answer);
            engine.visit(connection, |session, cx| {
                if let Some(answer) = answer.take() {
                    session.on_admitted(answer, cx);
                }
            });
            // It has gone meanwhile, and the back end takes it for connected.
            if let Some(Ok(Answer::Connect(answer))) = answer {
                let shard = engine.shard();
                let shown = shard.node.shown(shard.id(connection));
                if let Some(behind) = shard.node.behind() {
                    behind.never_came(answer.user_id.as_deref(), &shown);
                }
            }
            // What came behind the handshake is still to be read.
            engine.resume(connection);
        }
        Purpose::Message { id } => {
            engine.visit(connection, |session, cx| {
                session.on_answered(id.as_deref(), answer, cx);
            });
        }
    }
}

impl Behind {
    /// A client was let in, and is not here any more.
    pub(in crate::gateway) fn never_came(&self, user: Option<&str>, connection: &str) {
        match user {
            Some(user) => self.left(user),
            None => self.ended(connection),
        }
    }
}
