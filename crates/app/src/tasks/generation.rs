//! Claims generations: one for each run and task; a later attempt of the same run gets the same one.
//!
//! The state store records, before any byte is written, which run got a generation. The destination records
//! which generation was committed, with the fingerprint of what was read. So an attempt whose
//! acknowledgement was lost is recognised, and a source that changed meanwhile is read again. Without the
//! state store nothing is lost: the next generation is above the one in the destination.

use towpath_ports::{Committed, Destination, StateStore};
use towpath_vocab::{Generation, Position, RunName, TaskKey};

use crate::Result;

/// The generation that an attempt may write.
pub(crate) struct GenerationClaim {
    /// Its generation.
    pub(crate) generation: Generation,
    /// The last commit of this task in the destination.
    pub(crate) last: Option<Committed>,
    /// True if the generation of this run is already committed, but the state store does not have it.
    pub(crate) is_done: bool,
}

impl GenerationClaim {
    /// The fingerprint of the last commit in the destination, if it was stored with it.
    pub(crate) fn committed_fingerprint(&self) -> Option<&str> {
        self.last.as_ref()?.token.fingerprint.as_deref()
    }

    /// The commit from whose position the source is read; 0 if there is none.
    pub(crate) fn after(&self) -> Generation {
        let committed = self.last.as_ref();
        committed.map_or(Generation(0), |last| last.token.generation)
    }

    /// The position of the last commit in the destination.
    pub(crate) fn position(&self) -> Position {
        let committed = self.last.as_ref();
        committed.map_or_else(Position::default, |last| last.token.position.clone())
    }
}

/// Claims a generation for one attempt, whose commit would have this fingerprint.
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

/// True unless both fingerprints are known and differ, because then the inputs changed after the commit.
fn is_of(last: Option<&Committed>, fingerprint: Option<&str>) -> bool {
    let committed = last.and_then(|last| last.token.fingerprint.as_deref());
    match (committed, fingerprint) {
        (Some(committed), Some(now)) => committed == now,
        _ => true,
    }
}
