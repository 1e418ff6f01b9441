//! What the tests of the back end post, and who hears what came of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::value::RawValue;
use tidegate::backend::{
    Answer, Backend, BackendConfig, BackendUrl, BreakerLimits, ClientConfig, DeliveryId, Event,
    Failure, Inbox, Kind, Mode, QueueLimits, Secrets,
};

/// The secret of the specification's own example.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A way to `url` with short waits: `change` says what else is different.
pub(crate) fn config(url: &str, change: impl FnOnce(&mut BackendConfig)) -> BackendConfig {
    let mut config = BackendConfig {
        client: ClientConfig {
            url: BackendUrl::parse(url).expect("a URL"),
            secrets: Secrets::parse([SECRET]).expect("a secret"),
            mode: Mode::Binary,
            source: "/tidegate/test".into(),
        },
        concurrency: 4,
        queue: QueueLimits {
            events_max: 100_000,
            key_events_max: 100_000,
            wait_max: Duration::from_secs(60),
            time_limit: Duration::from_secs(20),
            ..QueueLimits::default()
        },
        breaker: BreakerLimits {
            failures: 1_000,
            ..BreakerLimits::default()
        },
    };
    change(&mut config);
    config
}

/// An event whose data is `{"key":…,"ticket":…}`.
pub(crate) fn event(kind: Kind, key: u64, ticket: u64) -> Event {
    let data = format!(r#"{{"key":{key},"ticket":{ticket}}}"#);
    Event {
        id: DeliveryId::random(),
        kind,
        key,
        ticket,
        time: UNIX_EPOCH + Duration::from_millis(1_795_300_000_123),
        subject: Some(format!("0-{key}.0").into()),
        extensions: vec![("sequence", ticket.to_string().into())],
        data: RawValue::from_string(data).expect("JSON"),
    }
}

pub(crate) type Outcome = Result<Answer, Failure>;

/// Hears everything, in order.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Vec<(u64, Outcome)>>);

impl Told {
    pub(crate) fn all(&self) -> MutexGuard<'_, Vec<(u64, Outcome)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox for Told {
    fn settle(&self, ticket: u64, answer: Outcome) {
        self.all().push((ticket, answer));
    }
}

/// A way to a back end, and what was told of it.
pub(crate) struct Way {
    pub(crate) backend: Backend,
    pub(crate) told: Arc<Told>,
}

impl Way {
    pub(crate) fn start(config: BackendConfig) -> Self {
        let told = Arc::new(Told::default());
        let inbox = Arc::clone(&told);
        let backend = Backend::start(config, inbox).expect("threads");
        Self { backend, told }
    }

    pub(crate) fn post(&self, kind: Kind, key: u64, ticket: u64) {
        let posted = self.backend.post(event(kind, key, ticket));
        posted.unwrap_or_else(|refused| panic!("{ticket}: {refused}"));
    }

    /// Waits until so many have been told of.
    pub(crate) fn wait(&self, count: usize) {
        crate::common::eventually("all events are told of", || self.told.all().len() >= count);
        assert_eq!(self.told.all().len(), count);
    }

    /// Posts one event and waits for what comes of it.
    pub(crate) fn ask(&self, kind: Kind, key: u64, ticket: u64) -> Outcome {
        self.post(kind, key, ticket);
        let mut outcome = None;
        crate::common::eventually("the event is told of", || {
            let mut all = self.told.all();
            let place = all.iter().position(|(told, _)| *told == ticket);
            outcome = place.map(|place| all.remove(place).1);
            outcome.is_some()
        });
        outcome.expect("it was waited for")
    }
}
