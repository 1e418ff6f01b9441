//! Questions of neighbours: each worker tells its part, and the last one answers.

use std::sync::{Arc, Mutex, PoisonError};

use super::Neighbours;
use super::choice::sessions;
use super::errands::TOO_LARGE;
use crate::gateway::node::Node;
use crate::gateway::session::GatewaySession;
use crate::gateway::shard::Shard;
use crate::gateway::socketio::connect;
use crate::gateway::socketio::deliver::frames_of;
use crate::gateway::socketio::questions::{self, Asker};
use crate::hub::Kind;
use crate::id::ConnKey;
use crate::limits::{
    NEIGHBOUR_ANSWER_BYTES_MAX, NEIGHBOUR_ANSWER_MS_MAX, NEIGHBOUR_NAMES_MAX, NEIGHBOUR_SOCKETS_MAX,
};
use crate::reactor::{Engine, Transport};
use crate::socketio::adapter::{Answer, Json, Response, Selection, Socket, Value};
use crate::socketio::packet::{Ack, MAIN_NAMESPACE};

/// What is asked.
#[derive(Debug)]
pub(super) enum Asked {
    /// The names of sockets.
    Names(Selection),
    /// The rooms that are not empty.
    Rooms,
    /// All there is to tell of sockets.
    Sockets(Selection),
    /// How many clients get an event that they are to answer.
    Clients {
        name: String,
        args: String,
        attachments: Vec<Vec<u8>>,
        selection: Selection,
        timeout_ms: u32,
    },
}

/// A question, until all workers have told their part.
#[derive(Debug)]
pub(super) struct Inquiry {
    namespace: Arc<str>,
    asker: Arc<Neighbour>,
    asked: Asked,
    gathering: Mutex<Gathering>,
}

/// Where answers go, and what they have to name.
#[derive(Debug)]
pub(in crate::gateway::socketio) struct Neighbour {
    pub(in crate::gateway::socketio) channel: String,
    pub(in crate::gateway::socketio) id: String,
}

#[derive(Debug, Default)]
struct Gathering {
    /// Workers that have not told theirs.
    missing: usize,
    part: Part,
}

/// What a worker tells, and what all of it comes to.
#[derive(Debug, Default)]
struct Part {
    names: Vec<String>,
    sockets: Vec<Socket<'static>>,
    clients: u64,
}

impl Inquiry {
    /// One that every worker is to be told of.
    pub(super) fn new(
        node: &Node,
        namespace: &Arc<str>,
        channel: &str,
        id: String,
        asked: Asked,
    ) -> Self {
        let mut part = Part::default();
        if matches!(asked, Asked::Rooms) && **namespace == *MAIN_NAMESPACE {
            // Also those with nobody but clients of the gateway protocol in them.
            let names = node.directory().names(Kind::Room);
            part.names = names.iter().map(ToString::to_string).collect();
        }
        Self {
            namespace: Arc::clone(namespace),
            asker: Arc::new(Neighbour {
                channel: channel.to_owned(),
                id,
            }),
            asked,
            gathering: Mutex::new(Gathering {
                missing: node.workers(),
                part,
            }),
        }
    }

    /// Adds a part; gives the answer where it is the last.
    fn add(&self, part: Part) -> Option<Response<'static>> {
        let gathering = self.gathering.lock();
        let mut gathering = gathering.unwrap_or_else(PoisonError::into_inner);
        let whole = &mut gathering.part;
        whole.names.extend(part.names);
        whole.sockets.extend(part.sockets);
        whole.clients += part.clients;
        gathering.missing -= 1;
        if gathering.missing > 0 {
            return None;
        }
        let whole = std::mem::take(&mut gathering.part);
        Some(Response {
            id: self.asker.id.clone(),
            answer: self.answer(whole),
        })
    }

    fn answer(&self, whole: Part) -> Answer<'static> {
        let Part {
            mut names,
            mut sockets,
            clients,
        } = whole;
        names.sort_unstable();
        names.dedup();
        let is_cut = cut(&mut names, NEIGHBOUR_NAMES_MAX, String::len)
            | cut(&mut sockets, NEIGHBOUR_SOCKETS_MAX, bytes_of);
        if is_cut {
            log::warn!("an answer to a Socket.IO server leaves out what would make it too long");
        }
        match self.asked {
            Asked::Names(_) => Answer::Names(names),
            Asked::Rooms => Answer::Rooms(names),
            Asked::Sockets(_) => Answer::Sockets(sockets),
            Asked::Clients { .. } => Answer::ClientCount(clients),
        }
    }
}

/// Leaves out of a list what is beyond `items_max`, or beyond what may be told at all; whether there was anything.
fn cut<T>(list: &mut Vec<T>, items_max: usize, bytes_of: impl Fn(&T) -> usize) -> bool {
    let mut bytes = 0;
    let fits = list.iter().take(items_max).take_while(|item| {
        bytes += bytes_of(item);
        bytes <= NEIGHBOUR_ANSWER_BYTES_MAX
    });
    let count = fits.count();
    let is_cut = count < list.len();
    list.truncate(count);
    is_cut
}

fn bytes_of(socket: &Socket<'_>) -> usize {
    let rooms: usize = socket.rooms.iter().map(String::len).sum();
    rooms + socket.handshake.text().len() + socket.data.text().len()
}

/// Tells this worker's part.
pub(super) fn answer<T: Transport>(engine: &mut Engine<GatewaySession, T>, inquiry: &Inquiry) {
    let namespace = &*inquiry.namespace;
    let mut part = Part::default();
    match &inquiry.asked {
        Asked::Names(selection) => {
            let shard = engine.shard();
            let keys = sessions(shard, namespace, selection).into_iter();
            part.names = keys
                .filter_map(|key| shard.socketio.get(key)?.socket_name(namespace, key, shard))
                .collect();
        }
        Asked::Rooms => part.names = rooms(engine.shard(), namespace),
        Asked::Sockets(selection) => {
            let shard = engine.shard();
            let keys = sessions(shard, namespace, selection).into_iter();
            let mut bytes = 0;
            // One more than may be told: so it shows that some are not.
            part.sockets = keys
                .take(NEIGHBOUR_SOCKETS_MAX + 1)
                .filter_map(|key| socket(shard, namespace, key))
                .take_while(|socket| {
                    let had_room = bytes <= NEIGHBOUR_ANSWER_BYTES_MAX;
                    bytes += bytes_of(socket);
                    had_room
                })
                .collect();
        }
        Asked::Clients { .. } => part.clients = ask_clients(engine, inquiry),
    }
    let response = inquiry.add(part);
    if let Some((response, neighbours)) = response.zip(engine.shard().node.neighbours()) {
        neighbours.respond(&inquiry.asker.channel, &response);
    }
}

/// The rooms of the sessions in a namespace, those of their own names among them.
fn rooms(shard: &Shard, namespace: &str) -> Vec<String> {
    let keys = sessions(shard, namespace, &Selection::default());
    let mut names = std::collections::BTreeSet::new();
    for key in keys {
        let Some(session) = shard.socketio.get(key) else {
            continue;
        };
        names.extend(session.socket_name(namespace, key, shard));
        // Those of the main one are told by the directory.
        if namespace != MAIN_NAMESPACE {
            let rooms = connect::rooms(session, shard);
            names.extend(rooms.iter().map(ToString::to_string));
        }
    }
    names.into_iter().take(NEIGHBOUR_NAMES_MAX + 1).collect()
}

fn socket(shard: &Shard, namespace: &str, key: ConnKey) -> Option<Socket<'static>> {
    let session = shard.socketio.get(key)?;
    let id = session.socket_name(namespace, key, shard)?;
    let rooms = connect::rooms(session, shard);
    let rooms = rooms.iter().map(ToString::to_string);
    let handshake = serde_json::json!({
        "address": session.client.to_string(), "headers": {}, "query": {}, "auth": {},
    });
    let data = match connect::user(session, shard) {
        Some(user) => serde_json::json!({ "userId": &*user }),
        None => serde_json::json!({}),
    };
    Some(Socket {
        rooms: std::iter::once(id.clone()).chain(rooms).collect(),
        id,
        handshake: Json::new(handshake.to_string()).ok()?,
        data: Json::new(data.to_string()).ok()?,
    })
}

/// Sends sessions an event that they are to answer; gives how many.
fn ask_clients<T: Transport>(engine: &mut Engine<GatewaySession, T>, inquiry: &Inquiry) -> u64 {
    let Asked::Clients {
        name,
        args,
        attachments,
        selection,
        timeout_ms,
    } = &inquiry.asked
    else {
        return 0;
    };
    let namespace = &*inquiry.namespace;
    let bytes = args.len() + attachments.iter().map(Vec::len).sum::<usize>();
    if bytes > engine.shard().config.codec.message_bytes_max {
        log::debug!("{TOO_LARGE}");
        return 0;
    }
    let keys = sessions(engine.shard(), namespace, selection);
    let asker = Asker::Neighbour(Arc::clone(&inquiry.asker));
    let timeout_ms = (*timeout_ms).min(NEIGHBOUR_ANSWER_MS_MAX);
    let asked = questions::ask(engine, namespace, keys, asker, timeout_ms, |id| {
        frames_of(namespace, Some(id), name, args, attachments)
    });
    asked as u64
}

/// Tells a neighbour what a client has answered.
pub(in crate::gateway::socketio) fn respond(
    neighbours: &Neighbours,
    neighbour: &Neighbour,
    ack: &Ack<'_>,
    attachments: Vec<&[u8]>,
) {
    match Value::first_of(ack.args, attachments) {
        Ok(value) => {
            let response = Response {
                id: neighbour.id.clone(),
                answer: Answer::ClientAck(value),
            };
            neighbours.respond(&neighbour.channel, &response);
        }
        Err(error) => log::debug!("an answer of a client is none for its server: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inquiry(asked: Asked, missing: usize) -> Inquiry {
        Inquiry {
            namespace: "/".into(),
            asker: Arc::new(Neighbour {
                channel: "c".to_owned(),
                id: "i".to_owned(),
            }),
            asked,
            gathering: Mutex::new(Gathering {
                missing,
                part: Part::default(),
            }),
        }
    }

    fn names(names: &[&str]) -> Part {
        Part {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Part::default()
        }
    }

    #[test]
    fn the_last_worker_answers_with_what_all_have_told() {
        let asked = inquiry(Asked::Rooms, 2);
        assert_eq!(asked.add(names(&["b", "a"])), None);
        let rooms = ["a", "b"].map(str::to_owned).to_vec();
        let expected = Response {
            id: "i".to_owned(),
            answer: Answer::Rooms(rooms),
        };
        assert_eq!(asked.add(names(&["a"])), Some(expected));
        let asked = inquiry(Asked::Sockets(Selection::default()), 1);
        let nothing = asked.add(Part::default()).expect("an answer");
        assert_eq!(nothing.answer, Answer::Sockets(Vec::new()));
    }

    #[test]
    fn what_would_make_an_answer_too_long_is_left_out() {
        let many: Vec<String> = (0..=NEIGHBOUR_NAMES_MAX).map(|n| n.to_string()).collect();
        let long = (0..10).map(|n| n.to_string().repeat(NEIGHBOUR_ANSWER_BYTES_MAX / 8));
        for (names, expected) in [(many, NEIGHBOUR_NAMES_MAX), (long.collect(), 8)] {
            let asked = inquiry(Asked::Names(Selection::default()), 1);
            let part = Part {
                names,
                ..Part::default()
            };
            match asked.add(part).expect("an answer").answer {
                Answer::Names(names) => assert_eq!(names.len(), expected),
                other => panic!("{other:?}"),
            }
        }
    }
}
