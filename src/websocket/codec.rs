//! What all connections of one worker share while they encode and decode: limits, the compressors for messages
//! without context takeover, scratch space, and the pool of assembly buffers.

/// Limits and choices of the codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Bytes of a message after decompression.
    pub message_bytes_max: usize,
    /// Messages shorter than this go out uncompressed.
    pub compression_bytes_min: usize,
    /// zlib level, 1 to 9.
    pub compression_level: u8,
}

/// The shared part of every `Protocol` of one worker.
#[derive(Debug)]
pub struct Codec {}

impl Codec {
    /// A codec without a compressor yet: each is made when first needed.
    pub fn new(_config: Config) -> Self {
        todo!()
    }

    /// Other limits from now on.
    pub fn set_config(&mut self, _config: Config) {
        todo!()
    }

    /// Gives a buffer back to the pool (of those that `Protocol::take_assembled` gave away).
    pub fn recycle(&mut self, _buffer: Vec<u8>) {
        todo!()
    }
}
