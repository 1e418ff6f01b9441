//! Who may connect: origins (later tokens and keys). Pure checks, no I/O, no clock.

pub mod origin;
