//! Everything goes to everybody, its sender included.

use slab::Slab;

use crate::connection::{Connection, Fate};

pub(crate) fn work(connections: &mut Slab<Connection>, index: usize, buffer: &mut [u8]) {
    if connections[index].flush() == Fate::Ends {
        connections.remove(index);
        return;
    }
    loop {
        let read = match connections[index].read(buffer) {
            Ok(Some(read)) => read,
            Ok(None) => return,
            Err(_) => {
                connections.remove(index);
                return;
            }
        };
        for (_, receiver) in &mut *connections {
            // One that is gone has an event of its own, which removes it.
            let _ = receiver.send(&buffer[..read]);
        }
        if read < buffer.len() {
            return;
        }
    }
}
