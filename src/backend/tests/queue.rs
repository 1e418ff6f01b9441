//! The queue by itself, under a clock of its own.

use std::time::UNIX_EPOCH;

use serde_json::value::RawValue;

use super::super::breaker::BreakerState;
use super::super::failure::Cause;
use super::super::signature::DeliveryId;
use super::*;

#[path = "queue_chance.rs"]
mod chance;

const MS: Duration = Duration::from_millis(1);

fn event(kind: Kind, key: Key, ticket: u64) -> Event {
    Event {
        id: DeliveryId::random(),
        kind,
        key,
        ticket,
        time: UNIX_EPOCH,
        subject: None,
        extensions: Vec::new(),
        data: RawValue::from_string("{}".to_owned()).expect("JSON"),
    }
}

fn message(key: Key, ticket: u64) -> Event {
    event(Kind::Message, key, ticket)
}

fn limits() -> QueueLimits {
    QueueLimits {
        events_max: 8,
        key_events_max: 8,
        wait_max: 1_000 * MS,
        time_limit: 500 * MS,
        disconnect_age_max: 60_000 * MS,
        ..QueueLimits::default()
    }
}

fn queue(limits: QueueLimits, now: Instant) -> Queue {
    let breaker = BreakerLimits {
        failures: 2,
        ..BreakerLimits::default()
    };
    Queue::new(limits, breaker, 1, now)
}

fn post(queue: &mut Queue, now: Instant, events: impl IntoIterator<Item = (Key, u64)>) {
    for (key, ticket) in events {
        queue.push(message(key, ticket), now).expect("room");
    }
}

fn take(queue: &mut Queue, now: Instant) -> Job {
    queue.take(now).expect("something to send")
}

/// Ends an attempt, and what follows: its ticket where it was the last.
fn end(queue: &mut Queue, job: Job, failure: Option<&Failure>, now: Instant) -> Option<u64> {
    let entry = queue.end(job, failure, None, now)?;
    queue.release(entry.event.key);
    Some(entry.event.ticket)
}

/// Sends all that can go, with success.
fn send_all(queue: &mut Queue, now: Instant) -> Vec<u64> {
    let mut sent = Vec::new();
    while let Some(job) = queue.take(now) {
        sent.extend(end(queue, job, None, now));
    }
    sent
}

#[test]
fn keys_take_turns_and_keep_their_order() {
    let now = Instant::now();
    let mut queue = queue(limits(), now);
    post(
        &mut queue,
        now,
        [(1, 10), (1, 11), (1, 12), (2, 20), (2, 21), (3, 30)],
    );
    assert_eq!(send_all(&mut queue, now), [10, 20, 30, 11, 21, 12]);
    assert!(queue.counts.is_idle() && queue.lanes.is_empty());
}

#[test]
fn a_key_has_one_event_under_way() {
    let now = Instant::now();
    let mut queue = queue(limits(), now);
    post(&mut queue, now, [(1, 10), (1, 11)]);
    let first = take(&mut queue, now);
    assert!(queue.take(now).is_none());
    post(&mut queue, now, [(1, 12), (2, 20)]);
    assert_eq!(take(&mut queue, now).entry.event.ticket, 20);
    assert!(queue.take(now).is_none());
    let entry = queue.end(first, None, None, now).expect("the last attempt");
    assert!(queue.take(now).is_none(), "its answer was not told yet");
    queue.release(entry.event.key);
    assert_eq!(send_all(&mut queue, now), [11, 12]);
}

#[test]
fn an_event_that_is_tried_again_stays_the_first_of_its_key() {
    let start = Instant::now();
    let mut queue = queue(limits(), start);
    post(&mut queue, start, [(1, 10), (1, 11), (2, 20)]);
    let job = take(&mut queue, start);
    assert_eq!(job.time_limit, 500 * MS);
    assert_eq!(end(&mut queue, job, Some(&Failure::Lost), start), None);
    assert_eq!(send_all(&mut queue, start), [20]);
    let again_at = queue.next_tick().expect("another attempt");
    assert!(again_at > start && again_at <= start + 50 * MS);
    queue.tick(start + 20 * MS);
    assert!(queue.take(start + 20 * MS).is_none(), "too early");
    let now = start + 50 * MS;
    queue.tick(now);
    let job = take(&mut queue, now);
    assert_eq!((job.entry.event.ticket, job.time_limit), (10, 450 * MS));
    assert_eq!(end(&mut queue, job, None, now), Some(10));
    assert_eq!(send_all(&mut queue, now), [11]);
    assert_eq!((queue.counts.retried, queue.counts.answered), (1, 3));
}

#[test]
fn attempts_have_an_end() {
    let mut now = Instant::now();
    let mut by_count = queue(limits(), now);
    post(&mut by_count, now, [(1, 10)]);
    // The breaker would have its own say.
    by_count.breaker = Breaker::new(BreakerLimits::default(), now);
    for attempt in 1..=3 {
        let job = take(&mut by_count, now);
        let last = end(&mut by_count, job, Some(&Failure::Status(503)), now);
        assert_eq!(last, (attempt == 3).then_some(10));
        now += 100 * MS;
        by_count.tick(now);
    }
    assert_eq!(by_count.counts.failed[Cause::Status as usize], 1);

    let mut by_time = queue(limits(), now);
    post(&mut by_time, now, [(1, 10), (2, 20)]);
    let job = take(&mut by_time, now);
    let asked = Some(501 * MS);
    let last = by_time.end(job, Some(&Failure::Status(503)), asked, now);
    assert!(last.is_some(), "the back end wants more time than there is");
    let job = take(&mut by_time, now);
    let late = now + 490 * MS;
    let last = by_time.end(job, Some(&Failure::Lost), None, late);
    assert!(last.is_some(), "no time is left");
}

#[test]
fn an_attempt_that_was_lost_leaves_a_doubt_that_only_a_no_ends() {
    let now = Instant::now();
    let unreachable = Failure::Unreachable("why".into());
    let no = Failure::Declined {
        status: 403,
        sentence: "no".into(),
    };
    for (first, last, outcome) in [
        (&unreachable, &unreachable, &unreachable),
        (&Failure::Lost, &unreachable, &Failure::Lost),
        (&Failure::Lost, &Failure::TimedOut, &Failure::TimedOut),
        (&Failure::Lost, &no, &no),
    ] {
        let mut queue = queue(limits(), now);
        queue.push(message(1, 10), now).expect("room");
        let job = take(&mut queue, now);
        assert_eq!(end(&mut queue, job, Some(first), now), None);
        queue.tick(now + 100 * MS);
        let job = take(&mut queue, now + 100 * MS);
        assert_eq!(job.entry.outcome(last.clone()), *outcome);
        assert_eq!(end(&mut queue, job, None, now), Some(10));
    }
    // The same where the breaker opens meanwhile, and nothing more is sent.
    let mut queue = queue(limits(), now);
    post(&mut queue, now, [(1, 10), (2, 20)]);
    for failure in [&Failure::Lost, &unreachable] {
        let job = take(&mut queue, now);
        assert_eq!(end(&mut queue, job, Some(failure), now), None);
    }
    queue.tick(now + 100 * MS);
    assert!(queue.take(now + 100 * MS).is_none());
    let told = queue.take_undelivered();
    assert!(told.contains(&(10, Failure::Lost)), "{told:?}");
    assert!(told.contains(&(20, Failure::Away)), "{told:?}");
}

#[test]
fn events_do_not_wait_for_ever() {
    let start = Instant::now();
    let mut queue = queue(limits(), start);
    post(&mut queue, start, [(1, 10), (1, 11)]);
    let job = take(&mut queue, start);
    post(&mut queue, start + 300 * MS, [(2, 20)]);
    assert_eq!(queue.next_tick(), Some(start + 1_000 * MS));
    queue.tick(start + 1_000 * MS);
    assert_eq!(queue.take_undelivered(), [(11, Failure::Expired)]);
    assert_eq!(
        end(&mut queue, job, None, start),
        Some(10),
        "what is under way stays"
    );
    // One that the thread comes to before the clock does.
    assert!(queue.take(start + 1_300 * MS).is_none());
    assert_eq!(queue.take_undelivered(), [(20, Failure::Expired)]);
    assert!(queue.counts.is_idle() && queue.lanes.is_empty());
    assert_eq!(queue.counts.failed[Cause::Expired as usize], 2);
}

#[test]
fn a_full_queue_refuses() {
    let now = Instant::now();
    let mut queue = queue(limits(), now);
    post(&mut queue, now, (0..8).map(|key| (key, key)));
    assert_eq!(queue.push(message(9, 9), now), Err(Refused::Full));
    // What is under way has its place too.
    let job = take(&mut queue, now);
    assert_eq!(queue.push(message(9, 9), now), Err(Refused::Full));
    end(&mut queue, job, None, now);
    queue.push(message(9, 9), now).expect("room");
    queue
        .push(event(Kind::Disconnect, 9, 10), now)
        .expect("disconnects have room of their own");
    assert_eq!(queue.counts.refused_full, 2);
    assert_eq!(send_all(&mut queue, now).len(), 9);
    assert_eq!((queue.counts.bytes, queue.counts.disconnect_bytes), (0, 0));
}

#[test]
fn bytes_and_the_events_of_a_key_are_limited() {
    let now = Instant::now();
    let mut narrow = queue(
        QueueLimits {
            bytes_max: 600,
            policy: QueuePolicy::DropOldest,
            key_events_max: 1,
            ..limits()
        },
        now,
    );
    post(&mut narrow, now, [(1, 10), (2, 20)]);
    assert_eq!(narrow.push(message(1, 11), now), Err(Refused::KeyFull));
    let mut large = message(3, 30);
    large.subject = Some("x".repeat(600).into());
    assert_eq!(
        narrow.push(large, now),
        Err(Refused::Full),
        "nothing makes room for it"
    );
    assert_eq!(narrow.take_undelivered(), []);
    narrow
        .push(event(Kind::Disconnect, 1, 12), now)
        .expect("a key may always end");
    assert_eq!(
        (narrow.counts.refused_full, narrow.counts.refused_key_full),
        (1, 1)
    );
}

#[test]
fn the_oldest_give_way() {
    let now = Instant::now();
    let policy = QueuePolicy::DropOldest;
    let mut queue = queue(
        QueueLimits {
            events_max: 3,
            policy,
            ..limits()
        },
        now,
    );
    queue
        .push(event(Kind::Disconnect, 1, 9), now)
        .expect("room");
    post(&mut queue, now, [(1, 10), (1, 11), (2, 20), (2, 21)]);
    assert_eq!(queue.take_undelivered(), [(10, Failure::Dropped)]);
    assert_eq!(take(&mut queue, now).entry.event.ticket, 9);
    let job = take(&mut queue, now);
    assert_eq!(job.entry.event.ticket, 20);
    assert_eq!(end(&mut queue, job, Some(&Failure::Lost), now), None);
    post(&mut queue, now, [(3, 30), (4, 40)]);
    let dropped = [(11, Failure::Dropped), (21, Failure::Dropped)];
    assert_eq!(
        queue.take_undelivered(),
        dropped,
        "and not what is tried again"
    );
    let refused = [5, 6].map(|key| queue.push(message(key, key), now));
    assert_eq!(refused, [Ok(()), Ok(())]);
    assert_eq!(queue.counts.failed[Cause::Dropped as usize], 5);
    assert_eq!(send_all(&mut queue, now), [5, 6]);
}

/// A queue whose breaker is open since `now`.
fn broken(now: Instant) -> Queue {
    let mut queue = queue(limits(), now);
    post(&mut queue, now, [(1, 1), (2, 2)]);
    let jobs = [take(&mut queue, now), take(&mut queue, now)];
    for job in jobs {
        let timed_out = Some(&Failure::TimedOut);
        assert!(end(&mut queue, job, timed_out, now).is_some());
    }
    assert_eq!(queue.breaker.state(), BreakerState::Open);
    queue
}

#[test]
fn while_the_back_end_is_away_only_disconnects_wait() {
    let start = Instant::now();
    let mut queue = broken(start);
    assert_eq!(queue.push(message(3, 30), start), Err(Refused::Away));
    for ticket in [40, 50, 60] {
        queue
            .push(event(Kind::Disconnect, ticket / 10, ticket), start)
            .expect("room");
    }
    assert!(queue.take(start).is_none());
    assert_eq!(queue.next_tick(), Some(start + 1_000 * MS));
    queue.tick(start + 999 * MS);
    assert!(queue.take(start + 999 * MS).is_none());

    // One of them finds out.
    let now = start + 1_000 * MS;
    queue.tick(now);
    let probe = take(&mut queue, now);
    assert_eq!(probe.entry.event.ticket, 40);
    queue.tick(now);
    assert!(queue.take(now).is_none());
    assert_eq!(queue.push(message(3, 31), now), Err(Refused::Away));
    assert_eq!(end(&mut queue, probe, Some(&Failure::TimedOut), now), None);

    let now = now + 2_000 * MS;
    queue.tick(now);
    let probe = take(&mut queue, now);
    assert_eq!(probe.entry.event.ticket, 40, "it is its turn again");
    assert_eq!(end(&mut queue, probe, None, now), Some(40));
    assert_eq!(send_all(&mut queue, now), [50, 60]);
    assert_eq!((queue.counts.refused_away, queue.breaker.opened()), (2, 2));
}

#[test]
fn a_client_may_find_out_that_the_back_end_is_back() {
    let start = Instant::now();
    let mut queue = broken(start);
    queue
        .push(event(Kind::Disconnect, 4, 40), start)
        .expect("room");
    assert!(queue.take(start).is_none());
    let now = start + 1_000 * MS;
    post(&mut queue, now, [(3, 30)]);
    let probe = take(&mut queue, now);
    assert_eq!(probe.entry.event.ticket, 30);
    end(&mut queue, probe, None, now);
    assert_eq!(send_all(&mut queue, now), [40]);
}

#[test]
fn what_waits_when_the_breaker_opens_is_told_at_once() {
    let now = Instant::now();
    let mut queue = queue(limits(), now);
    post(&mut queue, now, [(1, 1), (2, 2), (3, 3), (3, 4)]);
    for job in [take(&mut queue, now), take(&mut queue, now)] {
        end(&mut queue, job, Some(&Failure::TimedOut), now);
    }
    assert!(queue.take(now).is_none());
    let away = [(3, Failure::Away), (4, Failure::Away)];
    assert_eq!(queue.take_undelivered(), away);
    assert!(queue.counts.is_idle() && queue.lanes.is_empty());
}

#[test]
fn what_is_given_up_is_given_up_by_and_by() {
    let start = Instant::now();
    let count = STEPS_MAX + 10;
    let mut queue = queue(
        QueueLimits {
            events_max: count,
            ..limits()
        },
        start,
    );
    post(&mut queue, start, (0..count as u64).map(|key| (key, key)));
    let now = start + 1_000 * MS;
    assert!(queue.take(now).is_none());
    assert_eq!(
        (queue.take_undelivered().len(), queue.ready()),
        (STEPS_MAX, 10)
    );
    queue.tick(now);
    assert_eq!(queue.take_undelivered().len(), 10);
    assert!(queue.take(now).is_none());
    assert!(queue.ready() == 0 && queue.lanes.is_empty());

    post(&mut queue, now, (0..count as u64).map(|key| (key, key)));
    queue.tick(now + 1_000 * MS);
    assert_eq!(queue.take_undelivered().len(), STEPS_MAX);
    assert!(
        queue
            .next_tick()
            .is_some_and(|next| next <= now + 1_000 * MS)
    );
}

#[test]
fn disconnects_are_tried_until_they_are_too_old() {
    let start = Instant::now();
    let mut queue = queue(limits(), start);
    queue.breaker = Breaker::new(
        BreakerLimits {
            failures: 1_000,
            ..BreakerLimits::default()
        },
        start,
    );
    queue
        .push(event(Kind::Disconnect, 1, 10), start)
        .expect("room");
    let mut now = start;
    let mut attempts = 0;
    loop {
        let job = take(&mut queue, now);
        assert_eq!(job.time_limit, 500 * MS);
        attempts += 1;
        if end(&mut queue, job, Some(&Failure::Status(500)), now).is_some() {
            break;
        }
        now = queue.next_tick().expect("another attempt");
        queue.tick(now);
    }
    assert!(attempts > 8 && now < start + 60_000 * MS, "{attempts}");
    // One that the breaker has held for too long.
    queue
        .push(event(Kind::Disconnect, 1, 11), now)
        .expect("room");
    assert!(queue.take(now + 60_000 * MS).is_none());
    assert_eq!(queue.take_undelivered(), [(11, Failure::Expired)]);
}

#[test]
fn disconnects_have_a_limit_too() {
    let now = Instant::now();
    let mut queue = queue(limits(), now);
    let mut large = event(Kind::Disconnect, 1, 0);
    large.subject = Some("x".repeat(DISCONNECT_BYTES_MAX / 2 - 1_000).into());
    for _ in 0..2 {
        queue.push(large.clone(), now).expect("room");
    }
    assert_eq!(queue.push(large, now), Err(Refused::Full));
    queue
        .push(event(Kind::Disconnect, 1, 0), now)
        .expect("room for a small one");
    assert_eq!(queue.counts.disconnects_lost, 1);
}

#[test]
fn nothing_is_sent_after_the_end() {
    let now = Instant::now();
    let mut queue = queue(limits(), now);
    post(&mut queue, now, [(1, 10), (1, 11)]);
    queue
        .push(event(Kind::Disconnect, 2, 20), now)
        .expect("room");
    let job = take(&mut queue, now);
    queue.stop();
    let mut told = queue.take_undelivered();
    told.sort_by_key(|(ticket, _)| *ticket);
    assert_eq!(told, [(11, Failure::Stopped), (20, Failure::Stopped)]);
    assert_eq!(queue.push(message(3, 30), now), Err(Refused::Stopped));
    assert_eq!(end(&mut queue, job, Some(&Failure::Lost), now), Some(10));
    assert!(queue.take(now).is_none() && queue.counts.is_idle());
}
