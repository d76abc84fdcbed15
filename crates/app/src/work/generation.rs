//! Claims generations: one for each run and task; a later attempt of the same run gets the same one.
//!
//! The state store records, before any byte is written, which run got a generation. The destination records
//! which generation was committed, with the fingerprint of what was read. So an attempt whose
//! acknowledgement was lost is recognised, and a source that changed meanwhile is read again. Without the
//! state store nothing is lost: the next generation is above the one in the destination.

use towpath_ports::{Committed, Destination, StateStore};
use towpath_vocab::{Generation, Position, RunName, TaskKey};

use crate::Result;

/// What an attempt may write.
pub(crate) struct GenerationClaim {
    /// Its generation.
    pub(crate) generation: Generation,
    /// What the destination holds of this task.
    pub(crate) last: Option<Committed>,
    /// True when this run's generation is already committed: only the state store did not hear of it.
    pub(crate) is_done: bool,
}

impl GenerationClaim {
    /// The fingerprint of what the destination holds, where it was stored with the commit.
    pub(crate) fn held_fingerprint(&self) -> Option<&str> {
        self.last.as_ref()?.token.fingerprint.as_deref()
    }

    /// The commit the source is read from; 0 when there is none.
    pub(crate) fn after(&self) -> Generation {
        let held = self.last.as_ref();
        held.map_or(Generation(0), |last| last.token.generation)
    }

    /// How far the source was read by what the destination holds.
    pub(crate) fn position(&self) -> Position {
        let held = self.last.as_ref();
        held.map_or_else(Position::default, |last| last.token.position.clone())
    }
}

/// The turn of one attempt, which would leave a commit with this fingerprint.
pub(crate) async fn claim_generation(
    store: &dyn StateStore,
    destination: &dyn Destination,
    task: &TaskKey,
    run: &RunName,
    fingerprint: Option<&str>,
) -> Result<GenerationClaim> {
    let last = destination.last(task, &task.table).await?;
    let reserved = store.generation(task).await?;
    let committed = last
        .as_ref()
        .map_or(Generation(0), |last| last.token.generation);
    if let Some((owner, generation)) = &reserved
        && owner == run
        && *generation >= committed
    {
        let is_done = *generation == committed;
        if !is_done || is_of(last.as_ref(), fingerprint) {
            return Ok(GenerationClaim {
                generation: *generation,
                last,
                is_done,
            });
        }
    }
    let highest = reserved.map_or(committed, |(_, generation)| generation.max(committed));
    let generation = highest.next();
    store.reserve_generation(task, run, generation).await?;
    Ok(GenerationClaim {
        generation,
        last,
        is_done: false,
    })
}

/// True unless both fingerprints are known and differ: then the inputs changed behind the commit.
fn is_of(last: Option<&Committed>, fingerprint: Option<&str>) -> bool {
    let held = last.and_then(|last| last.token.fingerprint.as_deref());
    match (held, fingerprint) {
        (Some(held), Some(now)) => held == now,
        _ => true,
    }
}
