//! A connection that sends faster than it may: it is not read for a while, or closed, as the settings say.

use super::WebSocketStage;
use crate::gateway::rate::{Meter, RatePolicy};
use crate::gateway::session::GatewaySession;
use crate::gateway::tally::Limit;
use crate::reactor::{CloseReason, Context, Tick};
use crate::websocket::close::CloseCode;

/// A time in which nothing is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pause {
    since: Tick,
    pub(super) until: Tick,
}

/// What a connection may send; only where the settings limit it.
#[derive(Debug)]
pub(super) struct Throttle {
    meter: Meter,
    pub(super) pause: Option<Pause>,
    /// When the last pause ended.
    resumed_at: Tick,
}

/// How input goes on.
pub(super) enum Pace {
    /// As it comes.
    Free,
    /// The next message is one too many.
    Spent,
    /// Later.
    Paused,
}

impl Throttle {
    pub(super) fn new(cx: &Context<'_, GatewaySession>) -> Option<Box<Self>> {
        let limits = &cx.shard.config.rate;
        limits.is_on().then(|| {
            Box::new(Self {
                meter: Meter::new(limits, cx.now),
                pause: None,
                resumed_at: cx.now,
            })
        })
    }
}

impl Throttle {
    /// Bytes have come that `pace` is not told of.
    pub(super) fn count_bytes(&mut self, bytes: usize) {
        self.meter.spend_bytes(bytes);
    }
}

impl WebSocketStage {
    /// Counts bytes that were consumed, and says how it goes on where there are more. Only to be asked where there is a
    /// throttle.
    #[inline(never)]
    pub(super) fn pace(
        &mut self,
        consumed: usize,
        has_more: bool,
        cx: &mut Context<'_, GatewaySession>,
    ) -> Pace {
        let Some(throttle) = &mut self.throttle else {
            return Pace::Free;
        };
        let limits = cx.shard.config.rate;
        throttle.meter.refill(&limits, cx.now);
        throttle.meter.spend_bytes(consumed);
        if throttle.pause.is_some() {
            return Pace::Paused;
        }
        if !has_more || !throttle.meter.is_spent(&limits) {
            return Pace::Free;
        }
        match limits.policy {
            RatePolicy::Close => Pace::Spent,
            RatePolicy::Throttle => {
                self.pause(cx);
                Pace::Paused
            }
        }
    }

    /// A message has come, or a ping, or a pong.
    #[inline]
    pub(super) fn count_message(&mut self) {
        if let Some(throttle) = &mut self.throttle {
            throttle.meter.spend_message();
        }
    }

    /// Bytes have come that `pace` is not told of.
    #[inline]
    pub(super) fn count_bytes(&mut self, bytes: usize) {
        if let Some(throttle) = &mut self.throttle {
            throttle.count_bytes(bytes);
        }
    }

    /// Closes the connection for its haste.
    pub(super) fn close_for_haste(&mut self, cx: &mut Context<'_, GatewaySession>) {
        self.tell_haste(cx);
        let detail = "messages come faster than they may";
        self.end(CloseReason::server(CloseCode::POLICY_VIOLATION, detail), cx);
    }

    fn tell_haste(&self, cx: &Context<'_, GatewaySession>) {
        let id = cx.shard.id(cx.key);
        let tally = &cx.shard.node.tally;
        tally.reached(Limit::ConnectionRate, 1, cx.now, &id);
    }

    fn pause(&mut self, cx: &mut Context<'_, GatewaySession>) {
        self.tell_haste(cx);
        let Some(throttle) = &mut self.throttle else {
            return;
        };
        let wait = throttle.meter.wait(&cx.shard.config.rate);
        let until = cx.now.after(wait);
        let since = cx.now;
        throttle.pause = Some(Pause { since, until });
        cx.pause_input();
        self.watch_silence(cx);
    }

    /// Goes on where the pause is over; whether one is still under way.
    pub(super) fn is_pausing(&mut self, cx: &mut Context<'_, GatewaySession>) -> bool {
        let Some(throttle) = &mut self.throttle else {
            return false;
        };
        let Some(pause) = throttle.pause else {
            return false;
        };
        if !pause.until.is_reached(cx.now) {
            return true;
        }
        throttle.pause = None;
        throttle.resumed_at = cx.now;
        // Nobody is late for what was not read.
        let paused = cx.now.since(pause.since);
        self.message_since = self.message_since.map(|since| since.after(paused));
        cx.resume_input();
        false
    }

    /// Since when the peer is silent: not while it was not read.
    pub(super) fn silent_since(&self, cx: &Context<'_, GatewaySession>) -> Tick {
        match &self.throttle {
            Some(throttle) if throttle.resumed_at.ticks_since(cx.last_activity) > 0 => {
                throttle.resumed_at
            }
            _ => cx.last_activity,
        }
    }

    /// Reads whatever comes from now on.
    pub(super) fn stop_throttling(&mut self, cx: &mut Context<'_, GatewaySession>) {
        if let Some(throttle) = self.throttle.take()
            && throttle.pause.is_some()
        {
            cx.resume_input();
        }
    }

    /// Other limits are in force.
    pub(super) fn throttle_anew(&mut self, cx: &mut Context<'_, GatewaySession>) {
        if !cx.shard.config.rate.is_on() {
            self.stop_throttling(cx);
        } else if self.throttle.is_none() {
            self.throttle = Throttle::new(cx);
        }
    }
}
