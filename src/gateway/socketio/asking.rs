//! Events of back ends that clients are to answer (`POST /api/ask`).

use super::deliver::{frame_of, send};
use super::questions::{self, Asker};
use super::{is_session, recovery};
use crate::gateway::answering::keys_of;
use crate::gateway::ask::Emit;
use crate::gateway::session::GatewaySession;
use crate::limits::CLIENT_ANSWER_MS_MAX;
use crate::reactor::{Engine, Transport};
use crate::socketio::engine::packet::MESSAGE;
use crate::socketio::packet::{MAIN_NAMESPACE, put_event};

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
    let timeout_ms = emit.timeout_ms.min(CLIENT_ANSWER_MS_MAX);
    let asked = questions::ask(shard, MAIN_NAMESPACE, &keys, asker, u32::from(timeout_ms));
    let mut sent = 0;
    for (key, id) in asked {
        let mut packet = vec![MESSAGE];
        let (name, args) = (&emit.event, emit.data.get());
        put_event(MAIN_NAMESPACE, Some(id), name, args, None, &mut packet);
        sent += u64::from(send(engine, key, frame_of(&packet)));
    }
    engine.shard().meters.messages_sent.add(sent);
}
