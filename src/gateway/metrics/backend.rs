//! What is told of the back end, where there is one.

use std::collections::HashMap;
use std::fmt;

use prometheus_client::encoding::NoLabelSet;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use super::families::{Family, Figures, Page, family, in_seconds};
use crate::backend::{BreakerState, Cause, Health, Latency};

/// Upper bounds of the buckets of requests, milliseconds. One more takes what is longer.
const BOUNDS_MS: [u64; 14] = [
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000,
];

impl Figures {
    /// What there is to tell of the back end.
    pub(super) fn backend(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(behind) = self.node.behind() else {
            return Ok(());
        };
        let health = behind.health();
        requests(page, &health, &behind.latency_us())?;
        events(page, &health)?;
        page.counter(
            &family(
                "tidegate_backend_disconnects_lost",
                "Users and connections that have gone and that the back end will not hear of: it refused for an hour, wants no more (410), \
                 or too many waited.",
            ),
            behind.lost(),
        )?;
        page.gauge(
            &family(
                "tidegate_backend_departures",
                "Users who may have gone: they may be back soon, or the back end does not know yet.",
            ),
            behind.departures() as u64,
        )?;
        let states = [
            BreakerState::Closed,
            BreakerState::Open,
            BreakerState::HalfOpen,
        ];
        page.gauges(
            &family(
                "tidegate_backend_breaker",
                "1 at the state in which the way to the back end is: closed sends everything, open nothing, half_open one request to see.",
            ),
            states.map(|state| {
                let is_it = u64::from(state == health.breaker);
                ([("state", state.name())], is_it)
            }),
        )?;
        page.counter(
            &family(
                "tidegate_backend_breaker_opened",
                "How often the back end was taken for away, each vain try whether it is back included.",
            ),
            health.opened,
        )
    }
}

fn requests(page: &mut Page<'_>, health: &Health, latency: &Latency) -> fmt::Result {
    let (buckets, sum_us) = buckets(latency);
    let Family { name, unit, help } = in_seconds(
        "tidegate_backend_request",
        "Requests to the back end, by the time that each took to its whole answer or its failure.",
    );
    let kind = MetricType::Histogram;
    let mut encoder = page.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
    let none = None::<&HashMap<usize, Exemplar<NoLabelSet, f64>>>;
    encoder.encode_histogram(sum_us as f64 / 1e6, latency.len(), &buckets, none)?;
    page.gauge(
        &family(
            "tidegate_backend_in_flight",
            "Requests to the back end that are under way (BACKEND_CONCURRENCY at most).",
        ),
        health.counts.in_flight as u64,
    )?;
    page.counter(
        &family(
            "tidegate_backend_retried",
            "Requests to the back end after the first one of an event.",
        ),
        health.counts.retried,
    )
}

/// How many requests ended within each bound, in seconds, and the sum of all, microseconds.
fn buckets(latency: &Latency) -> ([(f64, u64); BOUNDS_MS.len() + 1], u64) {
    let mut buckets = [(f64::INFINITY, 0); BOUNDS_MS.len() + 1];
    for (bucket, bound) in buckets.iter_mut().zip(BOUNDS_MS) {
        bucket.0 = bound as f64 / 1e3;
    }
    let mut sum_us = 0;
    for value in latency.iter_recorded() {
        let (took, count) = (value.value_iterated_to(), value.count_at_value());
        let place = BOUNDS_MS.iter().position(|bound| took <= bound * 1_000);
        buckets[place.unwrap_or(BOUNDS_MS.len())].1 += count;
        sum_us += took * count;
    }
    (buckets, sum_us)
}

fn events(page: &mut Page<'_>, health: &Health) -> fmt::Result {
    let counts = &health.counts;
    page.gauges(
        &family(
            "tidegate_backend_queued",
            "Events for the back end that wait or are under way; disconnects are reckoned apart.",
        ),
        [
            ([("kind", "event")], counts.events as u64),
            ([("kind", "disconnect")], counts.disconnects as u64),
        ],
    )?;
    page.gauge(
        &family(
            "tidegate_backend_waiting",
            "Events for the back end that wait, or are to be sent again.",
        ),
        counts.waiting() as u64,
    )?;
    page.counter(
        &family(
            "tidegate_backend_posted",
            "Events for the back end that were taken to be sent.",
        ),
        counts.posted,
    )?;
    page.counter(
        &family(
            "tidegate_backend_answered",
            "Events that the back end has answered as it should.",
        ),
        counts.answered,
    )?;
    page.counters(
        &family(
            "tidegate_backend_failed",
            "Events that came to nothing, by cause; declined is the back end's own no.",
        ),
        Cause::ALL.map(|cause| ([("cause", cause.name())], counts.failed[cause as usize])),
    )?;
    page.counters(
        &family(
            "tidegate_backend_refused",
            "Events that were not taken, without disconnects: too many waited, of all (full) or of one connection (connection), or the \
             back end was away (away).",
        ),
        [
            ([("reason", "full")], counts.refused_full),
            ([("reason", "connection")], counts.refused_key_full),
            ([("reason", "away")], counts.refused_away),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_in_the_bucket_of_their_time() {
        let mut latency = Latency::new_with_bounds(1, 600_000_000, 2).expect("bounds");
        for took in [300, 900, 1_500, 50_000_000, 300_000_000] {
            latency.record(took).expect("within the bounds");
        }
        let (buckets, sum_us) = buckets(&latency);
        let filled: Vec<_> = buckets.iter().filter(|(_, count)| *count > 0).collect();
        let infinite = f64::INFINITY;
        assert_eq!(
            filled,
            [&(0.001, 2), &(0.002, 1), &(60.0, 1), &(infinite, 1)]
        );
        let exact = 350_002_700;
        assert!(sum_us.abs_diff(exact) < exact / 100, "{sum_us}");
    }
}
