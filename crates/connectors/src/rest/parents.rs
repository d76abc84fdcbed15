//! What listings need of their parents, while the parents are read.
//!
//! Promise: each listing is kept once however often its parent comes, and its memory is reserved before
//! the next page is asked for; less than a megabyte is not. It does not know where parents come from.
//! Read next: `scope.rs`, and `listing.rs`, which reads them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use towpath_ports::ReservedMemory;

use super::client::Client;
use super::error::Result;
use super::scope::Scope;

/// So much is reserved at once.
const STEP_BYTES: i64 = 1 << 20;

/// The memory of the parents of a read.
#[derive(Default)]
pub(super) struct Kept {
    /// Bytes that are not reserved yet; below zero where less is kept than was reserved.
    open: AtomicI64,
    reserved: Mutex<Vec<ReservedMemory>>,
}

impl Kept {
    /// Counts a scope that stays in memory.
    pub(super) fn add(&self, scope: &Scope) {
        self.open.fetch_add(scope.bytes(), Ordering::Relaxed);
    }

    /// Counts a scope that is dropped.
    pub(super) fn remove(&self, scope: &Scope) {
        self.open.fetch_sub(scope.bytes(), Ordering::Relaxed);
    }

    /// Reserves what was added; waits for memory.
    pub(super) async fn reserve(&self, client: &Client) -> Result<()> {
        let open = self.open.swap(0, Ordering::Relaxed);
        if open < STEP_BYTES {
            self.open.fetch_add(open, Ordering::Relaxed);
            return Ok(());
        }
        let bytes = u64::try_from(open).unwrap_or_default();
        let lease = client.reserve("values of parents", bytes).await?;
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        reserved.push(lease);
        Ok(())
    }
}

/// Scopes in their order, each once.
#[derive(Default)]
pub(super) struct Once {
    all: Vec<Arc<Scope>>,
    seen: HashSet<Arc<Scope>>,
}

impl Once {
    /// Takes a scope; false where it is there already.
    pub(super) fn add(&mut self, scope: Arc<Scope>) -> bool {
        let is_new = self.seen.insert(Arc::clone(&scope));
        if is_new {
            self.all.push(scope);
        }
        is_new
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The first of them.
    pub(super) fn first(mut self, most: usize) -> Vec<Arc<Scope>> {
        self.all.truncate(most);
        self.all
    }
}
