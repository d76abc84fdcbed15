//! What runs found out and later ones ask for: generations, facts, check results, lineage, what was told.
//!
//! Promise: a generation never goes back; a fact or a lineage is replaced as a whole; check results
//! are only added. It knows nothing of what the values mean.

use rusqlite::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;
use towpath_vocab::{
    CheckResult, Environment, Generation, PipelineName, RunName, TableName, TaskKey,
};

use crate::codec::{counter, json, signed, to_column};
use crate::error::StateError;

/// The highest generation a task was given, and the run it was given to.
pub(crate) fn generation(
    connection: &Connection,
    task: &TaskKey,
) -> Result<Option<(RunName, Generation)>, StateError> {
    let mut statement = connection.prepare_cached(
        "SELECT pipeline, run_number, generation FROM generation WHERE task = ?1",
    )?;
    let mut rows = statement.query([task.app_id()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let run = RunName {
        pipeline: PipelineName::new(row.get::<_, String>("pipeline")?),
        number: counter(row, "run_number")?,
    };
    Ok(Some((run, Generation(row.get("generation")?))))
}

/// Records a generation; one that is lower than the recorded one changes nothing.
pub(crate) fn reserve_generation(
    connection: &Connection,
    task: &TaskKey,
    run: &RunName,
    generation: Generation,
) -> Result<(), StateError> {
    connection
        .prepare_cached(
            "INSERT INTO generation (task, pipeline, run_number, generation) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (task) DO UPDATE
             SET pipeline = excluded.pipeline, run_number = excluded.run_number, generation = excluded.generation
             WHERE excluded.generation >= generation.generation",
        )?
        .execute((task.app_id(), run.pipeline.as_str(), signed(run.number), generation.0))?;
    Ok(())
}

/// A table of named values per environment: their name in messages, how they are put and listed.
pub(crate) struct Named {
    what: &'static str,
    put: &'static str,
    list: &'static str,
}

/// Observed facts, by table.
pub(crate) const FACTS: Named = Named {
    what: "fact",
    put: "INSERT INTO fact (environment, name, body) VALUES (?1, ?2, ?3)
          ON CONFLICT (environment, name) DO UPDATE SET body = excluded.body",
    list: "SELECT name, body FROM fact WHERE environment = ?1 ORDER BY name",
};

/// Lineage, by table.
pub(crate) const LINEAGE: Named = Named {
    what: "lineage",
    put: "INSERT INTO lineage (environment, name, body) VALUES (?1, ?2, ?3)
          ON CONFLICT (environment, name) DO UPDATE SET body = excluded.body",
    list: "SELECT name, body FROM lineage WHERE environment = ?1 ORDER BY name",
};

/// Digests of what was told last, by pipeline, task and table.
pub(crate) const TOLD: Named = Named {
    what: "what was told",
    put: "INSERT INTO told (environment, name, body) VALUES (?1, ?2, ?3)
          ON CONFLICT (environment, name) DO UPDATE SET body = excluded.body",
    list: "SELECT name, body FROM told WHERE environment = ?1 ORDER BY name",
};

impl Named {
    /// Stores one value over the one of the same name.
    pub(crate) fn put<T: Serialize>(
        &self,
        connection: &Connection,
        environment: &Environment,
        name: &str,
        value: &T,
    ) -> Result<(), StateError> {
        connection.prepare_cached(self.put)?.execute((
            environment.as_str(),
            name,
            to_column(self.what, value)?,
        ))?;
        Ok(())
    }

    /// All values, by name.
    pub(crate) fn list<T: DeserializeOwned>(
        &self,
        connection: &Connection,
        environment: &Environment,
    ) -> Result<Vec<(String, T)>, StateError> {
        let mut statement = connection.prepare_cached(self.list)?;
        let mut rows = statement.query([environment.as_str()])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push((row.get("name")?, json(self.what, row, "body")?));
        }
        Ok(found)
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
pub(crate) fn put_checks(
    connection: &Connection,
    run: &RunName,
    environment: &Environment,
    now_us: i64,
    results: &[CheckResult],
) -> Result<(), StateError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO check_result (environment, pipeline, run_number, at_us, name, value, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for result in results {
        // JSON has no NaN and no infinity: the number has a column of its own, NULL is NaN.
        let value = result.value;
        let body = CheckResult {
            value: 0.0,
            ..result.clone()
        };
        insert.execute((
            environment.as_str(),
            run.pipeline.as_str(),
            signed(run.number),
            now_us,
            result.table.to_string(),
            value,
            to_column("check result", &body)?,
        ))?;
    }
    Ok(())
}

/// Check results, newest first.
pub(crate) fn checks(
    connection: &Connection,
    environment: &Environment,
    table: Option<&TableName>,
    limit: u64,
) -> Result<Vec<(RunName, i64, CheckResult)>, StateError> {
    let mut statement = connection.prepare_cached(
        "SELECT pipeline, run_number, at_us, value, body FROM check_result
         WHERE environment = ?1 AND (?2 IS NULL OR name = ?2) ORDER BY id DESC LIMIT ?3",
    )?;
    let mut rows = statement.query((
        environment.as_str(),
        table.map(ToString::to_string),
        signed(limit),
    ))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let run = RunName {
            pipeline: PipelineName::new(row.get::<_, String>("pipeline")?),
            number: counter(row, "run_number")?,
        };
        let stored: CheckResult = json("check result", row, "body")?;
        let value = row.get::<_, Option<f64>>("value")?.unwrap_or(f64::NAN);
        found.push((run, row.get("at_us")?, CheckResult { value, ..stored }));
    }
    Ok(found)
}
