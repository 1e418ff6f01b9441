//! Whether the back end is there, for whoever wants to know before anything is sent: a connection, TLS where it is spoken, no request.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::client::{BackendUrl, CONNECT_TIMEOUT};
use super::resolver::host_and_port;

/// A back end that is there.
#[derive(Debug)]
pub struct Reached {
    /// Where.
    pub address: SocketAddr,
    /// Time that the connection took, TLS included, the name not.
    pub took: Duration,
    /// The certificate that shows who it is, where it speaks TLS.
    pub certificate: Option<CertificateDer<'static>>,
}

impl BackendUrl {
    /// Whether events go over a network in the clear: `http://`, and not to this machine as far as the name tells.
    pub fn is_exposed(&self) -> bool {
        let (host, _) = host_and_port(&self.uri);
        let is_here = host
            .parse::<IpAddr>()
            .map_or(host == "localhost", |address| address.is_loopback());
        !self.is_encrypted() && !is_here
    }

    /// Connects, to the first of its addresses that lets it, and hangs up. Each may take [`CONNECT_TIMEOUT`]; the resolver has limits of its
    /// own.
    ///
    /// # Errors
    /// What did not work, in a sentence, without the path of the URL.
    pub fn reach(&self) -> Result<Reached, String> {
        let (host, port) = host_and_port(&self.uri);
        let addresses = (host, port)
            .to_socket_addrs()
            .map_err(|error| format!("the name {host} is not found: {error}"))?;
        let mut problem = format!("the name {host} has no address");
        for address in addresses {
            match self.reach_at(host, address) {
                Ok(reached) => return Ok(reached),
                Err(error) => problem = format!("{address}: {}", words(&error)),
            }
        }
        Err(problem)
    }

    fn reach_at(&self, host: &str, address: SocketAddr) -> io::Result<Reached> {
        let begun = Instant::now();
        let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        let certificate = if self.is_encrypted() {
            Some(self.certificate(host, stream, begun + CONNECT_TIMEOUT)?)
        } else {
            None
        };
        Ok(Reached {
            address,
            took: begun.elapsed(),
            certificate,
        })
    }

    /// Shakes hands, and gives what it shows.
    fn certificate(
        &self,
        host: &str,
        mut stream: TcpStream,
        end: Instant,
    ) -> io::Result<CertificateDer<'static>> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.believed().map_err(io::Error::other)?);
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            while tls.wants_write() {
                tls.write_tls(&mut stream)?;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            if tls.is_handshaking() && tls.read_tls(&mut stream)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
        let shown = tls.peer_certificates().and_then(<[_]>::first);
        let shown = shown.ok_or_else(|| io::Error::other("it has shown no certificate"))?;
        Ok(shown.clone().into_owned())
    }
}

/// What went wrong. A time limit of a socket has a name that nobody would know it by.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "it does not answer in time".to_owned()
        }
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => "it hangs up before it has shown a certificate".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_this_machine_in_the_clear_is_exposed() {
        for (url, is_exposed) in [
            ("http://tide.example/", true),
            ("http://192.0.2.1:80/", true),
            ("http://[2001:db8::1]/", true),
            ("https://tide.example/", false),
            ("http://localhost:4000/", false),
            ("http://127.8.0.1/", false),
            ("http://[::1]:4000/", false),
        ] {
            let parsed = BackendUrl::parse(url).expect(url);
            assert_eq!(parsed.is_exposed(), is_exposed, "{url}");
        }
    }
}
