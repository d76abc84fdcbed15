//! What runs found and later runs need: generations, facts, check results, lineage, reported notes.
//!
//! Promise: a generation never decreases; a fact or a lineage is replaced as a whole; check results are
//! only added. It does not know what the values mean. Read next: `state_store.rs`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use towpath_ports::StoredCheck;
use towpath_vocab::{
    CheckResult, Environment, Generation, PipelineName, RunName, TableName, TaskKey,
};

use crate::codec::{json, to_column};
use crate::error::StateError;
use crate::tx::{Tx, cells};

/// The highest generation of a task, and the run that got it.
pub(crate) async fn generation(
    tx: &Tx<'_>,
    task: &TaskKey,
) -> Result<Option<(RunName, Generation)>, StateError> {
    let found = tx
        .one(
            "SELECT pipeline, run_number, generation FROM generation WHERE task = ?1",
            cells![task.app_id()],
        )
        .await?;
    let Some(row) = found else {
        return Ok(None);
    };
    let run = RunName {
        pipeline: PipelineName::new(row.text(0)?),
        number: row.count(1)?,
    };
    Ok(Some((run, Generation(row.int(2)?))))
}

/// Records a generation; one that is lower than the recorded one changes nothing.
pub(crate) async fn reserve_generation(
    tx: &Tx<'_>,
    task: &TaskKey,
    run: &RunName,
    generation: Generation,
) -> Result<(), StateError> {
    tx.execute(
        "INSERT INTO generation (task, pipeline, run_number, generation) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (task) DO UPDATE
         SET pipeline = excluded.pipeline, run_number = excluded.run_number, generation = excluded.generation
         WHERE excluded.generation >= generation.generation",
        cells![task.app_id(), run.pipeline.as_str(), run.number, generation.0],
    )
    .await?;
    Ok(())
}

/// A table of values by environment and name.
pub(crate) struct Named {
    what: &'static str,
    table: &'static str,
}

/// Observed facts, by table.
pub(crate) const FACTS: Named = Named {
    what: "fact",
    table: "fact",
};

/// Lineage, by table.
pub(crate) const LINEAGE: Named = Named {
    what: "lineage",
    table: "lineage",
};

/// Digests of the notes that were reported last, by pipeline, task and table.
pub(crate) const REPORTED_NOTES: Named = Named {
    what: "digest",
    table: "reported_notes",
};

impl Named {
    /// Stores one value; replaces the one with the same name.
    pub(crate) async fn put<T: Serialize + Sync>(
        &self,
        tx: &Tx<'_>,
        environment: &Environment,
        name: &str,
        value: &T,
    ) -> Result<(), StateError> {
        let sql = format!(
            "INSERT INTO {} (environment, name, body) VALUES (?1, ?2, ?3)
             ON CONFLICT (environment, name) DO UPDATE SET body = excluded.body",
            self.table
        );
        let values = cells![environment.as_str(), name, to_column(self.what, value)?];
        tx.execute(&sql, values).await?;
        Ok(())
    }

    /// All values, by name.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        tx: &Tx<'_>,
        environment: &Environment,
    ) -> Result<Vec<(String, T)>, StateError> {
        let sql = format!(
            "SELECT name, body FROM {} WHERE environment = ?1 ORDER BY name",
            self.table
        );
        let rows = tx.rows(&sql, cells![environment.as_str()]).await?;
        rows.iter()
            .map(|row| Ok((row.text(0)?.to_owned(), json(self.what, row, 1)?)))
            .collect()
    }
}

/// A table's name from its column.
pub(crate) fn table_name(text: &str) -> Result<TableName, StateError> {
    text.parse().map_err(|_| StateError::Stored {
        what: "table name",
        detail: format!("`{text}` is not of the form `schema.table`"),
    })
}

/// Adds check results.
pub(crate) async fn put_checks(
    tx: &Tx<'_>,
    run: &RunName,
    environment: &Environment,
    now_us: i64,
    results: &[CheckResult],
) -> Result<(), StateError> {
    for result in results {
        // JSON has no NaN and no infinity: the number has a column of its own, NULL is NaN.
        let body = CheckResult {
            value: 0.0,
            ..result.clone()
        };
        tx.execute(
            "INSERT INTO check_result (environment, pipeline, run_number, at_us, name, value, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            cells![
                environment.as_str(),
                run.pipeline.as_str(),
                run.number,
                now_us,
                result.table.to_string(),
                result.value,
                to_column("check result", &body)?,
            ],
        )
        .await?;
    }
    Ok(())
}

/// Results before a place, of all tables and of one, in the order of their rows; a file would sort them all.
pub(crate) const CHECKS_IN_FILE: &str =
    "SELECT pipeline, run_number, at_us, value, body, id FROM check_result NOT INDEXED
    WHERE environment = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";
const CHECKS: &str = "SELECT pipeline, run_number, at_us, value, body, id FROM check_result
    WHERE environment = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";
pub(crate) const CHECKS_OF_TABLE: &str =
    "SELECT pipeline, run_number, at_us, value, body, id FROM check_result
    WHERE environment = ?1 AND name = ?4 AND id < ?2 ORDER BY id DESC LIMIT ?3";

/// Check results before a place, newest first, at most so many.
pub(crate) async fn checks(
    tx: &Tx<'_>,
    environment: &Environment,
    table: Option<&TableName>,
    (before, limit): (Option<u64>, u64),
) -> Result<Vec<StoredCheck>, StateError> {
    let (environment, before) = (environment.as_str(), before.unwrap_or(u64::MAX));
    let rows = match table.map(ToString::to_string) {
        None => {
            let statement = tx.of_database(CHECKS_IN_FILE, CHECKS);
            let values = cells![environment, before, limit];
            tx.rows(statement, values).await?
        }
        Some(table) => {
            let values = cells![environment, before, limit, table];
            tx.rows(CHECKS_OF_TABLE, values).await?
        }
    };
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let run = RunName {
            pipeline: PipelineName::new(row.text(0)?),
            number: row.count(1)?,
        };
        let stored: CheckResult = json("check result", row, 4)?;
        let value = row.maybe_real(3)?.unwrap_or(f64::NAN);
        found.push(StoredCheck {
            id: row.count(5)?,
            run,
            at_us: row.int(2)?,
            result: CheckResult { value, ..stored },
        });
    }
    Ok(found)
}
