//! Servers that the benchmark is turned on: bare ones, odd ones, and broken ones. Each accepts in a thread of its own,
//! which ends with the test.

#![allow(dead_code, reason = "each test crate is turned on its own servers")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::common::frame;

/// Serves every connection in a thread of its own.
pub(crate) fn serve(handle: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = handle.clone();
            stream.set_nodelay(true).expect("an option of TCP");
            thread::spawn(move || handle(stream));
        }
    });
    address
}

/// Serves WebSocket connections: `handle` gets every message, numbered from 0, and says whether the connection goes on.
pub(crate) fn serve_messages(
    handle: impl Fn(&mut WebSocket<TcpStream>, usize, Message) -> bool + Clone + Send + 'static,
) -> SocketAddr {
    serve(move |stream| {
        let Ok(mut socket) = tungstenite::accept(stream) else {
            return;
        };
        let mut number = 0;
        while let Ok(message) = socket.read() {
            if !handle(&mut socket, number, message) {
                return;
            }
            number += 1;
        }
    })
}

/// An echo that sends bytes back as they are; `before` is called with the bytes so far, before each write.
pub(crate) fn bare_echo(before: impl Fn(usize) + Clone + Send + 'static) -> SocketAddr {
    serve(move |mut stream| {
        let mut buffer = vec![0; 64 * 1024];
        let mut total = 0;
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            before(total);
            total += read;
            if stream.write_all(&buffer[..read]).is_err() {
                return;
            }
        }
    })
}

/// Everybody who is connected.
pub(crate) type Room = Arc<Mutex<Vec<TcpStream>>>;

pub(crate) fn enter(room: &Room, stream: &TcpStream) {
    let stream = stream.try_clone().expect("a second handle");
    room.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(stream);
}

pub(crate) fn tell_all(room: &Room, bytes: &[u8]) {
    for stream in &mut *room.lock().unwrap_or_else(PoisonError::into_inner) {
        // Who went away hears nothing.
        let _ = stream.write_all(bytes);
    }
}

/// What anybody sends goes to everybody as it is.
pub(crate) fn bare_fanout() -> SocketAddr {
    let room = Room::default();
    serve(move |mut stream| {
        enter(&room, &stream);
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            tell_all(&room, &buffer[..read]);
        }
    })
}

/// Answers a request by a constant head, and a Close by the end.
pub(crate) fn bare_accept(head: &'static str) -> SocketAddr {
    serve(move |mut stream| {
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        }
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.read(&mut buffer);
        let _ = stream.shutdown(Shutdown::Write);
    })
}

/// As much of Socket.IO 5 as the benchmark needs: a room, what is published in it, and what is answered. Now and then it sends
/// Engine.IO pings, and wants their pongs.
pub(crate) fn socketio() -> SocketAddr {
    let room = Room::default();
    serve(move |stream| {
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        let open = r#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;
        socket.send(Message::text(open)).expect("written");
        let hello = socket.read().expect("the namespace");
        assert_eq!(hello.to_text().expect("text"), "40");
        socket
            .send(Message::text(r#"40{"sid":"b"}"#))
            .expect("written");
        let mut own = socket.get_ref().try_clone().expect("a second handle");
        let frame = |text: &str| {
            let first = frame::first_byte(true, 0, frame::TEXT);
            frame::raw(first, None, text.as_bytes())
        };
        let mut awaits_pong = false;
        let mut number = 0;
        while let Ok(message) = socket.read() {
            let Ok(text) = message.to_text() else { return };
            if text == "3" {
                assert!(awaits_pong, "a pong to no ping");
                awaits_pong = false;
                continue;
            }
            let packet = text.strip_prefix("42").expect("an event");
            let event: Value = serde_json::from_str(packet).expect("JSON");
            if event[0] == "join" {
                assert_eq!(event[1], json!({ "room": "bench" }));
                enter(&room, socket.get_ref());
                continue;
            }
            if event[0] == "register" {
                let told = frame(r#"42["registered",{"userId":"bench"}]"#);
                assert!(own.write_all(&told).is_ok(), "written");
                continue;
            }
            number += 1;
            if !awaits_pong && number % 3 == 0 {
                awaits_pong = true;
                if own.write_all(&frame("2")).is_err() {
                    return;
                }
            }
            let said = |event: &str, data: &Value| frame(&format!("42{}", json!([event, data])));
            match event[0].as_str() {
                Some("publish") => tell_all(&room, &said("message", &event[1]["data"])),
                Some("message") if own.write_all(&said("message-back", &event[1])).is_ok() => {}
                Some("message") => return,
                _ => panic!("{event}"),
            }
        }
    })
}
