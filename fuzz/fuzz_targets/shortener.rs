//! Whatever bytes a server sends, in whatever pieces: shortened, they are the same message, or none as before.
//!
//! `cargo +nightly fuzz run shortener`
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use pgvigil::pgoutput::{Context, Shortener, ValueLimit, decode};

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (limit, piece, bytes) = input;
    for context in [Context::Plain, Context::InStream] {
        let shortened = |piece: usize| {
            let mut shortener = Shortener::new(context, ValueLimit(limit.into()), bytes.len());
            let mut out = BytesMut::new();
            bytes.chunks(piece).for_each(|piece| shortener.push(piece, &mut out));
            out
        };
        let whole = shortened(bytes.len().max(1));
        assert_eq!(shortened(usize::from(piece).max(1)), whole);
        let (before, after) = (decode(bytes, context), decode(&whole, context));
        assert_eq!(before.map(|message| message.tag()).ok(), after.map(|message| message.tag()).ok());
    }
});
