//! HTTP/1.1 to the back end: connections that are kept, and a time limit for everything.
//!
//! No proxy is asked, whatever the environment says, and no redirect is followed: what is signed goes where the settings say.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::config::AutoHeaderValue;
use ureq::http::{HeaderMap, Request, Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Error, Timeout};

use super::answer::Received;
use super::cloudevents::{Event, Mode};
use super::failure::Failure;
use super::resolver::Resolver;
use super::signature::{ID_FIELD, SIGNATURE_FIELD, Secrets, TIMESTAMP_FIELD};
use crate::limits::{ANSWER_BYTES_MAX, ANSWER_HEAD_BYTES_MAX};
use crate::timestamp::since_1970;

/// A connection that was idle for longer is not used again: servers close theirs after five seconds and more.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// Time for a connection, names and TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes that are read and written at once.
const BUFFER_BYTES: usize = 32 << 10;
const _: () = assert!(BUFFER_BYTES > ANSWER_HEAD_BYTES_MAX);
/// Bytes of a URL.
const URL_BYTES_MAX: usize = 2_048;

/// Where events go.
#[derive(Clone)]
pub struct BackendUrl {
    pub(super) uri: Uri,
    /// PEM; where empty, whom the system believes.
    roots: Vec<u8>,
}

impl BackendUrl {
    /// `http://` or `https://`, a host, a path.
    ///
    /// # Errors
    /// What is wrong with it, without any part of it.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        if url.len() > URL_BYTES_MAX {
            return Err("must have 2048 bytes at most");
        }
        // The parser would leave it out without a word.
        if url.contains('#') {
            return Err("must have no fragment (#)");
        }
        let uri: Uri = url.parse().map_err(|_| "must be a URL")?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("must begin with http:// or https://");
        }
        let authority = uri.authority().ok_or("must name a host")?;
        if authority.as_str().contains('@') {
            return Err("must have no user and no password: events are signed");
        }
        let has_port_sign = authority
            .as_str()
            .rsplit_once(':')
            .is_some_and(|(host, _)| !host.starts_with('[') || host.ends_with(']'));
        if authority.host().is_empty()
            || (has_port_sign && authority.port_u16().is_none_or(|port| port == 0))
        {
            return Err("must name a host, and a port from 1 to 65535 or none");
        }
        Ok(Self {
            uri,
            roots: Vec::new(),
        })
    }

    /// Believes these certificates, PEM, and not those that the system does.
    #[must_use]
    pub fn with_roots(mut self, roots: Vec<u8>) -> Self {
        self.roots = roots;
        self
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Whom to believe who the back end is.
    pub(super) fn believed(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let found: Vec<CertificateDer<'static>> = if self.roots.is_empty() {
            rustls_native_certs::load_native_certs().certs
        } else {
            CertificateDer::pem_slice_iter(&self.roots)
                .collect::<Result<_, _>>()
                .map_err(|_| "what was given as certificates is no PEM")?
        };
        let (usable, _) = RootCertStore::empty().add_parsable_certificates(found.iter().cloned());
        if usable == 0 {
            return Err("there is no certificate to believe the back end by".to_owned());
        }
        Ok(found)
    }

    /// The same, as the client takes it.
    fn root_certs(&self) -> Result<RootCerts, String> {
        if !self.is_encrypted() {
            return Ok(RootCerts::Specific(Arc::default()));
        }
        let certificates: Vec<Certificate<'static>> = self
            .believed()?
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect();
        Ok(RootCerts::new_with_certs(&certificates))
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold a secret.
        let (scheme, authority) = (self.uri.scheme_str(), self.uri.authority());
        let authority = authority.map_or("", |authority| authority.as_str());
        write!(
            f,
            "BackendUrl({}://{authority})",
            scheme.unwrap_or_default()
        )
    }
}

/// How events are sent.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Where to.
    pub url: BackendUrl,
    /// What they are signed with.
    pub secrets: Secrets,
    /// How they are put into requests.
    pub mode: Mode,
    /// The `source` of the events: a URI reference that tells of this node.
    pub source: Box<str>,
}

/// Sends events, each within a time limit. Shared by all threads.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    config: ClientConfig,
}

impl Client {
    /// Keeps up to so many connections.
    ///
    /// # Errors
    /// Certificates that are none.
    pub(super) fn new(config: ClientConfig, connections_max: usize) -> Result<Self, String> {
        let roots = config.url.root_certs()?;
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .root_certs(roots)
            .build();
        let settings = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .accept("application/json, application/problem+json, text/plain")
            .accept_encoding(AutoHeaderValue::None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_response_header_size(ANSWER_HEAD_BYTES_MAX)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_idle_connections(connections_max)
            .max_idle_connections_per_host(connections_max)
            .max_idle_age(IDLE_MAX)
            .build();
        let resolver = Resolver::new(&config.url.uri);
        let agent = Agent::with_parts(settings, DefaultConnector::new(), resolver);
        Ok(Self { agent, config })
    }

    /// Sends an event and reads what comes back.
    pub(super) fn send(&self, event: &Event, time_limit: Duration) -> Result<Received, Failure> {
        let config = &self.config;
        let encoded = event.encode(config.mode, &config.source);
        let timestamp = since_1970().as_secs();
        let mut request = Request::post(&config.url.uri)
            .header(header::CONTENT_TYPE, encoded.content_type)
            .header(ID_FIELD, event.id.as_str())
            .header(TIMESTAMP_FIELD, timestamp);
        if let Some(signature) = config.secrets.sign(&event.id, timestamp, &encoded.body) {
            request = request.header(SIGNATURE_FIELD, signature);
        }
        for (name, value) in encoded.fields {
            request = request.header(name, value);
        }
        let request = request
            .body(encoded.body)
            .expect("names and values of header fields are visible ASCII");
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(time_limit))
            .build();
        let mut response = self.agent.run(request).map_err(|error| failure(&error))?;
        let text = |name| text(response.headers(), name);
        let (content_type, retry_after) = (text(header::CONTENT_TYPE), text(header::RETRY_AFTER));
        Ok(Received {
            status: response.status().as_u16(),
            content_type,
            retry_after,
            body: body(response.body_mut()),
        })
    }

    /// Ends all connections, whatever is under way on them, and makes no more.
    pub(super) fn stop(&self) {
        self.agent.clone().shutdown();
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn body(body: &mut Body) -> Result<Vec<u8>, Failure> {
    if body
        .content_length()
        .is_some_and(|length| length > ANSWER_BYTES_MAX as u64)
    {
        return Err(Failure::TooLarge);
    }
    // One byte more, as the limit is met also by a body that ends there.
    let limit = ANSWER_BYTES_MAX as u64 + 1;
    let bytes = body.with_config().limit(limit).read_to_vec();
    bytes.map_err(|error| failure(&error))
}

/// What an error is to an event.
fn failure(error: &Error) -> Failure {
    match error {
        Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            Failure::Unreachable("no connection in time".into())
        }
        Error::Timeout(_) => Failure::TimedOut,
        Error::HostNotFound => Failure::Unreachable("no such host".into()),
        Error::Io(error) => io_failure(error),
        Error::Tls(_) | Error::Rustls(_) | Error::TlsRequired | Error::ConnectionFailed => {
            Failure::Unreachable(error.to_string().into())
        }
        Error::BodyExceedsLimit(_) | Error::LargeResponseHeader(..) => Failure::TooLarge,
        Error::BodyStalled => Failure::Lost,
        other => Failure::Garbage(other.to_string().into()),
    }
}

fn io_failure(error: &io::Error) -> Failure {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => {
            Failure::Lost
        }
        // Of a certificate, say; of what makes a connection, all others.
        _ => Failure::Unreachable(error.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_and_their_queries_not_shown() {
        for url in [
            "http://127.0.0.1:8080",
            "https://example.com/events?key=secret",
            "http://[::1]:80/",
            "http://[::1]/",
        ] {
            let shown = format!("{:?}", BackendUrl::parse(url).expect(url));
            assert!(!shown.contains("secret"), "{shown}");
        }
        let long = format!("http://a/{}", "x".repeat(URL_BYTES_MAX));
        for (url, what) in [
            ("", "must be a URL"),
            ("/events", "http://"),
            ("ftp://a/", "http://"),
            ("a:80", "http://"),
            ("http://", "must be a URL"),
            ("http://a/#b", "fragment"),
            ("http://ann:secret@a/", "no user"),
            ("http://a:0/", "a port"),
            ("http://a:70000/", "a port"),
            ("http://a:/", "a port"),
            ("http://:80/", "a host"),
            ("http://a b/", "must be a URL"),
            (long.as_str(), "2048"),
        ] {
            let problem = BackendUrl::parse(url).expect_err(url);
            assert!(problem.contains(what), "{url}: {problem}");
        }
    }

    #[test]
    fn certificates_that_are_none_are_refused_before_the_start() {
        let roots = |roots: &str| {
            let url = BackendUrl::parse("https://a/").expect("a URL");
            url.with_roots(roots.into()).root_certs().map(|_| ())
        };
        let none = roots("# nothing").expect_err("no certificate");
        assert!(none.contains("no certificate"), "{none}");
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        let broken = roots(broken).expect_err("no PEM");
        assert!(broken.contains("no PEM"), "{broken}");
    }
}
