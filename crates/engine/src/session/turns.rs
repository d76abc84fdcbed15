//! Who computes beside whom: models share the engine, one that ran out of memory has it alone.
//!
//! Promise: fair; who asked first has it first, and a turn ends when it is dropped. It does not know
//! memory: pools bound that, and a model that still does not fit alone fails.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// The turns of one engine.
#[derive(Default)]
pub(crate) struct Turns(Arc<RwLock<()>>);

/// Leave to compute.
pub(crate) enum Turn {
    /// Beside others.
    Shared(#[expect(dead_code, reason = "held until dropped")] OwnedRwLockReadGuard<()>),
    /// With all memory of the engine.
    Alone(#[expect(dead_code, reason = "held until dropped")] OwnedRwLockWriteGuard<()>),
}

impl Turns {
    /// Waits for a turn beside others.
    pub(crate) async fn shared(&self) -> Turn {
        Turn::Shared(Arc::clone(&self.0).read_owned().await)
    }

    /// Waits until nobody else computes.
    pub(crate) async fn alone(&self) -> Turn {
        Turn::Alone(Arc::clone(&self.0).write_owned().await)
    }
}
