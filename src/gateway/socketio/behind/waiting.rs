//! Messages that came before the back end has said whether their client may be where they are for. They wait in their order, and not many:
//! clients say nothing in a namespace before they are let in.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::socketio::engine::packet::Message;
use crate::socketio::packet::{Body, Packet};

/// Messages of one session that wait; bytes of them are bounded by the caller.
const HELD_MAX: usize = 64;

/// Which namespaces a client asks for, and what it has said there already.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    asking: SmallVec<[Asking; 1]>,
    held: Vec<Held>,
    held_bytes: usize,
    /// Attachments of the last text that waits, which wait too.
    attachments: u8,
}

/// A namespace that the back end is asked about.
#[derive(Debug)]
struct Asking {
    namespace: Box<str>,
    stay: u16,
    /// What the client has shown; JSON.
    shown: Box<str>,
}

/// A message that waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    Text(Box<str>),
    Binary(Box<[u8]>),
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It need not wait.
    Not,
    Held,
    /// It would have to, and may not.
    TooMuch,
}

impl Held {
    pub(super) fn message(&self) -> Message<'_> {
        match self {
            Self::Text(text) => Message::Text(text),
            Self::Binary(bytes) => Message::Binary(Cow::Borrowed(bytes)),
        }
    }
}

impl Waiting {
    /// The back end is asked about a namespace.
    pub(super) fn begin(&mut self, namespace: &str, stay: u16, shown: &str) {
        self.asking.push(Asking {
            namespace: namespace.into(),
            stay,
            shown: shown.into(),
        });
    }

    /// It has answered: what the client had shown.
    pub(super) fn end(&mut self, namespace: &str, stay: u16) -> Option<Box<str>> {
        let mut asking = self.asking.iter();
        let is_it = |one: &Asking| &*one.namespace == namespace && one.stay == stay;
        let index = asking.position(is_it)?;
        Some(self.asking.remove(index).shown)
    }

    /// Takes a message, where it has to wait: of all that wait `bytes_max` bytes at most.
    pub(super) fn take(&mut self, message: &Message<'_>, bytes_max: usize) -> Taken {
        if self.asking.is_empty() {
            return Taken::Not;
        }
        let bytes = match message {
            Message::Text(text) => {
                let Some(attachments) = self.attachments_of(text) else {
                    return Taken::Not;
                };
                self.attachments = attachments;
                text.len()
            }
            Message::Binary(_) if self.attachments == 0 => return Taken::Not,
            Message::Binary(bytes) => {
                self.attachments -= 1;
                bytes.len()
            }
        };
        if self.held.len() >= HELD_MAX || self.held_bytes + bytes > bytes_max {
            return Taken::TooMuch;
        }
        self.held_bytes += bytes;
        self.held.push(match message {
            Message::Text(text) => Held::Text((*text).into()),
            Message::Binary(bytes) => Held::Binary(bytes.as_ref().into()),
        });
        Taken::Held
    }

    /// How many attachments come behind a text that has to wait; `None` where it has not.
    fn attachments_of(&self, text: &str) -> Option<u8> {
        // What is no packet is found out by whoever reads it next.
        let packet = Packet::decode(text).ok()?;
        let mut asking = self.asking.iter();
        asking.find(|asking| *asking.namespace == *packet.namespace)?;
        Some(match packet.body {
            Body::Event(event) => event.attachments.unwrap_or_default(),
            Body::Ack(ack) => ack.attachments.unwrap_or_default(),
            Body::Connect { .. } | Body::Disconnect | Body::ConnectError { .. } => 0,
        })
    }

    /// Everything that waits, in its order, to be brought again: some of it may have to wait for another answer.
    pub(super) fn release(&mut self) -> Vec<Held> {
        self.held_bytes = 0;
        self.attachments = 0;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 100;

    fn take(waiting: &mut Waiting, text: &str) -> Taken {
        waiting.take(&Message::Text(text), BYTES_MAX)
    }

    fn texts(held: &[Held]) -> Vec<&str> {
        let all = held.iter().map(|held| match held {
            Held::Text(text) => &**text,
            Held::Binary(_) => "binary",
        });
        all.collect()
    }

    #[test]
    fn what_is_for_a_namespace_that_is_asked_about_waits_and_nothing_else() {
        let mut waiting = Waiting::default();
        assert_eq!(take(&mut waiting, r#"2["a"]"#), Taken::Not);
        waiting.begin("/", 0, "{}");
        waiting.begin("/x", 1, r#"{"a":1}"#);
        for (text, taken) in [
            (r#"2["a"]"#, Taken::Held),
            (r#"2/y,["b"]"#, Taken::Not),
            (r#"2/x,["c"]"#, Taken::Held),
            ("1", Taken::Held),
            ("1/y", Taken::Not),
            ("nonsense", Taken::Not),
            ("0/z,", Taken::Not),
        ] {
            assert_eq!(take(&mut waiting, text), taken, "{text}");
        }
        assert_eq!(waiting.end("/", 1), None);
        assert_eq!(waiting.end("/", 0).as_deref(), Some("{}"));
        assert_eq!(
            texts(&waiting.release()),
            [r#"2["a"]"#, r#"2/x,["c"]"#, "1"]
        );
        // Some of it waits again.
        assert_eq!(take(&mut waiting, r#"2["a"]"#), Taken::Not);
        assert_eq!(take(&mut waiting, r#"2/x,["c"]"#), Taken::Held);
        assert_eq!(waiting.end("/x", 1).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(texts(&waiting.release()), [r#"2/x,["c"]"#]);
        assert!(waiting.release().is_empty());
    }

    #[test]
    fn attachments_wait_with_their_packet() {
        let mut waiting = Waiting::default();
        waiting.begin("/", 0, "{}");
        let binary = Message::Binary(Cow::Borrowed(b"b"));
        assert_eq!(waiting.take(&binary, BYTES_MAX), Taken::Not);
        let packet = r#"51-["a",{"_placeholder":true,"num":0}]"#;
        assert_eq!(take(&mut waiting, packet), Taken::Held);
        assert_eq!(waiting.take(&binary, BYTES_MAX), Taken::Held);
        assert_eq!(waiting.take(&binary, BYTES_MAX), Taken::Not);
        assert_eq!(texts(&waiting.release()), [packet, "binary"]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut waiting = Waiting::default();
        waiting.begin("/", 0, "{}");
        let long = format!("2[\"{}\"]", "a".repeat(BYTES_MAX / 2));
        assert_eq!(take(&mut waiting, &long), Taken::Held);
        assert_eq!(take(&mut waiting, &long), Taken::TooMuch);
        waiting.release();
        for _ in 0..HELD_MAX {
            assert_eq!(waiting.take(&Message::Text("1"), BYTES_MAX), Taken::Held);
        }
        assert_eq!(take(&mut waiting, "1"), Taken::TooMuch);
    }
}
