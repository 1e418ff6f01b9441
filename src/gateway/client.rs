//! The address a connection is counted and logged under.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A client's address in few bytes: every idle connection holds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress {
    /// The address; a peer on a Unix socket counts as 127.0.0.1, because it is on this machine.
    pub ip: IpAddr,
    /// The port; 0 where a proxy speaks for the client, or on a Unix socket.
    pub port: u16,
}

impl ClientAddress {
    /// A peer on a Unix socket.
    pub const UNIX: Self = Self {
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 0,
    };
}

impl From<SocketAddr> for ClientAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            ip: address.ip().to_canonical(),
            port: address.port(),
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            0 => self.ip.fmt(f),
            port => SocketAddr::new(self.ip, port).fmt(f),
        }
    }
}
