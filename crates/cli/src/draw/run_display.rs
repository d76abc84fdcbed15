//! The progress of a run: what is done, what runs, how fast, and how long it may still take.
//!
//! Promise: every change of a task is also a log line, with `-v` or with `--log-format json`. The line
//! itself is drawn in `live.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use towpath_app::RunObserver;
use towpath_flow::Progress;
use towpath_orchestrator::{DriveObserver, ReconnectPause, RunNotification};
use towpath_ports::RunRecord;
use towpath_vocab::{Diagnostic, Failure, PlannedPipeline, TaskId};

use super::diagnostics::diagnostics;
use super::live::Live;
use super::numbers::{bytes, count, seconds};
use crate::args::Format;
use crate::terminal;

/// The most running tasks in a line.
const NAMED: usize = 3;

/// Shows the progress of one run.
pub(crate) struct RunDisplay {
    format: Format,
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    live: Live,
    tally: Arc<Mutex<Tally>>,
}

/// The counts of a run.
#[derive(Default)]
struct Tally {
    tasks: usize,
    done: usize,
    running: BTreeSet<TaskId>,
}

impl RunDisplay {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            line: Arc::default(),
        }
    }

    /// Removes the live line.
    pub(crate) fn finish(&self) {
        self.line.live.finish();
    }
}

/// Prints a line while a system cannot be reached.
pub(crate) fn waits(pause: ReconnectPause<'_>) {
    errln!("{}", waiting("", pause.failure, pause.pause, pause.left));
}

fn waiting(who: &str, failure: &Failure, pause: Duration, left: Duration) -> String {
    format!(
        "{who}{}: trying again in {:.1} s, for at most {} s",
        failure.message,
        pause.as_secs_f64(),
        left.as_secs()
    )
}

impl Tally {
    /// `shop#3  42 %  raw.orders, raw.items  1,200,000 rows, 120,000 rows/s, 14 MB/s, memory 310 MB, about
    /// 12 s left`
    fn text(&self, run: &str, began: Instant, progress: &Progress) -> String {
        let elapsed = began.elapsed().as_secs_f64().max(0.001);
        let mut parts = vec![run.to_owned()];
        if let Some(percent) = (self.done * 100).checked_div(self.tasks) {
            parts.push(format!("{percent} %"));
        }
        let names: Vec<&str> = self
            .running
            .iter()
            .map(TaskId::as_str)
            .take(NAMED)
            .collect();
        let more = self.running.len().saturating_sub(NAMED);
        match (names.is_empty(), more) {
            (true, _) => {}
            (false, 0) => parts.push(names.join(", ")),
            (false, more) => parts.push(format!("{} and {more} more", names.join(", "))),
        }
        parts.push(moved(progress, elapsed));
        let left = self.tasks.saturating_sub(self.done);
        if self.done > 0 && left > 0 {
            let rest = elapsed / self.done as f64 * left as f64;
            parts.push(format!(
                "about {} left",
                seconds((rest * 1_000_000.0) as u64)
            ));
        }
        parts.join("  ")
    }
}

/// `1,200,000 rows, 120,000 rows/s, 14 MB/s, memory 310 MB`
pub(crate) fn moved(progress: &Progress, elapsed: f64) -> String {
    format!(
        "{} rows, {} rows/s, {}/s, memory {}",
        count(progress.rows_read()),
        count((progress.rows_read() as f64 / elapsed) as u64),
        bytes((progress.bytes_read() as f64 / elapsed) as u64),
        towpath_app::peak_rss_bytes().map_or_else(|| "?".to_owned(), bytes)
    )
}

impl RunObserver for RunDisplay {
    fn waits(&self, running: &RunRecord) {
        if !terminal::is_quiet() {
            errln!(
                "Waiting for {}, which has been running since {}. Press Ctrl-C to stop waiting.",
                running.name,
                towpath_app::time_text(running.started_us)
            );
        }
    }

    fn begins(&self, record: &RunRecord, pipeline: &PlannedPipeline, progress: Arc<Progress>) {
        tracing::info!(run = %record.name, tasks = pipeline.tasks.len(), "run begins");
        let (run, began) = (record.name.to_string(), Instant::now());
        let tally = Arc::clone(&self.line.tally);
        self.line.live.start(move || {
            let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.text(&run, began, &progress)
        });
    }

    fn drive_observer(&self) -> Arc<dyn DriveObserver> {
        Arc::clone(&self.line) as _
    }

    fn notes(&self, list: &[Diagnostic], files: &BTreeMap<String, String>) {
        if self.format == Format::Text && !terminal::is_quiet() {
            let loud: Vec<Diagnostic> = list
                .iter()
                .filter(|d| d.level >= towpath_vocab::Level::Warning)
                .cloned()
                .collect();
            diagnostics(&loud, files);
        }
    }
}

impl DriveObserver for Line {
    fn notify(&self, notification: RunNotification) {
        log(&notification);
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match notification {
            RunNotification::Opened { tasks, done } => (tally.tasks, tally.done) = (tasks, done),
            RunNotification::Started { task, .. } => {
                tally.running.insert(task);
            }
            RunNotification::Retrying { task, .. } => {
                tally.running.remove(&task);
            }
            RunNotification::Ended { task, .. } => {
                tally.running.remove(&task);
                tally.done += 1;
            }
            RunNotification::Waiting {
                task,
                failure,
                pause_us,
                left_us,
            } => {
                drop(tally);
                if !terminal::is_quiet() {
                    let (pause, left) = (
                        Duration::from_micros(pause_us),
                        Duration::from_micros(left_us),
                    );
                    self.live
                        .line(&waiting(&format!("{task}: "), &failure, pause, left));
                }
            }
            RunNotification::Stopping { .. } | RunNotification::Closed(_) => {}
        }
    }
}

/// Logs the events of a run: names and numbers, no stored value.
fn log(notification: &RunNotification) {
    match notification {
        RunNotification::Opened { tasks, done } => tracing::info!(tasks, done, "run opened"),
        RunNotification::Started { task, attempt } => {
            tracing::info!(task = task.as_str(), attempt, "task started");
        }
        RunNotification::Retrying { task, failure, .. } => {
            let failure = failure.as_ref();
            tracing::info!(
                task = task.as_str(),
                code = failure.map(|failure| failure.code.as_str()),
                reason = failure.map(|failure| failure.message.as_str()),
                "task is tried again"
            );
        }
        RunNotification::Waiting {
            task,
            failure,
            pause_us,
            ..
        } => tracing::info!(
            task = task.as_str(),
            code = failure.code,
            pause_ms = pause_us / 1000,
            "system cannot be reached"
        ),
        RunNotification::Ended {
            task,
            state,
            failure,
            elapsed_us,
            ..
        } => {
            let failure = failure.as_ref();
            tracing::info!(
                task = task.as_str(),
                state = ?state,
                elapsed_ms = elapsed_us / 1000,
                code = failure.map(|failure| failure.code.as_str()),
                reason = failure.map(|failure| failure.message.as_str()),
                "task ended"
            );
        }
        RunNotification::Stopping { running } => tracing::info!(running, "run is stopping"),
        RunNotification::Closed(state) => tracing::info!(state = ?state, "run ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        let tally = Tally {
            tasks: 4,
            done: 1,
            running: ["a", "b", "c", "d"].map(TaskId::new).into_iter().collect(),
        };
        let text = tally.text("shop#3", Instant::now(), &Progress::default());
        for part in ["shop#3  25 %  a, b, c and 1 more  0 rows", "rows/s", "left"] {
            assert!(text.contains(part), "{text}");
        }
        let text = Tally::default().text("shop#3", Instant::now(), &Progress::default());
        assert!(!text.contains('%') && !text.contains("left"), "{text}");
    }
}
