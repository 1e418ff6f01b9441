//! Where a connection goes, and what its handshake says.

use std::time::Duration;

use super::trust::Tls;
use crate::websocket::handshake::{ClientRequest, DeflateOffer};

/// Both sides may keep their context: one connection can afford it, and its messages are alike.
const OFFER: DeflateOffer = DeflateOffer {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: None,
    client_max_window_bits: Some(15),
};

/// A server, and how it is asked.
#[derive(Debug)]
pub(super) struct Target {
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// For `wss://`.
    pub(super) tls: Option<Tls>,
    /// What goes into `Host`.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
    pub(super) origin: Option<String>,
    pub(super) subprotocols: Vec<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) is_compressed: bool,
    /// For name, TCP, TLS and handshake together.
    pub(super) timeout: Duration,
}

impl Target {
    /// # Errors
    /// What of the request cannot be sent.
    pub(super) fn check(&self) -> Result<(), String> {
        self.with_request([0; 16], |request| request.write(&mut Vec::new()))
            .map_err(|error| error.to_string())
    }

    /// Hands the request of a handshake with this key to `ask`.
    pub(super) fn with_request<T>(
        &self,
        key: [u8; 16],
        ask: impl FnOnce(&ClientRequest<'_>) -> T,
    ) -> T {
        let subprotocols: Vec<&str> = self.subprotocols.iter().map(String::as_str).collect();
        let headers = self.headers.iter();
        let headers: Vec<(&str, &str)> = headers
            .map(|(name, value)| (&name[..], &value[..]))
            .collect();
        ask(&ClientRequest {
            host: &self.authority,
            target: &self.path,
            key,
            origin: self.origin.as_deref(),
            subprotocols: &subprotocols,
            deflate: self.is_compressed.then_some(OFFER),
            headers: &headers,
        })
    }
}
