//! Request targets and authorities (RFC 9112 section 3.2, RFC 3986 section 3.2).

use std::net::Ipv6Addr;

use super::error::HttpError;

/// What a request asks for, and of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'b> {
    /// Path and query. Of an absolute URI without a path it is the query with its `?`, or `/`.
    pub(super) path_and_query: &'b str,
    /// Of an absolute-form target; goes before `Host` (RFC 9112 section 3.2.2).
    pub(super) authority: Option<&'b str>,
}

/// Takes a target apart.
///
/// # Errors
/// `Target` for everything but origin-form, absolute-form with a scheme of the web, and `*` of OPTIONS. CONNECT has no
/// meaning here, so authority-form is refused too.
pub(super) fn parse<'b>(method: &str, target: &'b str) -> Result<Target<'b>, HttpError> {
    // RFC 3986 has no byte outside of visible ASCII in a URI, and a fragment never travels (RFC 9110 section 7.1).
    if !target
        .bytes()
        .all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'#')
    {
        return Err(HttpError::Target);
    }
    if method == "CONNECT" {
        return Err(HttpError::Target);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(Target {
            path_and_query: target,
            authority: None,
        });
    }
    let after_scheme = ["http://", "https://", "ws://", "wss://"]
        .iter()
        .find_map(|scheme| {
            let (head, tail) = target.split_at_checked(scheme.len())?;
            head.eq_ignore_ascii_case(scheme).then_some(tail)
        })
        .ok_or(HttpError::Target)?;
    let end = after_scheme.find(['/', '?']).unwrap_or(after_scheme.len());
    let (authority, rest) = after_scheme.split_at(end);
    if authority.is_empty() || !is_authority(authority.as_bytes()) {
        return Err(HttpError::Target);
    }
    let path_and_query = if rest.is_empty() { "/" } else { rest };
    Ok(Target {
        path_and_query,
        authority: Some(authority),
    })
}

/// Whether `bytes` is `uri-host [ ":" port ]`. An empty host is one (RFC 9110 section 7.2); user information is not.
pub(super) fn is_authority(bytes: &[u8]) -> bool {
    if let Some(literal) = bytes.strip_prefix(b"[") {
        let Some(end) = literal.iter().position(|&byte| byte == b']') else {
            return false;
        };
        let is_address =
            str::from_utf8(&literal[..end]).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
        return is_address && is_port(&literal[end + 1..]);
    }
    let end = bytes
        .iter()
        .position(|&byte| byte == b':')
        .unwrap_or(bytes.len());
    is_registered_name(&bytes[..end]) && is_port(&bytes[end..])
}

/// `reg-name`, addresses of IPv4 among it.
fn is_registered_name(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match byte {
            b'%' => match tail {
                [a, b, after @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => after,
                _ => return false,
            },
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
            | b',' | b';' | b'=' => tail,
            _ if byte.is_ascii_alphanumeric() => tail,
            _ => return false,
        };
    }
    true
}

/// Nothing, or a colon and a port number, which may be empty (RFC 3986 section 3.2.3).
fn is_port(bytes: &[u8]) -> bool {
    match bytes.split_first() {
        None => true,
        Some((b':', [])) => true,
        Some((b':', digits)) => {
            super::grammar::decimal(digits).is_some_and(|port| port <= u64::from(u16::MAX))
        }
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(method: &str, target: &str) -> Option<String> {
        parse(method, target)
            .ok()
            .map(|parsed| parsed.path_and_query.to_owned())
    }

    #[test]
    fn origin_form_is_taken_as_it_is() {
        assert_eq!(
            path("GET", "/ws?a=b%20c&d").as_deref(),
            Some("/ws?a=b%20c&d")
        );
        assert_eq!(path("GET", "//evil/x").as_deref(), Some("//evil/x"));
    }

    #[test]
    fn absolute_form_gives_path_and_authority() {
        let parsed = parse("GET", "HTTP://Example.com:8080/ws?x").expect("valid");
        assert_eq!(parsed.path_and_query, "/ws?x");
        assert_eq!(parsed.authority, Some("Example.com:8080"));
        assert_eq!(path("GET", "https://example.com").as_deref(), Some("/"));
        assert_eq!(path("GET", "ws://[::1]:3000?q").as_deref(), Some("?q"));
    }

    #[test]
    fn asterisk_form_is_for_options_only() {
        assert_eq!(path("OPTIONS", "*").as_deref(), Some("*"));
        assert_eq!(parse("GET", "*"), Err(HttpError::Target));
    }

    #[test]
    fn other_targets_are_refused() {
        let bad = [
            "example.com:443",
            "ws",
            "",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://u@h/",
            "http://[::1/",
            "/a#b",
            "/é",
            "/a b",
            "http:/x",
            "javascript:alert(1)",
        ];
        for target in bad {
            assert_eq!(parse("GET", target), Err(HttpError::Target), "{target}");
        }
        assert_eq!(parse("CONNECT", "example.com:443"), Err(HttpError::Target));
        assert_eq!(parse("CONNECT", "/"), Err(HttpError::Target));
    }

    #[test]
    fn authorities() {
        for good in [
            "",
            "localhost",
            "localhost:3000",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8080",
            "a_b.example",
            "h:",
            "x%2Dy",
            "xn--bcher-kva.example",
            "h:65535",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b", "a/b", "u@h", "h:65536", "h:+80", "h:80:80", "::1", "[::1", "[::1]x", "[v1.x]",
            "a\\b", "h?", "é", "%zz", "%4", "[g::]", "h:8a", "a,b\"",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
