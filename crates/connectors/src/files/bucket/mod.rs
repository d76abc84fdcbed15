//! Objects in a bucket of the S3 protocol, as files to read and to put.
//!
//! Promise: an object is one version from its listing to its last byte; another version in its place stops
//! the read. What is read ahead is bounded. It knows no format and no options of a connection: which objects
//! a table means is in `files/bucket_folder.rs`.
//! Read next: `url.rs`, `client.rs` (requests), `object.rs` (one object), `stream.rs` (as a stream), `ranges.rs`
//! (by ranges), `put.rs` (puts under conditions).

pub(super) mod client;
pub(super) mod object;
pub(super) mod put;
pub(super) mod ranges;
pub(super) mod stream;
pub(super) mod url;
