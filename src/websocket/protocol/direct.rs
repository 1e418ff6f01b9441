//! Receiving without a copy: the rest of a big frame is read straight into its assembly buffer.

use super::receive::Outcome;
use super::{Event, Protocol};
use crate::limits::{ASSEMBLY_GROWTH_FACTOR_MAX, DIRECT_READ_BYTES_MIN};
use crate::websocket::close::Violation;
use crate::websocket::codec::Codec;
use crate::websocket::mask;

impl Protocol {
    /// Room in the assembly buffer for more payload of the frame that is arriving, where that is worth a read of its own: at
    /// least `limits::DIRECT_READ_BYTES_MIN` bytes of the message have arrived and at least as many of its frame are
    /// missing. The room is never longer than the frame, so that what is read there is payload and nothing
    /// else; [`payload_filled`](Self::payload_filled) takes it over.
    pub fn payload_space(&mut self, codec: &mut Codec) -> Option<&mut [u8]> {
        if !self.is_open() {
            return None;
        }
        let partial = self.partial.as_deref_mut()?;
        let frame = partial.frame?;
        let remaining = usize::try_from(frame.remaining).unwrap_or(usize::MAX);
        let assembly = &mut partial.message.assembly;
        if frame.opcode.is_control()
            || remaining < DIRECT_READ_BYTES_MIN
            || assembly.len() < DIRECT_READ_BYTES_MIN
        {
            return None;
        }
        let pool = &mut codec.pool;
        let announced = frame.announced(assembly.len());
        assembly.make_room(
            DIRECT_READ_BYTES_MIN,
            announced,
            ASSEMBLY_GROWTH_FACTOR_MAX,
            pool,
        );
        let space = assembly.space();
        let len = space.len().min(remaining);
        Some(&mut space[..len])
    }

    /// The first `count` bytes of [`payload_space`](Self::payload_space), asked for just before, have been read. Gives the
    /// message where they end it.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    ///
    /// # Panics
    /// Where `count` is more than there was room for.
    pub fn payload_filled<'a>(
        &'a mut self,
        count: usize,
        codec: &'a mut Codec,
    ) -> Result<Option<Event<'a>>, Violation> {
        match self.filled_outcome(count, codec) {
            Ok(None) => Ok(None),
            Ok(Some(outcome)) => Ok(Some(self.event(outcome, &mut [], codec))),
            Err(violation) => Err(self.fail(violation, None, codec)),
        }
    }

    fn filled_outcome(
        &mut self,
        count: usize,
        codec: &mut Codec,
    ) -> Result<Option<Outcome>, Violation> {
        let partial = self
            .partial
            .as_deref_mut()
            .expect("there was room in a frame");
        let frame = partial.frame.as_mut().expect("there was room in a frame");
        assert!(
            frame.remaining >= count as u64,
            "more was read than there was room for"
        );
        partial.message.accept_space(count, frame.key)?;
        frame.key = mask::rotate(frame.key, count);
        frame.remaining -= count as u64;
        if frame.remaining == 0 {
            return self.end_frame(codec);
        }
        Ok(None)
    }
}
