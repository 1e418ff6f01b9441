use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"a secret of the tests";
const NOW: u64 = 1_800_000_000;

fn now() -> Duration {
    Duration::from_secs(NOW)
}

fn policy() -> TokenPolicy {
    let mut policy = TokenPolicy::new(Duration::from_secs(5));
    policy.add_secret(SECRET, "HS256").expect("HMAC");
    policy
}

fn signed(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET);
    encode(&Header::new(Algorithm::HS256), claims, &key).expect("a token")
}

fn refused(claims: &Value) -> TokenError {
    policy()
        .verify(&signed(claims), now())
        .expect_err("refused")
}

#[test]
fn a_token_names_its_user_and_what_that_may() {
    let claims = json!({
        "sub": "ann", "exp": NOW + 60, "nbf": NOW + 5, "rooms": ["lobby", "team-*"],
        "publish": false, "broadcast": true, "iss": "whoever", "aud": ["whatever"],
    });
    let grant = policy().verify(&signed(&claims), now()).expect("a grant");
    assert_eq!(&*grant.user, "ann");
    assert_eq!(grant.expires_at, now() + Duration::from_secs(65));
    assert!(!grant.may_publish && grant.may_broadcast == Some(true));
    for (room, allowed) in [
        ("lobby", true),
        ("lobby2", false),
        ("team-", true),
        ("team-7", true),
        ("team", false),
        ("*", false),
    ] {
        assert_eq!(grant.allows_room(room), allowed, "{room}");
    }
    let plain = json!({ "sub": "ann", "exp": NOW as f64 + 0.5 });
    let grant = policy().verify(&signed(&plain), now()).expect("a grant");
    assert!(grant.allows_room("any") && grant.may_publish && grant.may_broadcast.is_none());
}

#[test]
fn times_count_with_some_leeway() {
    assert_eq!(
        refused(&json!({ "sub": "a", "exp": NOW - 5 })),
        TokenError::Expired
    );
    let late = json!({ "sub": "a", "exp": NOW - 4 });
    assert!(policy().verify(&signed(&late), now()).is_ok());
    let early = json!({ "sub": "a", "exp": NOW + 60, "nbf": NOW + 6 });
    assert_eq!(refused(&early), TokenError::NotYet);
}

#[test]
fn claims_that_are_missing_or_of_another_kind_are_refused() {
    assert_eq!(refused(&json!({ "sub": "a" })), TokenError::MissingClaim);
    assert_eq!(
        refused(&json!({ "exp": NOW + 60 })),
        TokenError::MissingClaim
    );
    // A string was once passed over (CVE-2026-25537).
    for exp in [
        json!("9999999999"),
        json!(-1),
        json!(1e300),
        json!([]),
        json!(true),
    ] {
        let claims = json!({ "sub": "a", "exp": exp });
        assert_eq!(refused(&claims), TokenError::Malformed, "{claims}");
    }
    for claims in [
        json!({ "sub": 7, "exp": NOW + 60 }),
        json!({ "sub": "a", "exp": NOW + 60, "rooms": "all" }),
        json!({ "sub": "a", "exp": NOW + 60, "publish": "yes" }),
        json!({ "sub": "a", "exp": NOW + 60, "rooms": vec!["r"; PATTERNS_MAX + 1] }),
    ] {
        assert_eq!(refused(&claims), TokenError::Malformed, "{claims}");
    }
}

#[test]
fn the_settings_choose_the_algorithm_and_not_the_token() {
    let claims = json!({ "sub": "a", "exp": NOW + 60 });
    let good = signed(&claims);
    let (_, body) = good.split_once('.').expect("three parts");
    for header in [
        json!({ "alg": "none" }),
        json!({ "alg": "HS512" }),
        json!({ "alg": "RS256" }),
        json!({ "alg": "hs256" }),
    ] {
        let forged = format!("{}.{body}", URL_SAFE_NO_PAD.encode(header.to_string()));
        let error = policy().verify(&forged, now()).expect_err("refused");
        assert!(
            matches!(error, TokenError::Algorithm | TokenError::Malformed),
            "{header}: {error:?}"
        );
    }
    let other = EncodingKey::from_secret(b"another secret");
    let forged = encode(&Header::new(Algorithm::HS256), &claims, &other).expect("a token");
    assert_eq!(policy().verify(&forged, now()), Err(TokenError::Signature));
    let long = "x".repeat(TOKEN_BYTES_MAX + 1);
    for text in [
        "",
        ".",
        "..",
        "a.b.c",
        &good[..good.len() - 4],
        long.as_str(),
    ] {
        assert!(policy().verify(text, now()).is_err(), "{text}");
    }
    assert!(policy().add_secret(SECRET, "RS256").is_err());
    assert!(!format!("{:?}", policy()).contains("secret"));
}

#[test]
fn a_public_key_says_which_algorithm_is_its_own() {
    for (kind, expected) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "ES256"),
        (&rcgen::PKCS_ED25519, "EdDSA"),
    ] {
        let pair = rcgen::KeyPair::generate_for(kind).expect("a key");
        let mut policy = TokenPolicy::new(Duration::ZERO);
        let public = pair.public_key_pem();
        assert_eq!(policy.add_public_key(public.as_bytes()), Ok(expected));
        let (algorithm, key) = match expected {
            "ES256" => (
                Algorithm::ES256,
                EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()),
            ),
            _ => (
                Algorithm::EdDSA,
                EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()),
            ),
        };
        let claims = json!({ "sub": "ann", "exp": NOW + 60 });
        let key = key.expect("a key");
        let token = encode(&Header::new(algorithm), &claims, &key).expect("a token");
        assert!(policy.verify(&token, now()).is_ok());
        // The public key is no secret: who knows it can sign nothing.
        let public = EncodingKey::from_secret(public.as_bytes());
        let forged = encode(&Header::new(Algorithm::HS256), &claims, &public).expect("a token");
        assert_eq!(policy.verify(&forged, now()), Err(TokenError::Algorithm));
    }
    let mut policy = TokenPolicy::new(Duration::ZERO);
    for text in [
        "",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ] {
        assert!(policy.add_public_key(text.as_bytes()).is_err());
    }
}
