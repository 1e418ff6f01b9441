//! The back end behind clients of Socket.IO: who asks for a namespace is asked about first, and what the gateway does not know is
//! answered there. `docs/backend.md` describes it.

mod emitted;
mod entering;
mod waiting;

pub(in crate::gateway) use emitted::{Emitted, on_answered};
pub(super) use emitted::{ask_about_event, is_foreign};
pub(in crate::gateway) use entering::{Entering, on_admitted};
pub(super) use entering::{ask_whether_in, go_on};

use serde_json::value::RawValue;

use super::session::{Session, Upper};
use crate::gateway::backend::Asked;
use crate::gateway::config::EndpointKind;
use crate::gateway::shard::Shard;
use crate::http::head::RequestHead;
use crate::id::ConnKey;
use crate::socketio::engine::packet::Message;
use waiting::{Taken, Waiting};

/// What a session has to do with the back end, where that is asked who may connect.
#[derive(Debug)]
pub(in crate::gateway) struct Backing {
    path: Box<str>,
    /// Of the request that has opened the session; its claims are those of the token that was shown last.
    asked: Asked,
    /// What the back end wants remembered of the client, from its answer about the main namespace.
    metadata: Option<Box<RawValue>>,
    /// Whether the back end is to hear when the session has ended: it knows of it, and of no user of it.
    owes_end: bool,
    waiting: Waiting,
}

impl Backing {
    /// What a session of that kind needs that begins with `request`.
    pub(in crate::gateway) fn of(
        request: &RequestHead<'_>,
        kind: EndpointKind,
        shard: &Shard,
    ) -> Option<Box<Self>> {
        let behind = shard.node.behind()?;
        behind.admits(kind).then(|| {
            Box::new(Self {
                path: request.path().into(),
                asked: Asked::of(request, &shard.config, behind),
                metadata: None,
                owes_end: false,
                waiting: Waiting::default(),
            })
        })
    }
}

/// Whether a message waits until the back end has said whether its client may be where it is for. Who sends too much of that is not
/// listened to any more.
pub(super) fn holds(
    session: &mut Session,
    key: ConnKey,
    shard: &mut Shard,
    message: &Message<'_>,
) -> bool {
    let (Some(backing), Upper::Sockets(_)) = (&mut session.backing, &session.upper) else {
        return false;
    };
    let bytes_max = shard.config.socketio.sockets.binary_bytes_max;
    match backing.waiting.take(message, bytes_max) {
        Taken::Not => false,
        Taken::Held => true,
        Taken::TooMuch => {
            log::debug!("{} sends too much before it is let in", shard.id(key));
            session.be_over(shard);
            session.engine.fail();
            true
        }
    }
}

/// The client leaves the main namespace. Where it has a user there that is whom the back end is told of.
pub(super) fn forget(session: &mut Session, shard: &Shard) {
    let has_user = super::connect::user(session, shard).is_some();
    if let Some(backing) = &mut session.backing {
        backing.metadata = None;
        backing.owes_end &= !has_user;
    }
}

/// The session is over.
pub(super) fn tell_end(session: &mut Session, key: ConnKey, shard: &Shard) {
    forget(session, shard);
    if session
        .backing
        .as_ref()
        .is_some_and(|backing| backing.owes_end)
        && let Some(behind) = shard.node.behind()
    {
        behind.ended(&shard.node.shown(shard.id(key)));
    }
}
