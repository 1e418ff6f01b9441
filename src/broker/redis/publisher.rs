//! The thread that publishes: everything that waits goes in one pipeline, and the next one follows once that is answered.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, Connection, Pipeline, RedisError, RedisResult};

use super::{Backoff, Desk, Fate, Order, connect, log_loss};

/// Publications of one pipeline.
const PIPELINE_MAX: usize = 4_096;
/// The listener is to hear something this often.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// The inbox hears of the time this often.
const TICK: Duration = Duration::from_millis(50);

pub(super) fn run(client: &Client, desk: &Desk) {
    let mut backoff = Backoff::new();
    let mut is_lost = false;
    while !desk.is_stopping() {
        let error = match connect(client) {
            Ok(connection) => {
                let mut has_published = false;
                let error = publish(connection, desk, &mut has_published).err();
                // A server that takes the connection and nothing else is as good as none.
                if has_published {
                    is_lost = false;
                    backoff = Backoff::new();
                }
                desk.is_publishing.store(false, Ordering::Release);
                error
            }
            Err(error) => Some(error),
        };
        drop_all(desk);
        let Some(error) = error else {
            return;
        };
        log_loss("Redis takes no publications", &error, &mut is_lost);
        let until = Instant::now() + backoff.wait();
        while !desk.is_stopping() && Instant::now() < until {
            thread::park_timeout(TICK);
            // One that was let in just before the link was lost.
            drop_all(desk);
            desk.inbox.tick();
        }
    }
}

/// Publishes until the link breaks, or no more is to be published.
fn publish(
    mut connection: Connection,
    desk: &Desk,
    has_published: &mut bool,
) -> Result<(), RedisError> {
    let mut beat_at = None::<Instant>;
    while !desk.is_stopping() {
        let mut orders = Vec::new();
        while orders.len() < PIPELINE_MAX
            && let Some(order) = desk.orders.pop()
        {
            orders.push(order);
        }
        let is_silent = beat_at.is_none_or(|at| at.elapsed() >= HEARTBEAT_INTERVAL);
        let beats = is_silent || desk.has_notes.swap(false, Ordering::AcqRel);
        desk.inbox.tick();
        if orders.is_empty() && !beats {
            thread::park_timeout(TICK);
            continue;
        }
        send(&mut connection, desk, &orders, beats)?;
        *has_published = true;
        if !desk.is_publishing.load(Ordering::Relaxed) {
            desk.is_publishing.store(true, Ordering::Release);
        }
        if beats {
            beat_at = Some(Instant::now());
            // No more often: what tells of it may be dropped as well.
            if desk.has_dropped.swap(false, Ordering::AcqRel) {
                desk.inbox.dropped();
            }
        }
    }
    Ok(())
}

/// Publishes all of `orders`, and behind them what the listener is to hear; an error is that of the link, which is no good either
/// where the server refuses that.
fn send(
    connection: &mut Connection,
    desk: &Desk,
    orders: &[Order],
    beats: bool,
) -> RedisResult<()> {
    let mut pipeline = Pipeline::with_capacity(orders.len() + 1);
    pipeline.ignore_errors();
    for order in orders {
        let publish = pipeline.cmd("PUBLISH").arg(order.channel.as_str());
        publish.arg(order.bytes.as_slice());
    }
    if beats {
        let publish = pipeline.cmd("PUBLISH").arg(desk.own_channel.as_str());
        publish.arg("");
    }
    let asked = Instant::now();
    let answers: RedisResult<Vec<RedisResult<u32>>> = pipeline.query(connection);
    let bytes: u64 = orders.iter().map(|order| order.bytes.len() as u64).sum();
    desk.queued
        .fetch_sub(orders.len() as u64, Ordering::Relaxed);
    desk.order_bytes.fetch_sub(bytes, Ordering::Relaxed);
    let mut answers = match answers {
        Ok(answers) => answers,
        Err(error) => {
            // Some may have arrived; nobody can say which.
            orders.iter().for_each(|order| desk.drop_order(order));
            return Err(error);
        }
    };
    let beat = answers.pop_if(|_| beats);
    let micros = asked.elapsed().as_micros() as u64;
    desk.round_trip_us.store(micros, Ordering::Relaxed);
    for (order, answer) in orders.iter().zip(answers) {
        match answer {
            Ok(listeners) => {
                desk.published.fetch_add(1, Ordering::Relaxed);
                if let Some(ticket) = order.ticket {
                    desk.inbox.settle(ticket, Fate::Heard(listeners));
                }
            }
            Err(error) => {
                log::debug!("Redis refuses a publication: {error}");
                desk.drop_order(order);
            }
        }
    }
    beat.map_or(Ok(()), |answer| answer.map(drop))
}

/// What waits would come too late.
fn drop_all(desk: &Desk) {
    while let Some(order) = desk.orders.pop() {
        let bytes = order.bytes.len() as u64;
        desk.queued.fetch_sub(1, Ordering::Relaxed);
        desk.order_bytes.fetch_sub(bytes, Ordering::Relaxed);
        desk.drop_order(&order);
    }
}
