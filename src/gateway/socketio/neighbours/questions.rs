//! Broadcasts of neighbours that clients are to answer: who is asked, and where each answer goes.

use std::collections::HashMap;
use std::sync::Arc;

use super::inquiry::Asker;
use crate::gateway::shard::Shard;
use crate::gateway::socketio::session::Upper;
use crate::gateway::socketio::sessions::with;
use crate::id::ConnKey;
use crate::limits::{NEIGHBOUR_ANSWER_MS_MAX, NEIGHBOUR_QUESTIONS_MAX};
use crate::socketio::Moment;
use crate::socketio::adapter::{Answer, Response, Value};
use crate::socketio::packet::Ack;
use crate::socketio::socket::Assembled;

/// A broadcast whose clients have not all answered.
#[derive(Debug)]
struct Open {
    asker: Arc<Asker>,
    until: Moment,
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
    /// One more; gives what it is known by. `None` where there are too many.
    fn open(&mut self, asker: &Arc<Asker>, until: Moment, now: Moment) -> Option<u64> {
        if self.open.len() >= NEIGHBOUR_QUESTIONS_MAX {
            // Sessions that have ended tell nothing.
            self.open.retain(|_, open| !open.until.is_reached(now));
            if self.open.len() >= NEIGHBOUR_QUESTIONS_MAX {
                return None;
            }
        }
        self.last += 1;
        let open = Open {
            asker: Arc::clone(asker),
            until,
            missing: 0,
        };
        self.open.insert(self.last, open);
        Some(self.last)
    }

    /// So many clients are asked.
    fn expect(&mut self, token: u64, clients: usize) {
        if clients == 0 {
            self.open.remove(&token);
        } else if let Some(open) = self.open.get_mut(&token) {
            open.missing = clients;
        }
    }

    /// A client does not answer any more.
    pub(in crate::gateway) fn give_up(&mut self, token: u64) {
        self.settle(token);
    }

    /// A client has answered; gives who wants to know.
    fn settle(&mut self, token: u64) -> Option<Arc<Asker>> {
        let open = self.open.get_mut(&token)?;
        open.missing = open.missing.saturating_sub(1);
        let asker = Arc::clone(&open.asker);
        if open.missing == 0 {
            self.open.remove(&token);
        }
        Some(asker)
    }
}

/// Has sessions owe an answer to an event; gives those that do, with the id that it has to carry for each.
pub(super) fn ask(
    shard: &mut Shard,
    namespace: &str,
    keys: &[ConnKey],
    asker: &Arc<Asker>,
    timeout_ms: u32,
) -> Vec<(ConnKey, u64)> {
    let now = shard.moment();
    let until = now.after(timeout_ms.min(NEIGHBOUR_ANSWER_MS_MAX));
    let Some(token) = shard.questions.open(asker, until, now) else {
        log::debug!("clients are not asked for a Socket.IO server: too many questions are open");
        return Vec::new();
    };
    let mut asked = Vec::new();
    for &key in keys {
        let id = with(shard, key, |session, _| match &mut session.upper {
            Upper::Sockets(sockets) => sockets.expect_ack(namespace, token, until),
            Upper::Echo | Upper::Over => None,
        });
        asked.extend(id.flatten().map(|id| (key, id)));
    }
    shard.questions.expect(token, asked.len());
    asked
}

/// A client answers.
pub(in crate::gateway::socketio) fn on_ack(
    shard: &mut Shard,
    token: u64,
    ack: &Ack<'_>,
    assembled: Option<&Assembled>,
) {
    let Some(asker) = shard.questions.settle(token) else {
        return;
    };
    let attachments =
        assembled.map_or_else(Vec::new, |assembled| assembled.attachments().collect());
    let neighbours = shard.node.neighbours();
    match (Value::first_of(ack.args, attachments), neighbours) {
        (Ok(value), Some(neighbours)) => {
            let response = Response {
                id: asker.id.clone(),
                answer: Answer::ClientAck(value),
            };
            neighbours.respond(&asker.channel, &response);
        }
        (Err(error), _) => log::debug!("an answer of a client is none for its server: {error}"),
        (Ok(_), None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_open_until_all_have_answered_or_its_time_is_over() {
        let asker = Arc::new(Asker {
            channel: "c".to_owned(),
            id: "i".to_owned(),
        });
        let mut questions = Questions::default();
        let (now, until) = (Moment(0), Moment(10));
        let two = questions.open(&asker, until, now).expect("room");
        questions.expect(two, 2);
        let none = questions.open(&asker, until, now).expect("room");
        questions.expect(none, 0);
        assert_eq!(questions.open.len(), 1);
        assert!(questions.settle(two).is_some() && questions.settle(two).is_some());
        assert!(questions.settle(two).is_none() && questions.open.is_empty());
        for _ in 0..NEIGHBOUR_QUESTIONS_MAX {
            questions.open(&asker, until, now).expect("room");
        }
        assert_eq!(questions.open(&asker, until, now), None);
        assert!(questions.open(&asker, until, Moment(10)).is_some());
        assert_eq!(questions.open.len(), 1);
    }
}
