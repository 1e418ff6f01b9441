//! Events that clients are to answer: who has not yet, and where each answer goes.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value as Json;
use serde_json::value::{RawValue, to_raw_value};

use super::neighbours::{self, Neighbour};
use super::session::{Session, Upper};
use super::sessions::with;
use super::{connect, deliver};
use crate::buffer::Shared;
use crate::gateway::ask::{ClientAnswer, Gathered};
use crate::gateway::session::{GatewaySession, Mail};
use crate::gateway::shard::Shard;
use crate::id::ConnKey;
use crate::limits::NEIGHBOUR_QUESTIONS_MAX;
use crate::reactor::{Engine, Transport};
use crate::socketio::packet::Ack;
use crate::socketio::socket::{Assembled, Sockets};

/// Who wants to know.
#[derive(Debug)]
pub(super) enum Asker {
    /// A neighbour, which hears each answer as it comes.
    Neighbour(Arc<Neighbour>),
    /// A worker of this node, which hears all of them at once.
    Worker {
        worker: usize,
        /// What it calls its question.
        number: u32,
        /// What it is going to hear.
        part: Box<Gathered>,
    },
}

/// An event that not all have answered who were asked.
#[derive(Debug)]
struct Open {
    asker: Asker,
    /// Clients that have not.
    missing: usize,
}

/// Those of one worker.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Questions {
    open: HashMap<u64, Open>,
    last: u64,
}

impl Questions {
    /// One more; gives its token, which is the id of the event as well. `None` where there are too many for one more of a neighbour:
    /// those of workers are limited where they come from.
    fn open(&mut self, asker: Asker) -> Option<u64> {
        let is_neighbours = matches!(asker, Asker::Neighbour(_));
        if is_neighbours && self.open.len() >= NEIGHBOUR_QUESTIONS_MAX {
            return None;
        }
        self.last += 1;
        self.open.insert(self.last, Open { asker, missing: 0 });
        Some(self.last)
    }

    /// So many clients are asked; gives back who asks where that is none.
    fn expect(&mut self, token: u64, clients: usize) -> Option<Asker> {
        let open = self.open.get_mut(&token)?;
        if let Asker::Worker { part, .. } = &mut open.asker {
            part.concerned = clients as u32;
        }
        open.missing = clients;
        self.end_where_complete(token)
    }

    /// A client has answered, which `hear` tells who asks, or does not any more; gives back who asks where it was the last.
    fn settle(&mut self, token: u64, hear: impl FnOnce(&mut Asker)) -> Option<Asker> {
        let open = self.open.get_mut(&token)?;
        open.missing = open.missing.saturating_sub(1);
        hear(&mut open.asker);
        self.end_where_complete(token)
    }

    fn end_where_complete(&mut self, token: u64) -> Option<Asker> {
        let is_complete = self.open.get(&token).is_some_and(|open| open.missing == 0);
        let open = is_complete.then(|| self.open.remove(&token)).flatten()?;
        Some(open.asker)
    }
}

/// Has sessions answer an event within that time, whose frames are made for the id that they have to carry; gives how many are asked.
pub(super) fn ask<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    namespace: &str,
    mut keys: Vec<ConnKey>,
    asker: Asker,
    timeout_ms: u32,
    frames: impl FnOnce(u64) -> Vec<u8>,
) -> usize {
    let shard = engine.shard();
    let until = shard.moment().after(timeout_ms);
    let Some(token) = shard.questions.open(asker) else {
        log::debug!("clients are not asked for a Socket.IO server: too many questions are open");
        return 0;
    };
    keys.retain(|key| {
        let is_asked = with(shard, *key, |session, _| match &mut session.upper {
            Upper::Sockets(sockets) => sockets.expect_ack(namespace, token, until),
            Upper::Echo | Upper::Over => false,
        });
        is_asked.unwrap_or(false)
    });
    let complete = shard.questions.expect(token, keys.len());
    tell(shard, complete);
    if !keys.is_empty() {
        let frames = Shared::from(frames(token));
        let sent = keys
            .iter()
            .filter(|key| deliver::send(engine, **key, Shared::clone(&frames)))
            .count();
        engine.shard().meters.messages_sent.add(sent as u64);
    }
    keys.len()
}

/// A client answers.
pub(super) fn on_ack(
    session: &Session,
    key: ConnKey,
    shard: &mut Shard,
    token: u64,
    ack: &Ack<'_>,
    assembled: Option<&Assembled>,
) {
    let attachments: Vec<&[u8]> =
        assembled.map_or_else(Vec::new, |assembled| assembled.attachments().collect());
    let connection_id = shard.node.shown(shard.id(key));
    let user_id = connect::user(session, shard);
    let neighbours = shard.node.neighbours();
    let complete = shard.questions.settle(token, |asker| match asker {
        Asker::Neighbour(neighbour) => {
            if let Some(neighbours) = neighbours {
                neighbours::respond(neighbours, neighbour, ack, attachments);
            }
        }
        Asker::Worker { part, .. } => part.answer(ClientAnswer {
            connection_id,
            user_id,
            data: data_of(ack.args, &attachments),
        }),
    });
    tell(shard, complete);
}

/// A client does not answer any more.
pub(super) fn give_up(shard: &mut Shard, token: u64) {
    let complete = shard.questions.settle(token, |_| {});
    tell(shard, complete);
}

/// The client has gone: it answers nothing.
pub(super) fn give_up_all(shard: &mut Shard, sockets: &mut Sockets) {
    while let Some(token) = sockets.take_owed() {
        give_up(shard, token);
    }
}

/// Tells a worker what has come together.
fn tell(shard: &mut Shard, asker: Option<Asker>) {
    if let Some(Asker::Worker {
        worker,
        number,
        part,
    }) = asker
    {
        shard.post(worker, Mail::Answer { number, part });
    }
}

/// The arguments of an answer as JSON: the only one itself, several as a list, none as `null`. Binary data is Base64.
fn data_of(args: &str, attachments: &[&[u8]]) -> Box<RawValue> {
    let all = format!("[{args}]");
    let elements: Vec<&RawValue> = serde_json::from_str(&all).unwrap_or_default();
    let data = match elements.as_slice() {
        [] => "null",
        [only] => only.get(),
        _ => all.as_str(),
    };
    let raw = if attachments.is_empty() {
        RawValue::from_string(data.to_owned())
    } else {
        serde_json::from_str(data).and_then(|mut value| {
            fill_in(&mut value, attachments);
            to_raw_value(&value)
        })
    };
    raw.unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Puts attachments in the place of what stands for them.
fn fill_in(value: &mut Json, attachments: &[&[u8]]) {
    if value["_placeholder"] == true
        && let Some(number) = value["num"].as_u64()
        && let Some(bytes) = attachments.get(number as usize)
    {
        *value = BASE64_STANDARD.encode(bytes).into();
        return;
    }
    match value {
        Json::Array(elements) => {
            for element in elements {
                fill_in(element, attachments);
            }
        }
        Json::Object(fields) => {
            for field in fields.values_mut() {
                fill_in(field, attachments);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbour() -> Asker {
        Asker::Neighbour(Arc::new(Neighbour {
            channel: "c".to_owned(),
            id: "i".to_owned(),
        }))
    }

    fn worker() -> Asker {
        Asker::Worker {
            worker: 1,
            number: 2,
            part: Box::default(),
        }
    }

    #[test]
    fn a_question_is_open_until_all_have_answered_or_are_given_up() {
        let mut questions = Questions::default();
        let two = questions.open(worker()).expect("room");
        assert!(questions.expect(two, 2).is_none());
        let none = questions.open(worker()).expect("room");
        assert!(questions.expect(none, 0).is_some());
        assert_eq!(questions.open.len(), 1);
        assert!(questions.settle(two, |_| {}).is_none());
        let Some(Asker::Worker { part, .. }) = questions.settle(two, |_| {}) else {
            panic!("it is complete");
        };
        assert_eq!(part.concerned, 2);
        let mut is_heard = false;
        let over = questions.settle(two, |_| is_heard = true);
        assert!(over.is_none() && !is_heard && questions.open.is_empty());
    }

    #[test]
    fn neighbours_have_a_limit() {
        let mut questions = Questions::default();
        for _ in 0..NEIGHBOUR_QUESTIONS_MAX {
            questions.open(neighbour()).expect("room");
        }
        assert!(questions.open(neighbour()).is_none());
        assert!(questions.open(worker()).is_some());
    }

    #[test]
    fn arguments_are_the_data_of_an_answer() {
        for (args, expected) in [
            ("", "null"),
            ("{\"a\": 1e999}", "{\"a\": 1e999}"),
            ("[1]", "[1]"),
            ("1,\"x\"", "[1,\"x\"]"),
        ] {
            assert_eq!(data_of(args, &[]).get(), expected);
        }
        let args = r#"{"deep":[{"num":1,"_placeholder":true}]},{ "_placeholder": true, "num": 0 }"#;
        let expected = r#"[{"deep":["AQI="]},"Aw=="]"#;
        assert_eq!(data_of(args, &[b"\x03", b"\x01\x02"]).get(), expected);
    }
}
