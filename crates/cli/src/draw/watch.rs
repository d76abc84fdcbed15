//! Progress of a run: one live line on a terminal, nothing when it is none (log lines tell it there).

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use towpath_app::Watch;
use towpath_flow::Progress;
use towpath_orchestrator::{RunNews, RunSink};
use towpath_ports::RunRecord;
use towpath_vocab::{Diagnostic, PlannedPipeline};

use super::diagnostics::diagnostics;
use super::numbers::{bytes, count};
use crate::args::Format;

/// How often the line is drawn anew.
const TICK: Duration = Duration::from_millis(120);

/// Watches one run.
pub(crate) struct RunWatch {
    format: Format,
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    bar: Mutex<Option<ProgressBar>>,
}

impl RunWatch {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            line: Arc::default(),
        }
    }

    /// Takes the live line away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = self.line.take() {
            bar.finish_and_clear();
        }
    }
}

impl Line {
    fn take(&self) -> Option<ProgressBar> {
        self.bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn set(&self, bar: ProgressBar) {
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn say(&self, text: String) {
        if let Some(bar) = self
            .bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
        {
            bar.set_prefix(text);
        }
    }
}

impl Watch for RunWatch {
    fn waits(&self, running: &RunRecord) {
        tell!(
            "Waiting for {}, which runs since {}. Ctrl-C gives up.",
            running.name,
            towpath_app::time_text(running.started_us)
        );
    }

    fn begins(&self, record: &RunRecord, _pipeline: &PlannedPipeline, progress: Arc<Progress>) {
        if self.format == Format::Json || !std::io::stderr().is_terminal() {
            return;
        }
        let style = ProgressStyle::with_template("{spinner} {prefix}  {rows}").map(|style| {
            style.with_key(
                "rows",
                move |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                    let seconds = state.elapsed().as_secs_f64().max(0.001);
                    let rate = progress.rows_read() as f64 / seconds;
                    let volume = progress.bytes_read() as f64 / seconds;
                    // Writing to the bar's own buffer cannot fail.
                    let _ = write!(
                        out,
                        "{} rows, {} rows/s, {}/s, memory {}",
                        count(progress.rows_read()),
                        count(rate as u64),
                        bytes(volume as u64),
                        towpath_app::peak_rss_bytes().map_or_else(|| "?".to_owned(), bytes)
                    );
                },
            )
        });
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(record.name.to_string());
        bar.enable_steady_tick(TICK);
        self.line.set(bar);
    }

    fn sink(&self) -> Arc<dyn RunSink> {
        Arc::clone(&self.line) as _
    }

    fn notes(&self, list: &[Diagnostic], files: &BTreeMap<String, String>) {
        if self.format == Format::Text {
            let loud: Vec<Diagnostic> = list
                .iter()
                .filter(|d| d.level >= towpath_vocab::Level::Warning)
                .cloned()
                .collect();
            diagnostics(&loud, files);
        }
    }
}

impl RunSink for Line {
    fn tell(&self, news: RunNews) {
        tracing::info!("{news:?}");
        if let RunNews::Started { task, .. } = news {
            self.say(task.to_string());
        }
    }
}
