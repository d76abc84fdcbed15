//! Fits a table that exists to the rows of a write: new columns, and wider types.
//!
//! Promise: a type is changed by the definition that the column has at that moment, and nobody else changes it, or
//! reads or writes the table, between that look and the change: a definition looked at earlier would take digits
//! away that others have added since, without an error. Readers do not wait for long for what cannot begin yet.
//! Read next: `align.rs`, `writer.rs`.

use std::time::Duration;

use towpath_ports::WriteRequest;

use super::align::align;
use super::catalog::CatalogTable;
use super::error::{MysqlError, Result};
use super::settings::Settings;
use super::sql::Writing;
use crate::relational::align::Alignment;
use crate::relational::modes::primary_key;

/// A change waits for open reads, and later ones wait behind it: so it waits so many seconds at a time.
const WAIT_SECONDS: u32 = 2;
const TRIES: u32 = 100;
/// How often others may change the same columns while a write fits the table to its rows.
const ROUNDS_FOR_OTHERS: usize = 10;
/// Reads that waited go on meanwhile.
const BETWEEN_TRIES: Duration = Duration::from_millis(500);
/// Warnings that are not about values: of words and types that a later version will not have, of the server's log,
/// and of a second index.
const ABOUT_NO_VALUE: [&str; 6] = ["1287", "1592", "1681", "1831", "3719", "3778"];

/// The table as it is now, and what is to be done to it.
pub(super) async fn look(
    writing: &Writing,
    intent: &WriteRequest,
) -> Result<(Alignment, Option<CatalogTable>)> {
    let Writing { target, facts, .. } = writing;
    let mut session = writing.session.lock().await;
    align(&mut session, (target, facts), intent, primary_key(intent)).await
}

/// Adds the columns that a table does not have yet, and gives others the types that its rows need. True if
/// there were any.
pub(super) async fn evolve(
    writing: &Writing,
    settings: &Settings,
    intent: &WriteRequest,
) -> Result<bool> {
    let (alignment, _) = look(writing, intent).await?;
    if alignment.created || alignment.statements.is_empty() {
        return Ok(false);
    }
    let shown = writing.target.shown(&writing.facts.own);
    let doing = format!("fitting `{shown}` to the rows");
    let definer = definer(writing, settings).await?;
    let wait = format!("SET SESSION lock_wait_timeout = {WAIT_SECONDS}");
    definer.define(&wait, &doing).await?;
    // Others may change the table meanwhile, so each change begins with a look.
    let mut rounds = alignment.statements.len() + ROUNDS_FOR_OTHERS;
    let mut next = alignment.statements.into_iter().next();
    while let Some(statement) = next.take().filter(|_| rounds > 0) {
        rounds -= 1;
        let done = by_tries((&definer, intent), &statement, &doing).await;
        let (alignment, _) = look(writing, intent).await?;
        next = alignment.statements.into_iter().next();
        match done {
            // Another task has changed the column.
            Err(MysqlError::Query { .. } | MysqlError::Constraint { .. })
                if next.as_ref() != Some(&statement) => {}
            done => done?,
        }
    }
    definer.close().await;
    Ok(true)
}

/// A session for definitions beside the one of the write. In MySQL, a session with the lock of a task
/// (`task_lock.rs`) waits for itself when it changes a table that it has locked.
pub(super) async fn definer(writing: &Writing, settings: &Settings) -> Result<Writing> {
    writing.must_not_transact()?;
    let session = writing.session.lock().await.another(settings).await?;
    let (target, facts) = (writing.target.clone(), writing.facts.clone());
    Ok(Writing::new(session, target, facts))
}

/// While a change waits for open reads, later reads wait for it: so it gives up soon, lets them through, and tries
/// again.
async fn by_tries(
    (writing, intent): (&Writing, &WriteRequest),
    statement: &str,
    doing: &str,
) -> Result<()> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        let done = match changes_type(statement) {
            true => change_type(writing, intent, doing).await,
            false => writing.define(statement, doing).await,
        };
        match done {
            Err(MysqlError::Waited { .. }) if tries > 0 => {
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
            done => return done,
        }
    }
}

/// Whether a statement changes the type of a column; the server copies the rows of the table then.
fn changes_type(statement: &str) -> bool {
    statement.contains(" MODIFY COLUMN ")
}

/// Gives one of the columns that need it another type, while nobody else has the table.
async fn change_type(writing: &Writing, intent: &WriteRequest, doing: &str) -> Result<()> {
    let lock = format!("LOCK TABLES {} WRITE", writing.target.sql());
    writing.define(&lock, doing).await?;
    let changed = change_locked(writing, intent, doing).await;
    let unlocked = writing.define("UNLOCK TABLES", doing).await;
    changed.and(unlocked)
}

/// The table is locked: what is looked at now, holds until the change is done.
async fn change_locked(writing: &Writing, intent: &WriteRequest, doing: &str) -> Result<()> {
    let (alignment, _) = look(writing, intent).await?;
    let mut statements = alignment.statements.iter();
    let Some(statement) = statements.find(|statement| changes_type(statement)) else {
        // Others have done it.
        return Ok(());
    };
    let warnings = writing.define_watched(statement, doing).await?;
    let mut of_values = warnings
        .iter()
        .filter(|code| !ABOUT_NO_VALUE.contains(&code.as_str()));
    match of_values.next() {
        None => Ok(()),
        Some(code) => Err(MysqlError::Changed {
            table: writing.target.shown(&writing.facts.own),
            reason: format!(
                "when a column got a wider type, the server warned ({code}): values that the column had may be others now"
            ),
        }),
    }
}
