use super::*;
use crate::reactor::intake::intake_token;
use crate::reactor::session::Context;
use crate::reactor::transport::{Socket, Transport};
use crate::websocket::protocol::Input;
use mio::{Interest, Registry};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

const DEADLINE: Duration = Duration::from_secs(20);

/// Echoes each byte behind the number of the worker it is on; tells its key when it hears `?`.
#[derive(Debug)]
struct Probe;

#[derive(Debug)]
struct Shard {
    number: u8,
    keys: mpsc::Sender<ConnKey>,
}

impl Session for Probe {
    type Shard = Shard;
    type Mail = ();

    fn on_open(&mut self, _: &mut Context<'_, Self>) {}

    fn on_input(&mut self, input: &mut Input<'_>, cx: &mut Context<'_, Self>) {
        while let Some(&byte) = input.remaining().first() {
            input.advance(1);
            if byte == b'?' {
                cx.shard.keys.send(cx.key).expect("the test listens");
            }
            let number = cx.shard.number;
            cx.out.cork().extend_from_slice(&[number, byte]);
        }
    }

    fn on_end(&mut self, cx: &mut Context<'_, Self>) {
        cx.close(CloseReason::transport("end"));
    }

    fn on_deadline(&mut self, _: &mut Context<'_, Self>) {}

    fn on_drained(&mut self, _: &mut Context<'_, Self>) {}

    fn on_drain(&mut self, cx: &mut Context<'_, Self>) {
        cx.close(CloseReason::server(CloseCode::GOING_AWAY, "drain"));
    }

    fn on_close(&mut self, _: CloseReason, cx: &mut Context<'_, Self>) {
        cx.out.cork().extend_from_slice(b"bye");
    }

    fn released(self, _: &mut Shard) {}

    fn on_mail<T: Transport>(_: &mut Engine<Self, T>, (): ()) {}

    fn on_turn_end<T: Transport>(_: &mut Engine<Self, T>) {}

    fn recycle(_: &mut Shard, _: Vec<u8>) {}
}

/// A door that lets one in, tells what happens, and closes some time after somebody has woken the worker.
#[derive(Debug)]
struct Door {
    listener: mio::net::TcpListener,
    is_ready: bool,
    end: Option<Tick>,
    // Dropped after the listener.
    teller: Teller,
}

#[derive(Debug)]
struct Teller(mpsc::Sender<&'static str>);

const DOOR: u32 = 7;

impl Teller {
    fn say(&self, what: &'static str) {
        self.0.send(what).expect("the test listens");
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.say("closed");
    }
}

impl Intake<Probe> for Door {
    fn register(&mut self, registry: &Registry) -> io::Result<()> {
        registry.register(&mut self.listener, intake_token(DOOR), Interest::READABLE)
    }

    fn ready(&mut self, source: u32) {
        assert_eq!(source, DOOR);
        self.is_ready = true;
    }

    fn woken(&mut self, now: Tick) {
        self.teller.say("woken");
        self.end = Some(now.after(Duration::from_millis(50)));
    }

    fn due(&self, now: Tick) -> Option<Tick> {
        self.is_ready.then_some(now).or(self.end)
    }

    fn run(&mut self, now: Tick, open: &mut dyn FnMut(Stream, Probe)) -> ControlFlow<()> {
        if std::mem::take(&mut self.is_ready) {
            let (stream, _) = self.listener.accept().expect("somebody is there");
            open(Stream::Plain(Socket::Tcp(stream)), Probe);
            self.teller.say("let in");
        }
        match self.end {
            Some(end) if end.is_reached(now) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[test]
fn an_intake_hears_of_edges_wake_ups_and_its_time_and_ends_when_it_says_so() {
    let (keys, _told) = mpsc::channel();
    let shard = Shard { number: b'0', keys };
    let mut reactor =
        Reactor::<Probe>::new(shard, Limits::default(), Clock::start(), 16).expect("reactor");
    let any = "127.0.0.1:0".parse().expect("an address");
    let listener = mio::net::TcpListener::bind(any).expect("bound");
    let address = listener.local_addr().expect("address");
    let (said, hears) = mpsc::channel();
    let door = Door {
        listener,
        is_ready: false,
        end: None,
        teller: Teller(said),
    };
    reactor.set_intake(Box::new(door)).expect("registered");
    let mailbox = reactor.mailbox();
    let thread = thread::spawn(move || reactor.run());
    let mut client = TcpStream::connect(address).expect("connected");
    client.set_read_timeout(Some(DEADLINE)).expect("option");
    client.write_all(b"a").expect("written");
    expect(&mut client, b"0a");
    mailbox.wake();
    for what in ["let in", "woken", "closed"] {
        assert_eq!(hears.recv_timeout(DEADLINE), Ok(what));
    }
    TcpStream::connect(address).expect_err("the door is closed");
    client.write_all(b"b").expect("written");
    expect(&mut client, b"0b");
    let drain = Command::Drain(Duration::ZERO, Duration::from_secs(10));
    mailbox.send(drain).expect("room");
    expect(&mut client, b"bye");
    drop(client);
    thread.join().expect("no panic").expect("no error");
}

fn connected() -> (TcpStream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let client = TcpStream::connect(listener.local_addr().expect("address")).expect("connected");
    client.set_read_timeout(Some(DEADLINE)).expect("option");
    let (accepted, _) = listener.accept().expect("accepted");
    accepted.set_nonblocking(true).expect("option");
    let stream = mio::net::TcpStream::from_std(accepted);
    (client, Stream::Plain(Socket::Tcp(stream)))
}

fn expect(client: &mut TcpStream, expected: &[u8]) {
    let mut received = vec![0; expected.len()];
    client.read_exact(&mut received).expect("an answer in time");
    assert_eq!(received, expected);
}

type Mailboxes = Vec<Arc<Mailbox<Command<Probe>>>>;
type Threads = Vec<thread::JoinHandle<io::Result<()>>>;

/// Workers 0 and 1.
fn two_workers(keys: &mpsc::Sender<ConnKey>) -> (Mailboxes, Threads) {
    let clock = Clock::start();
    let worker = |number| {
        let keys = keys.clone();
        let shard = Shard { number, keys };
        let reactor =
            Reactor::<Probe>::new(shard, Limits::default(), clock, 1_024).expect("reactor");
        (reactor.mailbox(), thread::spawn(move || reactor.run()))
    };
    [b'0', b'1'].map(worker).into_iter().unzip()
}

/// Sends everyone away, and waits for the workers to end.
fn end(mailboxes: &Mailboxes, threads: Threads) {
    for mailbox in mailboxes {
        let drain = Command::Drain(Duration::ZERO, Duration::from_secs(10));
        mailbox.send(drain).expect("room");
    }
    for thread in threads {
        thread.join().expect("no panic").expect("no error");
    }
}

#[test]
fn a_connection_goes_to_another_worker_and_back_while_its_peer_talks() {
    let (keys, told) = mpsc::channel();
    let (mailboxes, threads) = two_workers(&keys);
    let (mut client, stream) = connected();
    mailboxes[0]
        .send(Command::Open(stream, Probe))
        .expect("room");
    for round in 0..50 {
        let (here, there) = (round % 2, 1 - round % 2);
        client.write_all(b"?").expect("written");
        expect(&mut client, &[b'0' + here as u8, b'?']);
        let key = told.recv_timeout(DEADLINE).expect("a key");
        let command = Command::HandOver(key, Arc::clone(&mailboxes[there]));
        mailboxes[here].send(command).expect("room");
        // These bytes meet the connection on either side, or between the two.
        client.write_all(b"abc").expect("written");
        let mut answers = [0; 6];
        client.read_exact(&mut answers).expect("answers in time");
        let bytes: Vec<u8> = answers.iter().skip(1).step_by(2).copied().collect();
        assert_eq!(bytes, b"abc", "nothing lost, nothing twice, in order");
        // The hand-over may still be under way.
        let mut answer = [0; 2];
        while answer[0] != b'0' + there as u8 {
            client.write_all(b"?").expect("written");
            client.read_exact(&mut answer).expect("an answer in time");
            told.recv_timeout(DEADLINE).expect("a key");
        }
    }
    let leaver = thread::spawn(move || {
        expect(&mut client, b"bye");
    });
    end(&mailboxes, threads);
    leaver.join().expect("its farewell");
}

/// Writes until the other end has taken nothing for a while; gives how much it took.
fn write_until_stalled(client: &mut TcpStream, bytes: &[u8]) -> usize {
    const WHILE: Duration = Duration::from_millis(200);
    let (mut taken, mut since) = (0, Instant::now());
    while taken < bytes.len() && since.elapsed() < WHILE {
        match client.write(&bytes[taken..]) {
            Ok(count) => {
                taken += count;
                since = Instant::now();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    taken
}

#[test]
fn a_peer_that_reads_nothing_gets_all_of_it_once_it_reads_also_from_another_worker() {
    const SENT: usize = 1_000_000;
    let (keys, told) = mpsc::channel();
    let (mailboxes, threads) = two_workers(&keys);
    let (mut client, stream) = connected();
    if let Stream::Plain(Socket::Tcp(tcp)) = &stream {
        // Little goes into the kernel, and the rest waits in the send queue.
        let socket = socket2::SockRef::from(tcp);
        socket.set_send_buffer_size(4_096).expect("option");
    }
    mailboxes[0]
        .send(Command::Open(stream, Probe))
        .expect("room");
    client.write_all(b"?").expect("written");
    expect(&mut client, b"0?");
    let key = told.recv_timeout(DEADLINE).expect("a key");
    client.set_nonblocking(true).expect("option");
    let bytes = vec![b'a'; SENT];
    let mut written = write_until_stalled(&mut client, &bytes);
    let command = Command::HandOver(key, Arc::clone(&mailboxes[1]));
    mailboxes[0].send(command).expect("room");
    let (mut received, begun) = (Vec::new(), Instant::now());
    let mut buffer = [0; 16 * 1024];
    while received.len() < 2 * SENT {
        assert!(begun.elapsed() < DEADLINE, "{} came back", received.len());
        match client.read(&mut buffer) {
            Ok(count) => received.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
        if let Ok(count) = client.write(&bytes[written..]) {
            written += count;
        }
    }
    assert!(received.chunks(2).all(|pair| pair[1] == b'a'));
    assert_eq!(received[2 * SENT - 2], b'1', "the other worker");
    drop(client);
    end(&mailboxes, threads);
}
