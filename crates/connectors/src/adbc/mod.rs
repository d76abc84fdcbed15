//! The `adbc` connector: any database that has an ADBC driver, a shared library that is loaded at run time.
//!
//! Promise: a value arrives exactly, is rejected with a reason, or its column is refused or read as text; a driver
//! that would say another value is not asked for it. What a database needs besides the interface of ADBC (quotes,
//! literals, types that its driver cannot say) is in `vendor.rs` and `look/`, and is known for DuckDB, PostgreSQL and
//! SQLite; any other database is read by the standard's SQL. The driver is code of others in this process:
//! `docs/decisions/0027-adbc.md`. DuckDB is written, too. Read next: `settings.rs`, `driver.rs`, `session.rs`, then
//! `source.rs` or `destination.rs`. It knows no pipeline.

mod align;
mod answer;
mod batches;
mod candidate;
mod catalog;
mod codes;
mod connector;
mod cursor;
mod destination;
mod discover;
mod driver;
mod error;
mod literal;
mod look;
mod messages;
mod progress;
mod pump;
mod session;
mod settings;
mod source;
mod sql;
mod stage;
mod state;
mod subject;
mod target;
mod types;
mod vendor;
mod writer;

pub(crate) use codes::CODES;
pub use connector::Adbc;
