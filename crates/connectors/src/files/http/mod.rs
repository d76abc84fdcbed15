//! Files behind `http://` and `https://`, which are only read.
//!
//! Promise: what is read of a file is one version of it, or the read fails: ranges are asked for with the ETag or
//! the time of its last change, and a server without them is asked for the whole file once. Redirects lead to no
//! address of this machine or its link. It knows no format. Read next: `client.rs` (requests), `look.rs` (files),
//! `../http_folder.rs` (which files a selection means).

mod auth;
pub(super) mod client;
mod egress;
pub(super) mod error;
mod look;
mod retry;
pub(super) mod spec;
pub(super) mod url;
mod version;

pub(super) use look::{Downloads, LookedAt};
pub(super) use version::HttpVersion;
