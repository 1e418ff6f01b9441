//! Publications to sessions: written to the WebSocket that carries one, kept for its next request where none does.

use crate::buffer::Shared;
use crate::gateway::session::GatewaySession;
use crate::gateway::shard::Shard;
use crate::hub::Run;
use crate::id::ConnKey;
use crate::reactor::{Engine, Keep, Tag, Transport};
use crate::socketio::engine::packet::MESSAGE;
use crate::socketio::packet::put_event;
use crate::websocket::frame::encode_header;
use crate::websocket::protocol::MessageKind;

use super::deflated::{Direct, Forms};
use super::recovery;
use super::sessions::{is_session, with};

/// The part of a frame's first byte that tells what it carries (RFC 6455 section 5.2).
const OPCODE: u8 = 0x0f;

/// Sends to the members of a run what is for them; `is_held` where more may follow in this turn.
pub(in crate::gateway) fn deliver<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    run: &Run<'_>,
    is_held: bool,
) {
    let mut reached = 0;
    let mut forms = Forms::new(run.frames);
    for member in run.members {
        let is_reached = match Direct::of(engine.shard(), member.key) {
            _ if recovery::is_special(engine.shard(), member.key) => {
                recovery::deliver(engine.shard(), member.key, run.frames)
            }
            Some(direct) => {
                let frames = forms.for_whom(&direct, engine.shard());
                if is_held {
                    engine.hold_shared(direct.connection, frames)
                } else {
                    engine.send_shared(direct.connection, frames)
                }
            }
            None => keep(engine.shard(), member.key, run.frames),
        };
        reached += u64::from(is_reached);
    }
    let sent = reached * u64::from(run.messages);
    engine.shard().meters.messages_sent.add(sent);
}

/// The same for a room whose messages may be dropped for who reads too slowly; gives how many were, for all of them.
pub(in crate::gateway) fn deliver_lossy<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    run: &Run<'_>,
    tag: Tag,
    keep_which: Keep,
    mut gap: impl FnMut(u32) -> Shared,
) -> u64 {
    let mut dropped = 0;
    let mut sent = 0;
    let mut forms = Forms::new(run.frames);
    for member in run.members {
        let lost = match Direct::of(engine.shard(), member.key) {
            _ if recovery::is_special(engine.shard(), member.key) => {
                recovery::deliver(engine.shard(), member.key, run.frames).then_some(0)
            }
            Some(direct) => {
                let frames = forms.for_whom(&direct, engine.shard());
                engine.send_lossy(direct.connection, frames, tag, keep_which, &mut gap)
            }
            None => keep(engine.shard(), member.key, run.frames).then_some(0),
        };
        if let Some(lost) = lost {
            dropped += u64::from(lost);
            sent += u64::from(run.messages);
        }
    }
    engine.shard().meters.messages_sent.add(sent);
    dropped
}

/// The connection that may be written to at once.
pub(super) fn websocket_of(shard: &Shard, key: ConnKey) -> Option<ConnKey> {
    Some(Direct::of(shard, key)?.connection)
}

/// Sends frames to a connection or a session, at the end of the turn; whether it was there.
pub(super) fn send<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    key: ConnKey,
    frames: Shared,
) -> bool {
    let connection = if is_session(key) {
        websocket_of(engine.shard(), key)
    } else {
        Some(key)
    };
    match connection {
        Some(connection) => engine.hold_shared(connection, &[frames]),
        None => keep(engine.shard(), key, &[frames]),
    }
}

/// Keeps messages for the next request, or for the WebSocket that takes over.
pub(super) fn keep(shard: &mut Shard, key: ConnKey, frames: &[Shared]) -> bool {
    let kept = with(shard, key, |session, shard| {
        let config = &shard.config.socketio.engine;
        let mut messages = frames.iter().flat_map(|piece| Messages(piece));
        messages.all(|(kind, message)| {
            let sent = match kind {
                MessageKind::Text => session.engine.send_text(&message[1..], config),
                MessageKind::Binary => session.engine.send_binary(message, config),
            };
            sent.is_ok()
        })
    });
    kept.unwrap_or(false)
}

/// The messages in frames one behind the other, which this server has written: whole, plain, unmasked.
pub(super) struct Messages<'f>(pub(super) &'f [u8]);

impl<'f> Iterator for Messages<'f> {
    type Item = (MessageKind, &'f [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[first, short], rest) = self.0.split_first_chunk()?;
        let (len, rest) = match short {
            126 => {
                let (&len, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(len)), rest)
            }
            127 => {
                let (&len, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(len) as usize, rest)
            }
            short => (usize::from(short), rest),
        };
        let (message, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        let is_text = first & OPCODE == MessageKind::Text.opcode() as u8;
        let kind = if is_text {
            MessageKind::Text
        } else {
            MessageKind::Binary
        };
        Some((kind, message))
    }
}

/// A text as the frame that carries it.
pub(in crate::gateway) fn frame_of(text: &[u8]) -> Shared {
    let mut frame = Vec::new();
    put_frame(MessageKind::Text, text, &mut frame);
    frame.into()
}

/// The frames of an event and its attachments; with an id it is to be answered. `args` as [`put_event`] takes them.
pub(super) fn frames_of<A: AsRef<[u8]>>(
    namespace: &str,
    id: Option<u64>,
    name: &str,
    args: &str,
    attachments: &[A],
) -> Vec<u8> {
    let binary = (!attachments.is_empty()).then_some(attachments.len() as u8);
    let mut packet = vec![MESSAGE];
    put_event(namespace, id, name, args, binary, &mut packet);
    let mut frames = Vec::new();
    put_frame(MessageKind::Text, &packet, &mut frames);
    for bytes in attachments {
        put_frame(MessageKind::Binary, bytes.as_ref(), &mut frames);
    }
    frames
}

/// Appends a message in the frame that carries it.
pub(super) fn put_frame(kind: MessageKind, message: &[u8], out: &mut Vec<u8>) {
    let header = encode_header(kind.opcode(), true, false, message.len() as u64, None);
    out.extend_from_slice(header.as_slice());
    out.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_follow_their_event_in_frames_of_their_own() {
        let args = r#"{"_placeholder":true,"num":0}"#;
        let packet = r#"451-/a,7["e",{"_placeholder":true,"num":0}]"#;
        let mut expected = vec![0x81, packet.len() as u8];
        expected.extend_from_slice(packet.as_bytes());
        expected.extend_from_slice(&[0x82, 1, 1]);
        let frames = frames_of("/a", Some(7), "e", args, &[b"\x01"]);
        assert_eq!(frames, expected);
    }

    #[test]
    fn frames_are_taken_apart_as_they_were_put_together() {
        let lengths = [1, 125, 126, 65_535, 65_536].into_iter();
        let kinds = [MessageKind::Text, MessageKind::Binary];
        let messages: Vec<_> = lengths
            .zip(kinds.into_iter().cycle())
            .map(|(len, kind)| (kind, vec![b'4'; len]))
            .collect();
        let mut together = Vec::new();
        for (kind, message) in &messages {
            put_frame(*kind, message, &mut together);
        }
        let found: Vec<_> = Messages(&together)
            .map(|(kind, message)| (kind, message.to_vec()))
            .collect();
        assert_eq!(found, messages);
        assert_eq!(Messages(&[]).count(), 0);
    }
}
