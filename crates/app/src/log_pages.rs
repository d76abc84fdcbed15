//! The log lines of a run in pages, for clients that ask again where they were.
//!
//! Promise: every line comes once, whoever serves the next page; nothing is left out without a cursor that leads to
//! it. A page is bounded, however much the programs printed. Files are read on a thread of their own. Read next:
//! `logs.rs` (the whole log, and how it is followed).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;
use towpath_ports::{RunEvent, RunRecord};
use towpath_vocab::{Action, Failure, Plan, Remedy, TaskId};

use crate::Result;
use crate::logs::{ProgramOutput, grown, tasks_called, unknown};
use crate::pages::wrong_cursor;
use crate::rerun::parse;
use crate::services::ProjectServices;
use crate::tasks::{logs_in, run_folder, task_folder};

/// The most events on a page.
const PAGE_EVENTS: u64 = 1000;

/// So many bytes of what programs printed end a page.
const PAGE_BYTES: usize = 1 << 20;

/// Lines of a run.
#[derive(Debug, Serialize)]
pub struct LogPage {
    /// Version of this form; 1.
    pub version: u32,
    /// The run in its present state.
    pub run: RunRecord,
    /// Its events.
    pub events: Vec<RunEvent>,
    /// What its programs printed.
    pub printed: Vec<ProgramOutput>,
    /// True if programs have run on another machine, which has what they printed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub output_is_elsewhere: bool,
    /// The cursor of what follows: there is more already, or the run goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How far a client has read: the last event, the tasks that have ended and were read whole, and the bytes of each
/// file of the others. So it is as long as there are tasks that run, not as there were tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LogCursor {
    seq: u64,
    /// Places of tasks in their run.
    done: BTreeSet<usize>,
    /// By the places of the task in its run and of the attempt in its folder.
    read: BTreeMap<(usize, usize), u64>,
}

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seq)?;
        let mut places = self.done.iter().copied().peekable();
        while let Some(first) = places.next() {
            let mut last = first;
            while let Some(next) = places.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(f, "~{first}.{last}")?;
        }
        for ((task, attempt), bytes) in &self.read {
            write!(f, "~{task}.{attempt}.{bytes}")?;
        }
        Ok(())
    }
}

/// The most tasks of a run that a cursor can name.
const MOST_TASKS: usize = 1_000_000;

impl FromStr for LogCursor {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| ());
        let place = |text: &str| {
            let place = text.parse::<usize>().map_err(|_| ())?;
            (place < MOST_TASKS).then_some(place).ok_or(())
        };
        let mut parts = text.split('~');
        let mut cursor = Self {
            seq: number(parts.next().unwrap_or_default())?,
            ..Self::default()
        };
        // Places come in order, so that a cursor is no more work than a run has tasks.
        let mut free = 0;
        for part in parts {
            let fields: Vec<&str> = part.split('.').collect();
            match *fields.as_slice() {
                [first, last] => {
                    let (first, last) = (place(first)?, place(last)?);
                    if first < free || last < first {
                        return Err(());
                    }
                    cursor.done.extend(first..=last);
                    free = last + 1;
                }
                [task, attempt, bytes] => {
                    let file = (place(task)?, place(attempt)?);
                    cursor.read.insert(file, number(bytes)?);
                }
                _ => return Err(()),
            }
        }
        Ok(cursor)
    }
}

/// A page of the lines of a run, or of one of its tasks.
///
/// # Errors
/// R0980 and R0981 if there is no such run, R0984 if it has no such task, R1131 for a cursor of another list.
pub async fn log_page(
    services: &ProjectServices,
    plan: &Plan,
    run: &str,
    task: Option<&str>,
    cursor: Option<&str>,
) -> Result<LogPage> {
    let name = parse(run)?;
    let environment = &plan.environment;
    let mut cursor = match cursor {
        None => LogCursor::default(),
        Some(text) => text.parse().map_err(|()| wrong_cursor(text))?,
    };
    // The run is read first: its end is its last event, so no line can come after it.
    let record = services.store.run(&name, environment).await?;
    let record = record.ok_or_else(|| unknown(environment, Some(&name)))?;
    let tasks = task.map(|task| tasks_called(&record, task)).transpose()?;
    let is_wanted = |id: &TaskId| tasks.as_ref().is_none_or(|tasks| tasks.contains(id));
    let is_live = services.store.is_live(&record).await?;
    let api = services.store.api();
    let found = api.events_page(&name, environment, cursor.seq, PAGE_EVENTS);
    let mut events = found.await?;
    let mut has_more_events = events.len() as u64 == PAGE_EVENTS;
    if let Some(fit) = fitting(&events) {
        events.truncate(fit);
        has_more_events = true;
    }
    if let Some(last) = events.last() {
        cursor.seq = last.seq;
    }
    events.retain(|event| tasks.is_none() || event.task.as_ref().is_some_and(is_wanted));
    let folder = run_folder(&services.dir, &record);
    let outputs = record.tasks.iter().enumerate();
    let outputs = outputs
        .filter(|(place, one)| is_wanted(&one.id) && !cursor.done.contains(place))
        .map(|(place, one)| Output {
            place,
            task: one.id.clone(),
            folder: task_folder(&folder, &one.id),
            has_ended: !is_live || one.state.is_final(),
        });
    let outputs: Vec<Output> = outputs.collect();
    let has_programs = has_begun_programs(plan, &record);
    let reading = tokio::task::spawn_blocking(move || {
        let is_elsewhere = has_programs && !folder.is_dir();
        (printed(&outputs, cursor), is_elsewhere)
    });
    let ((printed, cursor, has_more), output_is_elsewhere) = reading.await.map_err(|error| {
        let message = format!("the output of programs cannot be read: {error}");
        Failure::new("R1132", Remedy::Bug, message)
    })?;
    let next = (has_more || has_more_events || is_live).then(|| cursor.to_string());
    Ok(LogPage {
        version: 1,
        run: record,
        events,
        printed,
        output_is_elsewhere,
        next,
    })
}

/// The log files of a task.
struct Output {
    place: usize,
    task: TaskId,
    folder: PathBuf,
    /// True if nothing is added to them any more.
    has_ended: bool,
}

/// True if a program of the run has begun, as far as the present project knows its tasks.
fn has_begun_programs(plan: &Plan, record: &RunRecord) -> bool {
    let mut pipelines = plan.pipelines.iter();
    let pipeline = pipelines.find(|one| one.name == record.name.pipeline);
    let planned = pipeline.into_iter().flat_map(|one| &one.tasks);
    let mut programs = planned.filter(|task| matches!(task.action, Action::Command(_)));
    programs.any(|task| {
        let mut tasks = record.tasks.iter();
        tasks.any(|known| known.id == task.id && known.attempt > 0)
    })
}

/// How many events fill a page by their size; nothing if all of them fit. At least one does.
fn fitting(events: &[RunEvent]) -> Option<usize> {
    let mut bytes = 0;
    let full = events.iter().position(|event| {
        bytes += event.body.to_string().len();
        bytes > PAGE_BYTES
    });
    full.map(|full| full.max(1))
        .filter(|fit| *fit < events.len())
}

/// What programs have printed behind a cursor, until the page is full: true then.
fn printed(outputs: &[Output], mut cursor: LogCursor) -> (Vec<ProgramOutput>, LogCursor, bool) {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for output in outputs {
        for (attempt, path) in logs_in(&output.folder).iter().enumerate() {
            let file = (output.place, attempt);
            let mut read = cursor.read.get(&file).copied().unwrap_or(0);
            let (text, more) = grown(path, &mut read, output.has_ended);
            bytes += text.len();
            if read > 0 {
                cursor.read.insert(file, read);
            }
            if !text.is_empty() {
                let task = output.task.clone();
                found.push(ProgramOutput { task, text });
            }
            if more || bytes >= PAGE_BYTES {
                return (found, cursor, true);
            }
        }
        if output.has_ended {
            cursor.read.retain(|(place, _), _| *place != output.place);
            cursor.done.insert(output.place);
        }
    }
    (found, cursor, false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let cursor = LogCursor {
            seq: 12,
            done: BTreeSet::from([0, 1, 2, 4, 6, 7]),
            read: BTreeMap::from([((3, 0), 7), ((5, 1), 1 << 40)]),
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        assert_eq!(cursor.to_string(), "12~0.2~4.4~6.7~3.0.7~5.1.1099511627776");
        // However many tasks have ended.
        let many = LogCursor {
            done: (0..10_000).collect(),
            ..cursor
        };
        assert!(many.to_string().len() < 60, "{many}");
        let wrong = [
            "",
            "x",
            "1~",
            "1~2",
            "1~0.5~3.6",
            "1~5.4",
            "1~2.x",
            "1~2.3.x",
            "1~2.3.4.5",
            "-1",
            "1~0.9999999999",
        ];
        for wrong in wrong {
            assert!(wrong.parse::<LogCursor>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn pages_have_every_line_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut outputs = Vec::new();
        let mut wanted = String::new();
        for place in 0..3 {
            let of_task = folder.path().join(place.to_string());
            std::fs::create_dir(&of_task).unwrap();
            for attempt in 1..3 {
                let line = format!("{place} {attempt} {}\n", "x".repeat(1000));
                let text = line.repeat(1500);
                std::fs::write(of_task.join(format!("output-{attempt}.log")), &text).unwrap();
                wanted.push_str(&text);
            }
            outputs.push(Output {
                place,
                task: TaskId::new(place.to_string()),
                folder: of_task,
                has_ended: place != 1,
            });
        }
        let (mut cursor, mut all, mut pages) = (LogCursor::default(), String::new(), 0);
        loop {
            let text = cursor.to_string();
            let cursor_now: LogCursor = text.parse().unwrap();
            let rest: Vec<Output> = outputs
                .iter()
                .filter(|one| !cursor_now.done.contains(&one.place))
                .map(|one| Output {
                    task: one.task.clone(),
                    folder: one.folder.clone(),
                    ..*one
                })
                .collect();
            let (found, next, has_more) = printed(&rest, cursor_now);
            let bytes: usize = found.iter().map(|one| one.text.len()).sum();
            assert!(bytes <= 2 * PAGE_BYTES);
            all.extend(found.into_iter().map(|one| one.text));
            (cursor, pages) = (next, pages + 1);
            if !has_more {
                break;
            }
        }
        assert!(pages > 3);
        assert_eq!(cursor.done, BTreeSet::from([0, 2]));
        assert_eq!(cursor.read.len(), 2, "the files of the task that runs");
        assert!(all == wanted, "{} bytes of {}", all.len(), wanted.len());
    }
}
