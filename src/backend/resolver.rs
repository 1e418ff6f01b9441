//! Where the back end's host is. The client asks before every request, also where it has a connection: an address costs nothing here,
//! and a name is looked up once in a while.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{self, DefaultResolver, ResolvedSocketAddrs};
use ureq::unversioned::transport::NextTimeout;

/// How long addresses are good for that a name had.
const NAME_AGE_MAX: Duration = Duration::from_secs(30);

/// Where a URL points: the host without the brackets of an address, and the port, also where it is not written.
pub(super) fn host_and_port(url: &Uri) -> (&str, u16) {
    let host = url.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = if url.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    (host, url.port_u16().unwrap_or(port))
}

/// Resolves the one host that there is.
#[derive(Debug)]
pub(super) struct Resolver {
    /// Of a host that is one.
    address: Option<SocketAddr>,
    by_name: DefaultResolver,
    /// What the name had last, and when.
    known: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
}

impl Resolver {
    pub(super) fn new(url: &Uri) -> Self {
        let (host, port) = host_and_port(url);
        let address = host.parse::<IpAddr>().ok();
        Self {
            address: address.map(|address| SocketAddr::new(address, port)),
            by_name: DefaultResolver::default(),
            known: Mutex::default(),
        }
    }

    fn known(&self) -> Option<Vec<SocketAddr>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref().filter(|(at, _)| at.elapsed() < NAME_AGE_MAX);
        known.map(|(_, addresses)| addresses.clone())
    }
}

impl resolver::Resolver for Resolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let mut found = resolver::Resolver::empty(self);
        if let Some(address) = self.address {
            found.push(address);
            return Ok(found);
        }
        if let Some(known) = self.known() {
            known.into_iter().for_each(|address| found.push(address));
            return Ok(found);
        }
        let looked_up = self.by_name.resolve(uri, config, timeout);
        let found = looked_up.map_err(|error| match error {
            Error::Timeout(timeout) => Error::Timeout(timeout),
            _ => Error::HostNotFound,
        })?;
        let addresses = (Instant::now(), found.to_vec());
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(addresses);
        Ok(found)
    }
}
