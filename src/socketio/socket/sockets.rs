//! What one client is connected to, and what its packets mean there.

use std::fmt;

use smallvec::SmallVec;

use super::acks::{Acks, Expired};
use super::assembly::{Assembled, Assembly};
use crate::limits::SOCKETIO_NAMESPACES_MAX;
use crate::socketio::Moment;
use crate::socketio::packet::{
    Ack, Body, Event, MAIN_NAMESPACE, Packet, PacketError, put_connect, put_connect_error,
    put_disconnect,
};

/// What all clients of an endpoint share. Times are milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// A client has to be in a namespace so long after the handshake.
    pub connect_timeout_ms: u32,
    /// Bytes of a packet with all of its attachments.
    pub binary_bytes_max: usize,
    /// All attachments have to arrive within this time of their packet.
    pub binary_age_max_ms: u32,
}

impl Default for Config {
    /// The time to connect is that of the servers of the Socket.IO project; the limits are this server's.
    fn default() -> Self {
        Self {
            connect_timeout_ms: 45_000,
            binary_bytes_max: 1 << 20,
            binary_age_max_ms: 30_000,
        }
    }
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// It asks to be let into a namespace: `Sockets::accept` or `Sockets::refuse` answers, now or later.
    Connect {
        /// Which, as the client wrote it.
        namespace: &'a str,
        /// A JSON object to be judged by.
        auth: Option<&'a str>,
    },
    /// It has left a namespace, or does not ask for it any more.
    Disconnect {
        /// Which.
        namespace: &'a str,
    },
    /// An event, in a namespace that it is in.
    Event {
        /// Which.
        namespace: &'a str,
        /// The event. Its answer is `packet::put_ack`.
        event: Event<'a>,
    },
    /// The answer to an event that was sent with an id of `Sockets::expect_ack`.
    Ack {
        /// The id of the event.
        token: u64,
        /// The answer.
        ack: Ack<'a>,
    },
}

/// Why a client is not listened to any more: its session is to be ended by `engine::Session::fail`, or by `close` where its time
/// is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// What is no packet.
    Packet(PacketError),
    /// A packet for a namespace that the client is not in, or a request for one that it is in or asks for already.
    State,
    /// More namespaces than [`SOCKETIO_NAMESPACES_MAX`].
    TooManyNamespaces,
    /// A text message while attachments are missing.
    TextAmongAttachments,
    /// A binary message while none is missing.
    BinaryUnannounced,
    /// A packet and its attachments are larger than allowed.
    BinaryTooLarge,
    /// Attachments did not arrive in time.
    BinaryTooOld,
    /// The client asked for no namespace in time, or got into none.
    ConnectTimeout,
}

impl Violation {
    /// One plain sentence that says why.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Packet(error) => error.sentence(),
            Self::State => "The packet does not fit the state of its namespace.",
            Self::TooManyNamespaces => "The client is in too many namespaces.",
            Self::TextAmongAttachments => "A text came while attachments were missing.",
            Self::BinaryUnannounced => "An attachment came that belongs to no packet.",
            Self::BinaryTooLarge => "A packet is too large with its attachments.",
            Self::BinaryTooOld => "The attachments of a packet did not arrive in time.",
            Self::ConnectTimeout => "The client got into no namespace in time.",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for Violation {}

impl From<PacketError> for Violation {
    fn from(error: PacketError) -> Self {
        Self::Packet(error)
    }
}

/// How far a client is with a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has asked, and waits for the answer.
    Asking,
    Connected,
    /// It was put out, and may not know yet: what it still says there is not held against it.
    PutOut,
}

/// A namespace that a client has to do with.
#[derive(Debug)]
struct Member {
    /// `None` is the main one.
    namespace: Option<Box<str>>,
    state: State,
    /// Tells apart when it was here before.
    stay: u32,
}

impl Member {
    fn is_of(&self, namespace: &str) -> bool {
        self.namespace.as_deref().unwrap_or(MAIN_NAMESPACE) == namespace
    }
}

/// The namespaces of one client.
///
/// The order of calls: messages of its session go to [`receive_text`](Self::receive_text) and [`receive_binary`](Self::receive_binary). What
/// the latter gives goes to [`incoming`](Self::incoming). A request for a namespace is answered by [`accept`](Self::accept) or
/// [`refuse`](Self::refuse), at any time. At [`next_deadline`](Self::next_deadline) come [`handle_timeout`](Self::handle_timeout), and
/// [`poll_expired`](Self::poll_expired) until it gives `None`. What the functions append is the text of one message, to be sent as
/// one. After a violation nothing is listened to, and the session is to be ended.
///
/// It is about a hundred bytes, and owns memory only for namespaces other than one main one, for a packet that waits for its
/// attachments, and for acknowledgements that are owed.
#[derive(Debug)]
pub struct Sockets {
    members: SmallVec<[Member; 1]>,
    assembly: Option<Box<Assembly>>,
    acks: Acks,
    connect_by: Option<Moment>,
    next_stay: u32,
}

impl Sockets {
    /// A client whose session begins now.
    pub fn new(now: Moment, config: &Config) -> Self {
        Self {
            members: SmallVec::new(),
            assembly: None,
            acks: Acks::default(),
            connect_by: Some(now.after(config.connect_timeout_ms)),
            next_stay: 0,
        }
    }

    /// A text message. `None` where there is nothing to do, or not yet.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn receive_text<'a>(
        &mut self,
        text: &'a str,
        now: Moment,
        config: &Config,
    ) -> Result<Option<Incoming<'a>>, Violation> {
        self.handle_timeout(now)?;
        if self.assembly.is_some() {
            return Err(Violation::TextAmongAttachments);
        }
        let Packet { namespace, body } = Packet::decode(text)?;
        let missing = match &body {
            Body::Connect { data } => return self.ask(namespace, *data).map(Some),
            Body::Disconnect => return self.leave(namespace),
            // Only servers refuse.
            Body::ConnectError { .. } => return Err(Violation::State),
            Body::Event(Event { attachments, .. }) | Body::Ack(Ack { attachments, .. }) => {
                attachments.unwrap_or_default()
            }
        };
        let stay = match self.find(namespace) {
            Some(member) if member.state != State::Asking => member.stay,
            _ => return Err(Violation::State),
        };
        if missing > 0 {
            let until = now.after(config.binary_age_max_ms);
            self.assembly = Some(Box::new(Assembly::new(text, missing, until, stay)));
            return Ok(None);
        }
        Ok(self.hand_on(namespace, body, stay))
    }

    /// A binary message. Gives the packet that is complete with it.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn receive_binary(
        &mut self,
        bytes: &[u8],
        now: Moment,
        config: &Config,
    ) -> Result<Option<Assembled>, Violation> {
        self.handle_timeout(now)?;
        let mut assembly = self.assembly.take().ok_or(Violation::BinaryUnannounced)?;
        if assembly.push(bytes, config.binary_bytes_max)? {
            return Ok(Some(assembly.into_assembled()));
        }
        self.assembly = Some(assembly);
        Ok(None)
    }

    /// What a packet with attachments says, to be asked once. `None` where it says nothing any more.
    pub fn incoming<'a>(&mut self, assembled: &'a Assembled) -> Option<Incoming<'a>> {
        let Packet { namespace, body } = assembled.packet();
        self.hand_on(namespace, body, assembled.stay())
    }

    /// Does what is due.
    ///
    /// # Errors
    /// `ConnectTimeout` or `BinaryTooOld`.
    pub fn handle_timeout(&mut self, now: Moment) -> Result<(), Violation> {
        if self.connect_by.is_some_and(|by| by.is_reached(now)) {
            return Err(Violation::ConnectTimeout);
        }
        match &self.assembly {
            Some(assembly) if assembly.until().is_reached(now) => Err(Violation::BinaryTooOld),
            _ => Ok(()),
        }
    }

    /// When something is due without anything arriving.
    pub fn next_deadline(&self) -> Option<Moment> {
        let assembly = self.assembly.as_ref().map(|assembly| assembly.until());
        let deadlines = [self.connect_by, assembly, self.acks.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Lets the client into a namespace that it asked for, under the name `sid`. Gives whether it still asks; else nothing is said.
    pub fn accept(
        &mut self,
        namespace: &str,
        sid: &str,
        pid: Option<&str>,
        out: &mut Vec<u8>,
    ) -> bool {
        match self.find_mut(namespace) {
            Some(member) if member.state == State::Asking => member.state = State::Connected,
            _ => return false,
        }
        self.connect_by = None;
        put_connect(namespace, sid, pid, out);
        true
    }

    /// Refuses a namespace that the client asked for; `data` is JSON. Gives whether it still asks; else nothing is said.
    pub fn refuse(
        &mut self,
        namespace: &str,
        message: &str,
        data: Option<&str>,
        out: &mut Vec<u8>,
    ) -> bool {
        let is_asking = |member: &Member| member.state == State::Asking;
        if !self.find(namespace).is_some_and(is_asking) {
            return false;
        }
        self.remove(namespace);
        put_connect_error(namespace, message, data, out);
        true
    }

    /// Puts the client out of a namespace. Gives whether it was in; else nothing is said.
    pub fn disconnect(&mut self, namespace: &str, out: &mut Vec<u8>) -> bool {
        let stay = match self.find_mut(namespace) {
            Some(member) if member.state == State::Connected => {
                member.state = State::PutOut;
                member.stay
            }
            _ => return false,
        };
        self.acks.leave(stay);
        put_disconnect(namespace, out);
        true
    }

    /// Whether the client is in a namespace.
    pub fn is_connected(&self, namespace: &str) -> bool {
        self.find(namespace)
            .is_some_and(|member| member.state == State::Connected)
    }

    /// A number that tells this time in a namespace, or that of asking for it, from others.
    pub fn stay(&self, namespace: &str) -> Option<u32> {
        self.find(namespace).map(|member| member.stay)
    }

    /// The namespaces that the client is in.
    pub fn connected(&self) -> impl Iterator<Item = &str> {
        self.members
            .iter()
            .filter(|member| member.state == State::Connected)
            .map(|member| member.namespace.as_deref().unwrap_or(MAIN_NAMESPACE))
    }

    /// The client has to answer until then an event that carries `token` as its id: the same for all clients that are asked, so that
    /// all get the same bytes, and for none twice. False where the client is not in the namespace, or owes
    /// [`crate::limits::SOCKETIO_ACKS_MAX`] answers.
    pub fn expect_ack(&mut self, namespace: &str, token: u64, until: Moment) -> bool {
        let connected = self
            .find(namespace)
            .filter(|member| member.state == State::Connected);
        let stay = connected.map(|member| member.stay);
        stay.is_some_and(|stay| self.acks.expect(stay, token, until))
    }

    /// An event whose answer did not come in time, or cannot come because the client has left. To be asked until there is none,
    /// at the deadline and after `Disconnect` and `disconnect`.
    pub fn poll_expired(&mut self, now: Moment) -> Option<Expired> {
        self.acks.poll_expired(now)
    }

    /// An event whose answer is awaited; from now on it is not. For a client that is gone, until there is none.
    pub fn take_owed(&mut self) -> Option<u64> {
        self.acks.take_any()
    }

    #[cfg(test)]
    pub(super) fn owns_memory(&self) -> bool {
        let owns_name = |member: &Member| member.namespace.is_some();
        self.members.spilled()
            || self.members.iter().any(owns_name)
            || self.assembly.is_some()
            || self.acks.owns_memory()
    }

    /// The client asks to be let in.
    fn ask<'a>(
        &mut self,
        namespace: &'a str,
        auth: Option<&'a str>,
    ) -> Result<Incoming<'a>, Violation> {
        let stay = self.next_stay;
        let count = self.members.len();
        match self.find_mut(namespace) {
            Some(member) if member.state == State::PutOut => {
                member.state = State::Asking;
                member.stay = stay;
            }
            Some(_) => return Err(Violation::State),
            None if count >= SOCKETIO_NAMESPACES_MAX => return Err(Violation::TooManyNamespaces),
            None => self.members.push(Member {
                namespace: (namespace != MAIN_NAMESPACE).then(|| namespace.into()),
                state: State::Asking,
                stay,
            }),
        }
        self.next_stay = stay.wrapping_add(1);
        Ok(Incoming::Connect { namespace, auth })
    }

    /// The client leaves.
    fn leave<'a>(&mut self, namespace: &'a str) -> Result<Option<Incoming<'a>>, Violation> {
        let member = self.remove(namespace).ok_or(Violation::State)?;
        self.acks.leave(member.stay);
        // Of one that was put out this has been told.
        Ok((member.state != State::PutOut).then_some(Incoming::Disconnect { namespace }))
    }

    /// What a complete packet says, where the client is still in the namespace as it was.
    fn hand_on<'a>(
        &mut self,
        namespace: &'a str,
        body: Body<'a>,
        stay: u32,
    ) -> Option<Incoming<'a>> {
        let member = self.find(namespace)?;
        if member.state != State::Connected || member.stay != stay {
            return None;
        }
        match body {
            Body::Event(event) => Some(Incoming::Event { namespace, event }),
            Body::Ack(ack) => {
                let token = self.acks.take(stay, ack.id)?;
                Some(Incoming::Ack { token, ack })
            }
            Body::Connect { .. } | Body::Disconnect | Body::ConnectError { .. } => None,
        }
    }

    fn find(&self, namespace: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.is_of(namespace))
    }

    fn find_mut(&mut self, namespace: &str) -> Option<&mut Member> {
        self.members
            .iter_mut()
            .find(|member| member.is_of(namespace))
    }

    fn remove(&mut self, namespace: &str) -> Option<Member> {
        let index = self
            .members
            .iter()
            .position(|member| member.is_of(namespace))?;
        let member = self.members.swap_remove(index);
        // Back to where one main namespace takes no memory.
        self.members.shrink_to_fit();
        Some(member)
    }
}
