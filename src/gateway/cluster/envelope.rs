//! What nodes say to each other, as bytes. `docs/cluster.md` describes the format.
//!
//! All numbers are big-endian. A node takes no notice of versions and types that it does not know, nor of bytes behind those that
//! it knows: so a node of the next version can run beside one of this.

use crate::hub::Kind;
use crate::socketio::recovery::{Origin, PublicationId};
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
/// Of a publication that clients who come back may be told of.
const KNOWN: u8 = 6;
/// Version, type, origin, ticket.
const HEAD_BYTES: usize = 2 + 8 + 8;
/// So much of what is known says what it is known by.
pub const KNOWN_BYTES: usize = HEAD_BYTES + 2 + 8;
/// Kind of the group, kind of the message, length of the name.
const PUBLICATION_HEAD_BYTES: usize = 1 + 1 + 2;
/// Worker, number, length of the socket.
const KNOWN_HEAD_BYTES: usize = 2 + 8 + 1;

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
        /// What it is known by, where clients who come back may be told of it.
        known: Option<Known<'e>>,
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

/// What a publication is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known<'e> {
    /// The worker of the node that has published it.
    pub worker: u16,
    /// Its number there.
    pub sequence: u64,
    /// The name of the Socket.IO client that is not to hear it; empty where there is none.
    pub except: &'e str,
}

impl<'e> Known<'e> {
    /// The same without the client, of a publication of `node`.
    pub fn id(&self, node: u64) -> PublicationId {
        let worker = self.worker;
        PublicationId {
            origin: Origin { node, worker },
            sequence: self.sequence,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.worker.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        let except_len = u8::try_from(self.except.len()).expect("names of sockets are shorter");
        out.push(except_len);
        out.extend_from_slice(self.except.as_bytes());
    }

    fn decode(bytes: &'e [u8]) -> Option<(Self, &'e [u8])> {
        let (&worker, rest) = bytes.split_first_chunk()?;
        let (&sequence, rest) = rest.split_first_chunk()?;
        let (&except_len, rest) = rest.split_first()?;
        let (except, rest) = rest.split_at_checked(usize::from(except_len))?;
        let known = Self {
            worker: u16::from_be_bytes(worker),
            sequence: u64::from_be_bytes(sequence),
            except: std::str::from_utf8(except).ok()?,
        };
        (known.sequence > 0).then_some((known, rest))
    }
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
                known,
            } => {
                let more = PUBLICATION_HEAD_BYTES + name.len() + payload.len();
                let mut bytes = match known {
                    Some(known) => {
                        let more = KNOWN_HEAD_BYTES + known.except.len() + more;
                        let mut bytes = self.begin(KNOWN, more);
                        known.encode(&mut bytes);
                        bytes
                    }
                    None => self.begin(PUBLICATION, more),
                };
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
            (VERSION, PUBLICATION) => Self::publication(rest, None)?,
            (VERSION, KNOWN) => {
                let (known, rest) = Known::decode(rest)?;
                Self::publication(rest, Some(known))?
            }
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

    /// What the publication is known by that begins with `bytes`, of which no more than [`KNOWN_BYTES`] need be there.
    pub fn known_by(bytes: &[u8]) -> Option<PublicationId> {
        let ([VERSION, KNOWN], rest) = bytes.split_first_chunk()? else {
            return None;
        };
        let (&node, rest) = rest.split_first_chunk()?;
        let (_ticket, rest) = rest.split_first_chunk::<8>()?;
        let (&worker, rest) = rest.split_first_chunk()?;
        let (&sequence, _) = rest.split_first_chunk()?;
        let worker = u16::from_be_bytes(worker);
        Some(PublicationId {
            origin: Origin {
                node: u64::from_be_bytes(node),
                worker,
            },
            sequence: u64::from_be_bytes(sequence),
        })
    }

    fn publication(bytes: &'e [u8], known: Option<Known<'e>>) -> Option<Content<'e>> {
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
            known,
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
                known: None,
            },
        }
    }

    fn known(except: &'static str) -> Envelope<'static> {
        let mut envelope = publication("ab", b"{}");
        if let Content::Publication { known, .. } = &mut envelope.content {
            *known = Some(Known {
                worker: 3,
                sequence: 0x0a0b,
                except,
            });
        }
        envelope
    }

    #[test]
    fn a_publication_that_is_known_has_its_number_before_it() {
        let bytes = known("sid").encode();
        let head = b"\x01\x06\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\0\x09";
        let more = b"\0\x03\0\0\0\0\0\0\x0a\x0b\x03sid\x04\x01\0\x02ab{}";
        assert_eq!(bytes, [&head[..], more].concat());
        for good in [known("sid"), known("")] {
            assert_eq!(Envelope::decode(&good.encode()), Some(good));
        }
        for len in 0..bytes.len() - 2 {
            assert_eq!(Envelope::decode(&bytes[..len]), None, "{len} bytes");
        }
        let id = PublicationId {
            origin: Origin {
                node: 0x0102_0304_0506_0708,
                worker: 3,
            },
            sequence: 0x0a0b,
        };
        assert_eq!(Envelope::known_by(&bytes[..KNOWN_BYTES]), Some(id));
        assert_eq!(Envelope::known_by(&bytes[..KNOWN_BYTES - 1]), None);
        for (at, byte) in [(28, 0xff), (29, 0xff)] {
            let mut bad = bytes.clone();
            bad[at] = byte;
            assert_eq!(Envelope::decode(&bad), None, "byte {at} = {byte}");
        }
        let mut zero = bytes.clone();
        zero[20..28].fill(0);
        assert_eq!(Envelope::decode(&zero), None, "numbers begin at one");
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
