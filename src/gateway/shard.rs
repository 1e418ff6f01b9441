//! What the sessions of one worker share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::channel::{Channel, Encoding, Publication};
use super::config::{EndpointKind, GatewayConfig};
use super::node::Node;
use super::session::Mail;
use crate::id::{ConnKey, ConnectionId};
use crate::reactor::Tick;
use crate::websocket::codec::Codec;
use crate::websocket::protocol::MessageKind;

/// One worker's share of the gateway.
#[derive(Debug)]
pub struct Shard {
    /// Number of the worker.
    pub worker: usize,
    /// The settings in force.
    pub config: Arc<GatewayConfig>,
    /// What all workers share.
    pub node: Arc<Node>,
    /// The frame codec of all sessions here.
    pub codec: Codec,
    pub(super) channels: Vec<Channel>,
    /// Sessions that have left a channel and are to be taken off its list.
    left: Vec<(usize, ConnKey, Encoding)>,
    /// Publications that another worker's mailbox had no room for, in order.
    outbox: VecDeque<(usize, Arc<Publication>)>,
    /// Publishers that wait until there is room again.
    pub(super) paused: Vec<ConnKey>,
    date: String,
    date_at: Option<Tick>,
}

impl Shard {
    /// The share of worker number `worker`.
    pub fn new(worker: usize, config: Arc<GatewayConfig>, node: Arc<Node>) -> Self {
        let codec = Codec::new(config.codec);
        let channels = (0..node.channels()).map(|_| Channel::default()).collect();
        Self {
            worker,
            config,
            node,
            codec,
            channels,
            left: Vec::new(),
            outbox: VecDeque::new(),
            paused: Vec::new(),
            date: String::new(),
            date_at: None,
        }
    }

    pub(super) fn configure(&mut self, config: Arc<GatewayConfig>) {
        self.codec.set_config(config.codec);
        self.config = config;
    }

    /// The connection's name for people.
    pub(super) fn id(&self, key: ConnKey) -> ConnectionId {
        ConnectionId {
            worker: self.worker as u16,
            key,
        }
    }

    /// The value of a `Date` header (RFC 9110 section 6.6.1), made anew each second.
    pub(super) fn date(&mut self, now: Tick) -> &str {
        if self
            .date_at
            .is_none_or(|at| now.since(at) >= Duration::from_secs(1))
        {
            self.date_at = Some(now);
            self.date = httpdate::fmt_http_date(SystemTime::now());
        }
        &self.date
    }

    /// The window that deflated publications to many are made for.
    pub(super) fn shared_window_bits(&self) -> u8 {
        self.config
            .deflate
            .map_or(15, |policy| policy.window_bits_max)
    }

    /// Which channel a broadcast route has: they are numbered in the order of the route table.
    pub(super) fn channel_of(&self, route: usize) -> usize {
        let before = &self.config.routes[..route];
        before
            .iter()
            .filter(|route| route.endpoint == EndpointKind::Broadcast)
            .count()
    }

    pub(super) fn join(&mut self, channel: usize, key: ConnKey, encoding: Encoding) {
        self.channels[channel].join(key, encoding);
        self.count(channel);
    }

    /// A session leaves its channel; it is taken off the list once nobody walks it.
    pub(super) fn leave(&mut self, channel: usize, key: ConnKey, encoding: Encoding) {
        self.left.push((channel, key, encoding));
    }

    /// Takes who has left off the lists.
    pub(super) fn sweep(&mut self) {
        while let Some((channel, key, encoding)) = self.left.pop() {
            self.channels[channel].leave(key, encoding);
            self.count(channel);
        }
    }

    fn count(&self, channel: usize) {
        let receivers = self.channels[channel].receivers();
        self.node.set_receivers(channel, self.worker, receivers);
    }

    /// Sends a message to every receiver of a channel, here at the end of the turn, at the other workers through their
    /// mailboxes.
    pub(super) fn publish(&mut self, channel: usize, kind: MessageKind, payload: &[u8]) {
        let under_way = self.node.publication_bytes();
        let publication = Arc::new(Publication::new(
            channel,
            kind,
            payload,
            &mut self.codec,
            under_way,
        ));
        let node = Arc::clone(&self.node);
        for worker in node.audience(channel, self.worker) {
            self.post(worker, Arc::clone(&publication));
        }
        self.channels[channel].publish(publication);
    }

    fn post(&mut self, worker: usize, publication: Arc<Publication>) {
        if !self.outbox.is_empty() {
            return self.outbox.push_back((worker, publication));
        }
        if let Err(Mail::Publish(publication)) = self.node.send(worker, Mail::Publish(publication))
        {
            self.outbox.push_back((worker, publication));
        }
    }

    /// Whether publishers have to wait: their input is left unread, so that nothing is lost and nothing piles up.
    pub(super) fn is_congested(&self) -> bool {
        !self.outbox.is_empty() || self.node.is_congested()
    }

    /// Tries again what found no room.
    pub(super) fn post_again(&mut self) {
        while let Some((worker, publication)) = self.outbox.pop_front() {
            if let Err(Mail::Publish(publication)) =
                self.node.send(worker, Mail::Publish(publication))
            {
                return self.outbox.push_front((worker, publication));
            }
        }
    }
}
