//! What the protocol's own test suite wants to hear, where the settings have it answered.

use super::messages::Outbox;
use super::session::{Session, Upper};
use crate::socketio::Moment;
use crate::socketio::packet::{Event, put_ack, put_event};
use crate::socketio::socket::Assembled;

/// The namespace that it asks for besides the main one.
pub(super) const NAMESPACE: &str = "/custom";
/// Time from the answer to a `connect` to the event that tells what it was shown. The suite hears only one of two messages that arrive in
/// one piece.
const GREETING_DELAY_MS: u32 = 30;

/// What clients have shown and are to be told.
#[derive(Debug)]
pub(super) struct Greetings {
    at: Moment,
    /// Namespaces, each with a JSON object.
    shown: Vec<(Box<str>, Box<str>)>,
}

impl Session {
    /// The client was let in, and showed `auth`.
    pub(super) fn greet_later(&mut self, namespace: &str, auth: &str, at: Moment) {
        let at = at.after(GREETING_DELAY_MS);
        let shown = Vec::new();
        let greetings = self
            .greetings
            .get_or_insert_with(|| Box::new(Greetings { at, shown }));
        greetings.shown.push((namespace.into(), auth.into()));
    }

    /// When it is to be told what it showed.
    pub(super) fn greets_at(&self) -> Option<Moment> {
        self.greetings.as_ref().map(|greetings| greetings.at)
    }

    /// Adds what is due to `out`.
    pub(super) fn greet(&mut self, at: Moment, out: &mut Outbox) {
        let is_due = |greetings: &mut Box<Greetings>| greetings.at.is_reached(at);
        let (Some(greetings), Upper::Sockets(sockets)) =
            (self.greetings.take_if(is_due), &self.upper)
        else {
            return;
        };
        for (namespace, auth) in greetings.shown {
            if sockets.is_connected(&namespace) {
                out.text(|to| put_event(&namespace, None, "auth", &auth, None, to));
            }
        }
    }
}

/// Answers an event of the suite; whether it was one.
pub(super) fn answer(
    namespace: &str,
    event: &Event<'_>,
    assembled: Option<&Assembled>,
    out: &mut Outbox,
) -> bool {
    let Event {
        args, attachments, ..
    } = *event;
    match (&*event.name, event.id) {
        ("message", _) => {
            out.text(|to| put_event(namespace, None, "message-back", args, attachments, to));
        }
        ("message-with-ack", Some(id)) => {
            out.text(|to| put_ack(namespace, id, args, attachments, to));
        }
        _ => return false,
    }
    for attachment in assembled.into_iter().flat_map(Assembled::attachments) {
        out.binary(attachment);
    }
    true
}
