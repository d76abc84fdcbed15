//! The clock, random numbers, the environment and secrets of the process.
//!
//! Promise: all other code gets them from here, so that a simulation can replace them. Implemented in
//! `app/src/system.rs`, and for tests in `testkit/src/system.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use towpath_vocab::SecretTemplate;

use crate::Result;

/// Time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Microseconds since 1970 UTC.
    fn now_us(&self) -> i64;

    /// Microseconds on a clock that never goes backwards.
    fn monotonic_us(&self) -> u64;

    /// Waits.
    async fn sleep(&self, duration: Duration);
}

/// Clock, random numbers and environment of the process.
pub trait System: Clock {
    /// A random number.
    fn random(&self) -> u64;

    /// The environment variables of this process.
    fn environment(&self) -> &BTreeMap<String, String>;

    /// The project folder.
    fn project_dir(&self) -> &PathBuf;
}

/// Resolves templates of secrets, when a connector connects.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The value, which must not be logged or stored.
    ///
    /// # Errors
    /// `FixConfig` with the name of a variable or secret that is not set.
    async fn resolve(&self, template: &SecretTemplate) -> Result<String>;

    /// The variables of the environment whose names begin so: how a cloud says where its services are and who
    /// asks. Their values must not be logged or stored. None where there is no environment.
    fn variables(&self, begin: &str) -> BTreeMap<String, String> {
        let _ = begin;
        BTreeMap::new()
    }
}
