//! What neighbours want done, done by a worker for its own clients.

use std::collections::HashMap;
use std::sync::Arc;

use super::choice::{everybody, sessions};
use super::inquiry::{self, Inquiry};
use crate::buffer::Shared;
use crate::gateway::ask;
use crate::gateway::json::message::Object;
use crate::gateway::name::check_name;
use crate::gateway::session::GatewaySession;
use crate::gateway::shard::Shard;
use crate::gateway::socketio::sessions::is_session;
use crate::gateway::socketio::{connect, deliver, pump};
use crate::hub::{Encoding, Kind, Publication, Target};
use crate::id::ConnKey;
use crate::reactor::{Engine, Transport};
use crate::socketio::adapter::{Answer, Flags, Response, Selection};
use crate::websocket::protocol::MessageKind;

/// Why nobody gets a message.
pub(super) const TOO_LARGE: &str =
    "a message of a Socket.IO server is larger than MAX_MESSAGE_SIZE";
/// Code of a Close that nobody but a WebSocket of the gateway protocol would see.
const NORMAL: u16 = 1000;

/// Something that a neighbour wants, for each worker that it may concern.
#[derive(Debug)]
pub struct Errand(pub(super) Wanted);

/// What it wants.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Clients are to hear something.
    Deliver(Delivery),
    /// Sockets are to do something.
    Act {
        namespace: Arc<str>,
        selection: Selection,
        act: Act,
        /// The channel and the id by which whoever has such a socket answers.
        answer: Option<(String, String)>,
    },
    /// Something is asked.
    Inquire(Inquiry),
}

/// What clients are to hear.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) namespace: Arc<str>,
    /// Of the event.
    pub(super) name: String,
    pub(super) selection: Selection,
    pub(super) flags: Flags,
    /// What sessions get, and nothing for others.
    pub(super) sessions: Publication,
    /// What clients of the gateway protocol get as data: JSON.
    pub(super) data: String,
    /// When that was said, for them.
    pub(super) at: String,
}

impl Delivery {
    /// An event as clients of the gateway protocol hear it, who are told their room.
    fn text_for(&self, room: Option<&str>) -> Vec<u8> {
        let mut text = Vec::new();
        let object = match room {
            Some(room) => Object::new(&mut text, "message").text("room", room),
            None => Object::new(&mut text, "broadcast"),
        };
        object
            .text("event", &self.name)
            .json("data", &self.data)
            .text("timestamp", &self.at)
            .end();
        text
    }

    fn publication_for(&self, room: Option<&str>, shard: &mut Shard) -> Publication {
        let target = Target {
            kind: room.map_or(Kind::Everyone, |_| Kind::Room),
            name: room.unwrap_or_default().into(),
        };
        Publication::new(
            target,
            MessageKind::Text,
            &self.text_for(room),
            &mut shard.codec,
            shard.node.publication_bytes(),
            shard.node.account(),
        )
    }
}

/// What sockets are to do.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Join(Vec<String>),
    Leave(Vec<String>),
    /// To leave the namespace, or to end with their session.
    Disconnect {
        close: bool,
    },
}

/// Does what a neighbour wants.
pub(in crate::gateway) fn run<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    Errand(wanted): &Errand,
) {
    match wanted {
        Wanted::Deliver(delivery) => bring(engine, delivery),
        Wanted::Act {
            namespace,
            selection,
            act,
            answer,
        } => {
            let mut concerned = 0;
            for key in sessions(engine.shard(), namespace, selection) {
                do_one(engine, namespace, key, act);
                concerned += 1;
            }
            let neighbours = engine.shard().node.neighbours();
            if let Some((neighbours, (channel, id))) = neighbours.zip(answer.as_ref())
                && concerned > 0
            {
                let response = Response {
                    id: id.clone(),
                    answer: Answer::Done,
                };
                neighbours.respond(channel, &response);
            }
        }
        Wanted::Inquire(inquiry) => inquiry::answer(engine, inquiry),
    }
}

/// Gives a message to all who are meant. What is held leaves at the end of the turn, in the order of the messages.
fn bring<T: Transport>(engine: &mut Engine<GatewaySession, T>, delivery: &Delivery) {
    let shard = engine.shard();
    let window_bits = shard.shared_window_bits();
    let is_name = check_name(&delivery.name, shard.config.name_chars_max).is_ok();
    let (codec, bytes_max) = (&mut shard.codec, shard.config.codec.message_bytes_max);
    let for_sessions = delivery
        .sessions
        .frame(Encoding::SocketIo, codec, window_bits);
    if for_sessions.len() > bytes_max {
        return log::debug!("{TOO_LARGE}");
    }
    let mut sent = 0;
    // Only where somebody hears them: each room has words of its own.
    let mut texts: HashMap<Option<&str>, Publication> = HashMap::new();
    for chosen in everybody(shard, &delivery.namespace, &delivery.selection) {
        let encoding = match chosen.encoding {
            // What has no name there is nothing that the gateway protocol could say.
            Encoding::Plain | Encoding::Deflated if !is_name => continue,
            Encoding::Deflated if delivery.flags.compress == Some(false) => Encoding::Plain,
            encoding => encoding,
        };
        let frame = if encoding == Encoding::SocketIo {
            for_sessions
        } else {
            let shard = engine.shard();
            let make = || delivery.publication_for(chosen.room, shard);
            let text = texts.entry(chosen.room).or_insert_with(make);
            text.frame(encoding, &mut engine.shard().codec, window_bits)
        };
        let frame = Shared::clone(frame);
        sent += u64::from(send(engine, chosen.key, frame, delivery.flags.volatile));
    }
    engine.shard().meters.messages_sent.add(sent);
}

/// Sends frames to a connection or a session; where it is volatile, not to who reads too slowly.
pub(super) fn send<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    key: ConnKey,
    frames: Shared,
    is_volatile: bool,
) -> bool {
    if is_volatile && reads_too_slowly(engine, key) {
        return false;
    }
    deliver::send(engine, key, frames)
}

/// Whether what was sent to a connection or a session before has still to leave, because its peer takes it too slowly. An answer of this
/// turn, which a session with a WebSocket sends at its end, is no sign of that.
fn reads_too_slowly<T: Transport>(engine: &mut Engine<GatewaySession, T>, key: ConnKey) -> bool {
    let mut connection = Some(key);
    if is_session(key) {
        let Some(session) = engine.shard().socketio.get(key) else {
            return true;
        };
        let carrier = session.engine.carrier();
        connection = carrier.and_then(|carrier| session.connection_of(carrier));
        if connection.is_none() {
            return session.poll.is_none() && session.engine.queued_bytes() > 0;
        }
    }
    let mut is_congested = false;
    if let Some(connection) = connection {
        engine.visit(connection, |_, cx| is_congested = cx.out.is_congested());
    }
    is_congested
}

fn do_one<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    namespace: &str,
    key: ConnKey,
    act: &Act,
) {
    let now = engine.now();
    let shard = engine.shard();
    let chars_max = shard.config.name_chars_max;
    match act {
        Act::Join(rooms) => {
            let rooms = rooms.iter();
            // What our clients could not name, they could not leave.
            for room in rooms.filter(|room| check_name(room, chars_max).is_ok()) {
                pump::obey(shard, key, &ask::Act::Join(room.as_str().into()), now);
            }
        }
        Act::Leave(rooms) => {
            for room in rooms {
                pump::obey(shard, key, &ask::Act::Leave(room.as_str().into()), now);
            }
        }
        Act::Disconnect { close: true } => {
            let act = ask::Act::Disconnect(NORMAL, "".into());
            pump::obey(shard, key, &act, now);
        }
        Act::Disconnect { close: false } => connect::put_out_of(shard, key, namespace),
    }
}
