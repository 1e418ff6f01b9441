//! What goes out to many at the end of a turn, where it is not written straight away: for who is in several groups, and for who
//! reads too slowly.

use super::json::message::Object;
use super::session::GatewaySession;
use super::socketio;
use super::tally::Limit;
use crate::buffer::Shared;
use crate::hub::{Encoding, Lossy, Overflow, Round, event};
use crate::reactor::{Engine, Keep, Transport};

/// One of several rounds of a turn: who is in several of their groups gets everything in one write.
#[inline(never)]
pub(super) fn hold<T: Transport>(engine: &mut Engine<GatewaySession, T>, round: &Round) {
    for run in round.runs() {
        if run.encoding == Encoding::SocketIo {
            socketio::deliver(engine, &run, true);
            continue;
        }
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
        if run.encoding == Encoding::SocketIo {
            let gap = |missed| gaps.event(&lossy.room, missed);
            dropped += socketio::deliver_lossy(engine, &run, lossy.tag, keep, gap);
            continue;
        }
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
    /// As an event of Socket.IO.
    last_event: Option<(u32, Shared)>,
    /// How many there were.
    told: u64,
}

impl Gaps {
    fn frame(&mut self, room: &str, missed: u32) -> Shared {
        self.told += 1;
        repeat(&mut self.last, missed, || {
            socketio::frame_of(&gap(room, missed))
        })
    }

    fn event(&mut self, room: &str, missed: u32) -> Shared {
        self.told += 1;
        repeat(&mut self.last_event, missed, || {
            let event = event(&gap(room, missed)).expect("a gap is a message of the protocol");
            socketio::frame_of(&event)
        })
    }
}

fn repeat(last: &mut Option<(u32, Shared)>, missed: u32, make: impl FnOnce() -> Shared) -> Shared {
    match last {
        Some((of, frame)) if *of == missed => Shared::clone(frame),
        _ => {
            let frame = make();
            *last = Some((missed, Shared::clone(&frame)));
            frame
        }
    }
}

fn gap(room: &str, missed: u32) -> Vec<u8> {
    let mut text = Vec::new();
    Object::new(&mut text, "gap")
        .text("room", room)
        .number("missed", u64::from(missed))
        .end();
    text
}
