//! One HTTP request of an `http` step.
//!
//! Promise: it goes to the address that the project names and nowhere else: redirects are not followed. No
//! secret is in a failure, not even where the server repeats it. It is sent once; who sends it again is the
//! orchestrator. It does not know what the request is for. Read next: `send.rs`, `error.rs`.

mod codes;
mod error;
mod send;
#[cfg(test)]
mod tests;

pub(crate) use codes::CODES;
pub use send::{HttpRequest, send};
