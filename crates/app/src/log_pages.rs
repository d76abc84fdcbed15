//! The log lines of a run in pages, for clients that ask again where they were.
//!
//! Promise: every line comes once, whoever serves the next page; nothing is left out without a cursor that leads to
//! it. A page is bounded, however much the programs printed. Files are read on a thread of their own. Read next:
//! `logs.rs` (the whole log, and how it is followed).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;
use towpath_ports::{RunEvent, RunRecord};
use towpath_vocab::{Failure, Plan, Remedy, TaskId};

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
    /// The cursor of what follows: there is more already, or the run goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How far a client has read: the last event, and the bytes of each file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LogCursor {
    seq: u64,
    /// By the places of the task in its run and of the attempt in its folder.
    read: BTreeMap<(usize, usize), u64>,
}

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seq)?;
        for ((task, attempt), bytes) in &self.read {
            write!(f, "~{task}.{attempt}.{bytes}")?;
        }
        Ok(())
    }
}

impl FromStr for LogCursor {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| ());
        let place = |text: &str| text.parse::<usize>().map_err(|_| ());
        let mut parts = text.split('~');
        let seq = number(parts.next().unwrap_or_default())?;
        let mut read = BTreeMap::new();
        for part in parts {
            let fields: Vec<&str> = part.split('.').collect();
            let &[task, attempt, bytes] = fields.as_slice() else {
                return Err(());
            };
            read.insert((place(task)?, place(attempt)?), number(bytes)?);
        }
        Ok(Self { seq, read })
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
    let has_more_events = events.len() as u64 == PAGE_EVENTS;
    if let Some(last) = events.last() {
        cursor.seq = last.seq;
    }
    events.retain(|event| tasks.is_none() || event.task.as_ref().is_some_and(is_wanted));
    let folder = run_folder(&services.dir, &record);
    let outputs = record.tasks.iter().enumerate();
    let outputs = outputs
        .filter(|(_, one)| is_wanted(&one.id))
        .map(|(place, one)| (place, one.id.clone(), task_folder(&folder, &one.id)));
    let outputs: Vec<_> = outputs.collect();
    let reading = tokio::task::spawn_blocking(move || printed(&outputs, cursor, !is_live));
    let (printed, cursor, has_more) = reading.await.map_err(|error| {
        let message = format!("the output of programs cannot be read: {error}");
        Failure::new("R1132", Remedy::Bug, message)
    })?;
    let next = (has_more || has_more_events || is_live).then(|| cursor.to_string());
    Ok(LogPage {
        version: 1,
        run: record,
        events,
        printed,
        next,
    })
}

/// What programs have printed behind a cursor, until the page is full: true then.
fn printed(
    outputs: &[(usize, TaskId, PathBuf)],
    mut cursor: LogCursor,
    is_complete: bool,
) -> (Vec<ProgramOutput>, LogCursor, bool) {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for (place, task, folder) in outputs {
        for (attempt, path) in logs_in(folder).iter().enumerate() {
            let mut read = cursor.read.get(&(*place, attempt)).copied().unwrap_or(0);
            let (text, more) = grown(path, &mut read, is_complete);
            bytes += text.len();
            if read > 0 {
                cursor.read.insert((*place, attempt), read);
            }
            if !text.is_empty() {
                let task = task.clone();
                found.push(ProgramOutput { task, text });
            }
            if more || bytes >= PAGE_BYTES {
                return (found, cursor, true);
            }
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
            read: BTreeMap::from([((0, 0), 7), ((3, 1), 1 << 40)]),
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["", "x", "1~", "1~2", "1~2.3", "1~2.3.x", "1~2.3.4.5", "-1"] {
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
            outputs.push((place, TaskId::new(place.to_string()), of_task));
        }
        let (mut cursor, mut all, mut pages) = (LogCursor::default(), String::new(), 0);
        loop {
            let text = cursor.to_string();
            let (found, next, has_more) = printed(&outputs, text.parse().unwrap(), true);
            let bytes: usize = found.iter().map(|one| one.text.len()).sum();
            assert!(bytes <= 2 * PAGE_BYTES);
            all.extend(found.into_iter().map(|one| one.text));
            (cursor, pages) = (next, pages + 1);
            if !has_more {
                break;
            }
        }
        assert!(pages > 3);
        assert!(all == wanted, "{} bytes of {}", all.len(), wanted.len());
    }
}
