//! What the messages of a session are: packets of a Socket.IO client, or what goes back as it came.

use smallvec::SmallVec;

use super::session::{Session, Upper};
use super::{behind, connect, questions, reply};
use crate::gateway::shard::Shard;
use crate::id::ConnKey;
use crate::reactor::Tick;
use crate::socketio::engine::packet::{MESSAGE, Message};
use crate::socketio::socket::{Assembled, Incoming, Violation};
use crate::websocket::protocol::MessageKind;

/// Messages to the client, in the order in which they leave. A text begins with the type of its packet, as on a WebSocket.
#[derive(Debug)]
pub(in crate::gateway) struct Outbox {
    bytes: Vec<u8>,
    /// What each is, and where it ends.
    ends: SmallVec<[(MessageKind, usize); 2]>,
}

impl Outbox {
    /// An empty one.
    pub(in crate::gateway) fn new(shard: &mut Shard) -> Self {
        Self {
            bytes: shard.take_reply(),
            ends: SmallVec::new(),
        }
    }

    /// Gives back what it was made of.
    pub(in crate::gateway) fn give_back(self, shard: &mut Shard) {
        shard.give_reply(self.bytes);
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds the text of a packet.
    pub(super) fn text(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.push(MESSAGE);
        write(&mut self.bytes);
        self.ends.push((MessageKind::Text, self.bytes.len()));
    }

    pub(super) fn binary(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push((MessageKind::Binary, self.bytes.len()));
    }

    /// Each message, as a WebSocket carries it.
    pub(in crate::gateway) fn messages(&self) -> impl Iterator<Item = (MessageKind, &[u8])> {
        let mut from = 0;
        self.ends.iter().map(move |&(kind, end)| {
            let message = &self.bytes[from..end];
            from = end;
            (kind, message)
        })
    }
}

/// A message of the session's client; what is said in answer is added to `out`.
pub(super) fn on_message(
    session: &mut Session,
    key: ConnKey,
    shard: &mut Shard,
    now: Tick,
    message: &Message<'_>,
    out: &mut Outbox,
) {
    if behind::holds(session, key, shard, message) {
        return;
    }
    let sockets = match &mut session.upper {
        Upper::Sockets(sockets) => sockets,
        Upper::Echo => {
            return match message {
                Message::Text(text) => out.text(|to| to.extend_from_slice(text.as_bytes())),
                Message::Binary(bytes) => out.binary(bytes),
            };
        }
        Upper::Over => return,
    };
    let at = shard.moment();
    let config = shard.config.socketio.sockets;
    let result = match message {
        Message::Text(text) => match sockets.receive_text(text, at, &config) {
            Ok(Some(incoming)) => {
                on_incoming(session, key, shard, now, &incoming, None, out);
                Ok(())
            }
            other => other.map(drop),
        },
        Message::Binary(bytes) => match sockets.receive_binary(bytes, at, &config) {
            Ok(Some(assembled)) => {
                if let Some(incoming) = sockets.incoming(&assembled) {
                    on_incoming(session, key, shard, now, &incoming, Some(&assembled), out);
                }
                Ok(())
            }
            other => other.map(drop),
        },
    };
    if let Err(violation) = result {
        fail(session, key, shard, violation);
    }
}

/// The client broke a rule: its session ends.
pub(super) fn fail(session: &mut Session, key: ConnKey, shard: &mut Shard, violation: Violation) {
    log::debug!("{} broke a rule: {violation}", shard.id(key));
    session.be_over(shard);
    if violation == Violation::ConnectTimeout {
        session.engine.close(shard.moment());
    } else {
        session.engine.fail();
    }
}

fn on_incoming(
    session: &mut Session,
    key: ConnKey,
    shard: &mut Shard,
    now: Tick,
    incoming: &Incoming<'_>,
    assembled: Option<&Assembled>,
    out: &mut Outbox,
) {
    match incoming {
        Incoming::Connect { namespace, auth } => {
            connect::on_connect(session, key, shard, now, namespace, *auth, out);
        }
        Incoming::Disconnect { namespace } => connect::on_disconnect(session, shard, namespace),
        Incoming::Event { namespace, event } => {
            reply::on_event(session, key, shard, now, namespace, event, assembled, out);
        }
        Incoming::Ack { token, ack } => {
            questions::on_ack(session, key, shard, *token, ack, assembled);
        }
    }
}
