//! What the events say.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{Behind, OF_NOBODY};
use crate::backend::Kind;
use crate::gateway::bearer;
use crate::gateway::config::GatewayConfig;
use crate::http::head::RequestHead;

/// A client that wants to connect.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::gateway) struct Opening<'o> {
    /// `connect`. Of the attributes none is signed: what counts is said here too.
    pub(in crate::gateway) event: &'static str,
    pub(in crate::gateway) connection_id: &'o str,
    /// Of its token.
    pub(in crate::gateway) user_id: Option<&'o str>,
    pub(in crate::gateway) address: String,
    pub(in crate::gateway) path: &'o str,
    /// Without a token in it.
    pub(in crate::gateway) query: Option<&'o str>,
    pub(in crate::gateway) headers: &'o serde_json::Map<String, serde_json::Value>,
    pub(in crate::gateway) subprotocols: &'o [Box<str>],
    /// Of its token.
    pub(in crate::gateway) claims: Option<&'o RawValue>,
    /// Of Socket.IO alone: where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::gateway) namespace: Option<&'o str>,
    /// Of Socket.IO alone: what it shows, an object; without a token that is believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::gateway) auth: Option<&'o RawValue>,
}

impl Asked {
    /// What the request of a handshake says besides.
    pub(in crate::gateway) fn of(
        request: &RequestHead<'_>,
        config: &GatewayConfig,
        behind: &Behind,
    ) -> Self {
        let headers = behind.headers().iter().filter_map(|name| {
            let values: Vec<_> = request.headers(name).collect();
            let text = |value: &&[u8]| String::from_utf8_lossy(value).into_owned();
            let values: Vec<_> = values.iter().map(text).collect();
            (!values.is_empty()).then(|| (name.clone(), values.join(", ").into()))
        });
        let has_tokens = config.tokens.is_some();
        Self {
            headers: headers.collect(),
            query: request
                .query()
                .map(|query| without_token(query, has_tokens)),
            claims: has_tokens.then(|| bearer::claims_of(request)).flatten(),
        }
    }
}

/// What a handshake says besides its path.
#[derive(Debug)]
pub(in crate::gateway) struct Asked {
    pub(in crate::gateway) headers: serde_json::Map<String, serde_json::Value>,
    pub(in crate::gateway) query: Option<String>,
    pub(in crate::gateway) claims: Option<Box<RawValue>>,
}

/// A query as it was written, but for a token that is believed: it stays here.
fn without_token(query: &str, has_tokens: bool) -> String {
    let is_token = |pair: &&str| {
        let mut pairs = form_urlencoded::parse(pair.as_bytes());
        has_tokens && pairs.any(|(name, _)| name == "token")
    };
    let pairs: Vec<_> = query.split('&').filter(|pair| !is_token(pair)).collect();
    pairs.join("&")
}

/// A message that is the back end's to answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::gateway) struct Said<'s> {
    /// `message`.
    pub(in crate::gateway) event: &'static str,
    pub(in crate::gateway) connection_id: String,
    pub(in crate::gateway) user_id: Option<&'s str>,
    /// As the back end has given it.
    pub(in crate::gateway) metadata: Option<&'s RawValue>,
    /// Of Socket.IO alone: where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::gateway) namespace: Option<&'s str>,
    /// As the client has written it.
    pub(in crate::gateway) message: &'s RawValue,
}

/// A user, or a connection that was nobody's, has gone.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Gone<'g> {
    /// `disconnect`.
    event: &'static str,
    user_id: Option<&'g str>,
    connection_id: Option<&'g str>,
    sequence: u64,
}

impl Behind {
    /// A connection that the back end has let in without a name has ended.
    pub(in crate::gateway) fn ended(&self, connection: &str) {
        if !self.tells(Kind::Disconnect) {
            return;
        }
        let sequence = self.next_number();
        let gone = Gone {
            event: "disconnect",
            user_id: None,
            connection_id: Some(connection),
            sequence,
        };
        let data = to_raw_value(&gone).expect("texts");
        let key = sequence;
        let posted = self.post(
            Kind::Disconnect,
            (sequence, OF_NOBODY),
            key,
            connection.to_owned(),
            data,
        );
        if let Err(refused) = posted {
            self.lose();
            log::warn!("the back end is not told that {connection} has ended: {refused}");
        }
    }

    /// What says that a user has gone.
    pub(super) fn gone(user: &str, sequence: u64) -> Box<RawValue> {
        let gone = Gone {
            event: "disconnect",
            user_id: Some(user),
            connection_id: None,
            sequence,
        };
        to_raw_value(&gone).expect("texts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_the_query_stays_here() {
        assert_eq!(without_token("a=1&token=x.y.z&b=2", true), "a=1&b=2");
        assert_eq!(without_token("token=x", true), "");
        // However the name is written.
        assert_eq!(without_token("%74oken=x&b=2", true), "b=2");
        assert_eq!(without_token("a=1&token=mine", false), "a=1&token=mine");
        assert_eq!(without_token("tokens=1&a", true), "tokens=1&a");
    }
}
