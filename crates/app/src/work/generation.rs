//! Gives out generations: one per run and task, the same again to a later attempt of that run.
//!
//! The book remembers to which run a generation was given, before any byte is written; the
//! destination remembers which one was committed. So an attempt whose acknowledgement was lost is
//! recognised, and deleting the book costs nothing: the next generation is above the destination's.

use towpath_ports::{Committed, Destination, StateStore};
use towpath_vocab::{Generation, RunName, TaskKey};

use crate::Result;

/// What an attempt may write.
pub(crate) struct Turn {
    /// Its generation.
    pub(crate) generation: Generation,
    /// What the destination holds of this task.
    pub(crate) last: Option<Committed>,
    /// True when this run's generation is already committed: only the book did not hear of it.
    pub(crate) is_done: bool,
}

/// The turn of one attempt.
pub(crate) async fn take_turn(
    book: &dyn StateStore,
    destination: &dyn Destination,
    task: &TaskKey,
    run: &RunName,
) -> Result<Turn> {
    let last = destination.last(task, &task.table).await?;
    let reserved = book.generation(task).await?;
    let committed = last
        .as_ref()
        .map_or(Generation(0), |last| last.token.generation);
    if let Some((owner, generation)) = &reserved
        && owner == run
        && *generation >= committed
    {
        let is_done = *generation == committed;
        return Ok(Turn {
            generation: *generation,
            last,
            is_done,
        });
    }
    let highest = reserved.map_or(committed, |(_, generation)| generation.max(committed));
    let generation = highest.next();
    book.reserve_generation(task, run, generation).await?;
    Ok(Turn {
        generation,
        last,
        is_done: false,
    })
}
