//! Runs a command: a program with its tree of processes, whose output files are committed like a load.
//!
//! Promise: the program finds one JSON file at `$TOWPATH_STEP`, which names its inputs with versions and
//! Parquet files, and an empty folder for each output table. Files that it writes there (CSV, JSON lines,
//! XML, Parquet, Avro, Arrow) become the table (`output_files.rs`). All tables of a command come from one attempt (`completion_marker.rs`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use towpath_orchestrator::{AttemptSuccess, LocalProcesses};
use towpath_ports::{
    Destination, ModelEngine, ProcessExit, ProcessRunner, ProcessSpec, System, TaskOutcome,
};
use towpath_vocab::{
    Annotations, CommandPlan, ConnectionPlan, Failure, LoadPlan, OptionValue, PlannedTask,
    Position, ReadMode, Remedy, Selection, TableName, TablePlan,
};

use super::completion_marker;
use super::executor::{RunExecutor, TaskDone};
use super::fingerprint::fingerprint;
use super::folders::{OUT, STEP, clear, log_of, task_folder};
use super::load::read_spec;
use super::output_files::only_kind;
use super::run_values::{idempotency_key, resolved};
use super::write_table::TableWrite;
use crate::services::files_kind;
use crate::{Result, private_files};

/// The time of a program between TERM and KILL; it is shorter than the time that a run gives its attempts
/// to stop.
const GRACE: Duration = Duration::from_secs(8);

pub(super) async fn run(
    executor: &RunExecutor,
    task: &PlannedTask,
    command: &CommandPlan,
    attempt: u32,
    cancel: CancellationToken,
) -> Result<AttemptSuccess> {
    if let Some(table) = appended(executor, task, command).await? {
        let why = format!("it has already appended to `{table}`");
        executor.record(&task.id, TaskDone::Skipped(why));
        return Ok(AttemptSuccess {
            unchanged: true,
            ..AttemptSuccess::default()
        });
    }
    let folder = task_folder(&executor.folder, &task.id);
    let inputs = executor.services.engine.versions(&command.reads).await?;
    let inputs: Vec<String> = inputs
        .iter()
        .map(|(table, version)| format!("{table}@{version}"))
        .collect();
    let identity = format!(
        "{}-{}",
        idempotency_key(executor, task),
        fingerprint(task, &inputs)?
    );
    let ended = match completion_marker::read(&folder, &identity)? {
        Some(ended) => ended,
        None => {
            let log = log_of(&folder, attempt);
            carry_out(executor, task, command, &folder, log, &cancel).await?;
            let ended = format!("{identity}-{:016x}", executor.services.system.random());
            completion_marker::write(&folder, &identity, &ended)?;
            ended
        }
    };
    fail::fail_point!("command::finished");
    for table in &command.writes {
        let output = output_folder(&folder, &table.target);
        keep(executor, task, table, &output, &ended, cancel.clone()).await?;
    }
    if command.writes.is_empty() {
        executor.record(&task.id, TaskDone::Command);
    }
    Ok(AttemptSuccess {
        unchanged: false,
        outcome: TaskOutcome::Nothing,
        fingerprint: None,
    })
}

/// Runs the program to its end, in a folder that contains only the logs of earlier attempts.
async fn carry_out(
    executor: &RunExecutor,
    task: &PlannedTask,
    command: &CommandPlan,
    folder: &Path,
    log: PathBuf,
    cancel: &CancellationToken,
) -> Result<()> {
    let outputs = prepare_folder(folder, command)?;
    let step_file = write_step(executor, folder, command, &outputs).await?;
    let mut env = BTreeMap::new();
    for (name, text) in &command.env {
        env.insert(name.clone(), resolved(executor, text).await?);
    }
    let mut argv = Vec::with_capacity(command.argv.len());
    for text in &command.argv {
        argv.push(resolved(executor, text).await?);
    }
    env.insert("TOWPATH_RUN_ID".to_owned(), executor.run.to_string());
    env.insert(
        "TOWPATH_IDEMPOTENCY_KEY".to_owned(),
        idempotency_key(executor, task),
    );
    if let Some(interval) = &executor.interval {
        env.insert("TOWPATH_INTERVAL_START".to_owned(), interval.start.clone());
        env.insert("TOWPATH_INTERVAL_END".to_owned(), interval.end.clone());
    }
    env.insert("TOWPATH_STEP".to_owned(), step_file.display().to_string());
    let spec = ProcessSpec {
        argv,
        directory: executor.services.dir.join(&command.directory),
        env,
        timeout: task.retry.timeout_ms.map(Duration::from_millis),
        log: log.clone(),
        redaction: executor.options.redaction.clone(),
    };
    let processes = LocalProcesses::new(Arc::clone(&executor.services.system) as _, GRACE)
        .cancelled_by(cancel.clone())
        .killed_by(executor.kill.clone());
    let exit = processes.run(spec).await?;
    judge(task, command, &exit, &log)
}

/// A table to which the run that is rerun, or a later one, has appended: its program would write the same
/// rows again.
async fn appended<'a>(
    executor: &RunExecutor,
    task: &PlannedTask,
    command: &'a CommandPlan,
) -> Result<Option<&'a TableName>> {
    for table in &command.writes {
        if executor
            .is_appended(task, executor.services.lake.as_ref(), table)
            .await?
        {
            return Ok(Some(&table.target));
        }
    }
    Ok(None)
}

fn judge(task: &PlannedTask, command: &CommandPlan, exit: &ProcessExit, log: &Path) -> Result<()> {
    let program = command.argv.first().map_or("", String::as_str);
    let (remedy, how) = match exit {
        ProcessExit::Code(0) => return Ok(()),
        ProcessExit::Code(code) => (Remedy::Retry, format!("ended with exit code {code}")),
        ProcessExit::Signal(signal) => (Remedy::Retry, format!("was killed by signal {signal}")),
        ProcessExit::TimedOut => (Remedy::Retry, "took longer than its `timeout`".to_owned()),
        ProcessExit::Cancelled => (Remedy::Cancelled, "was stopped by the user".to_owned()),
    };
    Err(Failure::new(
        "R0950",
        remedy,
        format!("`{program}` of `{}` {how}", task.id),
    )
    .help(format!("its output: {}", log.display())))
}

fn output_folder(folder: &Path, table: &TableName) -> PathBuf {
    folder.join(OUT).join(table.to_string())
}

/// Creates one empty folder for each output table.
fn prepare_folder(folder: &Path, command: &CommandPlan) -> Result<Vec<PathBuf>> {
    let not_made = |error: std::io::Error| {
        Failure::new(
            "R0951",
            Remedy::FixConfig,
            format!("{} cannot be created: {error}", folder.display()),
        )
    };
    clear(folder).map_err(not_made)?;
    let outputs: Vec<PathBuf> = command
        .writes
        .iter()
        .map(|table| output_folder(folder, &table.target))
        .collect();
    private_files::make_folder(folder).map_err(not_made)?;
    for output in &outputs {
        private_files::make_folder(output).map_err(not_made)?;
    }
    Ok(outputs)
}

async fn write_step(
    executor: &RunExecutor,
    folder: &Path,
    command: &CommandPlan,
    outputs: &[PathBuf],
) -> Result<PathBuf> {
    let versions = executor.services.engine.versions(&command.reads).await?;
    let mut inputs = BTreeMap::new();
    for table in &command.reads {
        let files: Vec<String> = match executor.services.lake.snapshot(table).await? {
            Some(snapshot) => snapshot.addresses(),
            None => Vec::new(),
        };
        let input = serde_json::json!({ "version": versions.get(table), "parquet_files": files });
        inputs.insert(table.to_string(), input);
    }
    let outputs: BTreeMap<String, String> = command
        .writes
        .iter()
        .zip(outputs)
        .map(|(table, path)| (table.target.to_string(), path.display().to_string()))
        .collect();
    let step = serde_json::json!({ "version": 1, "run": executor.run.to_string(), "inputs": inputs, "outputs": outputs });
    let path = folder.join(STEP);
    private_files::write(&path, &step.to_string()).map_err(|error| {
        Failure::new(
            "R0951",
            Remedy::FixConfig,
            format!("{} cannot be written: {error}", path.display()),
        )
    })?;
    Ok(path)
}

/// Loads the files that the program wrote to an output folder. The commit names the attempt of the program,
/// so that of another attempt is not taken for it.
async fn keep(
    executor: &RunExecutor,
    task: &PlannedTask,
    table: &TablePlan,
    output: &Path,
    attempt: &str,
    cancel: CancellationToken,
) -> Result<AttemptSuccess> {
    let pattern = only_kind(output, &table.target)?;
    let path = OptionValue::Plain(serde_json::Value::String(output.display().to_string()));
    let connection = ConnectionPlan {
        name: task.step.to_string(),
        kind: files_kind(),
        writable: false,
        options: BTreeMap::from([("path".to_owned(), path)]),
    };
    let load = LoadPlan {
        connection,
        selection: Selection::Object(pattern),
        options: BTreeMap::new(),
        read: ReadMode::Full,
        cursor: None,
        known: None,
        table: table.clone(),
    };
    let source = executor.services.source(&load.connection)?;
    let destination = Arc::clone(&executor.services.lake) as Arc<dyn Destination>;
    let claim = executor
        .claim(task, destination.as_ref(), &table.target, Some(attempt))
        .await?;
    if claim.is_done {
        return executor.adopted(task, &table.target, claim, None);
    }
    let reader = source.open(&read_spec(executor, &load), None).await?;
    executor
        .write_table(TableWrite {
            task,
            plan: table.clone(),
            source_table: table.target.clone(),
            destination,
            claim,
            reader,
            opened_at: Position::default(),
            fingerprint: Some(attempt.to_owned()),
            annotations: Annotations::default(),
            rows_before: None,
            cancel,
        })
        .await
}
