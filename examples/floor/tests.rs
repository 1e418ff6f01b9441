//! Each floor does what it says, also when a socket does not take everything at once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);
/// More than sockets hold between two ends: the floor has to keep some of it.
const MANY: usize = 8 * 1024 * 1024;

fn start(work: fn(&mut Slab<Connection>, usize, &mut [u8])) -> SocketAddr {
    let address = ADDRESS.parse().expect("an address");
    let listener = listener::listen(address).expect("a listener");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || serve(listener, work).expect("served"));
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("set");
    stream.set_write_timeout(Some(DEADLINE)).expect("set");
    stream
}

fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).expect("read in time");
    assert!(got == bytes, "other bytes came than were sent");
}

fn expect_end(stream: &mut TcpStream) {
    assert_eq!(stream.read(&mut [0; 1]).expect("read in time"), 0);
}

/// Bytes of which no two neighbours are alike, so that none can be lost or swapped unseen.
fn varied(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[test]
fn echo_gives_everything_back() {
    let address = start(echo::work);
    let mut one = connect(address);
    let mut two = connect(address);
    one.write_all(b"one").expect("sent");
    two.write_all(b"two").expect("sent");
    expect(&mut one, b"one");
    expect(&mut two, b"two");
    let many = varied(MANY);
    let mut writer = one.try_clone().expect("cloned");
    let sent = many.clone();
    let writing = thread::spawn(move || writer.write_all(&sent).expect("sent"));
    expect(&mut one, &many);
    writing.join().expect("written");
}

#[test]
fn fanout_gives_everybody_everything_in_order() {
    let address = start(fanout::work);
    let mut receivers: Vec<TcpStream> = (0..8).map(|_| connect(address)).collect();
    // Sockets come in order: once the last is heard, all are there.
    for index in 0..receivers.len() {
        receivers[index].write_all(b"here").expect("sent");
        for receiver in &mut receivers {
            expect(receiver, b"here");
        }
    }
    drop(receivers.pop());
    let many = varied(MANY);
    let mut publisher = receivers[0].try_clone().expect("cloned");
    let sent = many.clone();
    let publishing = thread::spawn(move || publisher.write_all(&sent).expect("sent"));
    for receiver in &mut receivers {
        expect(receiver, &many);
    }
    publishing.join().expect("published");
}

#[test]
fn accept_answers_once_and_ends_at_the_next_bytes() {
    let address = start(accept::work);
    let mut stream = connect(address);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("read in time");
    assert_eq!(&answer, b"HTTP/1.1 101");
    let mut rest = Vec::new();
    while !rest.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("read in time");
        rest.push(byte[0]);
    }
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).expect("sent");
    expect_end(&mut stream);
}
