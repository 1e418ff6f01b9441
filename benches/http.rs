//! What a handshake costs before any frame: finding and parsing the head, accepting it, checking its origin.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate::auth::origin::OriginPolicy;
use tidegate::http::body::{BodyDecoder, BodyFraming};
use tidegate::http::head::{HeadRoom, HeadScanner, RequestHead};
use tidegate::http::response::Response;
use tidegate::websocket::handshake::{DeflatePolicy, accept};

/// What Chromium sends.
const BROWSER: &[u8] = b"GET /ws HTTP/1.1\r\n\
    Host: localhost:3000\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/126.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: https://chat.example.com\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

fn handshake(criterion: &mut Criterion) {
    let policy = DeflatePolicy {
        context_takeover: false,
        window_bits_max: 15,
    };
    let subprotocols = [String::from("v2.chat"), String::from("chat")];
    let mut group = criterion.benchmark_group("handshake");
    group.throughput(Throughput::Bytes(BROWSER.len() as u64));
    group.bench_function("scan", |bencher| {
        bencher.iter(|| {
            HeadScanner::default()
                .scan(black_box(BROWSER))
                .expect("valid")
        });
    });
    group.bench_function("scan byte by byte", |bencher| {
        bencher.iter(|| {
            let mut scanner = HeadScanner::default();
            (1..=BROWSER.len()).find_map(|end| scanner.scan(&BROWSER[..end]).expect("valid"))
        });
    });
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            RequestHead::parse(black_box(BROWSER), &mut HeadRoom::new())
                .expect("valid")
                .minor_version()
        });
    });
    let mut room = HeadRoom::new();
    let head = RequestHead::parse(BROWSER, &mut room).expect("valid");
    let mut out = Vec::with_capacity(512);
    group.bench_function("accept and write", |bencher| {
        bencher.iter(|| {
            out.clear();
            let accepted = accept(black_box(&head), &subprotocols, Some(policy)).expect("valid");
            accepted.write(&mut out);
            out.len()
        });
    });
    group.bench_function("all", |bencher| {
        bencher.iter(|| {
            out.clear();
            let length = HeadScanner::default()
                .scan(black_box(BROWSER))
                .expect("valid")
                .expect("whole");
            let mut room = HeadRoom::new();
            let head = RequestHead::parse(&BROWSER[..length], &mut room).expect("valid");
            accept(&head, &subprotocols, Some(policy))
                .expect("valid")
                .write(&mut out);
            out.len()
        });
    });
    group.finish();
}

fn origin(criterion: &mut Criterion) {
    let entries = [
        "https://example.com",
        "https://*.example.org",
        "http://localhost:3000",
        "*.example.com",
    ];
    let policy = OriginPolicy::parse(entries).expect("valid");
    criterion.bench_function("origin", |bencher| {
        bencher.iter(|| policy.allows(black_box(Some(b"https://chat.example.com"))));
    });
}

fn http(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http");
    let mut chunked = Vec::new();
    for _ in 0..64 {
        chunked.extend_from_slice(b"400\r\n");
        chunked.extend_from_slice(&[b'x'; 1024]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let mut content = Vec::with_capacity(chunked.len());
    group.throughput(Throughput::Bytes(chunked.len() as u64));
    group.bench_function("chunked body of 64 KiB", |bencher| {
        bencher.iter(|| {
            content.clear();
            let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 1 << 20).expect("allowed");
            decoder
                .receive(black_box(&chunked), &mut content)
                .expect("valid")
        });
    });
    let mut out = Vec::with_capacity(512);
    let response = Response {
        status: 200,
        content_type: "application/json",
        body: b"{\"status\":\"ok\"}",
        keep_alive: true,
        date: "Sun, 06 Nov 1994 08:49:37 GMT",
        ..Response::default()
    };
    group.throughput(Throughput::Elements(1));
    group.bench_function("response", |bencher| {
        bencher.iter(|| {
            out.clear();
            black_box(&response).write(&mut out);
            out.len()
        });
    });
    group.finish();
}

criterion_group!(benches, handshake, origin, http);
criterion_main!(benches);
