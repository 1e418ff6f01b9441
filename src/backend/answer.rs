//! What a back end answers, read and checked: nothing of it is believed before.
//!
//! Fields that are not known are refused, as a slip in a name (`userid`) would otherwise name nobody and say nothing.
//! The names of users and rooms are checked here for what can never be one; how long they may be is a setting, and known above.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::cloudevents::Kind;
use super::failure::Failure;
use crate::limits::{
    CLOSE_REASON_BYTES_MAX, METADATA_BYTES_MAX, ROOMS_PER_ANSWER_MAX, SENDS_PER_ANSWER_MAX,
};
use crate::websocket::close::CloseCode;

/// Bytes of the sentence with which a back end says no; the rest is cut.
const SENTENCE_BYTES_MAX: usize = 300;
/// Bytes of any name; the setting that is known above is lower.
const NAME_BYTES_MAX: usize = 4_096;

/// An answer as it should be.
#[derive(Debug)]
pub enum Answer {
    /// To `connect`: the client may.
    Connect(ConnectAnswer),
    /// To `message`.
    Message(MessageAnswer),
    /// To `disconnect`: the back end has it.
    Delivered,
}

/// What the back end makes of a client that it lets in. 204, or a 200 without a body, is all of it absent.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ConnectAnswer {
    /// Its user.
    pub user_id: Option<String>,
    /// The rooms that it is in from the beginning; at most [`ROOMS_PER_ANSWER_MAX`].
    #[serde(deserialize_with = "list")]
    pub rooms: Vec<String>,
    /// A JSON object of at most [`METADATA_BYTES_MAX`] bytes.
    pub metadata: Option<Box<RawValue>>,
    /// The subprotocol; only one that the client has offered can be agreed.
    pub subprotocol: Option<String>,
}

/// What the back end wants done about a message: in this order. 204, or a 200 without a body, is nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MessageAnswer {
    /// Rooms to join; with those to leave at most [`ROOMS_PER_ANSWER_MAX`].
    #[serde(deserialize_with = "list")]
    pub join: Vec<String>,
    /// Rooms to leave.
    #[serde(deserialize_with = "list")]
    pub leave: Vec<String>,
    /// Messages for the connection, JSON objects; with those to publish at most [`SENDS_PER_ANSWER_MAX`].
    #[serde(deserialize_with = "list")]
    pub send: Vec<Box<RawValue>>,
    /// Messages for rooms.
    #[serde(deserialize_with = "list")]
    pub publish: Vec<Publish>,
    /// Any JSON: what the client gets as the answer to its message, where it wants one.
    pub ack: Option<Box<RawValue>>,
    /// The connection is to be closed then.
    pub close: Option<Close>,
}

/// A message for a room.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Publish {
    /// Whose members get it.
    pub room: String,
    /// What it is called.
    pub event: String,
    /// Anything; `null` where absent.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
    /// Whether the connection that the answer is for gets it too.
    #[serde(default)]
    pub echo: bool,
}

/// How a connection is closed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Close {
    /// 1000, 1008, or 3000 to 4999: what an application may say (RFC 6455 section 7.4).
    #[serde(default = "normal")]
    pub code: u16,
    /// At most 123 bytes.
    #[serde(default)]
    pub reason: String,
}

/// A list; `null`, which is what Go makes of an empty one, is empty.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Vec<T>, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

fn normal() -> u16 {
    CloseCode::NORMAL.0
}

/// What came from the back end, its head read and its body whole, or what is wrong with the body.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    /// The value of `Retry-After`, as it came.
    pub(super) retry_after: Option<String>,
    pub(super) body: Result<Vec<u8>, Failure>,
}

impl Received {
    /// What it says to an event of that kind.
    ///
    /// # Errors
    /// Everything that is no success, or not as it should be.
    pub(super) fn read(self, kind: Kind) -> Result<Answer, Failure> {
        match self.status {
            200..=299 => self.success(kind),
            status @ 300..=399 => Err(Failure::Redirect(status)),
            status @ 400..=499 => Err(Failure::Declined {
                status,
                sentence: self.sentence().into(),
            }),
            status => Err(Failure::Status(status)),
        }
    }

    fn success(self, kind: Kind) -> Result<Answer, Failure> {
        if kind == Kind::Disconnect {
            return Ok(Answer::Delivered);
        }
        let is_json = self.is("application/json");
        let body = self.body?;
        if body.is_empty() {
            return Ok(match kind {
                Kind::Connect => Answer::Connect(ConnectAnswer::default()),
                _ => Answer::Message(MessageAnswer::default()),
            });
        }
        if !is_json {
            return Err(garbage("its Content-Type is not application/json"));
        }
        match kind {
            Kind::Connect => connect(&body).map(Answer::Connect),
            _ => message(&body).map(Answer::Message),
        }
    }

    /// Whether the body is of that media type, whatever its parameters.
    fn is(&self, media_type: &str) -> bool {
        let content_type = self.content_type.as_deref().unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(media_type)
    }

    /// The sentence with which it says no: a plain text, or the `detail` of a problem (RFC 9457), else its `title`.
    fn sentence(&self) -> String {
        #[derive(Deserialize)]
        struct Problem {
            detail: Option<String>,
            title: Option<String>,
        }
        let Ok(body) = &self.body else {
            return String::new();
        };
        if self.is("text/plain") {
            return plain(&String::from_utf8_lossy(body));
        }
        if self.is("application/problem+json")
            && let Ok(problem) = serde_json::from_slice::<Problem>(body)
        {
            return plain(&problem.detail.or(problem.title).unwrap_or_default());
        }
        String::new()
    }
}

/// A text in one line, without control characters, and cut.
fn plain(text: &str) -> String {
    let text: String = text
        .trim()
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control())
        .take(SENTENCE_BYTES_MAX)
        .collect();
    text[..text.floor_char_boundary(SENTENCE_BYTES_MAX)].to_owned()
}

fn garbage(what: &str) -> Failure {
    Failure::Garbage(what.into())
}

fn parse<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| garbage(&plain(&error.to_string())))
}

fn connect(body: &[u8]) -> Result<ConnectAnswer, Failure> {
    let answer: ConnectAnswer = parse(body)?;
    if let Some(user) = &answer.user_id {
        check_name("userId", user)?;
    }
    check_rooms(&[&answer.rooms])?;
    if let Some(metadata) = &answer.metadata {
        check_object("metadata", metadata)?;
        if metadata.get().len() > METADATA_BYTES_MAX {
            return Err(garbage("metadata is too large"));
        }
    }
    if let Some(subprotocol) = &answer.subprotocol {
        check_name("subprotocol", subprotocol)?;
    }
    Ok(answer)
}

fn message(body: &[u8]) -> Result<MessageAnswer, Failure> {
    let answer: MessageAnswer = parse(body)?;
    check_rooms(&[&answer.join, &answer.leave])?;
    if answer.send.len() + answer.publish.len() > SENDS_PER_ANSWER_MAX {
        return Err(garbage("there is too much to send and to publish"));
    }
    for message in &answer.send {
        check_object("send", message)?;
    }
    for publish in &answer.publish {
        check_name("room", &publish.room)?;
        check_name("event", &publish.event)?;
    }
    if let Some(close) = &answer.close {
        let is_allowed = close.code == CloseCode::NORMAL.0
            || close.code == CloseCode::POLICY_VIOLATION.0
            || (3000..=4999).contains(&close.code);
        if !is_allowed {
            return Err(garbage("the code of close is 1000, 1008, or 3000 to 4999"));
        }
        if close.reason.len() > CLOSE_REASON_BYTES_MAX {
            return Err(garbage("the reason of close has 123 bytes at most"));
        }
    }
    Ok(answer)
}

fn check_rooms(lists: &[&[String]]) -> Result<(), Failure> {
    if lists.iter().map(|rooms| rooms.len()).sum::<usize>() > ROOMS_PER_ANSWER_MAX {
        return Err(garbage("there are too many rooms"));
    }
    let mut rooms = lists.iter().flat_map(|rooms| rooms.iter());
    rooms.try_for_each(|room| check_name("room", room))
}

fn check_name(field: &str, name: &str) -> Result<(), Failure> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let what = format!("{field} is empty, too long, or has control characters");
        return Err(garbage(&what));
    }
    Ok(())
}

fn check_object(field: &str, value: &RawValue) -> Result<(), Failure> {
    if !value.get().starts_with('{') {
        return Err(garbage(&format!("{field} is not made of objects")));
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests/answer.rs"]
mod tests;
