//! The closed loop: each connection keeps a number of messages under way, and sends as many as came back, in one write.

use std::io::{self, Read, Write};
use std::net::TcpStream as StdTcpStream;
use std::process;
use std::time::{Duration, Instant};

use clap::Args;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::process::CpuTime;
use crate::target::{Frames, connect_all};
use crate::{Common, Result};

/// Bytes read at once.
const READ_BYTES_MAX: usize = 128 * 1024;
const EVENTS_MAX: usize = 1024;
/// A server that sends nothing for so long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(crate) struct EchoCommand {
    #[command(flatten)]
    common: Common,
    /// Messages under way on each connection
    #[arg(long, short, default_value_t = 1)]
    depth: usize,
    /// Seconds measured
    #[arg(long, short = 't', default_value_t = 2.0)]
    seconds: f64,
    /// Seconds before that
    #[arg(long, default_value_t = 0.3)]
    warm_up: f64,
    /// End after so many messages, measured or not
    #[arg(long)]
    messages: Option<u64>,
    /// Process under test
    #[arg(long)]
    pid: Option<u32>,
    /// Bytes that one write sends at most
    #[arg(long, default_value_t = usize::MAX)]
    write_bytes_max: usize,
}

/// Both directions as they repeat.
struct Pattern {
    sent: Vec<u8>,
    sent_period: usize,
    echoed: Vec<u8>,
    echoed_period: usize,
    write_bytes_max: usize,
}

impl Pattern {
    fn new(frames: &Frames, command: &EchoCommand) -> Self {
        let repeated = |frame: &[u8], bytes: usize| frame.repeat(bytes.div_ceil(frame.len()) + 1);
        Self {
            sent: repeated(&frames.sent, frames.sent.len() * command.depth),
            sent_period: frames.sent.len(),
            echoed: repeated(&frames.echoed, READ_BYTES_MAX),
            echoed_period: frames.echoed.len(),
            write_bytes_max: command.write_bytes_max,
        }
    }
}

struct Client {
    stream: TcpStream,
    /// Where in the pattern the next byte to send stands.
    sent_at: usize,
    unsent: usize,
    /// Where in the pattern the next byte to come back stands.
    echoed_at: usize,
}

impl Client {
    /// Reads what is there and sends as many messages as came back; gives how many.
    fn turn(&mut self, pattern: &Pattern, buffer: &mut [u8]) -> io::Result<u64> {
        let mut messages = 0;
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            let at = self.echoed_at;
            if buffer[..read] != pattern.echoed[at..at + read] {
                return Err(io::Error::other("something else came back than was sent"));
            }
            messages += (at + read) / pattern.echoed_period;
            self.echoed_at = (at + read) % pattern.echoed_period;
            if read < buffer.len() {
                break;
            }
        }
        self.unsent += messages * pattern.sent_period;
        self.send(pattern)?;
        Ok(messages as u64)
    }

    fn send(&mut self, pattern: &Pattern) -> io::Result<()> {
        while self.unsent > 0 {
            let offered = self.unsent.min(pattern.write_bytes_max);
            let bytes = &pattern.sent[self.sent_at..self.sent_at + offered];
            match self.stream.write(bytes) {
                Ok(written) => {
                    self.unsent -= written;
                    self.sent_at = (self.sent_at + written) % pattern.sent_period;
                    if written < offered {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Where a run stands.
struct Sample {
    at: Instant,
    messages: u64,
    server: CpuTime,
    own: CpuTime,
}

impl Sample {
    fn take(messages: u64, server: Option<u32>) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            messages,
            server: server.map(CpuTime::of).transpose()?.unwrap_or_default(),
            own: CpuTime::of(process::id())?,
        })
    }
}

struct Load {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    pattern: Pattern,
    buffer: Vec<u8>,
    messages: u64,
}

impl Load {
    fn new(command: &EchoCommand) -> Result<Self> {
        let poll = Poll::new()?;
        let mut clients = Vec::new();
        for (number, stream) in connect_all(&command.common)?.into_iter().enumerate() {
            clients.push(register(stream, number, &poll)?);
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            clients,
            pattern: Pattern::new(&Frames::prepare(&command.common), command),
            buffer: vec![0; READ_BYTES_MAX],
            messages: 0,
        })
    }

    fn begin(&mut self, depth: usize) -> Result<()> {
        for client in &mut self.clients {
            client.unsent = depth * self.pattern.sent_period;
            client.send(&self.pattern)?;
        }
        Ok(())
    }

    /// Runs until `end`, or until `messages_max` have come back in all.
    fn run(&mut self, end: Instant, messages_max: u64) -> Result<()> {
        while Instant::now() < end && self.messages < messages_max {
            self.poll.poll(&mut self.events, Some(SILENCE_MAX))?;
            if self.events.is_empty() {
                return Err("the server is silent".into());
            }
            for event in &self.events {
                let client = &mut self.clients[event.token().0];
                self.messages += client.turn(&self.pattern, &mut self.buffer)?;
            }
        }
        Ok(())
    }
}

fn register(stream: StdTcpStream, number: usize, poll: &Poll) -> Result<Client> {
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    poll.registry().register(
        &mut stream,
        Token(number),
        Interest::READABLE | Interest::WRITABLE,
    )?;
    Ok(Client {
        stream,
        sent_at: 0,
        unsent: 0,
        echoed_at: 0,
    })
}

pub(crate) fn run(command: &EchoCommand) -> Result<Value> {
    let mut load = Load::new(command)?;
    let messages_max = command.messages.unwrap_or(u64::MAX);
    load.begin(command.depth)?;
    load.run(
        Instant::now() + Duration::from_secs_f64(command.warm_up),
        messages_max,
    )?;
    let before = Sample::take(load.messages, command.pid)?;
    load.run(
        before.at + Duration::from_secs_f64(command.seconds),
        messages_max,
    )?;
    let after = Sample::take(load.messages, command.pid)?;
    let seconds = (after.at - before.at).as_secs_f64();
    let messages = after.messages - before.messages;
    let per_message =
        |nanoseconds: u64| nanoseconds as f64 / 1e3 / (messages as f64).max(f64::MIN_POSITIVE);
    let share = |nanoseconds: u64| nanoseconds as f64 / 1e9 / seconds;
    let server_cpu = after.server.running - before.server.running;
    let server_wait = after.server.waiting - before.server.waiting;
    let own_cpu = after.own.running - before.own.running;
    Ok(json!({
        "seconds": seconds,
        "messages": messages,
        "messages_in_all": after.messages,
        "messages_per_second": messages as f64 / seconds,
        "cpu_us_per_message": command.pid.map(|_| per_message(server_cpu)),
        "cpu_share": command.pid.map(|_| share(server_cpu)),
        "wait_share": command.pid.map(|_| share(server_wait)),
        "own_cpu_us_per_message": per_message(own_cpu),
        "own_cpu_share": share(own_cpu),
    }))
}
