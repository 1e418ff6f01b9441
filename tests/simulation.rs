//! Two `Protocol` values, client and server, joined by a pipe that chops, delays and limits writes, under virtual time.
//!
//! Every run follows from its seed, which is printed where a run fails; `SIMULATION_SEED=n` runs that one alone.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;
use tidegate::websocket::close::CloseCode;
use tidegate::websocket::codec::{Codec, Config};
use tidegate::websocket::extension::DeflateParams;
use tidegate::websocket::frame::{Opcode, encode_header, header_len};
use tidegate::websocket::mask;
use tidegate::websocket::protocol::{Event, Input, MessageKind, Place, Protocol, Role};

const RUNS: u64 = 2000;
const STEPS_MAX: u32 = 200_000;
const MESSAGE_BYTES_MAX: usize = 200_000;

type Message = (MessageKind, Vec<u8>);

/// One direction of the connection.
#[derive(Debug)]
struct Pipe {
    /// When it arrives, and what.
    under_way: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    bytes_max: usize,
    delay_max: u64,
}

impl Pipe {
    fn new(bytes_max: usize, rng: &mut StdRng) -> Self {
        Self {
            under_way: VecDeque::new(),
            bytes: 0,
            bytes_max,
            delay_max: rng.random_range(1..20),
        }
    }

    /// Takes as much as fits, like a socket, and says how much.
    fn write(&mut self, bytes: &[u8], now: u64, rng: &mut StdRng) -> usize {
        let count = bytes.len().min(self.bytes_max - self.bytes);
        let count = rng.random_range(0..=count);
        if count > 0 {
            let at = now + rng.random_range(0..self.delay_max);
            let at = self.under_way.back().map_or(at, |&(last, _)| at.max(last));
            self.under_way.push_back((at, bytes[..count].to_vec()));
            self.bytes += count;
        }
        count
    }

    /// Some of what has arrived by `now`.
    fn read(&mut self, now: u64, rng: &mut StdRng) -> Vec<u8> {
        let mut read = Vec::new();
        while let Some((at, bytes)) = self.under_way.front_mut() {
            if *at > now {
                break;
            }
            let count = if rng.random_bool(0.5) {
                bytes.len()
            } else {
                rng.random_range(1..=bytes.len())
            };
            read.extend(bytes.drain(..count));
            if bytes.is_empty() {
                self.under_way.pop_front();
            }
            if rng.random_bool(0.5) {
                break;
            }
        }
        self.bytes -= read.len();
        read
    }
}

#[derive(Debug)]
struct End {
    role: Role,
    protocol: Protocol,
    codec: Codec,
    outbox: Vec<u8>,
    to_send: u32,
    to_ping: u32,
    len_max: usize,
    closes_itself: bool,
    sent: Vec<Message>,
    got: Vec<Message>,
    pings_sent: Vec<Vec<u8>>,
    pongs_got: Vec<Vec<u8>>,
    close_sent: Option<(u16, String)>,
    close_got: Option<(u16, String)>,
}

impl End {
    fn new(role: Role, deflate: Option<DeflateParams>, len_max: usize, rng: &mut StdRng) -> Self {
        let config = Config {
            message_bytes_max: MESSAGE_BYTES_MAX,
            compression_bytes_min: *pick(rng, &[0, 50, 1000]),
            compression_level: rng.random_range(1..=9),
        };
        Self {
            role,
            protocol: Protocol::new(role, deflate),
            codec: Codec::with_mask_seed(config, rng.random()),
            outbox: Vec::new(),
            to_send: rng.random_range(0..12),
            to_ping: rng.random_range(0..8),
            len_max,
            closes_itself: false,
            sent: Vec::new(),
            got: Vec::new(),
            pings_sent: Vec::new(),
            pongs_got: Vec::new(),
            close_sent: None,
            close_got: None,
        }
    }

    /// Maybe says something new.
    fn speak(&mut self, rng: &mut StdRng) {
        if !self.protocol.is_open() || self.outbox.len() > self.len_max {
            return;
        }
        if rng.random_bool(0.1) {
            self.ping(rng);
        }
        if self.to_send > 0 {
            self.to_send -= 1;
            let message = message(self.len_max, rng);
            if rng.random_bool(0.3) {
                self.send_fragments(&message, rng);
            } else {
                let (kind, payload) = &message;
                self.protocol
                    .send_message(*kind, payload, &mut self.codec, &mut self.outbox);
            }
            self.sent.push(message);
        } else if self.closes_itself && rng.random_bool(0.2) {
            let code = *pick(rng, &[1000, 1001, 1005, 3000, 4999]);
            let reason = if code == 1005 {
                ""
            } else {
                *pick(rng, &["", "done", "\u{e9}nough"])
            };
            self.close(CloseCode(code), reason);
        }
    }

    fn ping(&mut self, rng: &mut StdRng) {
        if self.to_ping == 0 {
            return;
        }
        self.to_ping -= 1;
        let payload: Vec<u8> = (0..rng.random_range(0..=125))
            .map(|_| rng.random())
            .collect();
        self.protocol
            .send_ping(&payload, &mut self.codec, &mut self.outbox);
        self.pings_sent.push(payload);
    }

    /// A message in fragments, pings between them: what `Protocol` takes and never sends itself.
    fn send_fragments(&mut self, (kind, payload): &Message, rng: &mut StdRng) {
        let mut opcode = kind.opcode();
        let mut rest = &payload[..];
        loop {
            let count = rng.random_range(0..=rest.len());
            let (piece, after) = rest.split_at(count);
            rest = after;
            let fin = rest.is_empty() && rng.random_bool(0.7);
            let key = (self.role == Role::Client).then(|| rng.random());
            let header = encode_header(opcode, fin, false, piece.len() as u64, key);
            self.outbox.extend_from_slice(header.as_slice());
            let start = self.outbox.len();
            self.outbox.extend_from_slice(piece);
            mask::apply(&mut self.outbox[start..], key.unwrap_or_default());
            if fin {
                break;
            }
            opcode = Opcode::Continuation;
            if rng.random_bool(0.2) {
                self.ping(rng);
            }
        }
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        self.protocol
            .send_close(code, reason, &mut self.codec, &mut self.outbox);
        if self.close_sent.is_none() {
            self.close_sent = Some((code.0, reason.to_owned()));
        }
    }

    /// Receives all of `bytes`, and answers.
    fn hear(&mut self, mut bytes: Vec<u8>, rng: &mut StdRng) {
        let mut input = Input::new(&mut bytes);
        let mut pongs = Vec::new();
        loop {
            let mut taken = None;
            match self
                .protocol
                .receive(&mut input, &mut self.codec)
                .expect("both keep the rules")
            {
                None => break,
                Some(Event::Message(message)) => {
                    if let Place::Input { start, len } = message.place {
                        assert!(start >= header_len(len, false), "no room for a header");
                    }
                    taken = Some(message.place);
                    self.got.push((message.kind, message.payload.to_vec()));
                }
                Some(Event::Ping(payload)) => pongs.push(payload.to_vec()),
                Some(Event::Pong(payload)) => self.pongs_got.push(payload.to_vec()),
                Some(Event::Close { code, reason }) => {
                    assert_eq!(self.close_got, None, "one Close");
                    self.close_got = Some((code.0, reason.to_owned()));
                }
            }
            self.look_again(taken, &mut input, rng);
            for pong in pongs.drain(..) {
                self.protocol
                    .send_pong(&pong, &mut self.codec, &mut self.outbox);
            }
        }
        assert!(input.is_empty());
        if let Some((code, reason)) = self.close_got.clone() {
            self.close(CloseCode(code), &reason);
        }
    }

    /// A message lies where its place says.
    fn look_again(&mut self, place: Option<Place>, input: &mut Input<'_>, rng: &mut StdRng) {
        let Some((_, last)) = self.got.last() else {
            return;
        };
        match place {
            Some(Place::Input { start, len }) => {
                assert_eq!(input.buffer()[start..start + len], *last);
            }
            Some(Place::Assembled) if rng.random_bool(0.5) => {
                let (buffer, start) = self.protocol.take_assembled();
                assert_eq!(buffer[start..], *last);
                self.codec.recycle(buffer);
            }
            Some(Place::Scratch) => {
                let scratch = self.codec.take_scratch();
                assert_eq!(scratch[..], *last);
                self.codec.give_scratch(scratch);
            }
            Some(Place::Assembled) | None => {}
        }
    }
}

fn pick<'a, T>(rng: &mut StdRng, from: &'a [T]) -> &'a T {
    &from[rng.random_range(0..from.len())]
}

fn message(len_max: usize, rng: &mut StdRng) -> Message {
    let len = match rng.random_range(0..100) {
        0..60 => rng.random_range(0..200),
        60..97 => rng.random_range(0..5000),
        _ => rng.random_range(0..MESSAGE_BYTES_MAX / 2),
    };
    let len = len.min(len_max);
    if rng.random_bool(0.5) {
        let alphabet = ['a', 'b', ' ', '\u{e4}', '\u{20ac}', '\u{1f30a}'];
        let few = rng.random_range(1..=alphabet.len());
        let text: String = (0..len / 2).map(|_| *pick(rng, &alphabet[..few])).collect();
        (MessageKind::Text, text.into_bytes())
    } else {
        let top = rng.random_range(1..=255u8);
        (
            MessageKind::Binary,
            (0..len).map(|_| rng.random_range(0..=top)).collect(),
        )
    }
}

fn params(rng: &mut StdRng) -> Option<DeflateParams> {
    rng.random_bool(0.4).then(|| DeflateParams {
        server_no_context_takeover: rng.random_bool(0.7),
        client_no_context_takeover: rng.random_bool(0.7),
        server_max_window_bits: rng.random_range(8..=15),
        client_max_window_bits: rng.random_range(9..=15),
    })
}

/// Names the seed of a run that fails.
struct Seed(u64);

impl Drop for Seed {
    #[allow(clippy::print_stderr, reason = "a failure has to say how to repeat it")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SIMULATION_SEED={}", self.0);
        }
    }
}

fn run(seed: u64) -> usize {
    let named = Seed(seed);
    let rng = &mut StdRng::seed_from_u64(seed);
    let deflate = params(rng);
    // A narrow pipe carries short messages, or the run would take long.
    let bytes_max = *pick(rng, &[1, 20, 1000, 100_000]);
    let len_max = bytes_max * 50;
    let mut ends = [Role::Client, Role::Server].map(|role| End::new(role, deflate, len_max, rng));
    let mut pipes = [0; 2].map(|_| Pipe::new(bytes_max, rng));
    match rng.random_range(0..3) {
        0 => ends[0].closes_itself = true,
        1 => ends[1].closes_itself = true,
        _ => ends.iter_mut().for_each(|end| end.closes_itself = true),
    }
    let mut now = 0;
    for step in 0.. {
        assert!(step < STEPS_MAX, "never comes to an end");
        now += rng.random_range(0..5);
        for (n, end) in ends.iter_mut().enumerate() {
            end.speak(rng);
            let count = pipes[n].write(&end.outbox, now, rng);
            end.outbox.drain(..count);
            let read = pipes[1 - n].read(now, rng);
            if !read.is_empty() {
                end.hear(read, rng);
            }
        }
        if ends
            .iter()
            .all(|end| end.protocol.is_closed() && end.outbox.is_empty())
            && pipes.iter().all(|pipe| pipe.under_way.is_empty())
        {
            break;
        }
    }
    for (n, end) in ends.iter().enumerate() {
        check(end, &ends[1 - n]);
    }
    drop(named);
    ends.iter().map(|end| end.got.len()).sum()
}

/// What `end` heard is what `other` said.
fn check(end: &End, other: &End) {
    assert!(!end.protocol.is_mid_message() && !end.protocol.is_open());
    assert!(
        other.sent.starts_with(&end.got),
        "in order, and nothing else"
    );
    if !end.closes_itself {
        assert_eq!(
            end.got.len(),
            other.sent.len(),
            "who does not close first hears everything"
        );
    }
    assert!(end.pings_sent.starts_with(&end.pongs_got));
    assert_eq!(end.close_got, other.close_sent);
}

#[test]
fn whatever_the_pipe_does_both_sides_hear_what_was_said() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        run(seed.parse().expect("SIMULATION_SEED is a number"));
        return;
    }
    let heard: usize = (0..RUNS).map(run).sum();
    assert!(
        heard > RUNS as usize,
        "the runs have to say something: {heard}"
    );
}
