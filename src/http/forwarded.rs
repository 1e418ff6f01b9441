//! Whose word about the client's address is believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

use super::grammar;

/// The proxies whose `X-Forwarded-For` counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// Parses addresses and networks (`10.0.0.0/8`, `::1`), and the word `loopback`.
    ///
    /// # Errors
    /// The entry that is neither.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut networks = Vec::new();
        for entry in entries {
            let entry = entry.trim();
            if entry == "loopback" {
                networks.push(network(Ipv4Addr::new(127, 0, 0, 0).into(), 8));
                networks.push(network(Ipv6Addr::LOCALHOST.into(), 128));
            } else if let Ok(address) = entry.parse::<IpAddr>() {
                networks.push(IpNet::from(address.to_canonical()));
            } else if let Ok(parsed) = entry.parse::<IpNet>() {
                networks.push(canonical(parsed));
            } else {
                return Err(format!(
                    "`{entry}` is no address, no network such as 10.0.0.0/8, and not the word loopback"
                ));
            }
        }
        Ok(Self { networks })
    }

    /// Whether `peer` is one of them. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.networks.iter().any(|network| network.contains(&peer))
    }

    /// The client's address: walks the `X-Forwarded-For` values from the right while the hop is trusted. What is no
    /// address ends the walk at the last good hop: beyond it anyone may have written anything.
    ///
    /// `peer` is whom the socket is connected to. IPv4-mapped addresses are given as IPv4.
    pub fn client_address<'a>(
        &self,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> IpAddr {
        let mut address = peer.to_canonical();
        let hops = forwarded_for
            .rev()
            .flat_map(|value| value.rsplit(|&byte| byte == b','));
        for hop in hops {
            if !self.contains(address) {
                break;
            }
            match parse_hop(grammar::trim(hop)) {
                Some(next) => address = next,
                None => break,
            }
        }
        address
    }
}

/// An address as proxies write it: bare, with a port, an IPv6 one with or without brackets.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(hop).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner
        .parse::<Ipv6Addr>()
        .ok()
        .map(|address| IpAddr::V6(address).to_canonical())
}

/// A network given with host bits is that network; one of IPv4-mapped addresses is one of IPv4.
fn canonical(network: IpNet) -> IpNet {
    if let IpNet::V6(v6) = network
        && let Some(mapped) = v6.addr().to_ipv4_mapped()
        && let Some(prefix) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(mapped, prefix)
    {
        return IpNet::V4(v4.trunc());
    }
    network.trunc()
}

fn network(address: IpAddr, prefix: u8) -> IpNet {
    IpNet::new(address, prefix).expect("a prefix within the address")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn client(trusted: &[&str], peer: &str, values: &[&str]) -> String {
        let trusted = TrustedProxies::parse(trusted.iter().copied()).expect("valid");
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        trusted
            .client_address(address(peer), values.into_iter())
            .to_string()
    }

    #[test]
    fn entries_are_addresses_networks_and_loopback() {
        let entries = [
            "loopback",
            " 10.1.2.3/8 ",
            "192.0.2.1",
            "2001:db8::/32",
            "::ffff:198.51.100.0/120",
        ];
        let trusted = TrustedProxies::parse(entries).expect("valid");
        for inside in [
            "127.9.9.9",
            "::1",
            "10.200.0.1",
            "192.0.2.1",
            "2001:db8:1::1",
            "::ffff:10.0.0.1",
            "198.51.100.7",
            "::ffff:127.0.0.1",
        ] {
            assert!(trusted.contains(address(inside)), "{inside}");
        }
        for outside in [
            "128.0.0.1",
            "::2",
            "11.0.0.1",
            "192.0.2.2",
            "2001:db9::1",
            "::ffff:11.0.0.1",
        ] {
            assert!(!trusted.contains(address(outside)), "{outside}");
        }
        assert!(!TrustedProxies::default().contains(address("127.0.0.1")));
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for bad in [
            "localhost",
            "10.0.0.0/33",
            "10.0.0",
            "",
            "*",
            "::/129",
            "10.0.0.1:80",
        ] {
            let error = TrustedProxies::parse(["::1", bad]).expect_err(bad);
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(
            client(&["loopback"], "203.0.113.9", &["198.51.100.1"]),
            "203.0.113.9"
        );
        assert_eq!(client(&[], "127.0.0.1", &["198.51.100.1"]), "127.0.0.1");
    }

    #[test]
    fn the_walk_ends_at_the_first_untrusted_hop() {
        let trusted = ["loopback", "10.0.0.0/8"];
        assert_eq!(
            client(&trusted, "127.0.0.1", &["198.51.100.1"]),
            "198.51.100.1"
        );
        // What the client itself wrote stands further left.
        assert_eq!(
            client(&trusted, "127.0.0.1", &["1.1.1.1, 198.51.100.1 ,10.0.0.7"]),
            "198.51.100.1"
        );
        assert_eq!(
            client(
                &trusted,
                "127.0.0.1",
                &["1.1.1.1, 198.51.100.1", "10.0.0.7"]
            ),
            "198.51.100.1"
        );
        assert_eq!(
            client(&trusted, "127.0.0.1", &["10.0.0.1, 10.0.0.2"]),
            "10.0.0.1"
        );
        assert_eq!(client(&trusted, "127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn hops_may_have_ports_and_brackets() {
        for (hop, expected) in [
            ("198.51.100.1:4711", "198.51.100.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("[::ffff:198.51.100.1]:1", "198.51.100.1"),
        ] {
            assert_eq!(client(&["loopback"], "::1", &[hop]), expected, "{hop}");
        }
        assert_eq!(client(&["loopback"], "::ffff:127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn garbage_ends_the_walk_at_the_last_good_hop() {
        for bad in [
            "unknown",
            "",
            "_hidden",
            "1.2.3",
            "1.2.3.4:99999",
            "[::1",
            "\"1.2.3.4\"",
            "1.2.3.4 5",
            "\u{e9}",
        ] {
            assert_eq!(
                client(&["loopback"], "127.0.0.1", &[bad]),
                "127.0.0.1",
                "{bad}"
            );
            let chain = format!("9.9.9.9, {bad}, 127.0.0.2");
            assert_eq!(
                client(&["loopback"], "127.0.0.1", &[&chain]),
                "127.0.0.2",
                "{bad}"
            );
        }
        let commas = ",".repeat(8_000);
        assert_eq!(client(&["loopback"], "127.0.0.1", &[&commas]), "127.0.0.1");
    }
}
