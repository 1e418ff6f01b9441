//! The thread that listens: what comes is handed to the inbox as it is read, and subscriptions follow what this node listens to.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::thread;

use redis::{Client, PubSub, RedisResult};

use super::{Backoff, Desk, Fate, connect, log_loss};

/// Channels of one command.
const CHANNELS_MAX: usize = 1_000;

pub(super) fn run(client: &Client, desk: &Desk) {
    let mut backoff = Backoff::new();
    let mut has_listened = false;
    let mut is_lost = false;
    while !desk.is_stopping() {
        let mut is_heard = false;
        let ended = connect(client).and_then(|mut connection| {
            listen(connection.as_pubsub(), desk, has_listened, &mut is_heard)
        });
        // A server that takes the connection and nothing else is as good as none.
        if is_heard {
            has_listened = true;
            backoff = Backoff::new();
            is_lost = false;
        }
        if desk.is_listening.swap(false, Ordering::AcqRel) {
            desk.suspect_publisher();
        }
        let Err(error) = ended else {
            return;
        };
        log_loss("Redis is not heard", &error, &mut is_lost);
        thread::sleep(backoff.wait());
    }
}

/// Listens until the link breaks: a read that finds nothing for too long breaks it, because the publisher sees to it that
/// something comes.
fn listen(
    mut link: PubSub<'_>,
    desk: &Desk,
    has_listened: bool,
    is_heard: &mut bool,
) -> RedisResult<()> {
    // Notes count from here on: what changes while the channels are listed is looked at again.
    let mut tickets = Vec::new();
    while let Some((_, ticket)) = desk.notes.pop() {
        tickets.extend(ticket);
    }
    desk.is_listening.store(true, Ordering::Release);
    let mut subscribed = HashSet::new();
    link.subscribe(desk.own_channel.as_str())?;
    subscribe(&mut link, desk.inbox.channels(), &mut subscribed)?;
    settle(desk, tickets);
    if has_listened {
        log::info!("Redis is heard again");
        desk.inbox.missed();
    }
    while !desk.is_stopping() {
        let message = link.get_message()?;
        *is_heard = true;
        let bytes = message.get_payload_bytes();
        if !bytes.is_empty() {
            desk.received.fetch_add(1, Ordering::Relaxed);
            desk.inbox.receive(bytes);
        }
        if !desk.notes.is_empty() {
            follow(&mut link, desk, &mut subscribed)?;
        }
    }
    Ok(())
}

/// Looks at what was noted: whether this node listens now, whatever it did before.
fn follow(link: &mut PubSub<'_>, desk: &Desk, subscribed: &mut HashSet<String>) -> RedisResult<()> {
    let mut noted = HashSet::new();
    let mut tickets = Vec::new();
    while let Some((channel, ticket)) = desk.notes.pop() {
        noted.insert(channel);
        tickets.extend(ticket);
    }
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for channel in noted {
        match (
            desk.inbox.listens_to(&channel),
            subscribed.contains(&channel),
        ) {
            (true, false) => wanted.push(channel),
            (false, true) => unwanted.push(channel),
            _ => {}
        }
    }
    subscribe(link, wanted, subscribed)?;
    for channels in unwanted.chunks(CHANNELS_MAX) {
        link.unsubscribe(channels)?;
        for channel in channels {
            subscribed.remove(channel);
        }
    }
    settle(desk, tickets);
    Ok(())
}

/// Tells who wanted to know that their notes have been followed.
fn settle(desk: &Desk, tickets: Vec<u64>) {
    for ticket in tickets {
        desk.inbox.settle(ticket, Fate::Heard(0));
    }
}

fn subscribe(
    link: &mut PubSub<'_>,
    channels: Vec<String>,
    subscribed: &mut HashSet<String>,
) -> RedisResult<()> {
    for channels in channels.chunks(CHANNELS_MAX) {
        link.subscribe(channels)?;
    }
    subscribed.extend(channels);
    Ok(())
}
