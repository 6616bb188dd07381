//! Whatever bytes a server sends: the decoder refuses them, or reads a message that encodes to just these bytes.
//!
//! `cargo +nightly fuzz run pgoutput`
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgvigil::pgoutput::{Context, decode, encode, peek};

fuzz_target!(|bytes: &[u8]| {
    for context in [Context::Plain, Context::InStream] {
        let front = peek(bytes, context);
        if let Ok(message) = decode(bytes, context) {
            assert_eq!(encode(&message), bytes);
            assert_eq!(front.map(|front| front.tag), Ok(message.tag()));
        }
    }
});
