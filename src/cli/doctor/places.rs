//! The places where the server is to listen: free, or this server's already.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::finding::Finding;
use crate::cli::check::unix_problem;
use crate::server::settings::{ListenAddress, Settings};

const ABOUT: &str = "address";
/// Time in which a server that runs has to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of an answer of this server.
const ANSWER_BYTES_MAX: usize = 1_024;

pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let is_encrypted = settings.tls.is_some();
    let looks = settings.listen.iter().map(|address| match address {
        ListenAddress::Tcp(address) => tcp(*address, is_encrypted),
        ListenAddress::Unix(path) => {
            let name = format!("unix:{}", path.display());
            match unix_problem(path) {
                None => Finding::ok(ABOUT, format!("{name} can be listened on")),
                Some(why) => Finding::problem(
                    ABOUT,
                    format!("{name} cannot be listened on: {why}"),
                    "Name another path in HOST, or make room there.",
                ),
            }
        }
    });
    looks.collect()
}

fn tcp(address: SocketAddr, is_encrypted: bool) -> Finding {
    if address.port() == 0 {
        return Finding::ok(ABOUT, format!("a free port of {}", address.ip()));
    }
    let error = match TcpListener::bind(address) {
        Ok(_) => return Finding::ok(ABOUT, format!("{address} is free")),
        Err(error) => error,
    };
    let found = format!("{address} cannot be listened on: {error}");
    match error.kind() {
        io::ErrorKind::AddrInUse if is_encrypted => Finding::warning(
            ABOUT,
            format!("{address} is in use, and TLS hides by whom"),
            "Where it is not the server that runs already, choose another PORT.",
        ),
        io::ErrorKind::AddrInUse if is_ours(address) => {
            Finding::ok(ABOUT, format!("{address} is served by Tidegate already"))
        }
        io::ErrorKind::AddrInUse => Finding::problem(
            ABOUT,
            format!("{address} is in use, and not by Tidegate"),
            "Choose another PORT, or end what listens there (ss -ltnp).",
        ),
        io::ErrorKind::PermissionDenied => Finding::problem(
            ABOUT,
            found,
            "Ports below 1024 need a capability: AmbientCapabilities=CAP_NET_BIND_SERVICE in systemd.",
        ),
        _ => Finding::problem(
            ABOUT,
            found,
            "HOST has to name addresses of this machine (ip address).",
        ),
    }
}

/// Whether who listens there answers `/health` as this server does.
fn is_ours(address: SocketAddr) -> bool {
    let answer = ask(reachable(address)).unwrap_or_default();
    let answer = String::from_utf8_lossy(&answer);
    ["ok", "draining"]
        .iter()
        .any(|status| answer.ends_with(&format!("{{\"status\":\"{status}\"}}\n")))
}

/// What is answered to `/health` in time, up to as much as this server says.
fn ask(address: SocketAddr) -> io::Result<Vec<u8>> {
    let end = Instant::now() + ANSWER_TIMEOUT;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut part = [0; ANSWER_BYTES_MAX];
    while answer.len() < ANSWER_BYTES_MAX {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => break,
            bytes => answer.extend_from_slice(&part[..bytes]),
        }
    }
    Ok(answer)
}

/// An address to connect to, where `0.0.0.0` and `::` are every one of this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        other => other.ip(),
    };
    SocketAddr::new(ip, address.port())
}
