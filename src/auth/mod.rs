//! Who may connect, and who may call: origins, the API key (later tokens). Pure checks, no I/O, no clock.

pub mod api_key;
pub mod origin;
pub mod token;
