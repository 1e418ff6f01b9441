//! Events of clients, and what is answered: what the gateway protocol does, by the same names, and `send_message`.

use smallvec::SmallVec;

use super::messages::Outbox;
use super::recovery;
use super::session::Session;
use super::{behind, conformance};
use crate::gateway::ask::Gathered;
use crate::gateway::json::{JsonEndpoint, Refusal, Surroundings, parse_event, write_refusal};
use crate::gateway::shard::Shard;
use crate::id::ConnKey;
use crate::reactor::Tick;
use crate::socketio::packet::{Event, MAIN_NAMESPACE, put_ack_of, put_event_of};
use crate::socketio::socket::Assembled;

/// How an answer begins that is an object of the gateway protocol, and how its `id` does.
const TYPE: &str = "{\"type\":\"";
const ID: &str = "\"id\":";
/// Bytes of an id with a namespace that take no allocation.
const ID_BYTES: usize = 48;
/// Events after which a client may have another user, or other rooms.
const GROUP_EVENTS: [&str; 4] = ["register", "auth", "join", "leave"];

/// An event; the answer, if any, is added to `out`.
#[expect(clippy::too_many_arguments, reason = "all that an event is")]
pub(super) fn on_event(
    session: &mut Session,
    key: ConnKey,
    shard: &mut Shard,
    now: Tick,
    namespace: &str,
    event: &Event<'_>,
    assembled: Option<&Assembled>,
    out: &mut Outbox,
) {
    if shard.config.socketio.is_conformance && conformance::answer(namespace, event, assembled, out)
    {
        return;
    }
    if assembled.is_none() && behind::is_foreign(event, shard) {
        return behind::ask_about_event(session, key, shard, namespace, event, out);
    }
    // What is asked for is known to the gateway by an id. This one says where the answer goes.
    let id = event.id.map(|id| id_of(id, namespace));
    let id = id.as_deref().and_then(|id| str::from_utf8(id).ok());
    let mut said = shard.take_reply();
    let request = if assembled.is_some() {
        Err(Refusal::Binary)
    } else {
        parse_event(&event.name, event.args, shard.config.name_chars_max)
    };
    match &mut session.json {
        Some(json) => {
            let surroundings = Surroundings {
                connection: shard.id(key),
                now,
                bearer: &mut session.bearer,
            };
            json.on_request(id, request, surroundings, shard, &mut said);
            if GROUP_EVENTS.contains(&&*event.name) {
                recovery::refresh(session, key, shard);
            }
            // It may be another than before.
            if let Some(bearer) = session.bearer.take() {
                let at = shard.moment();
                session.show(bearer, at, now);
            }
        }
        None => write_refusal(&Refusal::NotRegistered, id, &mut said),
    }
    answer(&said, out);
    shard.give_reply(said);
}

/// What the gateway knows an event by that wants an answer: its id, and where it came.
fn id_of(id: u64, namespace: &str) -> SmallVec<[u8; ID_BYTES]> {
    let mut text = SmallVec::new();
    text.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
    text.extend_from_slice(namespace.as_bytes());
    text
}

/// Tells what went wrong without having been asked.
pub(super) fn refused(refusal: &Refusal, out: &mut Outbox) {
    let mut said = Vec::new();
    write_refusal(refusal, None, &mut said);
    answer(&said, out);
}

/// Adds what the gateway protocol would say as Socket.IO says it: the answer to an event that wanted one, an event of its own
/// where none was wanted. What went wrong stands under `error` in an answer.
pub(super) fn answer(said: &[u8], out: &mut Outbox) {
    let Some(Said {
        kind,
        asked,
        fields,
    }) = str::from_utf8(said).ok().and_then(Said::read)
    else {
        return;
    };
    match asked {
        Some((id, namespace)) => out.text(|to| {
            let (before, behind) = match kind {
                "error" => ("{\"error\":{", "}}"),
                _ => ("{", "}"),
            };
            put_ack_of(namespace, id, &[before, fields, behind], to);
        }),
        None => out.text(|to| {
            put_event_of(MAIN_NAMESPACE, kind, &["{", fields, "}"], to);
        }),
    }
}

/// An object of the gateway protocol, as this server writes them: `type` first, then `id`.
#[derive(Debug, PartialEq, Eq)]
struct Said<'s> {
    kind: &'s str,
    /// Which event wanted it, in which namespace.
    asked: Option<(u64, &'s str)>,
    /// All but those two.
    fields: &'s str,
}

impl<'s> Said<'s> {
    fn read(text: &'s str) -> Option<Self> {
        let (kind, rest) = text.strip_prefix(TYPE)?.split_once('"')?;
        let rest = rest.strip_suffix('}')?;
        let rest = rest.strip_prefix(',').unwrap_or(rest);
        let Some(behind) = rest.strip_prefix(ID) else {
            let fields = rest;
            return Some(Self {
                kind,
                asked: None,
                fields,
            });
        };
        // No namespace that a client is in has a comma.
        let (id, fields) = behind.split_once(',').unwrap_or((behind, ""));
        let end = id.find('/')?;
        let (id, namespace) = id.split_at(end);
        let asked = Some((id.parse().ok()?, namespace));
        Some(Self {
            kind,
            asked,
            fields,
        })
    }
}

/// Tells who is in a room, once it is known.
pub(super) fn presence(room: &str, id: Option<&str>, gathered: &Gathered, out: &mut Outbox) {
    let mut said = Vec::new();
    JsonEndpoint::tell_presence(room, id, gathered, &mut said);
    answer(&said, out);
}

/// Tells to how many connections a message goes, once it is known.
pub(super) fn delivered(id: &str, gathered: &Gathered, out: &mut Outbox) {
    let mut said = Vec::new();
    JsonEndpoint::acknowledge(Some(id), gathered, &mut said);
    answer(&said, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_says_is_taken_apart() {
        let cases = [
            (
                r#"{"type":"ack","id":12/,"delivered":1}"#,
                ("ack", Some((12, "/")), r#""delivered":1"#),
            ),
            (
                r#"{"type":"ack","id":0/a/b,"room":"x,y"}"#,
                ("ack", Some((0, "/a/b")), r#""room":"x,y""#),
            ),
            (r#"{"type":"ack","id":7/}"#, ("ack", Some((7, "/")), "")),
            (
                r#"{"type":"registered","userId":"a","connectionId":"0-1.2"}"#,
                ("registered", None, r#""userId":"a","connectionId":"0-1.2""#),
            ),
        ];
        for (text, (kind, asked, fields)) in cases {
            let expected = Said {
                kind,
                asked,
                fields,
            };
            assert_eq!(Said::read(text), Some(expected));
        }
        assert_eq!(Said::read(""), None);
    }
}
