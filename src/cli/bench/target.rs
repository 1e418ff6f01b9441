//! The server under test: its URL taken apart, its address, and what a handshake with it says.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::arguments::Common;
use super::failure::{Failure, Result};
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

/// A URL taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: Scheme,
    /// Without the brackets of an IPv6 address.
    host: String,
    /// What goes into `Host`.
    authority: String,
    port: u16,
    /// Path and query as given; may be empty.
    path: String,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| Failure::usage(format!("URL {text:?}: {why}"));
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            wrong("it begins with ws:// or tcp://, as ws://127.0.0.1:3000/ws does")
        })?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ws" => Scheme::WebSocket,
            "tcp" => Scheme::Bare,
            "wss" => {
                return Err(wrong(
                    "bench speaks no TLS; measure behind the server's plain ws:// listener",
                ));
            }
            _ => return Err(wrong("the scheme is ws:// or tcp://")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if path.contains('#') {
            return Err(wrong("a fragment (#) never travels to a server"));
        }
        if authority.contains('@') {
            return Err(wrong("a user and password cannot be sent"));
        }
        let (host, port) = split_authority(authority).ok_or_else(|| {
            wrong("host and port are such as localhost:3000, 127.0.0.1:3000 or [::1]:3000")
        })?;
        let port = match (port, scheme) {
            (Some(port), _) => port,
            (None, Scheme::WebSocket) => 80,
            (None, Scheme::Bare) => return Err(wrong("tcp:// needs a port")),
        };
        let path = if path.starts_with('?') {
            format!("/{path}")
        } else {
            path.to_owned()
        };
        Ok(Self {
            scheme,
            host: host.to_owned(),
            authority: authority.to_owned(),
            port,
            path,
        })
    }

    /// An address that answers. Where a name has several, the first that takes a connection.
    fn resolve(&self) -> Result<SocketAddr> {
        let name = (self.host.as_str(), self.port);
        let addresses: Vec<SocketAddr> = name
            .to_socket_addrs()
            .map_err(|error| Failure::run(format!("{}: {error}", self.host)))?
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
            last.unwrap_or_else(|| format!("{} has no address", self.host)),
        ))
    }
}

/// Host without brackets, and port.
fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = if let Some(literal) = authority.strip_prefix('[') {
        literal.split_once(']')?
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        authority.split_at(end)
    };
    let port = match rest.strip_prefix(':') {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(port.parse().ok().filter(|&port: &u16| port > 0)?)
        }
        None if rest.is_empty() => None,
        _ => return None,
    };
    (!host.is_empty()).then_some((host, port))
}

/// Where connections go, and what their handshake says.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) address: SocketAddr,
    pub(super) deflate: Option<DeflateOffer>,
    authority: String,
    path: String,
    origin: Option<String>,
    headers: Vec<(String, String)>,
}

impl Target {
    /// `default_path` stands in for a path that the URL does not have.
    pub(super) fn new(common: &Common, default_path: &str) -> Result<Self> {
        let url = Url::parse(&common.url)?;
        if url.scheme == Scheme::Bare {
            check_bare(common, &url)?;
        }
        let target = Self {
            scheme: url.scheme,
            address: url.resolve()?,
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
                .map(|line| split_header(line))
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

fn split_header(line: &str) -> Result<(String, String)> {
    let (name, value) = line.split_once(':').ok_or_else(|| {
        Failure::usage(format!("--header {line:?}: it is written as 'Name: value'"))
    })?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Scheme, String, u16, String) {
        let url = Url::parse(text).expect("a URL");
        (url.scheme, url.host, url.port, url.path)
    }

    #[test]
    fn urls_are_taken_apart() {
        let (ws, bare) = (Scheme::WebSocket, Scheme::Bare);
        for (text, scheme, host, port, path) in [
            ("ws://127.0.0.1:3000/ws", ws, "127.0.0.1", 3000, "/ws"),
            ("WS://localhost", ws, "localhost", 80, ""),
            ("ws://[::1]:99/a?b=c", ws, "::1", 99, "/a?b=c"),
            ("ws://host?x", ws, "host", 80, "/?x"),
            ("tcp://10.0.0.1:7", bare, "10.0.0.1", 7, ""),
        ] {
            let expected = (scheme, host.to_owned(), port, path.to_owned());
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn wrong_urls_are_refused() {
        for (text, says) in [
            ("127.0.0.1:3000", "ws://127.0.0.1:3000/ws"),
            ("http://a/", "the scheme is"),
            ("wss://a/", "no TLS"),
            ("ws://", "host and port"),
            ("ws://:80/", "host and port"),
            ("ws://a:b/", "host and port"),
            ("ws://a:0/", "host and port"),
            ("ws://a:65536/", "host and port"),
            ("ws://[::1/", "host and port"),
            ("ws://[::1]x/", "host and port"),
            ("ws://u@a/", "user and password"),
            ("ws://a/#b", "fragment"),
            ("tcp://a", "needs a port"),
        ] {
            match Url::parse(text) {
                Err(Failure::Usage(sentence)) => assert!(sentence.contains(says), "{sentence}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn headers_are_split_at_the_first_colon() {
        let pair = split_header("X-Key:  a:b ").expect("a header");
        assert_eq!(pair, ("X-Key".to_owned(), "a:b".to_owned()));
        assert!(split_header("X-Key").is_err());
    }
}
