//! The memory pool of all statements: an operator that can spill has a share, and more while others need
//! less.
//!
//! Promise: the total never exceeds the size of the pool. An operator that asks for the first time gets
//! what it needs while memory is free, because it has nothing to spill yet. DataFusion's fair pool divides
//! by all operators that could ask: of eleven operators of which two work, each gets an eleventh. It knows
//! no operator by name; operators say whether they can spill. Read next: `settings.rs`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size,
};

/// One of this many parts is reserved for operators that cannot spill, and for later ones.
const KEPT_FREE: usize = 3;
/// The most holders in a message.
const NAMED: usize = 5;

/// A memory pool with a limit.
#[derive(Debug)]
pub(crate) struct SharedPool {
    size: usize,
    state: Mutex<PoolState>,
}

#[derive(Debug, Default)]
struct PoolState {
    /// The bytes of consumers that cannot spill.
    fixed: usize,
    /// The bytes of each consumer that can spill.
    spillable: HashMap<usize, usize>,
    /// The number of consumers that can spill.
    spillers: usize,
    /// The name of each consumer, with all of its bytes.
    names: HashMap<usize, (String, usize)>,
}

impl PoolState {
    fn all(&self) -> usize {
        self.fixed + self.spillable.values().sum::<usize>()
    }

    fn of(&self, consumer: &MemoryConsumer) -> usize {
        self.spillable.get(&consumer.id()).copied().unwrap_or(0)
    }

    fn add(&mut self, consumer: &MemoryConsumer, bytes: usize) {
        let new = || (consumer.name().to_owned(), 0);
        self.names.entry(consumer.id()).or_insert_with(new).1 += bytes;
        if consumer.can_spill() {
            *self.spillable.entry(consumer.id()).or_default() += bytes;
        } else {
            self.fixed += bytes;
        }
    }

    fn take(&mut self, consumer: &MemoryConsumer, bytes: usize) {
        if let Some((_, held)) = self.names.get_mut(&consumer.id()) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                self.names.remove(&consumer.id());
            }
        }
        if !consumer.can_spill() {
            self.fixed = self.fixed.saturating_sub(bytes);
            return;
        }
        let left = self.of(consumer).saturating_sub(bytes);
        match left {
            0 => self.spillable.remove(&consumer.id()),
            _ => self.spillable.insert(consumer.id(), left),
        };
    }
}

impl SharedPool {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more bytes a consumer may have.
    fn room(&self, state: &PoolState, consumer: &MemoryConsumer) -> usize {
        let free = self.size.saturating_sub(state.all());
        let mine = state.of(consumer);
        if !consumer.can_spill() || mine == 0 {
            return free;
        }
        let kept = self.size / KEPT_FREE;
        let spillable = self.size.saturating_sub(state.fixed.max(kept));
        let at_least = (spillable / state.spillers.max(1)).saturating_sub(mine);
        let among_working = (spillable / state.spillable.len().max(1)).saturating_sub(mine);
        let more = among_working.min(free.saturating_sub(kept));
        at_least.max(more).min(free)
    }
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.state().spillers += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut state = self.state();
        state.spillers = state
            .spillers
            .saturating_sub(usize::from(consumer.can_spill()));
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.state().add(reservation.consumer(), additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.state().take(reservation.consumer(), shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let mut state = self.state();
        let room = self.room(&state, consumer);
        if additional > room {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "`{}` has {} and asks for {} more; it may have {} more, all statements share {}",
                consumer.name(),
                human_readable_size(reservation.size()),
                human_readable_size(additional),
                human_readable_size(room),
                human_readable_size(self.size),
            )));
        }
        state.add(consumer, additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.state().all()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.size)
    }
}

impl fmt::Display for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all statements share {}", human_readable_size(self.size))?;
        let state = self.state();
        let mut names: Vec<&(String, usize)> = state.names.values().collect();
        names.sort_by_key(|(_, held)| std::cmp::Reverse(*held));
        for (name, held) in names.into_iter().take(NAMED) {
            write!(f, "; `{name}` holds {}", human_readable_size(*held))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use super::*;

    #[test]
    fn who_works_may_have_what_idle_ones_leave_and_never_all() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(800));
        let sorts: Vec<MemoryReservation> = (0..8)
            .map(|at| {
                let name = format!("sort {at}");
                MemoryConsumer::new(name)
                    .with_can_spill(true)
                    .register(&pool)
            })
            .collect();
        let [first, second, third, ..] = sorts.as_slice() else {
            return;
        };
        first.try_grow(500).unwrap();
        // A third is kept for who cannot spill, and for who comes later.
        assert!(first.try_grow(100).is_err());
        // Who has nothing to spill gets what there is.
        second.try_grow(200).unwrap();
        assert!(second.try_grow(1).is_err());
        assert!(third.try_grow(101).is_err());
        third.try_grow(100).unwrap();
        assert_eq!(pool.reserved(), 800);
        // More is there once others gave back.
        first.free();
        third.try_grow(150).unwrap();
        let fixed = MemoryConsumer::new("join").register(&pool);
        fixed.try_grow(350).unwrap();
        assert!(fixed.try_grow(1).is_err());
        drop(sorts);
        assert_eq!(pool.reserved(), 350);
        fixed.try_grow(450).unwrap();
    }
}
