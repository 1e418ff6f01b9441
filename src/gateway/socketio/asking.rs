//! Events of back ends that clients are to answer (`POST /api/ask`).

use super::deliver::frames_of;
use super::questions::{self, Asker};
use super::{is_session, recovery};
use crate::gateway::answering::keys_of;
use crate::gateway::ask::Emit;
use crate::gateway::session::GatewaySession;
use crate::limits::CLIENT_ANSWER_MS_MAX;
use crate::reactor::{Engine, Transport};
use crate::socketio::packet::MAIN_NAMESPACE;

/// Has the clients of this worker answer an event; the worker `from`, which calls it `number`, is told what they say once all have, or
/// the time is over. Who is coming back is not asked: it hears nothing before it is told so.
pub(in crate::gateway) fn ask<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    from: usize,
    number: u32,
    emit: &Emit,
) {
    let mut keys = keys_of(engine, &emit.who);
    let shard = engine.shard();
    keys.retain(|key| is_session(*key) && !recovery::is_waiting(shard, *key));
    let asker = Asker::Worker {
        worker: from,
        number,
        part: Box::default(),
    };
    // What other nodes ask has been read, not checked.
    let timeout_ms = u32::from(emit.timeout_ms.min(CLIENT_ANSWER_MS_MAX));
    questions::ask(engine, MAIN_NAMESPACE, keys, asker, timeout_ms, |id| {
        let nothing: [&[u8]; 0] = [];
        let (name, args) = (&emit.event, emit.data.get());
        frames_of(MAIN_NAMESPACE, Some(id), name, args, &nothing)
    });
}
