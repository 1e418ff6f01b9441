//! Everything goes back to where it came from. What a socket does not take stops the reading until it does.

use slab::Slab;

use crate::connection::{Connection, Fate};

pub(crate) fn work(connections: &mut Slab<Connection>, index: usize, buffer: &mut [u8]) {
    if echo(&mut connections[index], buffer) == Fate::Ends {
        connections.remove(index);
    }
}

fn echo(connection: &mut Connection, buffer: &mut [u8]) -> Fate {
    if connection.has_unsent() && connection.flush() == Fate::Ends {
        return Fate::Ends;
    }
    while !connection.has_unsent() {
        let read = match connection.read(buffer) {
            Ok(Some(read)) => read,
            Ok(None) => return Fate::Lives,
            Err(fate) => return fate,
        };
        if connection.send(&buffer[..read]) == Fate::Ends {
            return Fate::Ends;
        }
        if read < buffer.len() {
            return Fate::Lives;
        }
    }
    Fate::Lives
}
