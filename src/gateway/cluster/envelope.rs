//! What nodes say to each other, as bytes. `docs/cluster.md` describes the format.
//!
//! All numbers are big-endian. A node takes no notice of versions and types that it does not know, nor of bytes behind those that
//! it knows: so a node of the next version can run beside one of this.

use crate::hub::Kind;
use crate::websocket::protocol::MessageKind;
use crate::websocket::utf8;

/// The first byte of every envelope.
const VERSION: u8 = 1;
/// The second, of a publication and of an answer to one.
const PUBLICATION: u8 = 1;
const ANSWER: u8 = 2;
/// Of a question, and of the reply to one.
const QUESTION: u8 = 3;
const REPLY: u8 = 4;
/// Of a gap.
const GAP: u8 = 5;
/// Version, type, origin, ticket.
const HEAD_BYTES: usize = 2 + 8 + 8;
/// Kind of the group, kind of the message, length of the name.
const PUBLICATION_HEAD_BYTES: usize = 1 + 1 + 2;

/// Something that a node has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'e> {
    /// The node.
    pub origin: u64,
    /// What the publisher knows its publication by, where it wants an answer from every node that gets it; else 0.
    pub ticket: u64,
    /// What.
    pub content: Content<'e>,
}

/// What it has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'e> {
    /// A message to a group.
    Publication {
        /// Which kind of group.
        to: Kind,
        /// Its name.
        name: &'e str,
        /// Text, which is UTF-8, or binary.
        kind: MessageKind,
        /// What its members get.
        payload: &'e [u8],
    },
    /// To the node that has published with that ticket: so many connections get it here.
    Answer {
        /// The number.
        delivered: u32,
    },
    /// Something that every node that gets it replies to, as JSON.
    Question {
        /// What is asked.
        text: &'e [u8],
    },
    /// The reply, as JSON.
    Reply {
        /// What is told.
        text: &'e [u8],
    },
    /// Publications of the node were lost on the way.
    Gap,
}

impl<'e> Envelope<'e> {
    /// The bytes that say it. Names are limited to 65,535 bytes, which none that clients can give comes near.
    pub fn encode(&self) -> Vec<u8> {
        match self.content {
            Content::Publication {
                to,
                name,
                kind,
                payload,
            } => {
                let more = PUBLICATION_HEAD_BYTES + name.len() + payload.len();
                let mut bytes = self.begin(PUBLICATION, more);
                bytes.push(byte_of(to));
                bytes.push(match kind {
                    MessageKind::Text => 1,
                    MessageKind::Binary => 2,
                });
                let name_len = u16::try_from(name.len()).expect("names and paths are shorter");
                bytes.extend_from_slice(&name_len.to_be_bytes());
                bytes.extend_from_slice(name.as_bytes());
                bytes.extend_from_slice(payload);
                bytes
            }
            Content::Answer { delivered } => {
                let mut bytes = self.begin(ANSWER, 4);
                bytes.extend_from_slice(&delivered.to_be_bytes());
                bytes
            }
            Content::Question { text } => self.json(QUESTION, text),
            Content::Reply { text } => self.json(REPLY, text),
            Content::Gap => self.begin(GAP, 0),
        }
    }

    fn json(&self, kind: u8, text: &[u8]) -> Vec<u8> {
        let mut bytes = self.begin(kind, text.len());
        bytes.extend_from_slice(text);
        bytes
    }

    fn begin(&self, kind: u8, more: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + more);
        bytes.extend_from_slice(&[VERSION, kind]);
        bytes.extend_from_slice(&self.origin.to_be_bytes());
        bytes.extend_from_slice(&self.ticket.to_be_bytes());
        bytes
    }

    /// What `bytes` say; `None` where this version does not know.
    pub fn decode(bytes: &'e [u8]) -> Option<Self> {
        let ([version, kind], rest) = bytes.split_first_chunk()?;
        let (origin, rest) = rest.split_first_chunk()?;
        let (ticket, rest) = rest.split_first_chunk()?;
        let content = match (*version, *kind) {
            (VERSION, PUBLICATION) => Self::publication(rest)?,
            (VERSION, ANSWER) => {
                let (delivered, _) = rest.split_first_chunk()?;
                let delivered = u32::from_be_bytes(*delivered);
                Content::Answer { delivered }
            }
            (VERSION, QUESTION) => Content::Question { text: rest },
            (VERSION, REPLY) => Content::Reply { text: rest },
            (VERSION, GAP) => Content::Gap,
            _ => return None,
        };
        Some(Self {
            origin: u64::from_be_bytes(*origin),
            ticket: u64::from_be_bytes(*ticket),
            content,
        })
    }

    fn publication(bytes: &'e [u8]) -> Option<Content<'e>> {
        let (head, rest) = bytes.split_first_chunk::<PUBLICATION_HEAD_BYTES>()?;
        let [to, kind, name_len @ ..] = head;
        let (name, payload) = rest.split_at_checked(usize::from(u16::from_be_bytes(*name_len)))?;
        Some(Content::Publication {
            to: kind_of(*to)?,
            name: std::str::from_utf8(name).ok()?,
            kind: match kind {
                // Clients would end their connections over anything else.
                1 if utf8::is_valid(payload) => MessageKind::Text,
                2 => MessageKind::Binary,
                _ => return None,
            },
            payload,
        })
    }
}

fn byte_of(kind: Kind) -> u8 {
    match kind {
        Kind::Everyone => 1,
        Kind::Channel => 2,
        Kind::User => 3,
        Kind::Room => 4,
    }
}

fn kind_of(byte: u8) -> Option<Kind> {
    let kinds = [Kind::Everyone, Kind::Channel, Kind::User, Kind::Room];
    kinds.into_iter().find(|kind| byte_of(*kind) == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(name: &'static str, payload: &'static [u8]) -> Envelope<'static> {
        Envelope {
            origin: 0x0102_0304_0506_0708,
            ticket: 9,
            content: Content::Publication {
                to: Kind::Room,
                name,
                kind: MessageKind::Text,
                payload,
            },
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let bytes = publication("ab", b"{}").encode();
        let head = b"\x01\x01\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\0\x09";
        assert_eq!(bytes, [&head[..], b"\x04\x01\0\x02ab{}"].concat());
        assert_eq!(Envelope::decode(&bytes), Some(publication("ab", b"{}")));
        let empty = publication("", b"");
        assert_eq!(Envelope::decode(&empty.encode()), Some(empty));
        let answer = Envelope {
            content: Content::Answer { delivered: 77 },
            ..empty
        };
        let mut bytes = answer.encode();
        assert_eq!(bytes[HEAD_BYTES..], [0, 0, 0, 77]);
        bytes.extend_from_slice(b"of the next version");
        assert_eq!(Envelope::decode(&bytes), Some(answer));
        let text = br#"{"usersIn":"r"}"#;
        for content in [
            Content::Question { text },
            Content::Reply { text },
            Content::Gap,
        ] {
            let envelope = Envelope { content, ..answer };
            assert_eq!(Envelope::decode(&envelope.encode()), Some(envelope));
        }
    }

    #[test]
    fn what_is_not_known_or_not_whole_is_nothing() {
        let good = publication("ab", b"{}").encode();
        for len in 0..good.len() - 2 {
            assert_eq!(Envelope::decode(&good[..len]), None, "{len} bytes");
        }
        let bad_bytes = [
            (0, 2),
            (1, 9),
            (18, 0),
            (18, 5),
            (19, 3),
            (20, 0xff),
            (22, 0xff),
            (24, 0xff),
        ];
        for (at, byte) in bad_bytes {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(Envelope::decode(&bad), None, "byte {at} = {byte}");
        }
    }
}
