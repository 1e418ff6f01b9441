//! A connection through its stages: HTTP until an upgrade, WebSocket after it.

use std::net::IpAddr;
use std::sync::Arc;

use super::admission::Verdict;
use super::channel::Publication;
use super::client::ClientAddress;
use super::config::GatewayConfig;
use super::http::HttpStage;
use super::shard::Shard;
use super::websocket::WebSocketStage;
use crate::id::ConnKey;
use crate::reactor::{CloseReason, Context, Engine, Session, Tick, Transport};
use crate::websocket::protocol::Input;

/// What workers tell each other, and what the server tells them.
#[derive(Debug)]
pub enum Mail {
    /// A message for the receivers of a channel.
    Publish(Arc<Publication>),
    /// Other settings from now on.
    Configure(Arc<GatewayConfig>),
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// HTTP requests, one after the other.
    Http(HttpStage),
    /// After the opening handshake.
    WebSocket(WebSocketStage),
}

/// What every session knows of its connection.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where the client is: the peer, or whom a trusted proxy speaks for.
    pub(super) client: ClientAddress,
    /// How the connection came in.
    pub(super) verdict: Verdict,
    /// The address that this connection is counted under.
    pub(super) counted: Option<IpAddr>,
}

/// A connection, as the gateway sees it.
#[derive(Debug)]
pub struct GatewaySession {
    entry: Entry,
    stage: Stage,
}

impl GatewaySession {
    /// A connection from `client` that was let in, or not, by `verdict`, and counted under `counted`.
    pub fn new(client: ClientAddress, verdict: Verdict, counted: Option<IpAddr>) -> Self {
        Self {
            entry: Entry {
                client,
                verdict,
                counted,
            },
            stage: Stage::Http(HttpStage::default()),
        }
    }
}

impl GatewaySession {
    /// Other settings are in force.
    fn on_configured(&mut self, cx: &mut Context<'_, Self>) {
        if let Stage::WebSocket(websocket) = &self.stage {
            websocket.on_configured(cx);
        }
    }
}

impl Session for GatewaySession {
    type Shard = Shard;
    type Mail = Mail;

    fn on_open(&mut self, cx: &mut Context<'_, Self>) {
        cx.set_deadline(cx.shard.config.handshake_timeout);
    }

    fn on_input(&mut self, input: &mut Input<'_>, cx: &mut Context<'_, Self>) {
        if let Stage::Http(http) = &mut self.stage {
            let Some(upgraded) = http.on_input(input, &mut self.entry, cx) else {
                return;
            };
            self.stage = Stage::WebSocket(upgraded);
        }
        if let Stage::WebSocket(websocket) = &mut self.stage
            && !input.is_empty()
        {
            websocket.on_input(input, cx);
        }
    }

    #[inline]
    fn read_space<'s>(&'s mut self, shard: &'s mut Shard) -> Option<&'s mut [u8]> {
        match &mut self.stage {
            Stage::Http(_) => None,
            Stage::WebSocket(websocket) => websocket.read_space(shard),
        }
    }

    fn on_space_filled(&mut self, count: usize, cx: &mut Context<'_, Self>) {
        if let Stage::WebSocket(websocket) = &mut self.stage {
            websocket.on_space_filled(count, cx);
        }
    }

    fn on_end(&mut self, cx: &mut Context<'_, Self>) {
        match &self.stage {
            Stage::Http(http) => http.on_end(cx),
            Stage::WebSocket(websocket) => websocket.on_end(cx),
        }
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Self>) {
        match &mut self.stage {
            Stage::Http(http) => http.on_deadline(cx),
            Stage::WebSocket(websocket) => websocket.on_deadline(cx),
        }
    }

    fn on_drained(&mut self, cx: &mut Context<'_, Self>) {
        if let Stage::WebSocket(websocket) = &mut self.stage {
            websocket.on_drained(cx);
        }
    }

    fn on_drain(&mut self, cx: &mut Context<'_, Self>) {
        match &mut self.stage {
            Stage::Http(http) => http.on_drain(cx),
            Stage::WebSocket(websocket) => websocket.on_drain(cx),
        }
    }

    fn on_close(&mut self, reason: CloseReason, cx: &mut Context<'_, Self>) {
        let id = cx.shard.id(cx.key);
        let CloseReason {
            initiator,
            code,
            detail,
        } = reason;
        match &mut self.stage {
            Stage::Http(_) => log::debug!("{id} closed by {initiator}: {detail}"),
            Stage::WebSocket(websocket) => {
                websocket.on_close(cx);
                let client = self.entry.client;
                log::info!(
                    "{id} closed by {initiator}: address={client} code={} {detail}",
                    code.0
                );
            }
        }
    }

    fn on_detach(&mut self, key: ConnKey, shard: &mut Shard) {
        if let Stage::WebSocket(websocket) = &self.stage {
            websocket.on_detach(key, shard);
        }
        shard.node.admission.unassign(shard.worker);
    }

    fn on_attach(&mut self, key: ConnKey, shard: &mut Shard) {
        if let Stage::WebSocket(websocket) = &self.stage {
            websocket.on_attach(key, shard);
        }
        shard.node.admission.assign_to(shard.worker);
    }

    fn released(self, shard: &mut Shard) {
        shard.sweep();
        if let Some(address) = self.entry.counted {
            shard.node.admission.leave_address(address);
        }
        shard.node.admission.leave(self.entry.verdict);
        shard.node.connection_gone(shard.worker);
    }

    fn on_mail<T: Transport>(engine: &mut Engine<Self, T>, mail: Mail) {
        match mail {
            Mail::Publish(publication) => {
                engine.shard().channels[publication.channel].publish(publication);
            }
            Mail::Configure(config) => {
                engine.shard().configure(config);
                for key in engine.open_keys() {
                    engine.visit(key, Self::on_configured);
                }
            }
        }
    }

    fn on_turn_end<T: Transport>(engine: &mut Engine<Self, T>) {
        // Who has been sent a Close in this turn gets nothing behind it.
        engine.shard().sweep();
        for channel in 0..engine.shard().channels.len() {
            if engine.shard().channels[channel].has_pending() {
                let mut one = std::mem::take(&mut engine.shard().channels[channel]);
                let window_bits = engine.shard().shared_window_bits();
                one.prepare(&mut engine.shard().codec, window_bits);
                one.deliver(|key, frames| {
                    engine.send_shared(key, frames);
                });
                engine.shard().channels[channel] = one;
            }
        }
        let shard = engine.shard();
        shard.sweep();
        if shard.paused.is_empty() {
            return;
        }
        shard.post_again();
        if shard.is_congested() {
            return engine.turn_again_in(Tick(1));
        }
        for key in std::mem::take(&mut shard.paused) {
            engine.resume(key);
        }
    }

    fn recycle(shard: &mut Shard, buffer: Vec<u8>) {
        shard.codec.recycle(buffer);
    }
}
