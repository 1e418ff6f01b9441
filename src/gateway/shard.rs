//! What the sessions of one worker share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::api::Claim;
use super::ask::{Answered, Asks, Gathered, Purpose, Question, Who};
use super::backend::Calls;
use super::cluster::{Asker, Whom};
use super::config::GatewayConfig;
use super::json::message::Object;
use super::metrics::WorkerMeters;
use super::node::Node;
use super::session::Mail;
use super::socketio::{self, Desk, Mark, Questions, Sessions};
use crate::hub::{Audience, Hub, Kind, PeerId, Publication, Reach, Target};
use crate::id::{ConnKey, ConnectionId};
use crate::reactor::Tick;
use crate::socketio::Moment;
use crate::socketio::recovery::PublicationId;
use crate::timestamp;
use crate::websocket::codec::Codec;
use crate::websocket::protocol::MessageKind;

/// Room for a message that is being written, kept between two of them.
const SCRATCH_BYTES_KEPT_MAX: usize = 64 * 1024;
/// Rooms for answers that are kept: so many are in use at one time.
const REPLIES_KEPT_MAX: usize = 2;

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
    /// What this worker counts.
    pub(super) meters: Arc<WorkerMeters>,
    pub(super) hub: Hub,
    pub(super) asks: Asks,
    /// Of the back end.
    pub(super) calls: Calls,
    /// What another worker's mailbox had no room for, in order.
    outbox: VecDeque<(usize, Mail)>,
    /// Publishers that wait until there is room again.
    pub(super) paused: Vec<ConnKey>,
    /// Dashboards that have shown the key.
    pub(super) watchers: Vec<ConnKey>,
    pub(super) socketio: Sessions,
    /// Of clients that may come back, where they may.
    pub(super) recovery: Option<Box<Desk>>,
    /// What clients are to answer to Socket.IO servers.
    pub(super) questions: Questions,
    scratch: Vec<u8>,
    /// Room for answers: that of a session is written while another is held.
    replies: Vec<Vec<u8>>,
    date: Text,
    timestamp: Text,
}

/// A text that is made anew once it is old.
#[derive(Debug, Default)]
struct Text {
    text: String,
    made_at: Option<Tick>,
}

impl Text {
    fn renewed(&mut self, now: Tick, after: Duration, make: impl FnOnce() -> String) -> &str {
        if self.made_at.is_none_or(|at| now.since(at) >= after) {
            self.made_at = Some(now);
            self.text = make();
        }
        &self.text
    }
}

/// A worker has got its first member of a group, or lost its last.
fn follow(node: &Node, kind: Kind, name: &str) {
    // First, as the registry of nodes has to know of whoever may have gone.
    if kind == Kind::User
        && let Some(behind) = node.behind()
        && node.directory().total(kind, name) == 0
    {
        behind.left(name);
    }
    if let Some(cluster) = node.cluster() {
        cluster.note(kind, name);
    }
}

impl Shard {
    /// The share of worker number `worker`.
    pub fn new(worker: usize, config: Arc<GatewayConfig>, node: Arc<Node>) -> Self {
        let codec = Codec::new(config.codec);
        let mut hub = Hub::new(worker, Arc::clone(node.directory()));
        hub.set_policies(Arc::clone(&config.room_policies));
        if node.cluster().is_some() || node.behind().is_some() {
            let node = Arc::clone(&node);
            hub.set_watch(move |kind, name| follow(&node, kind, name));
        }
        if let Some(recovery) = node.recovery() {
            hub.tell_offsets(recovery.keep_ms());
        }
        let meters = Arc::clone(&node.meters()[worker]);
        Self {
            worker,
            config,
            meters,
            recovery: Desk::new(&node, worker),
            node,
            codec,
            hub,
            asks: Asks::default(),
            calls: Calls::default(),
            outbox: VecDeque::new(),
            paused: Vec::new(),
            watchers: Vec::new(),
            socketio: Sessions::default(),
            questions: Questions::default(),
            scratch: Vec::new(),
            replies: Vec::new(),
            date: Text::default(),
            timestamp: Text::default(),
        }
    }

    pub(super) fn configure(&mut self, config: Arc<GatewayConfig>) {
        self.codec.set_config(config.codec);
        self.hub.set_policies(Arc::clone(&config.room_policies));
        self.config = config;
    }

    /// The connection's name for people.
    pub(super) fn id(&self, key: ConnKey) -> ConnectionId {
        ConnectionId {
            worker: self.worker as u16,
            key,
        }
    }

    /// The time, as sessions know it: now, not when the turn began.
    pub(super) fn moment(&self) -> Moment {
        self.node.moment()
    }

    /// The value of a `Date` header (RFC 9110 section 6.6.1).
    pub(super) fn date(&mut self, now: Tick) -> &str {
        self.date.renewed(now, Duration::from_secs(1), || {
            httpdate::fmt_http_date(SystemTime::now())
        })
    }

    /// The time of this turn, for people and programs (RFC 3339, UTC, milliseconds).
    pub(super) fn timestamp(&mut self, now: Tick) -> &str {
        self.timestamp.renewed(now, Duration::from_nanos(1), || {
            timestamp::rfc3339(SystemTime::now())
        })
    }

    /// The window that deflated publications to many are made for.
    pub(super) fn shared_window_bits(&self) -> u8 {
        self.config
            .deflate
            .map_or(15, |policy| policy.window_bits_max)
    }

    /// Sends a message to every member of a group but `except`, here at the end of the turn, at the other workers through
    /// their mailboxes; gives to how many connections.
    pub(super) fn publish(
        &mut self,
        to: Kind,
        name: &str,
        except: Option<PeerId>,
        kind: MessageKind,
        payload: &[u8],
    ) -> u32 {
        let reach = self.hub.reach(to, name, except);
        self.carry(reach, to, name, except, kind, payload, None)
    }

    /// Brings a message to whom it is for, here and at other nodes; gives to how many connections of this process.
    #[expect(clippy::too_many_arguments, reason = "all that a message is")]
    fn carry(
        &mut self,
        mut reach: Reach,
        to: Kind,
        name: &str,
        except: Option<PeerId>,
        kind: MessageKind,
        payload: &[u8],
        asker: Option<Asker>,
    ) -> u32 {
        let mark = socketio::mark(self, to, except);
        if let Some(neighbours) = self.node.neighbours() {
            neighbours.tell(to, name, payload);
        }
        if let Some(cluster) = self.node.cluster() {
            let known = mark.as_ref().map(Mark::known);
            let is_taken = cluster.publish(to, name, kind, payload, known, asker);
            if let Some(asker) = asker {
                self.asks.expect(asker.number, is_taken);
            }
        }
        if let Some(mark) = &mark {
            socketio::keep(self, mark, to, name, kind, payload);
            // Who was no member before it was kept may find it there from now on; who was one before that is to get it.
            reach = self.hub.reach(to, name, except);
        }
        if let Some(audience) = &reach.audience {
            let id = mark.map(|mark| mark.id);
            self.publish_to(audience, except, kind, payload, id);
        }
        reach.connections
    }

    /// What goes out from here on goes out now.
    pub(super) fn pass_time(&mut self) {
        if self.recovery.is_some() {
            self.hub.pass_time(self.node.moment());
        }
    }

    /// The peer listens to the channel of a broadcast route from now on.
    pub(super) fn listen(&mut self, peer: PeerId, route: usize) {
        let path = &self.config.routes[route].path;
        self.hub.join(peer, Kind::Channel, path);
    }

    /// Sends a message to every connection on a broadcast route.
    pub(super) fn publish_on(&mut self, route: usize, kind: MessageKind, payload: &[u8]) {
        let config = Arc::clone(&self.config);
        self.publish(
            Kind::Channel,
            &config.routes[route].path,
            None,
            kind,
            payload,
        );
    }

    /// Room for what an endpoint answers.
    pub(super) fn take_reply(&mut self) -> Vec<u8> {
        self.replies.pop().unwrap_or_default()
    }

    /// Takes that room back.
    pub(super) fn give_reply(&mut self, mut reply: Vec<u8>) {
        let has_room = self.replies.len() < REPLIES_KEPT_MAX;
        if has_room && reply.capacity() <= SCRATCH_BYTES_KEPT_MAX {
            reply.clear();
            self.replies.push(reply);
        }
    }

    /// Begins to count whom messages of `connection` go to; `None` where there are no other nodes, and all is known at once.
    pub(super) fn begin_count(&mut self, connection: ConnKey) -> Option<u32> {
        self.node.cluster()?;
        Some(self.asks.begin_count(connection))
    }

    /// Keeps what is to be told of somebody who has come to a group until what other nodes publish there comes here; gives it back
    /// where there is nothing to wait for.
    pub(super) fn once_heard(
        &mut self,
        connection: ConnKey,
        kind: Kind,
        name: &str,
        purpose: Purpose,
    ) -> Option<Purpose> {
        let Some(number) = self.begin_count(connection) else {
            return Some(purpose);
        };
        let asker = self.asker(Some(number), 0);
        let cluster = self.node.cluster().zip(asker);
        if !cluster.is_some_and(|(cluster, asker)| cluster.confirm(kind, name, asker)) {
            self.asks.forget(number);
            return Some(purpose);
        }
        self.asks.expect(number, true);
        let answered = self
            .asks
            .end_count(number, purpose, None, Gathered::default());
        debug_assert!(answered.is_none(), "the broker is to answer");
        None
    }

    /// Who wants to know of the message with that index.
    pub(super) fn asker(&self, number: Option<u32>, index: usize) -> Option<Asker> {
        let worker = self.worker;
        number.map(|number| Asker {
            worker,
            number,
            index,
        })
    }

    /// As `publish`, a JSON object of the gateway protocol with a timestamp; `asker` is told to how many connections of other nodes.
    #[expect(clippy::too_many_arguments, reason = "all that a message is")]
    pub(super) fn publish_object(
        &mut self,
        to: Kind,
        name: &str,
        except: Option<PeerId>,
        now: Tick,
        kind: &str,
        asker: Option<Asker>,
        fill: impl for<'o> FnOnce(Object<'o>) -> Object<'o>,
    ) -> u32 {
        let reach = self.hub.reach(to, name, except);
        let is_for_others = self.node.cluster().is_some() || self.recovery.is_some();
        if reach.audience.is_none() && !is_for_others {
            return 0;
        }
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        let object = fill(Object::new(&mut text, kind));
        object.text("timestamp", self.timestamp(now)).end();
        let message = MessageKind::Text;
        let connections = self.carry(reach, to, name, except, message, &text, asker);
        if text.capacity() <= SCRATCH_BYTES_KEPT_MAX {
            self.scratch = text;
        }
        connections
    }

    fn publish_to(
        &mut self,
        audience: &Arc<Audience>,
        except: Option<PeerId>,
        kind: MessageKind,
        payload: &[u8],
        id: Option<PublicationId>,
    ) {
        let target = Target {
            kind: audience.kind(),
            name: Arc::clone(audience.name()),
        };
        let publication = Publication::new(
            target,
            kind,
            payload,
            &mut self.codec,
            self.node.publication_bytes(),
            self.node.account(),
        );
        let publication = Arc::new(publication.known_by(id));
        for worker in audience.others(self.worker) {
            self.post(worker, Mail::Publish(Arc::clone(&publication)));
        }
        self.hub.publish(publication, except);
    }

    /// Asks every worker and every node who of its users is in a room; the answer where that is this one alone. What the others
    /// say is told to the session of `connection`.
    pub(super) fn ask_presence(
        &mut self,
        connection: ConnKey,
        audience: &Audience,
        purpose: Purpose,
    ) -> Option<Gathered> {
        let others: Vec<_> = audience.others(self.worker).collect();
        let question = Question::UsersIn(Arc::clone(audience.name()));
        let whom = Some(Whom::Group(Kind::Room, audience.name()));
        let own = self.users_in(audience.name());
        let number = self.asks.begin_count(connection);
        self.put(number, &others, whom, &question);
        let answered = self.asks.end_count(number, purpose, None, own)?;
        Some(answered.gathered)
    }

    /// Asks workers, and other nodes where there are some, for a call of the API: whatever there is to do happens between turns of
    /// sessions, here too. The answer where there is nobody to ask.
    pub(super) fn ask_all(
        &mut self,
        connection: ConnKey,
        workers: &[usize],
        whom: Option<Whom<'_>>,
        question: &Question,
        purpose: Purpose,
        claim: &mut Option<Claim>,
    ) -> Option<Answered> {
        let number = self.asks.begin_count(connection);
        self.put(number, workers, whom, question);
        let claim = claim.take_if(|_| self.asks.is_waiting(number));
        let nothing = Gathered::default();
        self.asks.end_count(number, purpose, claim, nothing)
    }

    /// Puts a question to workers, and to other nodes.
    fn put(&mut self, number: u32, workers: &[usize], whom: Option<Whom<'_>>, question: &Question) {
        for &worker in workers {
            self.asks.expect(number, true);
            let mail = Mail::Ask {
                from: self.worker,
                number,
                question: question.clone(),
            };
            self.post(worker, mail);
        }
        let asker = self.asker(Some(number), 0);
        let others = self.node.cluster().zip(whom).zip(asker);
        if let Some(((cluster, whom), asker)) = others {
            let is_taken = cluster.ask(whom, question, asker);
            self.asks.expect(number, is_taken);
        }
    }

    /// Workers of the process.
    pub(super) fn workers(&self) -> usize {
        self.node.workers()
    }

    /// The workers that have members of that group.
    pub(super) fn workers_with(&self, kind: Kind, name: &str) -> Vec<usize> {
        let audience = self.hub.directory().find(kind, name);
        audience.map_or_else(Vec::new, |audience| audience.workers().collect())
    }

    /// The workers that have connections of that kind.
    pub(super) fn workers_of(&self, who: &Who) -> Vec<usize> {
        match who {
            Who::User(user) => self.workers_with(Kind::User, user),
            Who::Room(room) => self.workers_with(Kind::Room, room),
            Who::Connection(connection) => {
                let worker = usize::from(connection.worker);
                let is_one = worker < self.workers();
                is_one.then_some(worker).into_iter().collect()
            }
            Who::ConnectionAt(..) => Vec::new(),
        }
    }

    /// The users of this worker who are in a room.
    pub(super) fn users_in(&self, room: &str) -> Gathered {
        let mut gathered = Gathered::default();
        for (peer, _) in self.hub.members(Kind::Room, room) {
            if let Some(user) = self.hub.groups_of(peer, Kind::User).next() {
                *gathered.users.entry(Arc::clone(user.name())).or_default() += 1;
            }
        }
        gathered
    }

    /// Sends mail to another worker, behind what it had no room for before.
    pub(super) fn post(&mut self, worker: usize, mail: Mail) {
        if !self.outbox.is_empty() {
            return self.outbox.push_back((worker, mail));
        }
        if let Err(mail) = self.node.send(worker, mail) {
            self.outbox.push_back((worker, mail));
        }
    }

    /// Whether publishers have to wait: their input is left unread, so that nothing is lost and nothing piles up.
    pub(super) fn is_congested(&self) -> bool {
        !self.outbox.is_empty() || self.node.is_congested()
    }

    /// Whether something found no room.
    pub(super) fn has_outbox(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Tries again what found no room.
    pub(super) fn post_again(&mut self) {
        while let Some((worker, mail)) = self.outbox.pop_front() {
            if let Err(mail) = self.node.send(worker, mail) {
                return self.outbox.push_front((worker, mail));
            }
        }
    }
}
