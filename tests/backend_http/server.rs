//! A back end that says what a script has it say, good or bad: a thread for each connection, on loopback.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
}

impl Request {
    /// The value of a header field, which has to be there once.
    pub(crate) fn field(&self, name: &str) -> &str {
        let mut found = self.fields.iter().filter(|(field, _)| field == name);
        let (_, value) = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none(), "{name} is there twice");
        value
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("UTF-8")
    }
}

/// What follows the bytes of a reply.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    /// The next request.
    Next,
    /// The end of the connection.
    Close,
    /// Nothing, and the connection stays.
    Silence,
    /// These bytes again and again, so far apart.
    Forever(Vec<u8>, Duration),
}

/// What is answered, byte for byte.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) then: Then,
}

impl Reply {
    /// A whole answer, after which the connection goes on.
    pub(crate) fn new(status: u16, content_type: &str, body: &str) -> Self {
        let length = body.len();
        let bytes = format!(
            "HTTP/1.1 {status} x\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        Self::raw(bytes, Then::Next)
    }

    pub(crate) fn json(body: &str) -> Self {
        Self::new(200, "application/json", body)
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::new(status, "text/plain", "")
    }

    pub(crate) fn empty() -> Self {
        Self::raw("HTTP/1.1 204 No Content\r\n\r\n", Then::Next)
    }

    pub(crate) fn raw(bytes: impl Into<Vec<u8>>, then: Then) -> Self {
        Self {
            bytes: bytes.into(),
            then,
        }
    }
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

struct Inner {
    tls: Option<Arc<ServerConfig>>,
    script: Box<Script>,
    streams: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    requests: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    is_over: AtomicBool,
}

impl Inner {
    fn streams(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The back end; dropped, it is gone, and its port refuses.
pub(crate) struct Server {
    address: SocketAddr,
    inner: Arc<Inner>,
}

impl Server {
    pub(crate) fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(None, script)
    }

    /// One that speaks TLS, where it is told how.
    pub(crate) fn start_with(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let inner = Arc::new(Inner {
            tls,
            script: Box::new(script),
            streams: Mutex::default(),
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let its_inner = Arc::clone(&inner);
        thread::spawn(move || accept(&listener, &its_inner));
        Self { address, inner }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.inner.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}/events?a=b", self.address)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.inner.connections.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.inner.requests.load(Ordering::SeqCst)
    }

    /// The most requests that there were at one time.
    pub(crate) fn most_under_way(&self) -> usize {
        self.inner.most_under_way.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.inner.is_over.store(true, Ordering::SeqCst);
        for stream in self.inner.streams().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts, which closes the port.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, inner: &Arc<Inner>) {
    for stream in listener.incoming() {
        if inner.is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let number = inner.connections.fetch_add(1, Ordering::SeqCst);
        stream.set_nodelay(true).expect("an option");
        let copy = stream.try_clone().expect("a descriptor");
        inner.streams().push(copy);
        let inner = Arc::clone(inner);
        thread::spawn(move || {
            match &inner.tls {
                None => serve(&mut &stream, number, &inner),
                Some(config) => {
                    let tls = ServerConnection::new(Arc::clone(config)).expect("TLS");
                    serve(&mut StreamOwned::new(tls, &stream), number, &inner);
                }
            }
            // The copy keeps it open.
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}

/// One connection.
fn serve(stream: &mut (impl Read + Write), number: usize, inner: &Inner) {
    let mut buffer = Vec::new();
    while let Some(mut request) = read(stream, &mut buffer) {
        request.connection = number;
        inner.requests.fetch_add(1, Ordering::SeqCst);
        let now = inner.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        inner.most_under_way.fetch_max(now, Ordering::SeqCst);
        let reply = (inner.script)(&request);
        inner.under_way.fetch_sub(1, Ordering::SeqCst);
        if stream.write_all(&reply.bytes).is_err() || stream.flush().is_err() {
            return;
        }
        match reply.then {
            Then::Next => {}
            Then::Close => return,
            Then::Silence => {
                // Until the other side is gone.
                let _ = stream.read(&mut [0; 64]);
                return;
            }
            Then::Forever(bytes, pause) => {
                while stream.write_all(&bytes).is_ok() {
                    thread::sleep(pause);
                }
                return;
            }
        }
    }
}

/// The next request; `None` where there is none.
fn read(stream: &mut impl Read, buffer: &mut Vec<u8>) -> Option<Request> {
    let mut chunk = [0; 16 << 10];
    loop {
        if let Some((request, length)) = parse(buffer) {
            buffer.drain(..length);
            return Some(request);
        }
        let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
        buffer.extend_from_slice(&chunk[..count]);
    }
}

/// A request that is whole, and its length.
fn parse(bytes: &[u8]) -> Option<(Request, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(head_length) = head.parse(bytes).expect("HTTP") else {
        return None;
    };
    let value = |value: &[u8]| str::from_utf8(value).expect("ASCII").to_owned();
    let fields: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|field| (field.name.to_ascii_lowercase(), value(field.value)))
        .collect();
    let length = fields.iter().find(|(name, _)| name == "content-length");
    let length: usize = length?.1.parse().expect("a length");
    let body = bytes.get(head_length..head_length + length)?;
    let request = Request {
        line: format!("{} {}", head.method?, head.path?),
        fields,
        body: body.to_vec(),
        connection: 0,
    };
    Some((request, head_length + length))
}
