//! What is tried again, and when.
//!
//! By Standard Webhooks a delivery keeps its `webhook-id` however often it is tried, and the receiver takes a second one with the same
//! for the first: so it is safe to try again also where the first may have arrived. A receiver that knows the id gives the answer
//! again that it gave then, or an empty one.
//!
//! | | `connect`, `message` | `disconnect` |
//! |---|---|---|
//! | no connection, or one that broke | again | again |
//! | 502, 503, 504 | again | again |
//! | no answer in time | no: whoever waits has waited long enough | again |
//! | 410 | no | no: the back end wants no more of them |
//! | any other status that is no success | no | again |
//! | an answer that is no good | no | again; of a 2xx the body does not matter |
//! | how often, how long | `retries`, within the time limit | until it is delivered, or `disconnect_age_max` old |
//!
//! The first wait is of 50 ms or so, each next one twice as long, up to 30 s, half of it left to chance; `Retry-After` makes it longer.

use std::time::{Duration, SystemTime};

use rand::{Rng, RngExt};

use super::cloudevents::Kind;
use super::failure::Failure;
use crate::limits::RETRY_AFTER_MAX;

/// The first wait, and the longest.
const WAIT_LEAST: Duration = Duration::from_millis(50);
const WAIT_MOST: Duration = Duration::from_secs(30);

/// Whether a delivery that has come to `failure` may be tried again, as far as that alone decides.
pub(super) fn is_worth_it(kind: Kind, failure: &Failure) -> bool {
    match failure {
        Failure::Stopped | Failure::Declined { status: 410, .. } => false,
        _ if kind == Kind::Disconnect => true,
        Failure::Unreachable(_) | Failure::Lost | Failure::Status(502..=504) => true,
        _ => false,
    }
}

/// How long to wait after so many attempts, the first one is 1; at least as long as the back end has asked for.
pub(super) fn wait(attempts: u32, asked: Option<Duration>, rng: &mut impl Rng) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let longest = (WAIT_LEAST * 2_u32.pow(doublings)).min(WAIT_MOST);
    let wait = longest.mul_f64(rng.random_range(0.5..1.0));
    wait.max(asked.unwrap_or_default())
}

/// What `Retry-After` asks for (RFC 9110 section 10.2.3): seconds, or a date; [`RETRY_AFTER_MAX`] at most.
pub(super) fn asked(retry_after: Option<&str>, now: SystemTime) -> Option<Duration> {
    let value = retry_after?.trim();
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if is_number {
        // What does not fit is long enough.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        date.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_table_holds() {
        let no = |status| Failure::Declined {
            status,
            sentence: "".into(),
        };
        let garbage = Failure::Garbage("x".into());
        for (failure, once, disconnect) in [
            (Failure::Unreachable("x".into()), true, true),
            (Failure::Lost, true, true),
            (Failure::Status(502), true, true),
            (Failure::Status(503), true, true),
            (Failure::Status(504), true, true),
            (Failure::TimedOut, false, true),
            (Failure::Status(500), false, true),
            (Failure::Redirect(302), false, true),
            (no(403), false, true),
            (no(429), false, true),
            (no(410), false, false),
            (Failure::TooLarge, false, true),
            (garbage, false, true),
            (Failure::Stopped, false, false),
        ] {
            for kind in [Kind::Connect, Kind::Message] {
                assert_eq!(is_worth_it(kind, &failure), once, "{failure}");
            }
            let again = is_worth_it(Kind::Disconnect, &failure);
            assert_eq!(again, disconnect, "{failure}");
        }
    }

    #[test]
    fn waits_grow_up_to_their_limit() {
        let mut rng = StdRng::seed_from_u64(1);
        for (attempts, longest_ms) in [
            (1, 50),
            (2, 100),
            (5, 800),
            (11, 30_000),
            (u32::MAX, 30_000),
        ] {
            let longest = Duration::from_millis(longest_ms);
            for _ in 0..20 {
                let wait = wait(attempts, None, &mut rng);
                assert!(
                    wait >= longest / 2 && wait <= longest,
                    "{attempts}: {wait:?}"
                );
            }
        }
        assert_eq!(
            wait(1, Some(Duration::from_secs(7)), &mut rng),
            Duration::from_secs(7)
        );
        assert!(wait(5, Some(Duration::from_millis(1)), &mut rng) >= Duration::from_millis(400));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(1_772_323_199);
        let seconds = |value| asked(Some(value), now).map(|wait| wait.as_secs());
        assert_eq!(seconds("0"), Some(0));
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("301"), Some(300));
        assert_eq!(seconds("99999999999999999999999"), Some(300));
        assert_eq!(seconds("Sun, 01 Mar 2026 00:00:09 GMT"), Some(10));
        assert_eq!(seconds("Sun, 01 Mar 2020 00:00:09 GMT"), Some(0));
        for value in ["", "soon", "-1", "1.5", "+3"] {
            assert_eq!(seconds(value), None, "{value}");
        }
        assert_eq!(asked(None, now), None);
    }
}
