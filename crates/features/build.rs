//! Promises nothing but to exist: Cargo considers build dependencies only of a crate with a build
//! script, and their features are pinned in this crate's manifest too.
//! Knows nothing else. Read next: `src/lib.rs`.

fn main() {}
