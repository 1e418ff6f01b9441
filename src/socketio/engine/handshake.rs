//! What a request to an Engine.IO endpoint asks for, how a wrong one is refused, and the packet that opens a session.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::session::Config;

/// How a session is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP long-polling: a GET waits for packets, POSTs bring some.
    Polling,
    /// One WebSocket.
    WebSocket,
}

/// Why a request is refused: the codes and sentences that clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `transport` is missing, or none that there is.
    UnknownTransport,
    /// No session has this `sid`, or it is over.
    UnknownSession,
    /// A session is opened by GET.
    BadHandshakeMethod,
    /// The request does not fit the session, or itself.
    BadRequest,
    /// The caller may not.
    Forbidden,
    /// `EIO` is not 4.
    UnsupportedVersion,
}

impl Refusal {
    /// What programs tell it by.
    pub fn code(self) -> u8 {
        match self {
            Self::UnknownTransport => 0,
            Self::UnknownSession => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::UnsupportedVersion => 5,
        }
    }

    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            Self::UnknownTransport
            | Self::UnknownSession
            | Self::BadHandshakeMethod
            | Self::BadRequest
            | Self::UnsupportedVersion => 400,
        }
    }

    /// What people tell it by.
    pub fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSession => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedVersion => "Unsupported protocol version",
        }
    }

    /// The body of the answer, `application/json`.
    pub fn body(self) -> Vec<u8> {
        self.body_saying(self.message())
    }

    /// The same with a sentence of the caller's own.
    pub fn body_saying(self, message: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            code: u8,
            message: &'a str,
        }
        let code = self.code();
        serde_json::to_vec(&Body { code, message }).expect("a number and a text")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Refusal {}

/// What a request asks for. A `sid` is as the client wrote it: whether there is such a session is the caller's to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'q> {
    /// A new session.
    Open(Transport),
    /// The packets of a session: `Session::handle_poll`.
    Poll(Cow<'q, str>),
    /// Packets for a session: `Session::begin_post`.
    Post(Cow<'q, str>),
    /// A WebSocket for a session that has begun with long-polling: `Session::handle_websocket`.
    Upgrade(Cow<'q, str>),
}

impl<'q> Request<'q> {
    /// Reads the query string of a request (without its `?`); `is_upgrade` tells whether it asks for a WebSocket. Where
    /// several things are wrong, the one is told that other servers tell.
    ///
    /// # Errors
    /// Anything but `UnknownSession` and `Forbidden`, which only the caller can tell.
    pub fn read(method: &str, query: &'q str, is_upgrade: bool) -> Result<Self, Refusal> {
        let fields = Fields::read(query)?;
        let transport = match fields.transport.as_deref() {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::WebSocket,
            _ => return Err(Refusal::UnknownTransport),
        };
        // An empty one is none.
        let sid = fields.sid.filter(|sid| !sid.is_empty());
        if sid.is_none() && method != "GET" {
            return Err(Refusal::BadHandshakeMethod);
        }
        if is_upgrade != (transport == Transport::WebSocket) {
            return Err(Refusal::BadRequest);
        }
        // Also of a session that has begun: it must not change while it lasts.
        if fields.version.as_deref() != Some("4") {
            return Err(Refusal::UnsupportedVersion);
        }
        match (sid, method) {
            (None, _) => Ok(Self::Open(transport)),
            (Some(sid), "GET") if is_upgrade => Ok(Self::Upgrade(sid)),
            (Some(sid), "GET") => Ok(Self::Poll(sid)),
            (Some(sid), "POST") if !is_upgrade => Ok(Self::Post(sid)),
            (Some(_), _) => Err(Refusal::BadRequest),
        }
    }
}

/// The fields of a query that count; a repeated one is refused, for others may read another of them.
#[derive(Default)]
struct Fields<'q> {
    version: Option<Cow<'q, str>>,
    transport: Option<Cow<'q, str>>,
    sid: Option<Cow<'q, str>>,
}

impl<'q> Fields<'q> {
    fn read(query: &'q str) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let field = match &*name {
                "EIO" => &mut fields.version,
                "transport" => &mut fields.transport,
                "sid" => &mut fields.sid,
                _ => continue,
            };
            if field.replace(value).is_some() {
                return Err(Refusal::BadRequest);
            }
        }
        Ok(fields)
    }
}

/// The JSON of the packet that opens the session `sid`.
pub(super) fn open_json(sid: &str, transport: Transport, config: &Config) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Open<'a> {
        sid: &'a str,
        upgrades: &'a [&'a str],
        ping_interval: u32,
        ping_timeout: u32,
        max_payload: usize,
    }
    let upgrades: &[&str] = match transport {
        Transport::Polling if config.allows_upgrades => &["websocket"],
        Transport::Polling | Transport::WebSocket => &[],
    };
    let open = Open {
        sid,
        upgrades,
        ping_interval: config.ping_interval_ms,
        ping_timeout: config.ping_timeout_ms,
        max_payload: config.payload_bytes_max,
    };
    serde_json::to_vec(&open).expect("numbers and texts")
}
