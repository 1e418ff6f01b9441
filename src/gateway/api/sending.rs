//! The calls that send messages: to a user, to rooms, to everyone, or many of these at once.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::calls::{Caller, Done, given, parsed};
use super::problem::Problem;
use super::read::tell_missing;
use super::route::Call;
use crate::gateway::ask::{Gathered, Purpose, Sent, SentEntry};
use crate::hub::Kind;

/// Calls in one batch.
const BATCH_CALLS_MAX: usize = 1_000;
/// Rooms in one call.
const ROOMS_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SendToUser<'b> {
    user_id: String,
    #[serde(borrow)]
    message: &'b RawValue,
    #[serde(rename = "type", default, deserialize_with = "given")]
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Message<'b> {
    user_id: String,
    event: String,
    #[serde(borrow)]
    data: Option<&'b RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Publish<'b> {
    #[serde(default, deserialize_with = "given")]
    room: Option<String>,
    #[serde(default, deserialize_with = "given")]
    rooms: Option<Vec<String>>,
    event: String,
    #[serde(borrow)]
    data: Option<&'b RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Broadcast<'b> {
    event: String,
    #[serde(borrow)]
    data: Option<&'b RawValue>,
}

/// A call in a batch, by the name of its path.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Batched<'b> {
    #[serde(borrow)]
    SendToUser(SendToUser<'b>),
    #[serde(borrow)]
    Message(Message<'b>),
    #[serde(borrow)]
    Publish(Publish<'b>),
    #[serde(borrow)]
    Broadcast(Broadcast<'b>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Batch<'b> {
    #[serde(borrow)]
    calls: Vec<Batched<'b>>,
}

/// What has been sent so far.
struct Sending {
    entries: Vec<SentEntry>,
    /// To whom at this node.
    own: Gathered,
    /// What the worker calls the question to whom at others.
    number: Option<u32>,
}

impl Sending {
    /// The message that is being sent went to so many more.
    fn count(&mut self, delivered: u32) {
        self.own.deliver(self.entries.len(), delivered);
    }

    fn sent_to(&mut self, user: Option<&str>) {
        let user = user.map(Box::from);
        self.entries.push(SentEntry::Delivered { user });
    }
}

impl Caller<'_> {
    /// Does one of the calls that send.
    ///
    /// # Errors
    /// What is wrong with the body.
    pub(super) fn send(&mut self, call: &Call, body: &[u8]) -> Result<Done, Problem> {
        let mut sending = Sending {
            entries: Vec::new(),
            own: Gathered::default(),
            number: self.shard.begin_count(self.connection),
        };
        let to = &mut sending;
        let result = match call {
            Call::SendToUser => parsed(body).and_then(|call| self.send_to_user(&call, to)),
            Call::Message => parsed(body).and_then(|call| self.message(&call, to)),
            Call::Publish => parsed(body).and_then(|call| self.publish(&call, to)),
            Call::Broadcast => parsed(body).and_then(|call| self.broadcast(&call, to)),
            _ => parsed(body).and_then(|call| self.batch(&call, to)),
        };
        let Sending {
            entries,
            own,
            number,
        } = sending;
        if let Err(problem) = result {
            // Whatever is wrong with a call is found before anything is sent.
            if let Some(number) = number {
                self.shard.asks.forget(number);
            }
            return Err(problem);
        }
        let is_batch = matches!(call, Call::Batch);
        let sent = Sent { entries, is_batch };
        let Some(number) = number else {
            return Ok(Done::Now(told_sent(&sent, &own)));
        };
        let is_waiting = self.shard.asks.is_waiting(number);
        let claim = self.claim.take_if(|_| is_waiting);
        let asks = &mut self.shard.asks;
        Ok(
            match asks.end_count(number, Purpose::Sent(sent), claim, own) {
                Some(answered) => Done::Now(super::told(&answered.purpose, &answered.gathered)),
                None => Done::Asked,
            },
        )
    }

    fn send_to_user(&mut self, call: &SendToUser<'_>, to: &mut Sending) -> Result<(), Problem> {
        let kind = call.kind.as_deref().unwrap_or("notification");
        self.check("userId", &call.user_id)?;
        self.check("type", kind)?;
        let (user, message) = (&call.user_id, call.message.get());
        let asker = self.shard.asker(to.number, to.entries.len());
        let now = self.now;
        to.count(
            self.shard
                .publish_object(Kind::User, user, None, now, kind, asker, |object| {
                    object.json("message", message)
                }),
        );
        to.sent_to(Some(user));
        Ok(())
    }

    fn message(&mut self, call: &Message<'_>, to: &mut Sending) -> Result<(), Problem> {
        self.check("userId", &call.user_id)?;
        self.check("event", &call.event)?;
        let (user, event, data) = (&call.user_id, &call.event, text(call.data));
        let asker = self.shard.asker(to.number, to.entries.len());
        let now = self.now;
        to.count(self.shard.publish_object(
            Kind::User,
            user,
            None,
            now,
            "message",
            asker,
            |object| object.text("event", event).json("data", data),
        ));
        to.sent_to(Some(user));
        Ok(())
    }

    fn publish(&mut self, call: &Publish<'_>, to: &mut Sending) -> Result<(), Problem> {
        let rooms = match (&call.room, &call.rooms) {
            (Some(room), None) => std::slice::from_ref(room),
            (None, Some(rooms)) => rooms.as_slice(),
            _ => return Err(Problem::new(422, "Either `room` or `rooms` is wanted.")),
        };
        if rooms.len() > ROOMS_MAX {
            let detail = format!("`rooms` may have {ROOMS_MAX} entries at most.");
            return Err(Problem::new(422, detail));
        }
        self.check("event", &call.event)?;
        for room in rooms {
            self.check("room", room)?;
        }
        let (event, data) = (&call.event, text(call.data));
        let asker = self.shard.asker(to.number, to.entries.len());
        let now = self.now;
        for room in rooms {
            to.count(self.shard.publish_object(
                Kind::Room,
                room,
                None,
                now,
                "message",
                asker,
                |object| {
                    object
                        .text("room", room)
                        .text("event", event)
                        .json("data", data)
                },
            ));
        }
        to.sent_to(None);
        Ok(())
    }

    fn broadcast(&mut self, call: &Broadcast<'_>, to: &mut Sending) -> Result<(), Problem> {
        self.check("event", &call.event)?;
        let (event, data) = (&call.event, text(call.data));
        let asker = self.shard.asker(to.number, to.entries.len());
        let now = self.now;
        to.count(self.shard.publish_object(
            Kind::Everyone,
            "",
            None,
            now,
            "broadcast",
            asker,
            |object| object.text("event", event).json("data", data),
        ));
        to.sent_to(None);
        Ok(())
    }

    /// One after the other; one that is refused is told in its place and keeps none of the others from being done.
    fn batch(&mut self, batch: &Batch<'_>, to: &mut Sending) -> Result<(), Problem> {
        if batch.calls.len() > BATCH_CALLS_MAX {
            let detail = format!("`calls` may have {BATCH_CALLS_MAX} entries at most.");
            return Err(Problem::new(422, detail));
        }
        for call in &batch.calls {
            let done = match call {
                Batched::SendToUser(call) => self.send_to_user(call, to),
                Batched::Message(call) => self.message(call, to),
                Batched::Publish(call) => self.publish(call, to),
                Batched::Broadcast(call) => self.broadcast(call, to),
            };
            if let Err(problem) = done {
                to.entries.push(SentEntry::Refused(problem.body()));
            }
        }
        Ok(())
    }
}

/// The answer to a call that sends.
pub(super) fn told_sent(sent: &Sent, gathered: &Gathered) -> Vec<u8> {
    let answer_to = |index: usize, entry: &SentEntry| match entry {
        SentEntry::Delivered { user } => {
            let delivered = gathered.delivered.get(index).copied().unwrap_or(0);
            let mut answer = json!({ "success": true, "delivered": delivered });
            if let Some(user) = user {
                answer["userId"] = Value::from(&**user);
            }
            answer
        }
        SentEntry::Refused(body) => serde_json::from_slice(body).unwrap_or(Value::Null),
    };
    let mut answers = sent.entries.iter().enumerate();
    let mut whole = if sent.is_batch {
        let answers: Vec<_> = answers
            .map(|(index, entry)| answer_to(index, entry))
            .collect();
        json!({ "results": answers })
    } else {
        let answer = answers.next().map(|(index, entry)| answer_to(index, entry));
        answer.unwrap_or(Value::Null)
    };
    tell_missing(gathered, &mut whole);
    whole.to_string().into_bytes()
}

fn text(data: Option<&RawValue>) -> &str {
    data.map_or("null", RawValue::get)
}
