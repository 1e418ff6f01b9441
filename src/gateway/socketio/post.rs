//! POSTs: what they bring to a session, as much of it in one turn as keeps nobody else waiting.

use super::messages::{Outbox, on_message};
use super::session::Session;
use super::sessions::{AT_ONCE, with};
use crate::gateway::config::GatewayConfig;
use crate::gateway::rate::{Meter, RatePolicy};
use crate::gateway::shard::Shard;
use crate::gateway::tally::Limit;
use crate::id::ConnKey;
use crate::limits::ENGINE_POST_MESSAGES_MAX;
use crate::reactor::Tick;
use crate::socketio::Moment;
use crate::socketio::engine::handshake::Refusal;
use crate::socketio::engine::packet::Message;
use crate::socketio::engine::payload::Packets;

/// How far a POST has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum PostState {
    Done,
    /// It may go on then.
    Later(Moment),
}

impl Session {
    /// The head of a POST.
    pub(in crate::gateway) fn begin_post(
        shard: &mut Shard,
        key: ConnKey,
        is_binary: bool,
    ) -> Result<(), Refusal> {
        let begun = with(shard, key, |session, shard| {
            let at = shard.moment();
            let config = &shard.config.socketio.engine;
            session.engine.begin_post(is_binary, at, config)
        });
        begun.unwrap_or(Err(Refusal::UnknownSession))
    }

    /// The body of a POST that has begun was refused, or did not come whole.
    pub(in crate::gateway) fn drop_post(shard: &mut Shard, key: ConnKey, is_lost: bool) {
        with(shard, key, |session, _| {
            if is_lost {
                session.engine.handle_post_lost();
            } else {
                session.engine.refuse_post();
            }
        });
    }

    /// The body of a POST that has begun, from `done` on; how far it comes in this turn is told in `done`.
    pub(in crate::gateway) fn post(
        shard: &mut Shard,
        key: ConnKey,
        body: &[u8],
        done: &mut usize,
        now: Tick,
    ) -> Result<PostState, Refusal> {
        let posted = with(shard, key, |session, shard| {
            session.read_post(key, shard, body, done, now)
        });
        posted.unwrap_or(Err(Refusal::UnknownSession))
    }

    fn read_post(
        &mut self,
        key: ConnKey,
        shard: &mut Shard,
        body: &[u8],
        done: &mut usize,
        now: Tick,
    ) -> Result<PostState, Refusal> {
        let config = std::sync::Arc::clone(&shard.config);
        let bytes_max = config.socketio.engine.payload_bytes_max;
        let Ok(mut packets) = Packets::new(&body[*done..], bytes_max) else {
            self.engine.handle_bad_post();
            return Err(Refusal::BadRequest);
        };
        let mut out = Outbox::new(shard);
        let at = shard.moment();
        let mut result = Ok(PostState::Done);
        for count in 0.. {
            // A rest of no bytes may still be a packet, which is then refused.
            if packets.rest_bytes() > 0 {
                match self.pace(count, &config, at, now, shard) {
                    Ok(None) => {}
                    Ok(Some(later)) => {
                        *done = body.len() - packets.rest_bytes();
                        result = Ok(PostState::Later(later));
                        break;
                    }
                    Err(refusal) => {
                        self.engine.fail();
                        let id = shard.id(key);
                        let tally = &shard.node.tally;
                        tally.reached(Limit::ConnectionRate, 1, now, &id);
                        result = Err(refusal);
                        break;
                    }
                }
            }
            match self
                .engine
                .receive_post(&mut packets, at, &config.socketio.engine)
            {
                Ok(Some(message)) => {
                    self.count(&message);
                    shard.meters.messages_received.add(1);
                    on_message(self, key, shard, now, &message, &mut out);
                    self.send(&mut out, shard);
                }
                Ok(None) => break,
                Err(refusal) => {
                    result = Err(refusal);
                    break;
                }
            }
        }
        out.give_back(shard);
        result
    }

    /// Whether the next message of a POST may be read: when, where not now.
    fn pace(
        &mut self,
        count: usize,
        config: &GatewayConfig,
        at: Moment,
        now: Tick,
        shard: &Shard,
    ) -> Result<Option<Moment>, Refusal> {
        if shard.is_congested() {
            return Ok(Some(at));
        }
        if count >= ENGINE_POST_MESSAGES_MAX {
            return Ok(Some(AT_ONCE));
        }
        if !config.rate.is_on() {
            return Ok(None);
        }
        let meter = self
            .meter
            .get_or_insert_with(|| Box::new(Meter::new(&config.rate, now)));
        meter.refill(&config.rate, now);
        if !meter.is_spent(&config.rate) {
            return Ok(None);
        }
        match config.rate.policy {
            RatePolicy::Close => Err(Refusal::BadRequest),
            RatePolicy::Throttle => {
                let wait = meter.wait(&config.rate).as_millis();
                Ok(Some(at.after(u32::try_from(wait).unwrap_or(u32::MAX))))
            }
        }
    }

    fn count(&mut self, message: &Message<'_>) {
        if let Some(meter) = &mut self.meter {
            meter.spend_message();
            meter.spend_bytes(match message {
                Message::Text(text) => text.len(),
                Message::Binary(bytes) => bytes.len(),
            });
        }
    }
}
