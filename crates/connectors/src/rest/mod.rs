//! JSON APIs over HTTP: a connection whose `tables` are endpoints.
//!
//! Promise: a read gives every record of an endpoint once, with the text of its values unchanged, or it
//! fails; a page that is missing, repeated or cut off is never taken for the end. Requests stay within
//! the limits of the project and of the server's own headers. It does not parse records: each page is
//! kept as a file of JSON lines, and the reader of files reads those (`spool.rs`, `source.rs`).
//!
//! The way of a read: `endpoint.rs` (what a table means) -> `listing.rs` (which requests, until when:
//! `paginate.rs`) -> `client.rs` (one request: `auth.rs`, `budget.rs`, `retry.rs`, `egress.rs`) -> `body.rs` (as JSON) -> `page.rs`
//! (records of a response) -> `spool.rs` -> `source.rs`. `export.rs` waits for records that the API
//! prepares; `probe/` proposes a table for an endpoint. `write/` sends rows to an API.

mod ahead;
mod answer;
mod auth;
mod auth_options;
mod auth_spec;
mod aws_signer;
mod body;
mod budget;
mod client;
mod codes;
mod collect;
mod connection;
mod connector;
mod cursor;
mod discover;
mod egress;
mod endpoint;
mod error;
mod evidence;
mod export;
mod graphql;
mod job_options;
mod jwt;
mod kept_file;
mod kept_job;
mod kept_refresh;
mod listing;
mod option_specs;
mod page;
mod paginate;
mod paginate_options;
mod parents;
mod path;
mod probe;
mod raw;
mod request;
mod response_options;
mod resume;
mod retry;
mod scope;
mod session;
mod shared;
mod signature;
mod source;
mod spec;
mod spool;
mod template;
mod token;
mod write;
mod xml;

pub(crate) use codes::CODES;
pub use connector::Rest;
