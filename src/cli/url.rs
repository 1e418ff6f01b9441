//! A URL of a server, taken apart: what `bench` and `client` are told. Nothing is resolved here.

/// What is spoken at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `ws://`
    WebSocket,
    /// `wss://`: under TLS.
    Secure,
    /// `tcp://`: bytes, without a handshake.
    Bare,
}

/// A URL taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: Scheme,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    /// What goes into `Host`.
    pub(super) authority: String,
    /// `None` where the URL has none.
    pub(super) port: Option<u16>,
    /// Path and query as given; may be empty.
    pub(super) path: String,
}

impl Url {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// What is wrong, as a clause; an unknown scheme gives `schemes`.
    pub(super) fn parse(text: &str, schemes: &'static str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or(schemes)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ws" => Scheme::WebSocket,
            "wss" => Scheme::Secure,
            "tcp" => Scheme::Bare,
            _ => return Err(schemes),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if path.contains('#') {
            return Err("a fragment (#) never travels to a server");
        }
        if authority.contains('@') {
            return Err("a user and password cannot be sent");
        }
        let (host, port) = split_authority(authority)
            .ok_or("host and port are such as localhost:3000, 127.0.0.1:3000 or [::1]:3000")?;
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

/// `Name: value`, as `--header` has it.
///
/// # Errors
/// How it is written.
pub(super) fn split_header(line: &str) -> Result<(String, String), String> {
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| format!("--header {line:?}: it is written as 'Name: value'"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: &str = "it begins with ws://";

    #[test]
    fn urls_are_taken_apart() {
        let (ws, wss, bare) = (Scheme::WebSocket, Scheme::Secure, Scheme::Bare);
        for (text, scheme, host, port, path) in [
            ("ws://127.0.0.1:3000/ws", ws, "127.0.0.1", Some(3000), "/ws"),
            ("WS://localhost", ws, "localhost", None, ""),
            ("ws://[::1]:99/a?b=c", ws, "::1", Some(99), "/a?b=c"),
            ("ws://host?x", ws, "host", None, "/?x"),
            ("wss://host/", wss, "host", None, "/"),
            ("tcp://10.0.0.1:7", bare, "10.0.0.1", Some(7), ""),
        ] {
            let url = Url::parse(text, SCHEMES).expect("a URL");
            assert_eq!(
                (url.scheme, &url.host[..], url.port, &url.path[..]),
                (scheme, host, port, path),
                "{text}"
            );
        }
    }

    #[test]
    fn wrong_urls_are_refused() {
        for (text, says) in [
            ("127.0.0.1:3000", SCHEMES),
            ("http://a/", SCHEMES),
            ("ws://", "host and port"),
            ("ws://:80/", "host and port"),
            ("ws://a:b/", "host and port"),
            ("ws://a:0/", "host and port"),
            ("ws://a:65536/", "host and port"),
            ("ws://[::1/", "host and port"),
            ("ws://[::1]x/", "host and port"),
            ("ws://u@a/", "user and password"),
            ("ws://a/#b", "fragment"),
        ] {
            let why = Url::parse(text, SCHEMES).expect_err(text);
            assert!(why.contains(says), "{text}: {why}");
        }
    }

    #[test]
    fn headers_are_split_at_the_first_colon() {
        let pair = split_header("X-Key:  a:b ").expect("a header");
        assert_eq!(pair, ("X-Key".to_owned(), "a:b".to_owned()));
        assert!(split_header("X-Key").is_err());
    }
}
