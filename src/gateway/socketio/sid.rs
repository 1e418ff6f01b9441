//! The names of sessions, and of the sockets in them. Nobody can guess that of a session, it tells the worker that owns the session, and where a proxy has said by what it
//! chose this node, it begins with that.

use std::hash::{BuildHasher, RandomState};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::id::ConnKey;

/// Bytes that make a name impossible to guess.
pub(super) const SECRET_BYTES: usize = 16;
/// Bytes behind the secret: worker, place, and a mark by which a name is known that this process has not given.
const WORKER_BYTES: usize = size_of::<u16>();
const PLACE_BYTES: usize = size_of::<u32>();
const MARK_BYTES: usize = size_of::<u64>();
const BYTES: usize = SECRET_BYTES + WORKER_BYTES + PLACE_BYTES + MARK_BYTES;
/// Bytes of the name of a socket: worker, place, generation, stay and what is left of the mark.
const SOCKET_SAID_BYTES: usize = 12;
const SOCKET_BYTES: usize = 18;
/// Bytes of what a proxy may put in front.
const ROUTE_BYTES_MAX: usize = 64;

/// What only the owner of a session and its client know.
pub(super) type Secret = [u8; SECRET_BYTES];

/// What a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct Sid {
    pub(super) secret: Secret,
    pub(super) worker: u16,
    /// In the worker's list of sessions.
    pub(super) place: u32,
}

/// What the name of a socket says: of a client in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SocketName {
    pub(super) worker: u16,
    /// Of its session.
    pub(super) session: ConnKey,
    /// The last bits of what tells this time in the namespace from others.
    pub(super) stay: u16,
}

/// Gives the names of one process, and knows them again: a forged one costs no other worker anything.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Names(RandomState);

impl Names {
    /// The name, behind `route` where there is one.
    pub(super) fn write(&self, sid: &Sid, route: Option<&str>) -> String {
        let mut bytes = [0; BYTES];
        let (said, mark) = bytes.split_at_mut(BYTES - MARK_BYTES);
        said[..SECRET_BYTES].copy_from_slice(&sid.secret);
        said[SECRET_BYTES..][..WORKER_BYTES].copy_from_slice(&sid.worker.to_be_bytes());
        said[SECRET_BYTES + WORKER_BYTES..].copy_from_slice(&sid.place.to_be_bytes());
        mark.copy_from_slice(&self.mark(said));
        let name = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match route {
            Some(route) => format!("{route}.{name}"),
            None => name,
        }
    }

    /// What a name says; `None` where this process has not given it.
    pub(super) fn read(&self, name: &str) -> Option<Sid> {
        let name = name.rsplit_once('.').map_or(name, |(_, name)| name);
        let mut bytes = [0; BYTES];
        if BASE64_URL_SAFE_NO_PAD.decode_slice(name, &mut bytes) != Ok(BYTES) {
            return None;
        }
        let (said, mark) = bytes.split_at(BYTES - MARK_BYTES);
        if !is_same(mark, &self.mark(said)) {
            return None;
        }
        let (&secret, rest) = said.split_first_chunk()?;
        let (&worker, rest) = rest.split_first_chunk()?;
        let (&place, _) = rest.split_first_chunk()?;
        Some(Sid {
            secret,
            worker: u16::from_be_bytes(worker),
            place: u32::from_be_bytes(place),
        })
    }

    /// The name of a socket, which everybody may see; no other socket of any process has it.
    pub(super) fn write_socket(&self, name: &SocketName) -> String {
        let mut bytes = [0; SOCKET_BYTES];
        let (said, mark) = bytes.split_at_mut(SOCKET_SAID_BYTES);
        said[..2].copy_from_slice(&name.worker.to_be_bytes());
        said[2..6].copy_from_slice(&name.session.index.to_be_bytes());
        said[6..10].copy_from_slice(&name.session.generation.to_be_bytes());
        said[10..].copy_from_slice(&name.stay.to_be_bytes());
        mark.copy_from_slice(&self.mark(said)[..SOCKET_BYTES - SOCKET_SAID_BYTES]);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What the name of a socket says; `None` where this process has not given it.
    pub(super) fn read_socket(&self, name: &str) -> Option<SocketName> {
        let mut bytes = [0; SOCKET_BYTES];
        if BASE64_URL_SAFE_NO_PAD.decode_slice(name, &mut bytes) != Ok(SOCKET_BYTES) {
            return None;
        }
        let (said, mark) = bytes.split_at(SOCKET_SAID_BYTES);
        if !self.mark(said).starts_with(mark) {
            return None;
        }
        let (&worker, rest) = said.split_first_chunk()?;
        let (&index, rest) = rest.split_first_chunk()?;
        let (&generation, rest) = rest.split_first_chunk()?;
        let (&stay, _) = rest.split_first_chunk()?;
        Some(SocketName {
            worker: u16::from_be_bytes(worker),
            session: ConnKey {
                index: u32::from_be_bytes(index),
                generation: u32::from_be_bytes(generation),
            },
            stay: u16::from_be_bytes(stay),
        })
    }

    fn mark(&self, said: &[u8]) -> [u8; MARK_BYTES] {
        self.0.hash_one(said).to_be_bytes()
    }
}

/// Compares in a time that tells nothing.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// What a proxy has chosen this node by, where it may stand in a name.
pub(in crate::gateway) fn route(value: &[u8]) -> Option<&str> {
    let is_plain = value.iter().all(u8::is_ascii_alphanumeric);
    let fits = (1..=ROUTE_BYTES_MAX).contains(&value.len());
    str::from_utf8(value).ok().filter(|_| is_plain && fits)
}

/// A name that only its client knows, by which it is known when it comes back.
pub(super) fn private_name() -> Box<str> {
    let bytes: [u8; SOCKET_BYTES] = rand::random();
    BASE64_URL_SAFE_NO_PAD.encode(bytes).into()
}

/// Whether that may be a private name, or the name of a socket, of any process.
pub(super) fn may_be_name(name: &str) -> bool {
    let mut bytes = [0; SOCKET_BYTES];
    BASE64_URL_SAFE_NO_PAD.decode_slice(name, &mut bytes) == Ok(SOCKET_BYTES)
}

/// A new secret.
pub(super) fn secret() -> Secret {
    rand::random()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_is_small() {
        let bytes = size_of::<crate::gateway::socketio::Session>();
        assert!(bytes <= 512, "{bytes}");
    }

    #[test]
    fn a_name_is_known_again_and_no_other() {
        let names = Names::default();
        let sid = Sid {
            secret: secret(),
            worker: 3,
            place: 70_000,
        };
        let name = names.write(&sid, None);
        assert_eq!((name.len(), names.read(&name)), (40, Some(sid)));
        let routed = names.write(&sid, Some("a1"));
        assert_eq!(routed, format!("a1.{name}"));
        assert_eq!(names.read(&routed), Some(sid));
        assert_eq!(names.read(&format!("b2.c3.{name}")), Some(sid));
        for at in 0..name.len() {
            let mut other = name.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).expect("ASCII");
            assert_eq!(names.read(&other), None, "{other}");
        }
        for other in ["", ".", "abc", &name[1..], &format!("{name}A"), "a1."] {
            assert_eq!(names.read(other), None, "{other}");
        }
        assert_eq!(Names::default().read(&name), None, "of another process");
    }

    #[test]
    fn the_name_of_a_socket_is_known_again_and_no_other() {
        let names = Names::default();
        let socket = SocketName {
            worker: 3,
            session: ConnKey {
                index: 1 << 31 | 70_000,
                generation: 9,
            },
            stay: 258,
        };
        let name = names.write_socket(&socket);
        assert_eq!((name.len(), names.read_socket(&name)), (24, Some(socket)));
        let other = SocketName {
            stay: 259,
            ..socket
        };
        assert_ne!(names.write_socket(&other), name);
        for at in 0..name.len() {
            let mut other = name.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).expect("ASCII");
            assert_eq!(names.read_socket(&other), None, "{other}");
        }
        for other in ["", "room", &name[1..], &format!("{name}A")] {
            assert_eq!(names.read_socket(other), None, "{other}");
        }
        assert_eq!(
            Names::default().read_socket(&name),
            None,
            "of another process"
        );
    }

    #[test]
    fn only_plain_routes_stand_in_names() {
        assert_eq!(route(b"0aZ"), Some("0aZ"));
        let long = [b'a'; ROUTE_BYTES_MAX + 1];
        for value in [&b""[..], b"a.b", b"a b", "\u{e9}".as_bytes(), &long] {
            assert_eq!(route(value), None);
        }
    }
}
