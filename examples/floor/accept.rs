//! The first bytes are answered with a constant 101, the next end the connection: a handshake and a Close frame, unread.

use slab::Slab;

use crate::connection::{Connection, Fate};

/// As long as an answer that a client accepts; this one says the same to each.
const ANSWER: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";

pub(crate) fn work(connections: &mut Slab<Connection>, index: usize, buffer: &mut [u8]) {
    if step(&mut connections[index], buffer) == Fate::Ends {
        connections.remove(index);
    }
}

fn step(connection: &mut Connection, buffer: &mut [u8]) -> Fate {
    match connection.read(buffer) {
        Ok(Some(_)) if connection.is_answered => Fate::Ends,
        Ok(Some(_)) => {
            connection.is_answered = true;
            connection.send(ANSWER)
        }
        Ok(None) => Fate::Lives,
        Err(fate) => fate,
    }
}
