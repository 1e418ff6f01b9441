use super::*;

fn policy(entries: &[&str]) -> OriginPolicy {
    OriginPolicy::parse(entries.iter().copied()).expect("valid")
}

fn allows(entry: &str, origin: &str) -> bool {
    policy(&[entry]).allows(Some(origin.as_bytes()))
}

#[test]
fn without_entries_anything_goes() {
    for policy in [
        OriginPolicy::default(),
        policy(&[]),
        policy(&["", " "]),
        policy(&["https://a", "*"]),
    ] {
        for origin in [
            None,
            Some(&b"null"[..]),
            Some(b"https://evil.example"),
            Some(b"\xff"),
        ] {
            assert!(policy.allows(origin));
        }
    }
}

#[test]
fn with_entries_an_absent_origin_is_refused() {
    assert!(!policy(&["https://example.com"]).allows(None));
    assert!(!policy(&["null"]).allows(None));
}

#[test]
fn null_must_be_an_entry() {
    assert!(!allows("https://example.com", "null"));
    assert!(!allows("*.null", "null"));
    assert!(allows("null", "null"));
    for other in ["NULL", "null ", "https://null"] {
        assert!(!allows("null", other), "{other}");
    }
}

#[test]
fn exact_origins() {
    for (entry, origin) in [
        ("https://example.com", "https://example.com"),
        (" https://example.com ", "https://example.com"),
        ("HTTPS://Example.COM", "https://example.com"),
        ("https://example.com", "HTTPS://EXAMPLE.com"),
        ("https://example.com:443", "https://example.com"),
        ("https://example.com", "https://example.com:443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("http://a_b.example", "http://a_b.example"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("https://example.com.", "https://example.com."),
    ] {
        assert!(allows(entry, origin), "{entry} {origin}");
    }
}

/// GHSA-frjg-g767-7363 and others: a prefix or suffix of an allowed one, odd characters.
#[test]
fn everything_near_an_exact_origin_is_refused() {
    for origin in [
        "",
        "https://",
        "https:",
        "example.com",
        "//example.com",
        "http://example.com",
        "https://example.com:8443",
        "https://example.com:80",
        "https://example.com.evil.com",
        "https://evilexample.com",
        "https://evil-example.com",
        "https://www.example.com",
        "https://example.co",
        "https://example.comm",
        "https://example.com.",
        "https://example.com/",
        "https://example.com/path",
        "https://example.com?q",
        "https://example.com#f",
        "https://example.com ",
        " https://example.com",
        "https://example.com, https://evil.com",
        "https://example.com https://evil.com",
        "https://user@example.com",
        "https://example.com@evil.com",
        "https://example.com:443@evil.com",
        "https://example.com`.evil.com",
        "https://example.com_.evil.com",
        "https://example.com%60.evil.com",
        "https://example.com\\.evil.com",
        "https://example.com:",
        "https://example.com:0443",
        "https://example.com:+443",
        "https://example.com:65979",
        "https://example.com:443:443",
        "https://example.com\r\n",
        "https://example.com\0",
        "https://ex\u{e4}mple.com",
        "https://examp\u{212b}le.com",
        "https:///example.com",
        "https://[::1]",
        "https://.example.com",
        "https://example..com",
        "httpsx://example.com",
        "s://example.com",
        "https://*.example.com",
    ] {
        assert!(!allows("https://example.com", origin), "{origin:?}");
        assert!(!allows("https://example.com:443", origin), "{origin:?}");
    }
    assert!(!policy(&["https://example.com"]).allows(Some(b"https://example.com\xff")));
}

#[test]
fn ipv6_literals_are_addresses() {
    assert!(!allows("http://[::1]", "http://[::2]"));
    assert!(!allows("http://[::1]", "http://[::1"));
    assert!(!allows("http://[::1]", "http://::1"));
    assert!(!allows("http://[::1]", "http://[::1].example.com"));
    assert!(!allows("http://[::1]", "http://[::1%25eth0]"));
    assert!(!allows("*.1", "http://[::1]"));
}

#[test]
fn patterns_match_names_below_a_domain() {
    for origin in [
        "https://a.example.com",
        "https://a.b.example.com",
        "https://A.EXAMPLE.com:443",
        "https://x_y.example.com",
    ] {
        assert!(allows("https://*.example.com", origin), "{origin}");
        assert!(allows("*.Example.com", origin), "{origin}");
    }
    assert!(allows("*.example.com", "http://a.example.com"));
    assert!(allows("*.example.com", "http://a.example.com:80"));
    assert!(allows(
        "https://*.example.com:8443",
        "https://a.example.com:8443"
    ));
    assert!(allows("*.example.com:8443", "http://a.example.com:8443"));
}

#[test]
fn everything_near_a_pattern_is_refused() {
    for origin in [
        "https://example.com",
        "https://.example.com",
        "https://evilexample.com",
        "https://a.example.com.evil.com",
        "https://a.example.comm",
        "https://a.example.com.",
        "https://a.example.com:8443",
        "https://a.example.com:80",
        "https://evil.com/.example.com",
        "https://evil.com#.example.com",
        "https://evil.com?.example.com",
        "https://evil.com\\.example.com",
        "https://evil.com`.example.com",
        "https://evil.com:443.example.com",
        "https://user@a.example.com",
        "https://a..example.com",
        "https://a%2eexample.com",
        "https://\u{e9}.example.com",
        "https://a\r\n.example.com",
        "null",
        "https://[::1].example.com",
    ] {
        assert!(!allows("https://*.example.com", origin), "{origin:?}");
        assert!(!allows("*.example.com", origin), "{origin:?}");
    }
    assert!(!allows("https://*.example.com", "http://a.example.com"));
    assert!(!allows("*.example.com", "ftp://a.example.com"));
    assert!(!allows(
        "https://*.example.com:8443",
        "https://a.example.com"
    ));
}

#[test]
fn wrong_entries_are_named_with_the_reason() {
    for (entry, why) in [
        ("example.com", "needs a scheme"),
        ("localhost:3000", "needs a scheme"),
        ("https://example.com/", "no origin"),
        ("https://example.com/path", "no origin"),
        ("https://user@example.com", "no origin"),
        ("https://", "no origin"),
        ("https://example.com:0", "no origin"),
        ("https://example.com:99999", "no origin"),
        ("https://ex*mple.com", "no origin"),
        ("https://b\u{fc}cher.example", "ASCII"),
        ("wss://example.com", "not ws or wss"),
        ("ws://*.example.com", "not ws or wss"),
        ("1http://example.com", "scheme"),
        ("*.", "no pattern"),
        ("*.*.example.com", "no pattern"),
        ("https://*", "no origin"),
        ("*example.com", "needs a scheme"),
        ("*.example.com/", "no pattern"),
        ("*.example.com:x", "port"),
    ] {
        let error = OriginPolicy::parse(["https://good.example", entry]).expect_err(entry);
        assert!(
            error.contains(&format!("`{entry}`")) && error.contains(why),
            "{error}"
        );
    }
}
