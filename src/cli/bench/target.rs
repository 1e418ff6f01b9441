//! The server under test: its URL taken apart, its address, and what a handshake with it says.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::arguments::Common;
use super::failure::{Failure, Result};
use super::message::Dialect;
use crate::cli::url::{self, Url, split_header};
use crate::websocket::handshake::{ClientRequest, DeflateOffer};

/// How long one of several addresses of a name may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// No context is kept on either side: every message is compressed by itself, so that equal ones have equal bytes.
const OFFER: DeflateOffer = DeflateOffer {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: None,
    client_max_window_bits: None,
};

/// What speaks at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `ws://`
    WebSocket,
    /// `tcp://`: no handshake, and frames come back as they were sent.
    Bare,
}

/// A URL that can be measured.
fn parse(text: &str) -> Result<(Scheme, Url, u16)> {
    let wrong = |why: &str| Failure::usage(format!("URL {text:?}: {why}"));
    let url = Url::parse(
        text,
        "it begins with ws:// or tcp://, as ws://127.0.0.1:3000/ws does",
    )
    .map_err(wrong)?;
    let (scheme, port) = match (url.scheme, url.port) {
        (url::Scheme::WebSocket, port) => (Scheme::WebSocket, port.unwrap_or(80)),
        (url::Scheme::Bare, Some(port)) => (Scheme::Bare, port),
        (url::Scheme::Bare, None) => return Err(wrong("tcp:// needs a port")),
        (url::Scheme::Secure, _) => {
            return Err(wrong(
                "bench speaks no TLS; measure behind the server's plain ws:// listener",
            ));
        }
    };
    Ok((scheme, url, port))
}

/// An address that answers. Where a name has several, the first that takes a connection.
fn resolve(host: &str, port: u16) -> Result<SocketAddr> {
    let addresses: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|error| Failure::run(format!("{host}: {error}")))?
        .collect();
    if let [address] = addresses[..] {
        return Ok(address);
    }
    let mut last = None;
    for &address in &addresses {
        match TcpStream::connect_timeout(&address, PROBE_TIMEOUT) {
            Ok(_) => return Ok(address),
            Err(error) => last = Some(format!("{address}: {error}")),
        }
    }
    Err(Failure::run(
        last.unwrap_or_else(|| format!("{host} has no address")),
    ))
}

/// Where connections go, and what their handshake says.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) dialect: Dialect,
    pub(super) address: SocketAddr,
    pub(super) deflate: Option<DeflateOffer>,
    authority: String,
    path: String,
    origin: Option<String>,
    headers: Vec<(String, String)>,
}

impl Target {
    /// A URL without a path has the usual one of its dialect.
    pub(super) fn new(common: &Common) -> Result<Self> {
        let (scheme, url, port) = parse(&common.url)?;
        if scheme == Scheme::Bare {
            check_bare(common, &url)?;
        }
        let default_path = match common.dialect {
            Dialect::Plain => "/",
            Dialect::Socketio => "/socket.io/?EIO=4&transport=websocket",
        };
        let target = Self {
            scheme,
            dialect: common.dialect,
            address: resolve(&url.host, port)?,
            deflate: common.compress.then_some(OFFER),
            path: if url.path.is_empty() {
                default_path.to_owned()
            } else {
                url.path
            },
            authority: url.authority,
            origin: common.origin.clone(),
            headers: common
                .headers
                .iter()
                .map(|line| split_header(line).map_err(Failure::usage))
                .collect::<Result<_>>()?,
        };
        // What cannot be sent is refused before anything is opened.
        target.write_request([0; 16], &mut Vec::new())?;
        Ok(target)
    }

    /// Appends the request of an opening handshake.
    pub(super) fn write_request(&self, key: [u8; 16], out: &mut Vec<u8>) -> Result<()> {
        let headers = self.borrowed_headers();
        self.request(key, &headers)
            .write(out)
            .map_err(|error| Failure::usage(error.to_string()))
    }

    pub(super) fn borrowed_headers(&self) -> Vec<(&str, &str)> {
        let pairs = self.headers.iter();
        pairs.map(|(name, value)| (&name[..], &value[..])).collect()
    }

    pub(super) fn request<'a>(
        &'a self,
        key: [u8; 16],
        headers: &'a [(&'a str, &'a str)],
    ) -> ClientRequest<'a> {
        ClientRequest {
            host: &self.authority,
            target: &self.path,
            key,
            origin: self.origin.as_deref(),
            subprotocols: &[],
            deflate: self.deflate,
            headers,
        }
    }
}

fn check_bare(common: &Common, url: &Url) -> Result<()> {
    if common.dialect != Dialect::Plain {
        return Err(Failure::usage("--dialect socketio needs a ws:// URL"));
    }
    if common.compress || common.origin.is_some() || !common.headers.is_empty() {
        return Err(Failure::usage(
            "tcp:// has no handshake: --compress, --origin and --header are for ws://",
        ));
    }
    if !matches!(url.path.as_str(), "" | "/") {
        return Err(Failure::usage("tcp:// has no path"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_measured_is_refused() {
        for (text, says) in [
            ("127.0.0.1:3000", "ws://127.0.0.1:3000/ws"),
            ("wss://a/", "no TLS"),
            ("ws://a/#b", "fragment"),
            ("tcp://a", "needs a port"),
        ] {
            match parse(text) {
                Err(Failure::Usage(sentence)) => assert!(sentence.contains(says), "{sentence}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(parse("ws://a"), Ok((Scheme::WebSocket, _, 80))));
    }
}
