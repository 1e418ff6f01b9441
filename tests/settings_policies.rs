//! Origins and trusted proxies, from their settings to their answers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;

use tidegate::server::settings::{Arguments, Context, Settings};

fn load(name: &str, value: &str) -> Result<Settings, String> {
    let context = Context {
        environment: HashMap::from([(name.into(), value.into())]),
        // No `.env` and no file lies there.
        directory: PathBuf::from("/nonexistent"),
        open_files_max: 10_000,
        cores: 1,
    };
    let loaded = Settings::load_in(&Arguments::default(), &context);
    loaded
        .map(|loaded| loaded.settings)
        .map_err(|error| error.to_string())
}

#[test]
fn origins() {
    let settings = load(
        "ALLOWED_ORIGINS",
        "https://example.com, https://*.example.org",
    )
    .expect("origins");
    for (origin, allowed) in [
        ("https://example.com", true),
        ("https://a.example.org", true),
        ("https://example.com.evil.example", false),
        ("https://elsewhere.example", false),
        ("null", false),
    ] {
        assert_eq!(
            settings.allowed_origins.allows(Some(origin.as_bytes())),
            allowed,
            "{origin}"
        );
    }
}

#[test]
fn proxies() {
    let settings = load("TRUSTED_PROXIES", "10.0.0.0/8, ::1").expect("proxies");
    for (address, trusted) in [
        ("10.1.2.3", true),
        ("::1", true),
        ("::ffff:10.0.0.1", true),
        ("127.0.0.1", false),
    ] {
        let address: IpAddr = address.parse().expect("an address");
        assert_eq!(
            settings.trusted_proxies.contains(address),
            trusted,
            "{address}"
        );
    }
}

#[test]
fn refusals_are_one_line() {
    for (name, value) in [
        ("ALLOWED_ORIGINS", "https://example.com/path"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
    ] {
        let line = load(name, value).expect_err("refused");
        assert!(
            line.starts_with(&format!("{name} = \"{value}\" (environment): ")),
            "{line}"
        );
        assert!(!line.contains('\n'), "{line}");
    }
}
