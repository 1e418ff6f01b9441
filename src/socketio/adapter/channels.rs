//! The channels of one namespace.

use std::borrow::Cow;

use super::Selection;
use super::msgpack::text_of;

/// The channels of one namespace, for one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    everyone: String,
    requests: String,
    responses: String,
    own_responses: String,
}

/// What a message on a channel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel<'a> {
    /// A [`super::Broadcast`].
    Broadcast {
        /// Whom it is for: who has nobody in there need not read it. Else it tells itself.
        room: Option<Cow<'a, str>>,
    },
    /// A [`super::Request`].
    Requests,
    /// A [`super::Response`].
    Responses,
}

impl Channels {
    /// `key` is what all nodes agreed on, `namespace` has its slash, and `uid` is the name of this node.
    pub fn new(key: &str, namespace: &str, uid: &str) -> Self {
        let responses = format!("{key}-response#{namespace}#");
        Self {
            everyone: format!("{key}#{namespace}#"),
            requests: format!("{key}-request#{namespace}#"),
            own_responses: format!("{responses}{uid}#"),
            responses,
        }
    }

    /// Where broadcasts to everyone, or to several rooms, go.
    pub fn everyone(&self) -> &str {
        &self.everyone
    }

    /// Where broadcasts to exactly this room go.
    pub fn room(&self, room: &str) -> String {
        format!("{}{room}#", self.everyone)
    }

    /// Where a broadcast to these goes.
    pub fn of(&self, selection: &Selection) -> Cow<'_, str> {
        match &*selection.rooms {
            [room] => self.room(room).into(),
            _ => self.everyone().into(),
        }
    }

    /// What `PSUBSCRIBE` hears all broadcasts by. Names are taken as they are.
    pub fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.everyone.len() + 1);
        for character in self.everyone.chars() {
            if matches!(character, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern + "*"
    }

    /// Where requests go, and whose listeners are the nodes.
    pub fn requests(&self) -> &str {
        &self.requests
    }

    /// Where responses go.
    pub fn responses(&self) -> &str {
        &self.responses
    }

    /// Where responses for this node go, from nodes that are set so.
    pub fn own_responses(&self) -> &str {
        &self.own_responses
    }

    /// What a message on `channel` is; `None` where that is not one of these.
    pub fn classify<'c>(&self, channel: &'c [u8]) -> Option<Channel<'c>> {
        if channel == self.requests.as_bytes() {
            return Some(Channel::Requests);
        }
        if channel == self.responses.as_bytes() || channel == self.own_responses.as_bytes() {
            return Some(Channel::Responses);
        }
        let room = match channel.strip_prefix(self.everyone.as_bytes())? {
            [] | b"#" => None,
            [room @ .., b'#'] => Some(text_of(room)),
            _ => return None,
        };
        Some(Channel::Broadcast { room })
    }
}
