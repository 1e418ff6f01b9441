//! What a client has missed, out of what was kept: in order, without what it has seen or is not to hear.

use std::collections::{BTreeSet, HashMap};

use super::Wanted;
use crate::gateway::cluster::envelope::{Content, Envelope};
use crate::hub::event;
use crate::socketio::recovery::{Origin, PublicationId};

/// A publication that was kept.
#[derive(Debug)]
pub(super) struct Found {
    /// Its place among the others, which may share it.
    pub(super) position: u64,
    pub(super) envelope: Vec<u8>,
}

/// An event that a client has missed, as the text of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway::socketio) struct Missed {
    pub(super) id: PublicationId,
    pub(super) event: Box<[u8]>,
}

/// What of `found` a client has missed; `None` where that is more than it may.
pub(super) fn missed(found: &[Found], wanted: &Wanted) -> Option<Vec<Missed>> {
    let mut all = Vec::new();
    let mut bytes = 0;
    for Found { position, envelope } in found {
        let Some(one) = read(envelope, wanted) else {
            continue;
        };
        bytes += one.event.len();
        if bytes > wanted.bytes_max {
            return None;
        }
        all.push((*position, one));
    }
    Some(in_order(all))
}

/// By whom it was published, what the client has seen of it too.
pub(super) fn origins(found: &[Found]) -> BTreeSet<Origin> {
    let ids = found.iter().map(|one| Envelope::known_by(&one.envelope));
    ids.flatten().map(|id| id.origin).collect()
}

fn read(envelope: &[u8], wanted: &Wanted) -> Option<Missed> {
    let Envelope {
        origin, content, ..
    } = Envelope::decode(envelope)?;
    let Content::Publication {
        payload,
        known: Some(known),
        ..
    } = content
    else {
        return None;
    };
    let id = known.id(origin);
    if wanted.seen.has(id) || known.except == &*wanted.record.sid {
        return None;
    }
    // Behind the type of the Engine.IO packet.
    let event = event(payload)?.split_off(1).into_boxed_slice();
    Some(Missed { id, event })
}

/// By their places, but what is of one origin in its own order, whatever the places say of it.
fn in_order(mut all: Vec<(u64, Missed)>) -> Vec<Missed> {
    all.sort_by_key(|(position, one)| (*position, one.id));
    let mut by_origin: HashMap<Origin, Vec<Missed>> = HashMap::new();
    let mut origins = Vec::with_capacity(all.len());
    for (_, one) in all {
        origins.push(one.id.origin);
        by_origin.entry(one.id.origin).or_default().push(one);
    }
    for of_one in by_origin.values_mut() {
        of_one.sort_by_key(|one| std::cmp::Reverse(one.id.sequence));
    }
    let ones = origins
        .iter()
        .filter_map(|origin| by_origin.get_mut(origin)?.pop());
    ones.collect()
}
