//! The state store in a PostgreSQL database, for workers on several machines.
//!
//! Promise: one transaction per operation, no session state and no named statement, so a pooler in
//! transaction mode works. If the server restarts, operations wait for it. It does not know what is
//! written, and shares no code with the `postgres` connector. Read next: `pool.rs`, `schema.rs`.

mod address;
mod pool;
mod schema;
mod statement;
mod tls;

pub(crate) use pool::{PostgresServer, Redo};
pub(crate) use statement::{execute, rows};
