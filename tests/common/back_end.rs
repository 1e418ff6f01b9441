//! A back end that a test scripts: it keeps every event that it gets, and answers what it is told to.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::DEADLINE;

/// An event, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Header fields, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Event {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The last word of its type.
    pub(crate) fn kind(&self) -> &str {
        let kind = self.header("ce-type");
        kind.strip_prefix("io.tidegate.").unwrap_or(kind)
    }

    pub(crate) fn data(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// What `webhook-signature` has to be (Standard Webhooks 1.0).
pub(crate) fn sign(secret: &str, id: &str, timestamp: u64, body: &[u8]) -> String {
    let key = secret.strip_prefix("whsec_").expect("a secret");
    let key = STANDARD.decode(key).expect("base64");
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed)))
}

/// Status, content type, body.
pub(crate) type Answer = (u16, &'static str, String);
type Script = dyn Fn(&Event) -> Answer + Send + Sync;

/// Lets the client in, or does nothing.
pub(crate) fn nothing() -> Answer {
    (204, "", String::new())
}

/// Says something in JSON.
pub(crate) fn json(value: &Value) -> Answer {
    (200, "application/json", value.to_string())
}

/// Opens once for each event that waits before it.
pub(crate) struct Gate(Mutex<Receiver<()>>);

impl Gate {
    pub(crate) fn new() -> (Sender<()>, Arc<Self>) {
        let (key, lock) = channel();
        (key, Arc::new(Self(Mutex::new(lock))))
    }

    pub(crate) fn wait(&self) {
        let lock = self.0.lock().expect("nobody panics with it");
        lock.recv_timeout(DEADLINE).expect("it is opened");
    }
}

#[derive(Default)]
struct Heard {
    events: Mutex<Vec<Event>>,
    more: Condvar,
    is_over: AtomicBool,
}

/// The back end; it ends with the test.
pub(crate) struct BackEnd {
    address: SocketAddr,
    heard: Arc<Heard>,
}

impl BackEnd {
    /// Answers events of that kind once its key has been used for each, and others at once.
    pub(crate) fn gated(kind: &'static str, script: fn(&Event) -> Answer) -> (Sender<()>, Self) {
        let (key, gate) = Gate::new();
        let back_end = Self::start(move |event| {
            if event.kind() == kind {
                gate.wait();
            }
            script(event)
        });
        (key, back_end)
    }

    /// Answers each event as the script says; from several threads, since events come at the same time.
    pub(crate) fn start(script: impl Fn(&Event) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::<Heard>::default();
        let (script, all): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&heard));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if all.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (script, heard) = (Arc::clone(&script), Arc::clone(&all));
                thread::spawn(move || serve(stream, &*script, &heard));
            }
        });
        Self { address, heard }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// Every event of that kind that has come.
    pub(crate) fn events(&self, kind: &str) -> Vec<Event> {
        let events = self.heard.events.lock().expect("nobody panics with it");
        let found = events.iter().filter(|event| event.kind() == kind);
        found.cloned().collect()
    }

    /// Waits until so many events of that kind have come.
    pub(crate) fn wait_for(&self, kind: &str, count: usize) -> Vec<Event> {
        let end = Instant::now() + DEADLINE;
        loop {
            let found = self.events(kind);
            if found.len() >= count {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} {kind}", found.len());
            let events = self.heard.events.lock().expect("nobody panics with it");
            let _ = self
                .heard
                .more
                .wait_timeout(events, left.min(DEADLINE / 100));
        }
    }
}

impl Drop for BackEnd {
    fn drop(&mut self) {
        self.heard.is_over.store(true, Ordering::Relaxed);
        // So that it looks.
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers the requests of one connection.
fn serve(mut stream: TcpStream, script: &Script, heard: &Heard) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let event = read(&mut reader)?;
        heard.events.lock().ok()?.push(event.clone());
        heard.more.notify_all();
        let (status, content_type, body) = script(&event);
        let length = body.len();
        let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\n");
        let kind = match content_type {
            "" => String::new(),
            kind => format!("Content-Type: {kind}\r\n"),
        };
        // In one write: two of them would be 40 ms apart.
        let answer = format!("{head}{kind}\r\n{body}");
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

fn read(reader: &mut impl BufRead) -> Option<Event> {
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .ok()
        .filter(|&count| count > 0)?;
    assert_eq!(line, "POST /events HTTP/1.1\r\n");
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader
            .read_line(&mut line)
            .ok()
            .filter(|&count| count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut event = Event {
        headers,
        body: Vec::new(),
    };
    let length = event.header("content-length").parse().expect("a length");
    event.body.resize(length, 0);
    reader.read_exact(&mut event.body).ok()?;
    Some(event)
}
