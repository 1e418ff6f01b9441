//! What goes to many, for sessions whose WebSockets take it deflated: once for all of a worker's, whatever changes their transports.

use super::deliver::Messages;
use super::session::{Carrier, Session};
use super::sessions::with;
use crate::buffer::Shared;
use crate::gateway::shard::Shard;
use crate::id::ConnKey;

impl Session {
    /// That WebSocket takes publications deflated without context takeover, in the largest window of the settings.
    pub(in crate::gateway) fn take_deflated(shard: &mut Shard, carrier: Carrier) {
        with(shard, carrier.session, |session, _| {
            session.deflates = Some(carrier.id);
        });
    }
}

/// A connection that may be written to at once.
pub(super) struct Direct {
    pub(super) connection: ConnKey,
    deflates: bool,
}

impl Direct {
    /// That of a session, where there is one.
    pub(super) fn of(shard: &Shard, key: ConnKey) -> Option<Self> {
        let session = shard.socketio.get(key)?;
        let websocket = session.engine.websocket()?;
        Some(Self {
            connection: session.connection_of(websocket)?,
            deflates: session.deflates == Some(websocket),
        })
    }
}

/// The frames of a run, in either form.
pub(super) struct Forms<'f> {
    plain: &'f [Shared],
    deflated: Option<Vec<Shared>>,
}

impl<'f> Forms<'f> {
    pub(super) fn new(plain: &'f [Shared]) -> Self {
        Self {
            plain,
            deflated: None,
        }
    }

    /// What a connection gets.
    pub(super) fn for_whom(&mut self, direct: &Direct, shard: &mut Shard) -> &[Shared] {
        if !direct.deflates {
            return self.plain;
        }
        self.deflated.get_or_insert_with(|| {
            self.plain
                .iter()
                .map(|piece| deflate(piece, shard))
                .collect()
        })
    }
}

/// The same messages deflated, as far as that makes them smaller.
fn deflate(piece: &Shared, shard: &mut Shard) -> Shared {
    if piece.len() < shard.config.codec.compression_bytes_min {
        return Shared::clone(piece);
    }
    let window_bits = shard.shared_window_bits();
    let mut out = Vec::new();
    for (kind, message) in Messages(piece) {
        shard
            .codec
            .encode_message(kind, message, Some(window_bits), &mut out);
    }
    if out.len() == piece.len() {
        return Shared::clone(piece);
    }
    Shared::on(shard.node.account(), out)
}
