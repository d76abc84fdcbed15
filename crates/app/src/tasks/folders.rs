//! The folders of programs: one for each run and task, with their inputs, outputs and logs.
//!
//! Promise: two runs never share a folder, because its name contains the environment and a random id that
//! is stored with the run. Logs are kept, one file per attempt; all other files are deleted if the run ends
//! well. Read next: `output_files.rs` (the output folders).

use std::path::{Path, PathBuf};

use towpath_ports::RunRecord;
use towpath_vocab::TaskId;

/// The folder of a program's output files, in the folder of its task.
pub(super) const OUT: &str = "out";
/// The JSON file for the program.
pub(super) const STEP: &str = "step.json";
/// The marker file of a successful program.
pub(super) const FINISHED: &str = "finished.json";

/// The name of an attempt's log, before and after its number.
const LOG: (&str, &str) = ("output-", ".log");

/// Distinguishes a run from all others, also from those of another state store. Runs of earlier versions
/// have no id; for them it is the time at which they began.
pub(crate) fn run_id(record: &RunRecord) -> String {
    let id = record.request.get("id").and_then(|id| id.as_str());
    id.map_or_else(|| format!("{:x}", record.started_us), str::to_owned)
}

/// The folder of a run.
pub(crate) fn run_folder(project: &Path, record: &RunRecord) -> PathBuf {
    let name = &record.name;
    project
        .join(".towpath/steps")
        .join(record.environment.as_str())
        .join(format!(
            "{}-{}-{}",
            name.pipeline,
            name.number,
            run_id(record)
        ))
}

/// The folder of a task in the folder of its run.
pub(crate) fn task_folder(run: &Path, task: &TaskId) -> PathBuf {
    run.join(task.as_str())
}

/// The log of one attempt of a task's program.
pub(crate) fn log_of(task: &Path, attempt: u32) -> PathBuf {
    task.join(format!("{}{attempt}{}", LOG.0, LOG.1))
}

/// The logs of a task's program, the first attempt first.
pub(crate) fn logs_in(task: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(task) else {
        return Vec::new();
    };
    let mut logs: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(LOG.0)?.strip_suffix(LOG.1)?;
            Some((number.parse().ok()?, entry.path()))
        })
        .collect();
    logs.sort();
    logs.into_iter().map(|(_, path)| path).collect()
}

/// Prepares the folder for an attempt: deletes the files of an earlier one, but keeps its log.
pub(super) fn clear(task: &Path) -> std::io::Result<()> {
    for path in [task.join(FINISHED), task.join(STEP)] {
        gone(std::fs::remove_file(path))?;
    }
    gone(std::fs::remove_dir_all(task.join(OUT)))
}

/// Deletes the files of a run that ended well, except the logs. A file that cannot be deleted is not an
/// error.
pub(crate) fn tidy<'a>(run: &Path, tasks: impl Iterator<Item = &'a TaskId>) {
    for task in tasks {
        let folder = task_folder(run, task);
        if let Err(error) = clear(&folder) {
            tracing::warn!("{} stays behind: {error}", folder.display());
        }
    }
}

fn gone(deleted: std::io::Result<()>) -> std::io::Result<()> {
    match deleted {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn logs_of_attempts_come_in_order_and_outlive_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let task = folder.path().join("t");
        std::fs::create_dir_all(task.join("out/raw.t")).unwrap();
        for name in [
            "output-10.log",
            "output-9.log",
            "output-x.log",
            STEP,
            FINISHED,
        ] {
            std::fs::write(task.join(name), "").unwrap();
        }
        tidy(
            folder.path(),
            [TaskId::new("t"), TaskId::new("none")].iter(),
        );
        assert_eq!(logs_in(&task), [log_of(&task, 9), log_of(&task, 10)]);
        for name in ["out", STEP, FINISHED] {
            assert!(!task.join(name).exists(), "{name}");
        }
    }
}
