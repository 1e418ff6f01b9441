//! A steady rate: each connection sends at its own times, whether or not the last echo is back, and each echo's time is
//! kept. The times are spread evenly, so that messages of one run do not wait for each other.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream as StdTcpStream;
use std::time::{Duration, Instant};

use clap::Args;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::target::{Frames, connect_all};
use crate::{Common, Result};

const EVENTS_MAX: usize = 1024;
/// Time that the last echoes may take.
const LAST_ECHO_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(crate) struct PaceCommand {
    #[command(flatten)]
    common: Common,
    /// Milliseconds between two messages of one connection
    #[arg(long, default_value_t = 50.0)]
    interval: f64,
    /// Seconds measured
    #[arg(long, short = 't', default_value_t = 3.0)]
    seconds: f64,
    /// Seconds before that
    #[arg(long, default_value_t = 0.3)]
    warm_up: f64,
}

struct Client {
    stream: TcpStream,
    /// When the messages under way were sent.
    sent: VecDeque<Instant>,
    echoed_bytes: usize,
}

impl Client {
    fn send(&mut self, frames: &Frames) -> io::Result<()> {
        self.sent.push_back(Instant::now());
        // A modest rate never fills a socket buffer; where it does, the server has been stuck for long.
        let written = self.stream.write(&frames.sent)?;
        if written < frames.sent.len() {
            return Err(io::Error::other("the server takes nothing"));
        }
        Ok(())
    }

    /// Reads what is there; tells `done` when the message was sent that each echo belongs to.
    fn receive(
        &mut self,
        frames: &Frames,
        buffer: &mut [u8],
        mut done: impl FnMut(Instant),
    ) -> io::Result<()> {
        loop {
            let missing = frames.echoed.len() - self.echoed_bytes;
            let read = match self.stream.read(&mut buffer[..missing]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let expected = &frames.echoed[self.echoed_bytes..self.echoed_bytes + read];
            if buffer[..read] != *expected {
                return Err(io::Error::other("something else came back than was sent"));
            }
            self.echoed_bytes += read;
            if self.echoed_bytes == frames.echoed.len() {
                self.echoed_bytes = 0;
                let sent = self.sent.pop_front();
                done(sent.ok_or_else(|| io::Error::other("an echo of nothing"))?);
            }
        }
    }
}

fn register(stream: StdTcpStream, number: usize, poll: &Poll) -> Result<Client> {
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    poll.registry()
        .register(&mut stream, Token(number), Interest::READABLE)?;
    Ok(Client {
        stream,
        sent: VecDeque::new(),
        echoed_bytes: 0,
    })
}

pub(crate) fn run(command: &PaceCommand) -> Result<Value> {
    let frames = Frames::prepare(&command.common);
    let mut poll = Poll::new()?;
    let mut clients = Vec::new();
    for (number, stream) in connect_all(&command.common)?.into_iter().enumerate() {
        clients.push(register(stream, number, &poll)?);
    }
    let step = Duration::from_secs_f64(command.interval / 1e3 / clients.len() as f64);
    let begin = Instant::now();
    let measured_from = begin + Duration::from_secs_f64(command.warm_up);
    let end = measured_from + Duration::from_secs_f64(command.seconds);
    let mut due = begin;
    let mut next = 0;
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut buffer = vec![0; frames.echoed.len()];
    let mut latencies: Vec<u64> = Vec::new();
    loop {
        let now = Instant::now();
        while due <= now && due < end {
            clients[next].send(&frames)?;
            next = (next + 1) % clients.len();
            due += step;
        }
        let is_over = due >= end;
        if is_over && clients.iter().all(|client| client.sent.is_empty()) {
            break;
        }
        if now > end + LAST_ECHO_TIMEOUT {
            return Err("the last echoes do not come".into());
        }
        let wait = if is_over {
            LAST_ECHO_TIMEOUT
        } else {
            due - now
        };
        poll.poll(&mut events, Some(wait))?;
        for event in &events {
            clients[event.token().0].receive(&frames, &mut buffer, |sent| {
                if sent >= measured_from {
                    latencies.push(sent.elapsed().as_nanos() as u64);
                }
            })?;
        }
    }
    latencies.sort_unstable();
    if latencies.is_empty() {
        return Err("nothing was measured".into());
    }
    let microseconds = |share: f64| {
        let rank = (share * latencies.len() as f64).ceil() as usize;
        latencies[rank.clamp(1, latencies.len()) - 1] as f64 / 1e3
    };
    Ok(json!({
        "messages": latencies.len(),
        "p50_us": microseconds(0.5),
        "p90_us": microseconds(0.9),
        "p99_us": microseconds(0.99),
        "p999_us": microseconds(0.999),
        "max_us": microseconds(1.0),
    }))
}
