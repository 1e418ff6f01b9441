//! A message to many: encoded once in each form that somebody needs, shared by all who get it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::directory::Kind;
use super::event::event;
use crate::buffer::{Account, Shared};
use crate::socketio::recovery::PublicationId;
use crate::websocket::codec::Codec;
use crate::websocket::frame::HEADER_BYTES_MAX;
use crate::websocket::protocol::MessageKind;

/// In which form a receiver gets publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// Deflated without context takeover, in the largest window of the settings.
    Deflated,
    /// As an event of Socket.IO, which a session carries: its members are sessions.
    SocketIo,
}

impl Encoding {
    /// Every form.
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Deflated, Self::SocketIo];

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// The group that a publication is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
}

/// A message to a group.
#[derive(Debug)]
pub struct Publication {
    target: Target,
    id: Option<PublicationId>,
    kind: MessageKind,
    payload_bytes: usize,
    plain: Shared,
    deflated: OnceLock<Shared>,
    socketio: OnceLock<Shared>,
    under_way: Arc<AtomicUsize>,
    under_way_bytes: usize,
    account: Arc<Account>,
}

impl Publication {
    /// A message for `target`. Its bytes are added to `under_way` until it is dropped, and are on `account` until nobody has
    /// still to send them.
    pub fn new(
        target: Target,
        kind: MessageKind,
        payload: &[u8],
        codec: &mut Codec,
        under_way: &Arc<AtomicUsize>,
        account: &Arc<Account>,
    ) -> Self {
        let mut plain = Vec::with_capacity(payload.len() + HEADER_BYTES_MAX);
        codec.encode_message(kind, payload, None, &mut plain);
        let under_way_bytes = plain.len();
        under_way.fetch_add(under_way_bytes, Ordering::Relaxed);
        Self {
            target,
            id: None,
            kind,
            payload_bytes: payload.len(),
            plain: Shared::on(account, plain),
            deflated: OnceLock::new(),
            socketio: OnceLock::new(),
            under_way: Arc::clone(under_way),
            under_way_bytes,
            account: Arc::clone(account),
        }
    }

    /// The same, known by `id`: clients that come back are told of it where they have missed it.
    pub fn known_by(mut self, id: Option<PublicationId>) -> Self {
        self.id = id;
        self
    }

    /// The same, which sessions get in these frames instead of what the message would be for them.
    pub fn with_frames_for_sessions(mut self, frames: Vec<u8>) -> Self {
        self.under_way.fetch_add(frames.len(), Ordering::Relaxed);
        self.under_way_bytes += frames.len();
        self.socketio = OnceLock::from(Shared::on(&self.account, frames));
        self
    }

    /// Who it is for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What it is known by, where it is.
    pub(super) fn id(&self) -> Option<PublicationId> {
        self.id
    }

    /// What its bytes are on until they are sent.
    pub(super) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// What it says.
    pub(super) fn payload(&self) -> &[u8] {
        &self.plain[self.plain.len() - self.payload_bytes..]
    }

    /// The frame in that form, empty where it has none; windows are those that receivers of deflated frames have agreed on at least.
    pub fn frame(&self, encoding: Encoding, codec: &mut Codec, window_bits: u8) -> &Shared {
        match encoding {
            Encoding::Plain => &self.plain,
            Encoding::Deflated => self.deflated.get_or_init(|| {
                let mut deflated = Vec::new();
                codec.encode_message(self.kind, self.payload(), Some(window_bits), &mut deflated);
                Shared::on(&self.account, deflated)
            }),
            Encoding::SocketIo => self.socketio.get_or_init(|| {
                let mut frame = Vec::new();
                if let Some(text) = event(self.payload()) {
                    codec.encode_message(MessageKind::Text, &text, None, &mut frame);
                }
                Shared::on(&self.account, frame)
            }),
        }
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.under_way
            .fetch_sub(self.under_way_bytes, Ordering::Relaxed);
    }
}
