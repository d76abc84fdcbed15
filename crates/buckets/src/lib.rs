//! The client of a bucket: settings, credentials and listings of a service of the S3 protocol.
//!
//! Promise: the lakehouse and the connectors reach a bucket in the same way. Each setting of the environment is
//! obeyed or refused by its name; a listing that is not whole is an error, never a shorter listing. It knows
//! no table, no file format and no code of an error: who uses it says what a failure means there.
//! Read next: `settings.rs` (the environment), `listing.rs` (what is checked of a listing), `service.rs`
//! (what a service says when it refuses).

mod chain;
mod connect;
mod listing;
mod page;
mod service;
mod settings;

pub use listing::KeysOfPage;
pub use page::{ListedObject, Page};
pub use service::{is_not_implemented, way_out, without_xml};
pub use settings::{Refusal, settings};

/// What to do about credentials.
pub use settings::CREDENTIALS;
