//! The values of a run that programs, SQL and requests get: `${run:…}`, secrets, the idempotency key.
//!
//! Promise: a value that the run does not have is a failure, not an empty text. It does not know who gets
//! the values. Read next: `command.rs`, `call.rs`.

use towpath_ports::Secrets as _;
use towpath_vocab::{Failure, PlannedTask, Remedy, SecretTemplate};

use super::executor::RunExecutor;
use crate::Result;

/// The idempotency key: the same for every attempt of a task in its run, and different for everything else,
/// also for another environment, or a run with the same name from before the state store was deleted.
pub(super) fn idempotency_key(executor: &RunExecutor, task: &PlannedTask) -> String {
    format!(
        "{}/{}/{}-{}/{}",
        executor.project, executor.environment, executor.run, executor.run_id, task.id
    )
}

/// The text with its values: values of the run are replaced first, then secrets, which only the receiver
/// gets.
pub(super) async fn resolved(executor: &RunExecutor, text: &str) -> Result<String> {
    let text = of_run(executor, text)?;
    executor
        .services
        .system
        .resolve(&SecretTemplate::new(text))
        .await
}

/// A value of the run. A run without a schedule has no interval; using it then is a mistake, not an empty
/// text.
pub(super) fn run_value(executor: &RunExecutor, name: &str) -> Result<String> {
    match (name, &executor.interval) {
        ("id", _) => Ok(executor.run.to_string()),
        ("interval_start", Some(interval)) => Ok(interval.start.clone()),
        ("interval_end", Some(interval)) => Ok(interval.end.clone()),
        ("date", Some(interval)) => Ok(interval.date.clone()),
        (other, _) => {
            let message = format!("`${{run:{other}}}` is not known: this run has no schedule");
            Err(Failure::new("R0955", Remedy::FixConfig, message)
                .help("use `${run:id}`, or a parameter: `${param:date}` with --param date=…"))
        }
    }
}

/// Replaces `${run:…}`.
fn of_run(executor: &RunExecutor, text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${run:") {
        out.push_str(before);
        let Some((what, after)) = behind.split_once('}') else {
            out.push_str("${run:");
            rest = behind;
            continue;
        };
        out.push_str(&run_value(executor, what)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}
