//! The calls that act: what they take, and what they do.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::idempotency::Claim;
use super::problem::Problem;
use super::read::told;
use super::route::Call;
use crate::gateway::ask::{Act, Emit, Purpose, Question, Who};
use crate::gateway::cluster::Whom;
use crate::gateway::name::{NameProblem, check_name};
use crate::gateway::shard::Shard;
use crate::gateway::tally::Limit;
use crate::hub::Kind;
use crate::id::{ConnKey, ConnectionId};
use crate::limits::CLIENT_ANSWER_MS_MAX;
use crate::reactor::Tick;
use crate::socketio::packet::is_reserved;
use crate::websocket::close::CloseCode;

/// Characters of the reason of a Close frame: as many as fit where each is one byte. Of others as many go along as fit.
const REASON_CHARS_MAX: usize = crate::limits::CLOSE_REASON_BYTES_MAX;
/// Time that clients have for an answer where nobody says how long, milliseconds.
const ANSWER_MS: u16 = 5_000;
/// Digits of the name of a node.
const NODE_DIGITS: usize = 16;
/// The id of no connection: there are not so many workers.
const NOBODY: ConnectionId = ConnectionId {
    worker: u16::MAX,
    key: ConnKey {
        index: 0,
        generation: 0,
    },
};
/// When a call that was one too many may be made again, seconds.
const BUSY: &[(&str, &str)] = &[("Retry-After", "1")];
const _: () = assert!(NOBODY.worker as u64 >= crate::limits::WORKERS_MAX);

/// What a call comes to.
#[derive(Debug)]
pub(in crate::gateway) enum Done {
    /// The body of the answer, 200.
    Now(Vec<u8>),
    /// Workers have been asked; the answer comes to the session.
    Asked,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Membership {
    #[serde(default, deserialize_with = "given")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "given")]
    connection_id: Option<String>,
    room: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Disconnect {
    #[serde(default, deserialize_with = "given")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "given")]
    connection_id: Option<String>,
    #[serde(default, deserialize_with = "given")]
    code: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Ask<'b> {
    #[serde(default, deserialize_with = "given")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "given")]
    connection_id: Option<String>,
    #[serde(default, deserialize_with = "given")]
    room: Option<String>,
    event: String,
    #[serde(borrow)]
    data: Option<&'b RawValue>,
    #[serde(default, deserialize_with = "given")]
    timeout: Option<f64>,
}

/// Who calls, and where.
pub(in crate::gateway) struct Caller<'c> {
    pub(in crate::gateway) shard: &'c mut Shard,
    pub(in crate::gateway) connection: ConnKey,
    pub(in crate::gateway) now: Tick,
    /// Of the call, where it has an `Idempotency-Key`; goes along where workers are asked.
    pub(in crate::gateway) claim: Option<Claim>,
}

impl Caller<'_> {
    /// Does what a call asks for with its body.
    ///
    /// # Errors
    /// What is wrong with the body.
    pub(in crate::gateway) fn run(&mut self, call: &Call, body: &[u8]) -> Result<Done, Problem> {
        match call {
            Call::SendToUser | Call::Message | Call::Publish | Call::Broadcast | Call::Batch => {
                self.send(call, body)
            }
            Call::Join => {
                parsed(body).and_then(|call| self.membership(&call, Act::Join, Purpose::Joined))
            }
            Call::Leave => {
                parsed(body).and_then(|call| self.membership(&call, Act::Leave, Purpose::Left))
            }
            Call::Disconnect => parsed(body).and_then(|call| self.disconnect(&call)),
            Call::Ask => parsed(body).and_then(|call| self.ask_clients(&call)),
            _ => unreachable!("calls that read have no body"),
        }
    }

    fn membership(
        &mut self,
        call: &Membership,
        act: impl FnOnce(Arc<str>) -> Act,
        purpose: Purpose,
    ) -> Result<Done, Problem> {
        self.check("room", &call.room)?;
        let who = self.who(call.user_id.as_deref(), call.connection_id.as_deref())?;
        let act = act(call.room.as_str().into());
        Ok(self.put(&who, |who| Question::Act(who, act), purpose))
    }

    fn disconnect(&mut self, call: &Disconnect) -> Result<Done, Problem> {
        let code = match call.code.map(whole) {
            None => CloseCode::NORMAL,
            Some(Some(code @ (1000 | 1001 | 1008 | 1011..=1013 | 3000..=4999))) => CloseCode(code),
            Some(_) => {
                let detail = "`code` is 1000, 1001, 1008, 1011 to 1013, or 3000 to 4999.";
                return Err(Problem::new(422, detail));
            }
        };
        let reason = call.reason.as_deref().unwrap_or("");
        if reason.chars().count() > REASON_CHARS_MAX {
            let detail = format!("`reason` may have {REASON_CHARS_MAX} characters at most.");
            return Err(Problem::new(422, detail));
        }
        let who = self.who(call.user_id.as_deref(), call.connection_id.as_deref())?;
        let act = Act::Disconnect(code.0, reason.into());
        Ok(self.put(&who, |who| Question::Act(who, act), Purpose::Disconnected))
    }

    fn ask_clients(&mut self, call: &Ask<'_>) -> Result<Done, Problem> {
        let who = match (&call.room, &call.user_id, &call.connection_id) {
            (Some(room), None, None) => {
                self.check("room", room)?;
                Who::Room(room.as_str().into())
            }
            (None, user, connection) if user.is_some() != connection.is_some() => {
                self.who(user.as_deref(), connection.as_deref())?
            }
            _ => {
                let detail = "One of `userId`, `connectionId` and `room` is wanted.";
                return Err(Problem::new(422, detail));
            }
        };
        self.check("event", &call.event)?;
        if is_reserved(&call.event) {
            let detail = "`event` is a name that no event of Socket.IO may have.";
            return Err(Problem::new(422, detail));
        }
        let timeout_ms = match call.timeout.map(whole) {
            None => ANSWER_MS,
            Some(Some(timeout_ms @ 1..=CLIENT_ANSWER_MS_MAX)) => timeout_ms,
            Some(_) => {
                let detail =
                    format!("`timeout` is a number of milliseconds, 1 to {CLIENT_ANSWER_MS_MAX}.");
                return Err(Problem::new(422, detail));
            }
        };
        if self.shard.asks.waits_for_too_many_clients() {
            let detail = "Too many calls wait for the answers of clients.";
            return Err(Problem::new(503, detail).with_headers(BUSY));
        }
        let data = call.data.unwrap_or(RawValue::NULL).to_owned();
        let event = call.event.clone();
        let question = |who| {
            Question::Emit(Emit {
                who,
                event,
                data,
                timeout_ms,
            })
        };
        Ok(self.put(&who, question, Purpose::Answered))
    }

    /// Puts a question to every worker and node concerned, to this one too: sessions are acted on between their turns, not within
    /// another's.
    fn put(&mut self, who: &Who, question: impl FnOnce(Who) -> Question, purpose: Purpose) -> Done {
        let workers = self.shard.workers_of(who);
        let whom = match who {
            Who::User(user) => Some(Whom::Group(Kind::User, user)),
            Who::Room(room) => Some(Whom::Group(Kind::Room, room)),
            Who::Connection(_) => None,
            Who::ConnectionAt(node, _) => Some(Whom::Node(*node)),
        };
        let question = question(match who {
            Who::ConnectionAt(_, connection) => Who::Connection(*connection),
            who => who.clone(),
        });
        self.ask(&workers, whom, &question, purpose)
    }

    pub(super) fn ask(
        &mut self,
        workers: &[usize],
        whom: Option<Whom<'_>>,
        question: &Question,
        purpose: Purpose,
    ) -> Done {
        let (connection, claim) = (self.connection, &mut self.claim);
        let asked = self
            .shard
            .ask_all(connection, workers, whom, question, purpose, claim);
        match asked {
            Some(answered) => Done::Now(told(&answered.purpose, &answered.gathered)),
            None => Done::Asked,
        }
    }

    fn who(&self, user: Option<&str>, connection: Option<&str>) -> Result<Who, Problem> {
        match (user, connection) {
            (Some(user), None) => {
                self.check("userId", user)?;
                Ok(Who::User(user.into()))
            }
            (None, Some(connection)) => self
                .connection_of(connection)
                .ok_or_else(|| Problem::new(422, "`connectionId` is not the id of a connection.")),
            _ => Err(Problem::new(
                422,
                "Either `userId` or `connectionId` is wanted.",
            )),
        }
    }

    /// Whom the name of a connection names; `None` for what does not look like one.
    fn connection_of(&self, name: &str) -> Option<Who> {
        let node = name.split_at_checked(NODE_DIGITS).and_then(|(node, rest)| {
            let is_node = node.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
            let rest = rest.strip_prefix('-').filter(|_| is_node)?;
            Some((u64::from_str_radix(node, 16).ok()?, rest))
        });
        match node {
            None => connection_of(name).map(Who::Connection),
            Some((node, rest)) => {
                let connection = connection_of(rest)?;
                let is_here = node == self.shard.node.number();
                Some(if is_here {
                    Who::Connection(connection)
                } else {
                    Who::ConnectionAt(node, connection)
                })
            }
        }
    }

    pub(super) fn check(&self, field: &str, name: &str) -> Result<(), Problem> {
        check_name(name, self.shard.config.name_chars_max).map_err(|problem| {
            if let NameProblem::TooLong(_) = problem {
                let id = self.shard.id(self.connection);
                let tally = &self.shard.node.tally;
                tally.reached(Limit::NameLength, 1, self.now, &id);
            }
            Problem::new(422, problem.told(field))
        })
    }
}

/// A field that may be left out, and is refused where it is null: the document knows of no null, and to those who mean nothing by
/// it and to those who mean something it would have to be the same.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    field: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

/// The number where it is an integer as JSON Schema has it, by its value: 1000.0 is one.
fn whole(number: f64) -> Option<u16> {
    // What is out of range comes out as the bound, which is another number.
    let whole = number as u16;
    (f64::from(whole) == number).then_some(whole)
}

/// The connection that `id` names, [`NOBODY`] where none can have it; `None` for what does not look like an id at all.
fn connection_of(id: &str) -> Option<ConnectionId> {
    let is_number = |text: &str, digits_max| {
        (1..=digits_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (worker, rest) = id.split_once('-')?;
    let (generation, index) = rest.split_once('.')?;
    let looks_like_one = is_number(worker, 5) && is_number(generation, 10) && is_number(index, 10);
    looks_like_one.then(|| id.parse().unwrap_or(NOBODY))
}

/// Reads a body.
pub(super) fn parsed<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::of_body(&error))
}
