//! What the back end answers, held against the settings and done: the same for every protocol.

use crate::backend::{Answer, ConnectAnswer, Failure, MessageAnswer, Publish, Refused};
use crate::gateway::config::GatewayConfig;
use crate::gateway::json::{JsonEndpoint, Refusal};
use crate::gateway::name::{NameProblem, check_name};
use crate::gateway::shard::Shard;
use crate::hub::{Kind, PeerId};
use crate::id::ConnKey;
use crate::reactor::Tick;

fn told(field: &'static str) -> impl Fn(NameProblem) -> String {
    move |problem| problem.told(field)
}

/// Whether a client whose token names `shown` can be the user that the answer names.
pub(in crate::gateway) fn check_user(
    answer: &ConnectAnswer,
    shown: Option<&str>,
    config: &GatewayConfig,
) -> Result<(), String> {
    let Some(user) = &answer.user_id else {
        return Ok(());
    };
    check_name(user, config.name_chars_max).map_err(told("userId"))?;
    if shown.is_some_and(|shown| shown != user) {
        return Err("the token of the client names another user".to_owned());
    }
    Ok(())
}

/// Whether the answer can be followed, but for its subprotocol.
pub(in crate::gateway) fn check_connect(
    answer: &ConnectAnswer,
    shown: Option<&str>,
    config: &GatewayConfig,
) -> Result<(), String> {
    check_user(answer, shown, config)?;
    for room in &answer.rooms {
        check_name(room, config.name_chars_max).map_err(told("rooms"))?;
    }
    let rooms_max = config.rooms_per_connection_max;
    if answer.rooms.len() > rooms_max {
        return Err(format!("a connection may be in {rooms_max} rooms at most"));
    }
    Ok(())
}

/// Whether all names in an answer are ones.
fn check_message(answer: &MessageAnswer, config: &GatewayConfig) -> Result<(), String> {
    let published = answer.publish.iter();
    let rooms = published.clone().map(|publish| ("room", &publish.room));
    let events = published.map(|publish| ("event", &publish.event));
    let named = answer.join.iter().map(|room| ("join", room));
    let mut names = rooms.chain(events).chain(named);
    names.try_for_each(|(field, name)| check_name(name, config.name_chars_max).map_err(told(field)))
}

/// The answer to a message, or what the client is told instead.
pub(in crate::gateway) fn judge(
    answer: Result<Answer, Failure>,
    config: &GatewayConfig,
) -> Result<MessageAnswer, Refusal> {
    match answer {
        Ok(Answer::Message(answer)) => match check_message(&answer, config) {
            Ok(()) => Ok(answer),
            Err(problem) => {
                log::warn!("the answer of the back end is no good: {problem}");
                Err(Refusal::Failed)
            }
        },
        Ok(_) => Err(Refusal::Failed),
        Err(failure) => {
            log::debug!("a message is not answered: {failure}");
            Err(failure.into())
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Declined { sentence, .. } => Self::Declined(sentence),
            Failure::Away | Failure::Stopped | Failure::Unreachable(_) => Self::Away,
            Failure::Dropped | Failure::Expired => Self::Busy,
            Failure::Status(_)
            | Failure::Redirect(_)
            | Failure::Lost
            | Failure::TimedOut
            | Failure::TooLarge
            | Failure::Garbage(_) => Self::Failed,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full | Refused::KeyFull => Self::Busy,
            Refused::Away | Refused::Stopped => Self::Away,
        }
    }
}

/// Joins rooms that the back end wants a connection in.
pub(in crate::gateway) fn join(
    endpoint: &JsonEndpoint,
    rooms: &[String],
    key: ConnKey,
    shard: &mut Shard,
    now: Tick,
) {
    for room in rooms {
        if let Err(refusal) = endpoint.join(room, shard) {
            let id = shard.id(key);
            log::warn!(room = room.as_str(); "{id} is not where the back end wants it: {refusal}");
            if let Some(limit) = refusal.limit() {
                shard.node.tally.reached(limit, 1, now, &id);
            }
        }
    }
}

/// Leaves rooms that the back end wants a connection out of.
pub(in crate::gateway) fn leave(peer: PeerId, rooms: &[String], shard: &mut Shard) {
    for room in rooms {
        shard.hub.leave(peer, Kind::Room, room);
    }
}

/// Publishes what the back end has said for rooms; `own` is the peer of the connection that it answers, if that has one.
pub(in crate::gateway) fn publish(
    messages: &[Publish],
    own: Option<PeerId>,
    shard: &mut Shard,
    now: Tick,
) {
    for Publish {
        room,
        event,
        data,
        echo,
    } in messages
    {
        let except = own.filter(|_| !echo);
        let data = data.as_ref().map_or("null", |data| data.get());
        shard.publish_object(Kind::Room, room, except, now, "message", None, |object| {
            object
                .text("room", room)
                .text("event", event)
                .json("data", data)
        });
    }
}
