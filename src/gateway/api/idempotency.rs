//! Calls that must not be done twice: who repeats a call with the same `Idempotency-Key` gets the first answer again.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::problem::Problem;
use crate::reactor::Tick;

/// Bytes of a key.
const KEY_BYTES_MAX: usize = 255;
/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(3_600);
/// Answers kept; beyond it the oldest is forgotten.
const ANSWERS_MAX: usize = 100_000;
/// Bytes of all answers kept; beyond it the oldest are forgotten.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// An answer as it was first given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct Kept {
    pub(in crate::gateway) status: u16,
    pub(in crate::gateway) body: Arc<[u8]>,
}

#[derive(Debug)]
struct Entry {
    /// Of the path and the body.
    fingerprint: u64,
    begun_at: Tick,
    /// None while the call is under way.
    answer: Option<Kept>,
}

#[derive(Debug, Default)]
struct Answers {
    by_key: HashMap<Arc<str>, Entry>,
    /// In the order in which they began.
    order: VecDeque<(Arc<str>, Tick)>,
    /// Of the bodies that are kept.
    bytes: usize,
}

/// The answers of the process. Asked by calls that have a key alone.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Idempotency {
    hasher: RandomState,
    answers: Mutex<Answers>,
}

/// A call under way that has a key: to be told of its end.
#[derive(Debug)]
pub(in crate::gateway) struct Claim {
    key: Arc<str>,
    begun_at: Tick,
}

impl Idempotency {
    /// Begins a call under `key`: `Err(Ok(_))` where it has been answered before.
    ///
    /// # Errors
    /// 400 for a key that is none, 409 while the first is under way, 422 where the key was another call's.
    pub(in crate::gateway) fn begin(
        &self,
        key: &[u8],
        path: &str,
        body: &[u8],
        now: Tick,
    ) -> Result<Claim, Result<Kept, Problem>> {
        let is_visible = key.iter().all(u8::is_ascii_graphic);
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !is_visible {
            let detail = format!("Idempotency-Key is 1 to {KEY_BYTES_MAX} visible characters.");
            return Err(Err(Problem::new(400, detail)));
        }
        let key = str::from_utf8(key).expect("visible ASCII");
        let fingerprint = self.hasher.hash_one((path, body));
        let mut answers = self.answers();
        answers.forget_old(now);
        if let Some(entry) = answers.by_key.get(key) {
            return Err(match &entry.answer {
                _ if entry.fingerprint != fingerprint => Err(Problem::new(
                    422,
                    "This Idempotency-Key belongs to another call.",
                )),
                None => Err(Problem::new(
                    409,
                    "The call with this Idempotency-Key is still under way.",
                )),
                Some(kept) => Ok(kept.clone()),
            });
        }
        let key: Arc<str> = Arc::from(key);
        let entry = Entry {
            fingerprint,
            begun_at: now,
            answer: None,
        };
        answers.by_key.insert(Arc::clone(&key), entry);
        answers.order.push_back((Arc::clone(&key), now));
        Ok(Claim { key, begun_at: now })
    }

    /// The call has been answered.
    pub(in crate::gateway) fn end(&self, claim: &Claim, status: u16, body: &[u8]) {
        let mut answers = self.answers();
        if let Some(entry) = answers.by_key.get_mut(&claim.key)
            && entry.begun_at == claim.begun_at
        {
            entry.answer = Some(Kept {
                status,
                body: Arc::from(body),
            });
            answers.bytes += body.len();
        }
    }

    /// The call has not been done: the next one under its key is a first one.
    pub(in crate::gateway) fn abandon(&self, claim: &Claim) {
        let mut answers = self.answers();
        let is_it = answers
            .by_key
            .get(&claim.key)
            .is_some_and(|entry| entry.answer.is_none() && entry.begun_at == claim.begun_at);
        if is_it {
            answers.by_key.remove(&claim.key);
        }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        // A panic under this lock ends the process; nobody sees what it left.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    fn forget_old(&mut self, now: Tick) {
        while let Some((_, begun_at)) = self.order.front() {
            let is_old = now.since(*begun_at) >= KEPT_FOR;
            let has_room = self.order.len() < ANSWERS_MAX && self.bytes <= ANSWER_BYTES_MAX;
            if !is_old && has_room {
                return;
            }
            let Some((key, begun_at)) = self.order.pop_front() else {
                return;
            };
            // One that was abandoned may have begun again.
            if self
                .by_key
                .get(&key)
                .is_some_and(|entry| entry.begun_at == begun_at)
            {
                let kept = self.by_key.remove(&key).and_then(|entry| entry.answer);
                self.bytes -= kept.map_or(0, |kept| kept.body.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick(1_000);

    fn refused(result: Result<Claim, Result<Kept, Problem>>) -> u16 {
        result.expect_err("refused").expect_err("a problem").status
    }

    #[test]
    fn a_repeated_call_gets_the_first_answer() {
        let answers = Idempotency::default();
        let claim = answers.begin(b"k", "/p", b"body", NOW).expect("first");
        assert_eq!(refused(answers.begin(b"k", "/p", b"body", NOW)), 409);
        answers.end(&claim, 200, b"done");
        let again = answers.begin(b"k", "/p", b"body", NOW).expect_err("again");
        let kept = again.expect("kept");
        assert_eq!((kept.status, &*kept.body), (200, &b"done"[..]));
        assert_eq!(refused(answers.begin(b"k", "/p", b"other", NOW)), 422);
        assert_eq!(refused(answers.begin(b"k", "/q", b"body", NOW)), 422);
        let later = NOW.after(KEPT_FOR);
        answers.begin(b"k", "/q", b"", later).expect("forgotten");
    }

    #[test]
    fn an_abandoned_call_may_be_made_again() {
        let answers = Idempotency::default();
        let claim = answers.begin(b"k", "/p", b"", NOW).expect("first");
        answers.abandon(&claim);
        let second = answers.begin(b"k", "/p", b"", NOW.after(KEPT_FOR / 2));
        let second = second.expect("first again");
        answers.end(&claim, 500, b"late");
        let third = NOW.after(KEPT_FOR + KEPT_FOR / 4);
        assert_eq!(refused(answers.begin(b"k", "/p", b"", third)), 409);
        answers.end(&second, 200, b"");
        assert!(matches!(answers.begin(b"k", "/p", b"", third), Err(Ok(_))));
    }

    #[test]
    fn keys_are_short_and_visible() {
        let answers = Idempotency::default();
        for key in [&b""[..], b"a\nb", b"a b", b"\xff", &[b'x'; 256]] {
            assert_eq!(refused(answers.begin(key, "/p", b"", NOW)), 400);
        }
    }

    #[test]
    fn large_answers_push_out_the_oldest() {
        let answers = Idempotency::default();
        let body = vec![b'x'; ANSWER_BYTES_MAX / 2];
        for key in [b"1", b"2", b"3"] {
            let claim = answers.begin(key, "/p", b"", NOW).expect("new");
            answers.end(&claim, 200, &body);
        }
        assert!(matches!(answers.begin(b"3", "/p", b"", NOW), Err(Ok(_))));
        assert_eq!(answers.answers().bytes, 2 * body.len());
        answers.begin(b"1", "/p", b"", NOW).expect("forgotten");
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let answers = Idempotency::default();
        for number in 0..=ANSWERS_MAX {
            let key = number.to_string();
            answers.begin(key.as_bytes(), "/p", b"", NOW).expect("new");
        }
        assert_eq!(answers.answers().by_key.len(), ANSWERS_MAX);
        answers.begin(b"0", "/p", b"", NOW).expect("forgotten");
        assert_eq!(refused(answers.begin(b"9", "/p", b"", NOW)), 409);
    }
}
