//! The threads: some that send, and one that keeps the time.
//!
//! What they share is the queue behind a lock, which nobody holds while anything waits.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::client::Client;
use super::cloudevents::Event;
use super::failure::{Failure, Refused};
use super::health::{Health, Latency, latency};
use super::queue::{Job, Queue};
use super::{Inbox, retry};

/// What the lock is around.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    latency_us: Latency,
    /// Threads that wait for something to send.
    idle: usize,
    /// How long the thread that keeps the time sleeps, where it does: `None` is for ever.
    sleeps_until: Option<Option<Instant>>,
}

/// What the threads and everybody else share.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Mutex<Shared>,
    /// There is something to send.
    work: Condvar,
    /// The thread that keeps the time has something to do.
    clock: Condvar,
    /// Everything has been answered.
    done: Condvar,
    client: Client,
    inbox: Arc<dyn Inbox>,
}

impl Pool {
    pub(super) fn start(
        client: Client,
        queue: Queue,
        threads: usize,
        inbox: Arc<dyn Inbox>,
    ) -> io::Result<Arc<Self>> {
        let pool = Arc::new(Self {
            shared: Mutex::new(Shared {
                queue,
                latency_us: latency(),
                idle: 0,
                sleeps_until: None,
            }),
            work: Condvar::new(),
            clock: Condvar::new(),
            done: Condvar::new(),
            client,
            inbox,
        });
        let spawn = |name: String, run: fn(&Self)| {
            let pool = Arc::clone(&pool);
            thread::Builder::new().name(name).spawn(move || run(&pool))
        };
        let started = spawn("backend-clock".to_owned(), Self::keep_time).and_then(|_| {
            (0..threads)
                .try_for_each(|number| spawn(format!("backend-{number}"), Self::send).map(|_| ()))
        });
        if let Err(error) = started {
            pool.stop();
            return Err(error);
        }
        Ok(pool)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn post(&self, event: Event) -> Result<(), Refused> {
        let mut shared = self.lock();
        let result = shared.queue.push(event, Instant::now());
        self.wake(&shared);
        result
    }

    /// Wakes whoever has something to do now.
    fn wake(&self, shared: &Shared) {
        let queue = &shared.queue;
        for _ in 0..queue.ready().min(shared.idle) {
            self.work.notify_one();
        }
        let is_early = shared.sleeps_until.is_some_and(|until| {
            let next = queue.next_tick();
            next.is_some_and(|next| until.is_none_or(|until| next < until))
        });
        if is_early || queue.has_undelivered() {
            self.clock.notify_one();
        }
        if queue.counts.is_idle() {
            self.done.notify_all();
        }
    }

    /// A thread that sends.
    fn send(&self) {
        let mut shared = self.lock();
        while !shared.queue.is_stopped() {
            let job = shared.queue.take(Instant::now());
            self.wake(&shared);
            let Some(job) = job else {
                if shared.queue.ready() > 0 {
                    drop(shared);
                    shared = self.lock();
                    continue;
                }
                shared.idle += 1;
                shared = self
                    .work
                    .wait(shared)
                    .unwrap_or_else(PoisonError::into_inner);
                shared.idle -= 1;
                continue;
            };
            drop(shared);
            shared = self.attempt(job);
        }
    }

    /// Sends an event, and tells what came of it where that was the last attempt.
    fn attempt(&self, job: Job) -> MutexGuard<'_, Shared> {
        let begun = Instant::now();
        let event = &job.entry.event;
        let received = self.client.send(event, job.time_limit);
        let took = begun.elapsed();
        let retry_after = received
            .as_ref()
            .ok()
            .and_then(|received| received.retry_after.as_deref());
        let asked = retry::asked(retry_after, SystemTime::now());
        let mut answer = received.and_then(|received| received.read(event.kind));

        let mut shared = self.lock();
        shared.latency_us.saturating_record(took.as_micros() as u64);
        if answer.is_err() && shared.queue.is_stopped() {
            answer = Err(Failure::Stopped);
        }
        let failure = answer.as_ref().err();
        let Some(entry) = shared.queue.end(job, failure, asked, Instant::now()) else {
            return shared;
        };
        drop(shared);
        // In front of the next event of the key, so that answers come in the order of the events.
        let outcome = answer.map_err(|failure| entry.outcome(failure));
        self.inbox.settle(entry.event.ticket, outcome);
        let mut shared = self.lock();
        shared.queue.release(entry.event.key);
        shared
    }

    /// The thread that keeps the time, and tells of what is not delivered.
    fn keep_time(&self) {
        let mut shared = self.lock();
        loop {
            shared.queue.tick(Instant::now());
            let undelivered = shared.queue.take_undelivered();
            self.wake(&shared);
            if !undelivered.is_empty() {
                drop(shared);
                for (ticket, failure) in undelivered {
                    self.inbox.settle(ticket, Err(failure));
                }
                shared = self.lock();
                continue;
            }
            if shared.queue.is_stopped() {
                return;
            }
            let next = shared.queue.next_tick();
            shared.sleeps_until = Some(next);
            shared = self.sleep(shared, next);
            shared.sleeps_until = None;
        }
    }

    fn sleep<'s>(
        &self,
        shared: MutexGuard<'s, Shared>,
        until: Option<Instant>,
    ) -> MutexGuard<'s, Shared> {
        let Some(until) = until else {
            return self
                .clock
                .wait(shared)
                .unwrap_or_else(PoisonError::into_inner);
        };
        let time = until.saturating_duration_since(Instant::now());
        let waited = self.clock.wait_timeout(shared, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn health(&self) -> Health {
        let shared = self.lock();
        Health {
            breaker: shared.queue.breaker.state(),
            opened: shared.queue.breaker.opened(),
            counts: shared.queue.counts,
        }
    }

    pub(super) fn latency_us(&self) -> Latency {
        self.lock().latency_us.clone()
    }

    /// Waits until nothing waits or is under way; false where that takes longer.
    pub(super) fn drain(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        let mut shared = self.lock();
        while !shared.queue.counts.is_idle() {
            let time = end.saturating_duration_since(Instant::now());
            if time.is_zero() {
                return false;
            }
            let waited = self.done.wait_timeout(shared, time);
            shared = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Ends the threads. Does not wait for them.
    pub(super) fn stop(&self) {
        let mut shared = self.lock();
        shared.queue.stop();
        drop(shared);
        self.client.stop();
        self.work.notify_all();
        self.clock.notify_all();
        self.done.notify_all();
    }
}
