//! Metrics of a project and of this process, in the text format of Prometheus.
//!
//! Promise: the values come from the state store, so every server of a project reports the same runs, and a
//! restart loses none; only those that begin with `process_` are of this process. Labels hold names of the
//! project and nothing else. The format is a line for each value, so no library is needed. Read next:
//! `docs/how-to/metrics.md`, which lists them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::{Mutex, PoisonError};

use towpath_ports::{RunKind, RunState, RunSummary};
use towpath_vocab::{PipelineName, Plan, RunName};

use crate::Result;
use crate::alerts::subscriber;
use crate::run_history::RowCounts;
use crate::services::ProjectServices;

/// So many runs of each pipeline are looked at.
const RECENT: u64 = 20;

/// The length of a tick of `/proc`, in seconds: fixed on Linux for programs.
const TICK_SECONDS: f64 = 0.01;

/// The rows of the last run of each pipeline, which do not change any more.
#[derive(Default)]
pub struct KnownRows {
    rows: Mutex<BTreeMap<PipelineName, RowsOfRun>>,
}

/// The rows of a run that has ended at this time.
struct RowsOfRun {
    run: RunName,
    ended_us: Option<i64>,
    rows: RowCounts,
}

/// One metric with its values.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// Labels and value.
    values: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl Metric {
    fn gauge(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            kind: "gauge",
            help,
            values: Vec::new(),
        }
    }

    fn of(&mut self, pipeline: &PipelineName, value: f64) {
        self.values
            .push((vec![("pipeline", pipeline.to_string())], value));
    }

    fn write(&self, text: &mut String) {
        let Self {
            name,
            kind,
            help,
            values,
        } = self;
        if values.is_empty() {
            return;
        }
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let labels: Vec<String> = labels
                .iter()
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            let _ = match labels.is_empty() {
                true => writeln!(text, "{name} {value}"),
                false => writeln!(text, "{name}{{{}}} {value}", labels.join(",")),
            };
        }
    }
}

/// A value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// What is known of the runs of a pipeline.
struct KnownRuns<'a> {
    /// The newest ones, newest first.
    recent: Vec<&'a RunSummary>,
    /// Of the last one that ended.
    rows: Option<RowCounts>,
    last_success_us: Option<i64>,
}

/// The newest run that came to an end of its own.
fn last_ended<'a>(recent: &[&'a RunSummary]) -> Option<&'a RunSummary> {
    let ended = |run: &&&RunSummary| !matches!(run.state, RunState::Running | RunState::Superseded);
    recent.iter().find(ended).copied()
}

fn truth(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

/// What is known of the runs of all pipelines.
struct RunMetrics {
    running: Metric,
    success: Metric,
    start: Metric,
    end: Metric,
    duration: Metric,
    last_success: Metric,
    failures: Metric,
    read: Metric,
    loaded: Metric,
    rejected: Metric,
}

impl RunMetrics {
    fn new() -> Self {
        Self {
            running: Metric::gauge(
                "towpath_pipeline_running",
                "1 while a run of the pipeline goes on.",
            ),
            success: Metric::gauge(
                "towpath_pipeline_last_run_success",
                "1 if the last run that ended succeeded, 0 if it failed or was cancelled.",
            ),
            start: Metric::gauge(
                "towpath_pipeline_last_run_start_time_seconds",
                "When the last run that ended began.",
            ),
            end: Metric::gauge(
                "towpath_pipeline_last_run_end_time_seconds",
                "When the last run that ended did so.",
            ),
            duration: Metric::gauge(
                "towpath_pipeline_last_run_duration_seconds",
                "How long the last run that ended took.",
            ),
            last_success: Metric::gauge(
                "towpath_pipeline_last_success_time_seconds",
                "When the last run that succeeded ended.",
            ),
            failures: Metric::gauge(
                "towpath_pipeline_consecutive_failures",
                "How many runs in a row have failed, of the last 20; cancelled ones do not count.",
            ),
            read: Metric::gauge(
                "towpath_pipeline_last_run_rows_read",
                "Rows that the last run that ended read.",
            ),
            loaded: Metric::gauge(
                "towpath_pipeline_last_run_rows_loaded",
                "Rows that the last run that ended loaded.",
            ),
            rejected: Metric::gauge(
                "towpath_pipeline_last_run_rows_rejected",
                "Records that the last run that ended rejected.",
            ),
        }
    }

    fn add(&mut self, pipeline: &PipelineName, runs: &KnownRuns<'_>) {
        let is_running = runs
            .recent
            .iter()
            .any(|run| run.state == RunState::Running && !run.interrupted);
        self.running.of(pipeline, truth(is_running));
        if let Some(ended_us) = runs.last_success_us {
            self.last_success.of(pipeline, seconds(ended_us));
        }
        let Some(last) = last_ended(&runs.recent) else {
            return;
        };
        self.success
            .of(pipeline, truth(last.state == RunState::Succeeded));
        self.start.of(pipeline, seconds(last.started_us));
        if let Some(ended_us) = last.ended_us {
            self.end.of(pipeline, seconds(ended_us));
            self.duration
                .of(pipeline, seconds(ended_us - last.started_us));
        }
        let decided = runs
            .recent
            .iter()
            .filter(|run| matches!(run.state, RunState::Failed | RunState::Succeeded));
        let failures = decided
            .take_while(|run| run.state == RunState::Failed)
            .count();
        self.failures.of(pipeline, failures as f64);
        if let Some(rows) = runs.rows {
            self.read.of(pipeline, rows.rows_in as f64);
            self.loaded.of(pipeline, rows.rows_loaded as f64);
            self.rejected.of(pipeline, rows.rows_rejected as f64);
        }
    }

    fn all(self) -> [Metric; 10] {
        [
            self.running,
            self.success,
            self.start,
            self.end,
            self.duration,
            self.last_success,
            self.failures,
            self.read,
            self.loaded,
            self.rejected,
        ]
    }
}

/// The metrics.
///
/// # Errors
/// Those of the state store.
pub async fn metrics(services: &ProjectServices, plan: &Plan, known: &KnownRows) -> Result<String> {
    let names: Vec<PipelineName> = plan.pipelines.iter().map(|one| one.name.clone()).collect();
    let api = services.store.api();
    let newest = api
        .newest_runs(&plan.environment, &names, Some(RunKind::Run), RECENT)
        .await?;
    let mut by_pipeline: BTreeMap<&PipelineName, Vec<&RunSummary>> = BTreeMap::new();
    for run in &newest {
        by_pipeline.entry(&run.name.pipeline).or_default().push(run);
    }
    let mut runs = RunMetrics::new();
    for name in &names {
        let recent = by_pipeline.remove(name).unwrap_or_default();
        let rows = match last_ended(&recent) {
            Some(run) => known.of(services, plan, run).await?,
            None => None,
        };
        let store = &services.store;
        let last_success_us = store.last_succeeded(name, &plan.environment).await?;
        let known = KnownRuns {
            recent,
            rows,
            last_success_us,
        };
        runs.add(name, &known);
    }
    let mut text = String::new();
    let mut build = Metric::gauge("towpath_build_info", "The version, and what is served.");
    let labels = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("project", plan.name.clone()),
        ("environment", plan.environment.to_string()),
    ];
    build.values.push((labels, 1.0));
    build.write(&mut text);
    runs.all().iter().for_each(|metric| metric.write(&mut text));
    for metric in schedules(services, plan).await? {
        metric.write(&mut text);
    }
    waiting_alerts(services, plan).await?.write(&mut text);
    process(services)
        .iter()
        .for_each(|metric| metric.write(&mut text));
    Ok(text)
}

impl KnownRows {
    /// The rows of a run that has ended: read once.
    async fn of(
        &self,
        services: &ProjectServices,
        plan: &Plan,
        run: &RunSummary,
    ) -> Result<Option<RowCounts>> {
        let known = {
            let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            let known = rows.get(&run.name.pipeline);
            known
                .filter(|known| known.run == run.name && known.ended_us == run.ended_us)
                .map(|known| known.rows)
        };
        if known.is_some() {
            return Ok(known);
        }
        let Some(record) = services.store.run(&run.name, &plan.environment).await? else {
            return Ok(None);
        };
        let counts = RowCounts::of(&record);
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let known = RowsOfRun {
            run: run.name.clone(),
            ended_us: run.ended_us,
            rows: counts,
        };
        rows.insert(run.name.pipeline.clone(), known);
        Ok(Some(counts))
    }
}

async fn schedules(services: &ProjectServices, plan: &Plan) -> Result<[Metric; 2]> {
    let mut waiting = Metric::gauge(
        "towpath_schedule_waiting_intervals",
        "How many intervals of the schedule wait for their run.",
    );
    let mut paused = Metric::gauge(
        "towpath_schedule_paused",
        "1 while a user has paused the schedule.",
    );
    for line in crate::schedule::schedules(services, plan).await? {
        let pipeline = PipelineName::new(&line.pipeline);
        waiting.of(&pipeline, line.waiting as f64);
        paused.of(&pipeline, f64::from(u8::from(line.paused.is_some())));
    }
    Ok([waiting, paused])
}

async fn waiting_alerts(services: &ProjectServices, plan: &Plan) -> Result<Metric> {
    let mut waiting = Metric::gauge(
        "towpath_alerts_waiting",
        "Ends of runs of which a channel has not been told yet, if it is to be told at all.",
    );
    let begin = subscriber(&plan.environment, "");
    let mut counts = services.store.outbox_counts().await?;
    counts.sort_unstable();
    for (name, count) in counts {
        if let Some(channel) = name.strip_prefix(&begin) {
            waiting
                .values
                .push((vec![("channel", channel.to_owned())], count as f64));
        }
    }
    Ok(waiting)
}

fn process(services: &ProjectServices) -> Vec<Metric> {
    let mut found = Vec::new();
    let mut add = |name, kind, help, value: Option<f64>| {
        if let Some(value) = value {
            found.push(Metric {
                name,
                kind,
                help,
                values: vec![(Vec::new(), value)],
            });
        }
    };
    // After the name of the program, which may hold blanks and parentheses.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let field = |at: usize| fields.get(at)?.parse::<f64>().ok();
    add(
        "process_cpu_seconds_total",
        "counter",
        "The time of processors that this process has used.",
        field(11)
            .zip(field(12))
            .map(|(user, system)| (user + system) * TICK_SECONDS),
    );
    add(
        "process_resident_memory_bytes",
        "gauge",
        "The resident memory of this process.",
        crate::memory::rss_bytes().map(|bytes| bytes as f64),
    );
    add(
        "process_open_fds",
        "gauge",
        "The files that this process has open.",
        fs::read_dir("/proc/self/fd")
            .ok()
            .map(|files| files.count() as f64),
    );
    add(
        "towpath_memory_budget_bytes",
        "gauge",
        "The memory limit of this process.",
        Some(services.budget_bytes as f64),
    );
    found
}

fn seconds(us: i64) -> f64 {
    us as f64 / 1_000_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_metrics_without_values_are_left_out() {
        let mut metric = Metric::gauge("a_metric", "What it is.");
        let mut text = String::new();
        metric.write(&mut text);
        assert_eq!(text, "");
        metric.of(&PipelineName::new("a\"b\\c\nd"), 1.5);
        metric.write(&mut text);
        let expected = "# HELP a_metric What it is.\n# TYPE a_metric gauge\na_metric{pipeline=\"a\\\"b\\\\c\\nd\"} 1.5\n";
        assert_eq!(text, expected);
    }
}
