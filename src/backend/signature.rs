//! Standard Webhooks 1.0: what shows a back end that a request came from here, as it is, and not long ago.
//!
//! Three header fields: `webhook-id`, the same for every attempt of a delivery; `webhook-timestamp`, seconds since 1970 of this
//! attempt; and `webhook-signature`, `v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`. While secrets are rotated there
//! are two signatures with a space between them, and a receiver is content with either.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Header field of the name of a delivery.
pub const ID_FIELD: &str = "webhook-id";
/// Header field of the time of an attempt.
pub const TIMESTAMP_FIELD: &str = "webhook-timestamp";
/// Header field of the signatures.
pub const SIGNATURE_FIELD: &str = "webhook-signature";

/// What a secret begins with.
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a secret, base64 taken off.
const SECRET_BYTES_MIN: usize = 24;
const SECRET_BYTES_MAX: usize = 64;
/// Secrets at one time: the one, and during rotation the other.
const SECRETS_MAX: usize = 2;
/// Bytes of the name of a delivery.
const ID_BYTES_MAX: usize = 128;

/// What requests are signed with. Never shown.
#[derive(Clone, Default)]
pub struct Secrets(Vec<hmac::Key>);

impl Secrets {
    /// One or two secrets, each `whsec_` and the base64 of 24 to 64 bytes. With none nothing is signed.
    ///
    /// # Errors
    /// What is wrong with them, without any part of them.
    pub fn parse<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Result<Self, &'static str> {
        let keys: Result<Vec<_>, _> = secrets.into_iter().map(key).collect();
        let keys = keys?;
        if keys.len() > SECRETS_MAX {
            return Err("there may be two secrets at most: the new one and the old one");
        }
        Ok(Self(keys))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The value of `webhook-signature`; none without a secret.
    pub fn sign(&self, id: &DeliveryId, timestamp: u64, body: &[u8]) -> Option<String> {
        let head = format!("{}.{timestamp}.", id.as_str());
        let signature = |key| {
            let mut context = hmac::Context::with_key(key);
            context.update(head.as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        };
        let signatures: Vec<String> = self.0.iter().map(signature).collect();
        (!signatures.is_empty()).then(|| signatures.join(" "))
    }
}

fn key(secret: &str) -> Result<hmac::Key, &'static str> {
    let encoded = secret
        .strip_prefix(SECRET_PREFIX)
        .ok_or("a secret begins with whsec_")?;
    let bytes = STANDARD
        .decode(encoded)
        .map_err(|_| "a secret is base64 behind whsec_")?;
    if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) {
        return Err("a secret has 24 to 64 bytes, in base64 behind whsec_");
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// The name of a delivery, by which a receiver knows one that it has had already.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeliveryId(Box<str>);

impl DeliveryId {
    /// 1 to 128 visible ASCII characters, and no full stop: that one separates the name from what is signed behind it.
    pub fn new(id: &str) -> Option<Self> {
        let fits = (1..=ID_BYTES_MAX).contains(&id.len());
        let is_plain = id
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'.');
        (fits && is_plain).then(|| Self(id.into()))
    }

    /// A name that nothing else has: 128 bits of chance.
    pub fn random() -> Self {
        Self(format!("msg_{:032x}", rand::random::<u128>()).into())
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_vector_of_the_specification_is_signed_as_it_says() {
        let secrets = Secrets::parse([SECRET]).expect("a secret");
        let id = DeliveryId::new(ID).expect("a name");
        let signed = secrets.sign(&id, 1_614_265_330, BODY);
        assert_eq!(signed.as_deref(), Some(SIGNATURE));
    }

    #[test]
    fn two_secrets_make_two_signatures() {
        let other = format!("whsec_{}", STANDARD.encode([7; 64]));
        let secrets = Secrets::parse([other.as_str(), SECRET]).expect("secrets");
        let id = DeliveryId::new(ID).expect("a name");
        let signed = secrets.sign(&id, 1_614_265_330, BODY).expect("signatures");
        let (first, second) = signed.split_once(' ').expect("two of them");
        assert_eq!(second, SIGNATURE);
        assert!(first.starts_with("v1,") && first != second, "{first}");
        assert_eq!(Secrets::default().sign(&id, 1_614_265_330, BODY), None);
    }

    #[test]
    fn what_is_no_secret_is_refused_and_none_is_shown() {
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        let wrong = [
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with"),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!", "is base64"),
            ("whsec_", "24 to 64"),
            (short.as_str(), "24 to 64"),
            (long.as_str(), "24 to 64"),
        ];
        for (secret, what) in wrong {
            let problem = Secrets::parse([secret]).expect_err(secret);
            assert!(problem.contains(what), "{secret}: {problem}");
        }
        let problem = Secrets::parse([SECRET; 3]).expect_err("three");
        assert!(problem.contains("two secrets"), "{problem}");
        let secrets = Secrets::parse([SECRET]).expect("a secret");
        assert_eq!(format!("{secrets:?}"), "Secrets(1)");
    }

    #[test]
    fn names_of_deliveries_can_stand_in_a_header() {
        let long = "x".repeat(ID_BYTES_MAX + 1);
        for id in ["", "a.b", "a b", "a\r\nb", "ü", long.as_str()] {
            assert_eq!(DeliveryId::new(id), None, "{id}");
        }
        let random = DeliveryId::random();
        assert_eq!(DeliveryId::new(random.as_str()), Some(random.clone()));
        assert_ne!(DeliveryId::random(), random);
    }
}
