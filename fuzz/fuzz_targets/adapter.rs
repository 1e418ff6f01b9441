//! Feeds any bytes to the property of the same name.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../properties/adapter.rs"]
mod property;

fuzz_target!(|data: &[u8]| property::check(data));
