//! What goes out to many at the end of a turn, where it is not written straight away: for who is in several groups, and for who
//! reads too slowly.

use super::json::message::Object;
use super::session::GatewaySession;
use super::tally::Limit;
use crate::buffer::Shared;
use crate::hub::{Lossy, Overflow, Round};
use crate::reactor::{Engine, Keep, Transport};
use crate::websocket::frame::encode_header;
use crate::websocket::protocol::MessageKind;

/// One of several rounds of a turn: who is in several of their groups gets everything in one write.
#[inline(never)]
pub(super) fn hold<T: Transport>(engine: &mut Engine<GatewaySession, T>, round: &Round) {
    for run in round.runs() {
        let reached = run.members.iter();
        let reached = reached.filter(|member| engine.hold_shared(member.key, run.frames));
        let sent = reached.count() as u64 * u64::from(run.messages);
        engine.shard().meters.messages_sent.add(sent);
    }
}

/// A round of a room whose messages may be dropped for who reads too slowly. Those are told how many they miss.
#[inline(never)]
pub(super) fn send_lossy<T: Transport>(
    engine: &mut Engine<GatewaySession, T>,
    round: &Round,
    lossy: &Lossy,
) {
    let keep = match lossy.overflow {
        Overflow::Latest => Keep::Newest,
        Overflow::DropOldest | Overflow::Disconnect => Keep::Newer,
    };
    let mut gaps = Gaps::default();
    let mut dropped = 0;
    let mut sent = 0;
    for run in round.runs() {
        for member in run.members {
            let gap = |missed| gaps.frame(&lossy.room, missed);
            if let Some(lost) = engine.send_lossy(member.key, run.frames, lossy.tag, keep, gap) {
                dropped += u64::from(lost);
                sent += u64::from(run.messages);
            }
        }
    }
    let meters = &engine.shard().meters;
    meters.messages_sent.add(sent);
    meters.gaps.add(gaps.told);
    if dropped > 0 {
        let now = engine.now();
        let tally = &engine.shard().node.tally;
        tally.reached(Limit::RoomMessages, dropped, now, &lossy.room);
    }
}

/// Frames that tell of messages that somebody misses.
#[derive(Debug, Default)]
struct Gaps {
    /// The last one: many who read too slowly miss the same.
    last: Option<(u32, Shared)>,
    /// How many there were.
    told: u64,
}

impl Gaps {
    fn frame(&mut self, room: &str, missed: u32) -> Shared {
        self.told += 1;
        match &self.last {
            Some((of, frame)) if *of == missed => Shared::clone(frame),
            _ => {
                let frame = gap(room, missed);
                self.last = Some((missed, Shared::clone(&frame)));
                frame
            }
        }
    }
}

fn gap(room: &str, missed: u32) -> Shared {
    let mut text = Vec::new();
    Object::new(&mut text, "gap")
        .text("room", room)
        .number("missed", u64::from(missed))
        .end();
    let opcode = MessageKind::Text.opcode();
    let header = encode_header(opcode, true, false, text.len() as u64, None);
    [header.as_slice(), &text].concat().into()
}
