//! The `pgvigil` command: parses its arguments, nothing else.

fn main() {}
