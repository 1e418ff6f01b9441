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
        match (self.ip, self.port) {
            (ip, 0) => ip.fmt(f),
            (IpAddr::V4(ip), port) => {
                // Two lines for each connection hold it, and the formatter of `std` takes several times as long.
                let mut digits = itoa::Buffer::new();
                let [a, b, c, d] = ip.octets();
                for (octet, separator) in [(a, "."), (b, "."), (c, "."), (d, ":")] {
                    f.write_str(digits.format(octet))?;
                    f.write_str(separator)?;
                }
                f.write_str(digits.format(port))
            }
            (ip, port) => SocketAddr::new(ip, port).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_everywhere() {
        for text in [
            "0.0.0.0:1",
            "127.0.0.1:65535",
            "203.0.113.90:8080",
            "[2001:db8::1]:443",
        ] {
            let address: SocketAddr = text.parse().expect("an address");
            assert_eq!(ClientAddress::from(address).to_string(), text);
        }
        assert_eq!(ClientAddress::UNIX.to_string(), "127.0.0.1");
        let mapped: SocketAddr = "[::ffff:10.0.0.7]:9".parse().expect("an address");
        assert_eq!(ClientAddress::from(mapped).to_string(), "10.0.0.7:9");
    }
}
