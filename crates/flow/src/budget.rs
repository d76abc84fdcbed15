//! The memory budget, in bytes, of everything in `flow` and the connectors that keeps rows in memory.
//!
//! Promise: requests are served in their order, and memory is returned when a reservation is dropped. If no
//! reservation is granted or returned for a long time, all holders wait for each other: the wait ends with
//! an error that names the largest holders and the waiting ones. It does not know what the memory is used
//! for.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use towpath_ports::{Memory, ReservedMemory, Result};
use towpath_vocab::{Failure, Remedy};

/// Bytes per permit: a semaphore counts in `u32`.
const GRAIN: u64 = 4096;
/// After this time without any change, a wait ends with an error.
const PATIENCE: Duration = Duration::from_secs(300);
/// The most holders that a failure names.
const NAMED: usize = 5;

/// A memory budget in which requests wait instead of failing.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: u64,
    permits: u32,
    free: Arc<Semaphore>,
    leases: Arc<Reservations>,
    patience: Duration,
}

/// The holders and the waiting requests.
#[derive(Debug, Default)]
struct Reservations {
    state: Mutex<ReservationState>,
}

#[derive(Debug, Default)]
struct ReservationState {
    next: u64,
    /// How often memory was granted or returned.
    moved: u64,
    /// Holder and bytes of each reservation.
    holders: BTreeMap<u64, (Arc<str>, u64)>,
    waiting: BTreeMap<u64, (Arc<str>, u64)>,
}

/// One reservation.
struct Reservation {
    id: u64,
    leases: Arc<Reservations>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.leases.lock();
        state.holders.remove(&self.id);
        state.moved += 1;
    }
}

/// One waiting request.
struct Waits<'a> {
    id: u64,
    leases: &'a Reservations,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.leases.lock().waiting.remove(&self.id);
    }
}

impl Reservations {
    fn lock(&self) -> MutexGuard<'_, ReservationState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, holder: &str, bytes: u64) -> Waits<'_> {
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        state.waiting.insert(id, (holder.into(), bytes));
        Waits { id, leases: self }
    }

    fn give(
        self: &Arc<Self>,
        holder: &str,
        bytes: u64,
        permit: Option<OwnedSemaphorePermit>,
    ) -> ReservedMemory {
        let mut state = self.lock();
        state.next += 1;
        state.moved += 1;
        let id = state.next;
        state.holders.insert(id, (holder.into(), bytes));
        Box::new(Reservation {
            id,
            leases: Arc::clone(self),
            _permit: permit,
        })
    }
}

impl Budget {
    /// A budget of this many bytes, at least one megabyte.
    pub fn new(limit_bytes: u64) -> Self {
        let limit_bytes = limit_bytes.max(1 << 20);
        let permits = u32::try_from(limit_bytes / GRAIN)
            .unwrap_or(u32::MAX >> 3)
            .min(u32::MAX >> 3);
        Self {
            limit_bytes,
            permits,
            free: Arc::new(Semaphore::new(permits as usize)),
            leases: Arc::default(),
            patience: PATIENCE,
        }
    }

    /// The same with another time after which a wait without a change is an error.
    #[cfg(test)]
    fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    async fn permit(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let wanted = u32::try_from(bytes.div_ceil(GRAIN))
            .unwrap_or(u32::MAX)
            .clamp(1, self.permits);
        // The semaphore is never closed, so this is never an empty reservation.
        Arc::clone(&self.free).acquire_many_owned(wanted).await.ok()
    }

    /// The failure of requests that all wait for each other.
    fn stuck(&self, holder: &str, bytes: u64) -> Failure {
        let state = self.leases.lock();
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / f64::from(1 << 20));
        let message = format!(
            "{holder} waits for {} of memory, and none is released: all {} are in use",
            megabytes(bytes),
            megabytes(self.limit_bytes)
        );
        let failure = Failure::new("R0727", Remedy::FixConfig, message);
        let failure = named(failure, "holds", &state.holders, megabytes);
        named(failure, "waits for", &state.waiting, megabytes)
            .help("raise `memory:` in towpath.yml, or run fewer tasks at once with `parallel:`")
    }
}

/// Adds the largest holders to the message, summed by name.
fn named(
    mut failure: Failure,
    does: &str,
    leases: &BTreeMap<u64, (Arc<str>, u64)>,
    megabytes: impl Fn(u64) -> String,
) -> Failure {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (holder, bytes) in leases.values() {
        *sums.entry(holder).or_default() += bytes;
    }
    let mut sums: Vec<(&str, u64)> = sums.into_iter().collect();
    sums.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    for (holder, bytes) in sums.into_iter().take(NAMED) {
        failure = failure.help(format!("{holder} {does} {}", megabytes(bytes)));
    }
    failure
}

#[async_trait]
impl Memory for Budget {
    fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    async fn hold(&self, bytes: u64) -> ReservedMemory {
        let permit = self.permit(bytes).await;
        self.leases.give("a reader", bytes, permit)
    }

    async fn lease(&self, holder: &str, bytes: u64) -> Result<ReservedMemory> {
        let waits = self.leases.wait(holder, bytes);
        let mut permit = pin!(self.permit(bytes));
        let permit = loop {
            let moved = self.leases.lock().moved;
            match tokio::time::timeout(self.patience, permit.as_mut()).await {
                Ok(permit) => break permit,
                Err(_) if self.leases.lock().moved == moved => {
                    return Err(self.stuck(holder, bytes));
                }
                Err(_) => {}
            }
        };
        drop(waits);
        Ok(self.leases.give(holder, bytes, permit))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn holders_wait_for_each_other() {
        let budget = Budget::new(1 << 20);
        let first = budget.hold(700_000).await;
        assert!(
            tokio::time::timeout(Duration::from_millis(20), budget.hold(700_000))
                .await
                .is_err()
        );
        drop(first);
        let _second = budget.hold(700_000).await;
    }

    #[tokio::test]
    async fn a_request_above_the_limit_gets_all_of_it() {
        let budget = Budget::new(1 << 20);
        let all = budget.hold(1 << 30).await;
        assert!(
            tokio::time::timeout(Duration::from_millis(20), budget.hold(1))
                .await
                .is_err()
        );
        drop(all);
    }

    #[tokio::test]
    async fn a_wait_without_movement_names_who_holds_what() {
        let budget = Budget::new(1 << 20).with_patience(Duration::from_millis(20));
        let _rows = budget.lease("rows of raw.a", 600_000).await.unwrap();
        let _more = budget.lease("rows of raw.a", 300_000).await.unwrap();
        let refused = budget.lease("a row group of raw.b", 500_000).await;
        let failure = refused.err().unwrap();
        assert_eq!(failure.code, "R0727");
        let help = failure.help.join("\n");
        assert!(help.contains("rows of raw.a holds 0.9 MB"), "{help}");
        assert!(
            help.contains("a row group of raw.b waits for 0.5 MB"),
            "{help}"
        );
        assert!(budget.leases.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn who_waits_while_others_move_goes_on_waiting() {
        let budget = Arc::new(Budget::new(1 << 20).with_patience(Duration::from_millis(50)));
        let first = budget.lease("a", 1 << 19).await.unwrap();
        let waiting = {
            let budget = Arc::clone(&budget);
            tokio::spawn(async move { budget.lease("b", 1 << 20).await.is_ok() })
        };
        // Others come and go in the other half before it is its turn, then the first gives back.
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(budget.leases.give("c", 1, None));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.await.unwrap());
    }
}
