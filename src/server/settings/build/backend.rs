//! What is said of the back end, to the way there.

use super::super::{BackendSettings, SettingsError};
use super::{Entries, Key};
use crate::backend::{BackendUrl, Kind, Mode, QueueLimits, QueuePolicy, Secrets};
use crate::gateway::EndpointKind;
use crate::http::grammar;

/// Header fields that the back end may see.
const HEADERS_MAX: usize = 32;

impl Entries {
    /// The service behind the gateway, where there is one.
    pub(super) fn backend(&self) -> Result<Option<BackendSettings>, SettingsError> {
        let secrets = self.list(Key::BackendSecret).iter().map(String::as_str);
        let secrets = Secrets::parse(secrets).map_err(str::to_owned);
        let secrets = self.or_wrong(Key::BackendSecret, secrets)?;
        let events = self.or_wrong(Key::BackendEvents, self.events())?;
        let endpoints = self.or_wrong(Key::BackendEndpoints, self.endpoints())?;
        let headers = self.or_wrong(Key::BackendHeaders, self.headers())?;
        let Some(url) = self.text(Key::BackendUrl) else {
            return self.without_backend();
        };
        let url = BackendUrl::parse(url).map_err(str::to_owned);
        Ok(Some(BackendSettings {
            url: self.or_wrong(Key::BackendUrl, url)?,
            roots: self.path(Key::BackendTlsCa),
            secrets,
            mode: match self.word(Key::BackendFormat) {
                "structured" => Mode::Structured,
                _ => Mode::Binary,
            },
            events,
            endpoints,
            headers,
            concurrency: self.number(Key::BackendConcurrency) as usize,
            queue: QueueLimits {
                events_max: self.number(Key::BackendQueue) as usize,
                bytes_max: self.number(Key::BackendQueueSize) as usize,
                policy: match self.word(Key::BackendQueuePolicy) {
                    "drop-oldest" => QueuePolicy::DropOldest,
                    _ => QueuePolicy::Refuse,
                },
                time_limit: self.duration(Key::BackendTimeout),
                retries: self.number(Key::BackendRetries) as u32,
                ..QueueLimits::default()
            },
            disconnect_delay: self.duration(Key::BackendDisconnectDelay),
        }))
    }

    /// A secret that nobody would be signed for is a slip.
    fn without_backend(&self) -> Result<Option<BackendSettings>, SettingsError> {
        let problem = "must come with BACKEND_URL, which is not set";
        if !self.list(Key::BackendSecret).is_empty() {
            return Err(self.wrong(Key::BackendSecret, problem.to_owned()));
        }
        if self.path(Key::BackendTlsCa).is_some() {
            return Err(self.wrong(Key::BackendTlsCa, problem.to_owned()));
        }
        Ok(None)
    }

    fn events(&self) -> Result<Vec<Kind>, String> {
        let kind = |name: &String| match name.as_str() {
            "connect" => Ok(Kind::Connect),
            "message" => Ok(Kind::Message),
            "disconnect" => Ok(Kind::Disconnect),
            _ => Err(format!("\"{name}\" must be connect, message or disconnect")),
        };
        self.list(Key::BackendEvents).iter().map(kind).collect()
    }

    fn endpoints(&self) -> Result<Vec<EndpointKind>, String> {
        let kind = |name: &String| {
            // A dashboard begins with the API key, and the echo of Engine.IO is there for tests.
            let mut kinds = [
                EndpointKind::Gateway,
                EndpointKind::Echo,
                EndpointKind::Broadcast,
                EndpointKind::SocketIo,
            ]
            .into_iter();
            let found = kinds.find(|kind| kind.name() == name.as_str());
            found.ok_or_else(|| format!("\"{name}\" must be gateway, echo, broadcast or socketio"))
        };
        self.list(Key::BackendEndpoints).iter().map(kind).collect()
    }

    fn headers(&self) -> Result<Vec<String>, String> {
        let names = self.list(Key::BackendHeaders);
        if names.len() > HEADERS_MAX {
            return Err(format!("must name {HEADERS_MAX} header fields at most"));
        }
        let name = |name: &String| {
            if !grammar::is_token(name.as_bytes()) {
                return Err(format!("\"{name}\" must be the name of a header field"));
            }
            Ok(name.to_ascii_lowercase())
        };
        names.iter().map(name).collect()
    }
}
