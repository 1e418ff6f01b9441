//! `HOST` to listening addresses. Names are resolved here, at the start and at a reload.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;

use super::ListenAddress;
use crate::limits::LISTEN_ADDRESSES_MAX;

/// Bytes of a Unix socket's path: `sun_path` less its NUL.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// The addresses of `entries`; `port` for those that name none. The same address twice counts once.
///
/// # Errors
/// The entry that is none, and why.
pub(super) fn parse(entries: &[String], port: u16) -> Result<Vec<ListenAddress>, String> {
    let mut addresses = Vec::new();
    for entry in entries {
        if let Some(path) = entry.strip_prefix("unix:") {
            addresses.push(ListenAddress::Unix(unix_path(entry, path)?));
        } else {
            addresses.extend(tcp(entry, port)?.into_iter().map(ListenAddress::Tcp));
        }
    }
    let mut seen = HashSet::new();
    addresses.retain(|address| seen.insert(address.clone()));
    match addresses.len() {
        0 => Err("must name at least one address".to_owned()),
        1..=LISTEN_ADDRESSES_MAX => Ok(addresses),
        many => Err(format!(
            "names {many} addresses; {LISTEN_ADDRESSES_MAX} is the most"
        )),
    }
}

fn unix_path(entry: &str, path: &str) -> Result<PathBuf, String> {
    match path.len() {
        0 => Err(format!("\"{entry}\" needs a path after unix:")),
        1..=UNIX_PATH_BYTES_MAX if !path.contains('\0') => Ok(PathBuf::from(path)),
        _ => Err(format!(
            "the path of \"{entry}\" is longer than {UNIX_PATH_BYTES_MAX} bytes"
        )),
    }
}

fn tcp(entry: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = entry.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }
    let bare = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(entry);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, digits)) => (name, explicit_port(entry, digits)?),
        None => (entry, port),
    };
    if !is_host_name(name) {
        return Err(format!(
            "\"{entry}\" is neither an address, nor a name, nor unix:/path"
        ));
    }
    let resolved: Vec<SocketAddr> = (name, port)
        .to_socket_addrs()
        .map_err(|error| format!("the name \"{name}\" does not resolve: {error}"))?
        .collect();
    Ok(of_this_machine(resolved))
}

fn explicit_port(entry: &str, digits: &str) -> Result<u16, String> {
    Some(digits)
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("the port of \"{entry}\" must be a whole number from 0 to 65535"))
}

/// Letters, digits, `-`, `_`, `.`; and not a number at the end, or the resolver would take `3000` and `127.1` for
/// addresses that nobody meant.
fn is_host_name(name: &str) -> bool {
    let last = name
        .trim_end_matches('.')
        .rsplit('.')
        .next()
        .unwrap_or_default();
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && last
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic())
}

/// `localhost` gives `::1` also where the kernel has no IPv6: leave out what this machine cannot have,
/// unless nothing would be left.
fn of_this_machine(resolved: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let possible = |address: &SocketAddr| match UdpSocket::bind((address.ip(), 0)) {
        Ok(_) => true,
        Err(error) => {
            error.kind() != ErrorKind::AddrNotAvailable && error.kind() != ErrorKind::Unsupported
        }
    };
    let usable: Vec<SocketAddr> = resolved.iter().copied().filter(possible).collect();
    if usable.is_empty() { resolved } else { usable }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<ListenAddress>, String> {
        let entries: Vec<String> = text.split(',').map(str::to_owned).collect();
        parse(&entries, 3000)
    }

    fn tcp_at(text: &str) -> ListenAddress {
        ListenAddress::Tcp(text.parse().expect("an address"))
    }

    #[test]
    fn addresses_with_and_without_a_port() {
        for (entry, address) in [
            ("127.0.0.1", "127.0.0.1:3000"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("::1", "[::1]:3000"),
            ("[::1]", "[::1]:3000"),
            ("[::1]:81", "[::1]:81"),
            ("::", "[::]:3000"),
        ] {
            assert_eq!(parsed(entry), Ok(vec![tcp_at(address)]), "{entry}");
        }
    }

    #[test]
    fn several_in_order_and_each_once() {
        assert_eq!(
            parsed("127.0.0.1,unix:/run/t.sock,127.0.0.1:3000,127.0.0.2"),
            Ok(vec![
                tcp_at("127.0.0.1:3000"),
                ListenAddress::Unix("/run/t.sock".into()),
                tcp_at("127.0.0.2:3000"),
            ])
        );
    }

    #[test]
    fn localhost_resolves() {
        for (entry, port) in [("localhost", 3000), ("localhost:82", 82)] {
            let addresses = parsed(entry).expect("localhost");
            assert!(!addresses.is_empty());
            for address in addresses {
                let ListenAddress::Tcp(address) = address else {
                    panic!("not TCP")
                };
                assert!(address.ip().is_loopback());
                assert_eq!(address.port(), port);
            }
        }
    }

    #[test]
    fn refusals_name_the_entry() {
        for (entry, problem) in [
            ("unix:", "\"unix:\" needs a path after unix:"),
            (
                "127.1",
                "\"127.1\" is neither an address, nor a name, nor unix:/path",
            ),
            (
                "3000",
                "\"3000\" is neither an address, nor a name, nor unix:/path",
            ),
            (
                "0x7f.0x1",
                "\"0x7f.0x1\" is neither an address, nor a name, nor unix:/path",
            ),
            (
                "a b",
                "\"a b\" is neither an address, nor a name, nor unix:/path",
            ),
            (
                "http://x",
                "the port of \"http://x\" must be a whole number from 0 to 65535",
            ),
            (
                "localhost:",
                "the port of \"localhost:\" must be a whole number from 0 to 65535",
            ),
            (
                "localhost:65536",
                "the port of \"localhost:65536\" must be a whole number from 0 to 65535",
            ),
            (
                "1.2.3.4:+5",
                "the port of \"1.2.3.4:+5\" must be a whole number from 0 to 65535",
            ),
        ] {
            assert_eq!(parsed(entry), Err(problem.to_owned()), "{entry}");
        }
        let long = format!("unix:/{}", "x".repeat(UNIX_PATH_BYTES_MAX));
        assert!(
            parsed(&long)
                .expect_err("too long")
                .ends_with("is longer than 107 bytes")
        );
        assert_eq!(
            parse(&[], 1),
            Err("must name at least one address".to_owned())
        );
        let many: Vec<String> = (1..=65).map(|n| format!("127.0.0.{n}")).collect();
        assert_eq!(
            parse(&many, 1),
            Err("names 65 addresses; 64 is the most".to_owned())
        );
    }
}
