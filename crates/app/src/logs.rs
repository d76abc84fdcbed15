//! `logs`: the log lines of a run or of one of its tasks, at once or while the run goes on.
//!
//! Promise: every line comes once, in order. The stream ends when the run has ended, or when the process
//! that executed it is gone. The output of a program comes with its task. Read next:
//! `orchestrator/src/log.rs`.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use towpath_ports::{Clock as _, RunEvent, RunFilter, RunRecord, RunState};
use towpath_vocab::{Environment, Failure, PipelineName, Remedy, RunName, TaskId};

use crate::Result;
use crate::rerun::parse;
use crate::services::ProjectServices;
use crate::tasks::{logs_in, run_folder, task_folder};

/// How often new lines are read.
const POLL_INTERVAL: Duration = Duration::from_millis(150);

/// The most bytes of a program's output at once.
const PIECE_BYTES: u64 = 1 << 20;

/// Selects lines.
#[derive(Clone, Debug, Default)]
pub struct LogsRequest {
    /// `shop#212`; `None` means the newest run.
    pub run: Option<String>,
    /// If set, only lines of this task, or of the tasks of this step or table.
    pub task: Option<String>,
}

impl LogsRequest {
    /// `shop#212` or `shop#212.TASK`.
    pub fn of(subject: Option<&str>) -> Self {
        let Some(subject) = subject else {
            return Self::default();
        };
        let end = subject.find('#').and_then(|hash| {
            let dot = subject.get(hash..)?.find('.')?;
            Some(hash + dot)
        });
        match end {
            Some(end) => Self {
                run: subject.get(..end).map(str::to_owned),
                task: subject.get(end + 1..).map(str::to_owned),
            },
            None => Self {
                run: Some(subject.to_owned()),
                task: None,
            },
        }
    }
}

/// The output of a task's program, in complete lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramOutput {
    /// The task.
    pub task: TaskId,
    /// The lines, each with its line feed.
    pub text: String,
}

/// The lines since the last piece.
#[derive(Clone, Debug)]
pub struct LogPiece {
    /// The run in its present state.
    pub run: RunRecord,
    /// Its new lines.
    pub events: Vec<RunEvent>,
    /// The new output of programs.
    pub printed: Vec<ProgramOutput>,
    /// True if there are more lines already.
    pub has_more: bool,
    /// True if no more lines follow.
    pub is_last: bool,
}

/// The lines of a run, in pieces.
pub struct Logs<'a> {
    services: &'a ProjectServices,
    environment: Environment,
    run: RunName,
    tasks: Option<Vec<TaskId>>,
    seq: u64,
    outputs: Vec<Output>,
}

/// The log files of a task's program, one for each attempt.
struct Output {
    task: TaskId,
    folder: PathBuf,
    /// How far each file was read.
    read: BTreeMap<PathBuf, u64>,
}

/// A run with all of its lines.
///
/// # Errors
/// `FixConfig` if there is no such run or no such task.
pub async fn logs(
    services: &ProjectServices,
    environment: &Environment,
    request: &LogsRequest,
) -> Result<LogPiece> {
    let name = request.run.as_deref().map(parse).transpose()?;
    let record = find(services, environment, name.as_ref()).await?;
    let record = record.ok_or_else(|| unknown(environment, name.as_ref()))?;
    let mut logs = Logs::of(services, &record, request.task.as_deref())?;
    let mut all = logs.next().await?;
    while all.has_more {
        let next = logs.next().await?;
        all.events.extend(next.events);
        all.printed.extend(next.printed);
        (all.run, all.has_more, all.is_last) = (next.run, next.has_more, next.is_last);
    }
    Ok(all)
}

/// A run to follow. If it has not begun and is the next one, this waits for it, and calls `waits` with its
/// name.
///
/// # Errors
/// Those of `logs`.
pub async fn follow<'a>(
    services: &'a ProjectServices,
    environment: &Environment,
    request: &LogsRequest,
    waits: impl Fn(&str) + Send,
) -> Result<Logs<'a>> {
    let name = request.run.as_deref().map(parse).transpose()?;
    let mut announced = false;
    loop {
        if let Some(record) = find(services, environment, name.as_ref()).await? {
            return Logs::of(services, &record, request.task.as_deref());
        }
        if let Some(name) = &name
            && !is_next(services, environment, name).await?
        {
            return Err(unknown(environment, Some(name)));
        }
        if !announced {
            let name = name.as_ref().map(ToString::to_string);
            waits(name.as_deref().unwrap_or("the first run"));
            announced = true;
        }
        services.system.sleep(POLL_INTERVAL).await;
    }
}

impl<'a> Logs<'a> {
    fn of(services: &'a ProjectServices, record: &RunRecord, task: Option<&str>) -> Result<Self> {
        let tasks = task.map(|task| tasks_called(record, task)).transpose()?;
        let with_output = record.tasks.iter().map(|task| &task.id);
        let outputs = with_output
            .filter(|id| tasks.as_ref().is_none_or(|tasks| tasks.contains(id)))
            .map(|id| Output {
                task: id.clone(),
                folder: task_folder(&run_folder(&services.dir, record), id),
                read: BTreeMap::new(),
            })
            .collect();
        Ok(Self {
            services,
            environment: record.environment.clone(),
            run: record.name.clone(),
            tasks,
            seq: 0,
            outputs,
        })
    }

    /// The lines that are new.
    ///
    /// # Errors
    /// If the state store cannot be read.
    pub async fn next(&mut self) -> Result<LogPiece> {
        let store = self.services.store.as_ref();
        // The run is read first: its end is its last event, so no line can come after it.
        let record = store.run(&self.run, &self.environment).await?;
        let record = record.ok_or_else(|| unknown(&self.environment, Some(&self.run)))?;
        let is_live = store.is_live(&record).await?;
        let mut printed = Vec::new();
        let mut more = false;
        for output in &mut self.outputs {
            for path in logs_in(&output.folder) {
                let read = output.read.entry(path.clone()).or_default();
                let (text, has_more) = grown(&path, read, !is_live);
                more |= has_more;
                if !text.is_empty() {
                    let task = output.task.clone();
                    printed.push(ProgramOutput { task, text });
                }
            }
        }
        let mut events = store.events(&self.run, &self.environment, self.seq).await?;
        if let Some(last) = events.last() {
            self.seq = last.seq;
        }
        if let Some(tasks) = &self.tasks {
            events.retain(|event| event.task.as_ref().is_some_and(|id| tasks.contains(id)));
        }
        Ok(LogPiece {
            has_more: more,
            is_last: !is_live && !more,
            run: record,
            events,
            printed,
        })
    }

    /// Waits a short time before the next piece.
    pub async fn pause(&self) {
        self.services.system.sleep(POLL_INTERVAL).await;
    }
}

/// The contents of a file after `read`, in complete lines unless the file is complete, and whether there is
/// more than one piece. A file that was started again is read from its beginning.
pub(crate) fn grown(path: &Path, read: &mut u64, is_complete: bool) -> (String, bool) {
    let Ok(mut file) = std::fs::File::open(path) else {
        return (String::new(), false);
    };
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    if size < *read {
        *read = 0;
    }
    let mut bytes = Vec::new();
    let taken = file
        .seek(SeekFrom::Start(*read))
        .and_then(|_| file.take(PIECE_BYTES).read_to_end(&mut bytes));
    if taken.is_err() {
        return (String::new(), false);
    }
    let more = bytes.len() as u64 == PIECE_BYTES;
    if more || !is_complete {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let part = match more {
            // A line that is longer than a piece comes in several.
            true => whole_characters(&bytes),
            false => 0,
        };
        bytes.truncate(whole.map_or(part, |at| at + 1));
    }
    *read += bytes.len() as u64;
    (String::from_utf8_lossy(&bytes).into_owned(), more)
}

/// How many bytes do not end within a character.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

async fn find(
    services: &ProjectServices,
    environment: &Environment,
    name: Option<&RunName>,
) -> Result<Option<RunRecord>> {
    match name {
        Some(name) => services.store.run(name, environment).await,
        None => Ok(newest(services, environment, None).await?),
    }
}

async fn newest(
    services: &ProjectServices,
    environment: &Environment,
    pipeline: Option<PipelineName>,
) -> Result<Option<RunRecord>> {
    let filter = RunFilter {
        pipeline,
        environment: Some(environment.clone()),
        limit: Some(1),
    };
    Ok(services.store.runs(filter).await?.into_iter().next())
}

/// True for the run that the next `towpath run` will be.
async fn is_next(
    services: &ProjectServices,
    environment: &Environment,
    name: &RunName,
) -> Result<bool> {
    let newest = newest(services, environment, Some(name.pipeline.clone())).await?;
    let number = newest.map_or(0, |run| run.name.number);
    Ok(name.number == number + 1)
}

/// Tasks with this name: by id, table or step.
pub(crate) fn tasks_called(record: &RunRecord, called: &str) -> Result<Vec<TaskId>> {
    let ids = record.tasks.iter().map(|task| &task.id);
    let found: Vec<TaskId> = ids
        .filter(|id| {
            let (step, table) = id
                .as_str()
                .split_once('/')
                .unwrap_or((id.as_str(), id.as_str()));
            [id.as_str(), step, table].contains(&called)
        })
        .cloned()
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let names: Vec<&str> = record.tasks.iter().map(|task| task.id.as_str()).collect();
    let message = format!("`{}` has no task `{called}`", record.name);
    Err(Failure::new("R0984", Remedy::FixConfig, message)
        .help(format!("it has: {}", names.join(", "))))
}

pub(crate) fn unknown(environment: &Environment, name: Option<&RunName>) -> Failure {
    let message = name.map_or_else(
        || "nothing has run yet".to_owned(),
        |name| format!("there is no run `{name}` in `{environment}`"),
    );
    Failure::new("R0981", Remedy::FixConfig, message).help("look: towpath runs")
}

/// True if a run has ended in any way.
pub fn has_ended(run: &RunRecord) -> bool {
    run.state != RunState::Running
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_subject_is_a_run_and_perhaps_a_task() {
        let of = |text| {
            let request = LogsRequest::of(Some(text));
            (request.run.unwrap(), request.task)
        };
        assert_eq!(of("shop#2"), ("shop#2".to_owned(), None));
        assert_eq!(
            of("my.shop#2.extract/raw.orders"),
            (
                "my.shop#2".to_owned(),
                Some("extract/raw.orders".to_owned())
            )
        );
        assert_eq!(of("shop"), ("shop".to_owned(), None));
        assert!(LogsRequest::of(None).run.is_none());
    }

    #[test]
    fn output_comes_in_whole_lines_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output.log");
        let mut read = 0;
        assert_eq!(grown(&path, &mut read, false), (String::new(), false));
        std::fs::write(&path, "one\ntw").unwrap();
        assert_eq!(grown(&path, &mut read, false).0, "one\n");
        assert_eq!(grown(&path, &mut read, false).0, "");
        std::fs::write(&path, "one\ntwo\nthree").unwrap();
        assert_eq!(grown(&path, &mut read, true).0, "two\nthree");
        assert_eq!(grown(&path, &mut read, true).0, "");
        // A line that is longer than a piece.
        let long = format!("{}é", "x".repeat(usize::try_from(PIECE_BYTES).unwrap() - 1));
        std::fs::write(&path, &long).unwrap();
        let mut read = 0;
        let (first, more) = grown(&path, &mut read, true);
        assert!(more && first.len() == long.len() - 2);
        assert_eq!(grown(&path, &mut read, true), ("é".to_owned(), false));
        // A second attempt begins its log anew.
        std::fs::write(&path, "again\n").unwrap();
        assert_eq!(grown(&path, &mut read, true).0, "again\n");
    }
}
