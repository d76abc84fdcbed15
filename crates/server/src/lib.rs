//! The HTTP API of `towpath serve`, and the files of the web UI: routes, who may call them, live events.
//!
//! Promise: every route has a rule, and nothing is answered before the rule is met. Answers are the values that
//! `towpath … --format json` prints, failures are `application/problem+json` with the code. The router and the
//! OpenAPI document are one table. It contains no use case: each handler calls one of `app`. Read next:
//! `routes.rs` (the table), `gate.rs` (who may call), `listen.rs` (the connections), `ui.rs` (files).

mod answers;
mod codes;
mod events;
mod gate;
mod handlers;
mod hosts;
mod listen;
mod openapi;
mod problem;
mod routes;
mod session;
mod store_watch;
mod timed;
mod ui;

pub use codes::CODES;
pub use listen::{ApiServer, DEFAULT_ADDRESS, ListenOptions, listen};
