//! The client of a bucket: settings, credentials and listings of the services of Amazon, Google and Azure.
//!
//! Promise: the lakehouse and the connectors reach a bucket in the same way. Each setting of the environment is
//! obeyed or refused by its name; a listing that is not whole is an error, never a shorter listing. It knows
//! no table, no file format and no code of an error: who uses it says what a failure means there.
//! Read next: `cloud.rs` (URLs), `settings.rs` (the environment), `listing.rs` (what is checked of a listing), `prove.rs` (whether
//! conditions of puts are obeyed), `service.rs` (what a service says when it refuses).

mod azure;
mod chain;
mod cloud;
mod condition;
mod connect;
mod google;
mod listing;
mod page;
mod prove;
mod service;
mod settings;

pub use cloud::{Bucket, Cloud, NoBucket, SCHEMES, Store, VARIABLES, is_bucket};
pub use condition::{Condition, ends_if};
pub use listing::KeysOfPage;
pub use page::{ListedObject, Page};
pub use prove::{Proved, Unproved, mark_of, marked, prove, prove_parts};
pub use service::{cleaned, is_not_implemented, way_out};
pub use settings::Refusal;
