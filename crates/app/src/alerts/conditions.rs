//! Which alert the end of a run is worth, and what it says.
//!
//! Promise: pure; the same run gives the same alert with the same id. Messages hold what the failures and
//! results of checks say, which hold no secret and no masked value. Read next: `conditions_tests.rs`.

use sha2::{Digest as _, Sha256};
use towpath_flow::OutputSummary;
use towpath_ports::{Alert, OutboxEvent, RunEventKind, RunRecord, RunState, TaskState};
use towpath_vocab::{AlertCondition, CheckOutcome};

/// The code of a run that has not ended before its deadline.
const MISSED_DEADLINE: &str = "R0716";

/// So many failures, and so many findings, are told.
const MOST_DETAILS: usize = 5;

/// The longest detail in characters.
const LONGEST_DETAIL: usize = 300;

/// The end of a run, with what came before it.
pub(crate) struct EndedRun<'a> {
    pub(crate) project: &'a str,
    pub(crate) event: &'a OutboxEvent,
    pub(crate) run: &'a RunRecord,
    /// How the run before it ended, or this one before it was resumed.
    pub(crate) before: Option<RunState>,
}

/// What a run found out about its data.
#[derive(Default)]
struct Findings {
    failed: Vec<String>,
    warned: Vec<String>,
    rejected: Vec<String>,
    rows_rejected: u64,
}

/// The conditions that an event can be about.
pub(crate) fn possible(kind: RunEventKind) -> &'static [AlertCondition] {
    use AlertCondition::{Failed, Late, Quality, Recovered};
    match kind {
        RunEventKind::RunEnded(RunState::Failed) => &[Late, Failed, Quality],
        RunEventKind::RunEnded(RunState::Succeeded) => &[Quality, Recovered],
        _ => &[],
    }
}

/// The alert about a run, if one of its conditions is wanted.
pub(crate) fn alert(
    ended: &EndedRun<'_>,
    wanted: &dyn Fn(AlertCondition) -> bool,
) -> Option<Alert> {
    let EndedRun {
        project,
        event,
        run,
        ..
    } = *ended;
    let findings = Findings::of(run);
    let mut conditions = conditions(ended, &findings);
    conditions.retain(|condition| wanted(*condition));
    let main = *conditions.first()?;
    let name = run.name.to_string();
    let failures = failures(run);
    let title = match main {
        AlertCondition::Late => format!("{name} did not end before its deadline"),
        AlertCondition::Failed => format!("{name} failed"),
        AlertCondition::Quality => format!("{name}: {}", findings.summary()),
        AlertCondition::Recovered => format!("{name} succeeded; the run before it had failed"),
    };
    let mut details = match main {
        AlertCondition::Late | AlertCondition::Failed => some(failures, "other tasks failed"),
        AlertCondition::Quality | AlertCondition::Recovered => Vec::new(),
    };
    if main != AlertCondition::Recovered {
        details.extend(some(findings.lines(), "other findings"));
    } else if conditions.contains(&AlertCondition::Quality) {
        details.push(findings.summary());
    }
    Some(Alert {
        id: id(project, event),
        conditions,
        project: project.to_owned(),
        environment: event.environment.to_string(),
        pipeline: run.name.pipeline.to_string(),
        run: name.clone(),
        at_us: event.event.at_us,
        title,
        details,
        command: format!("towpath logs {name} --env {}", event.environment),
    })
}

fn conditions(ended: &EndedRun<'_>, findings: &Findings) -> Vec<AlertCondition> {
    let mut conditions = Vec::new();
    match ended.event.event.kind {
        RunEventKind::RunEnded(RunState::Failed) => {
            let mut codes = ended
                .run
                .tasks
                .iter()
                .filter_map(|task| task.failure.as_ref());
            if codes.any(|failure| failure.code == MISSED_DEADLINE) {
                conditions.push(AlertCondition::Late);
            }
            conditions.push(AlertCondition::Failed);
        }
        RunEventKind::RunEnded(RunState::Succeeded) => {
            if ended.before == Some(RunState::Failed) {
                conditions.push(AlertCondition::Recovered);
            }
        }
        _ => return conditions,
    }
    if !findings.is_empty() {
        conditions.push(AlertCondition::Quality);
    }
    conditions.sort_unstable();
    conditions
}

fn failures(run: &RunRecord) -> Vec<String> {
    let failed = run
        .tasks
        .iter()
        .filter(|task| task.state == TaskState::Failed);
    let mut lines: Vec<String> = Vec::new();
    for (task, failure) in failed.filter_map(|task| Some((&task.id, task.failure.as_ref()?))) {
        lines.push(format!("{task}: {} {}", failure.code, failure.message));
    }
    lines
}

impl Findings {
    fn of(run: &RunRecord) -> Self {
        let mut findings = Self::default();
        for task in &run.tasks {
            // What an earlier run found is not found again.
            let summary = match task.state {
                TaskState::Succeeded | TaskState::Failed => task.outcome.summary(),
                _ => None,
            };
            let summary = summary.and_then(|value| serde_json::from_value(value.clone()).ok());
            if let Some(summary) = summary {
                findings.add(&summary);
            }
        }
        findings
    }

    fn add(&mut self, summary: &OutputSummary) {
        let table = &summary.table;
        for check in &summary.checks {
            let line = format!("{table}: {}", check.message);
            match check.outcome {
                CheckOutcome::Pass => {}
                CheckOutcome::Warn => self.warned.push(line),
                CheckOutcome::Fail => self.failed.push(line),
            }
        }
        for rule in &summary.rules {
            let line = format!(
                "{table}: {}: {} ({} rows)",
                rule.column, rule.message, rule.rows
            );
            match rule.warns {
                true => self.warned.push(line),
                false => self.rejected.push(line),
            }
        }
        self.rows_rejected += summary.rows_rejected;
        if summary.rows_rejected > 0 && summary.rules.iter().all(|rule| rule.warns) {
            let rows = summary.rows_rejected;
            self.rejected
                .push(format!("{table}: {rows} records rejected"));
        }
    }

    fn is_empty(&self) -> bool {
        self.failed.is_empty() && self.warned.is_empty() && self.rows_rejected == 0
    }

    /// `1 check failed, 2 warned, 340 records rejected`
    fn summary(&self) -> String {
        let some = |count: usize, one: &str, many: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {many}")),
        };
        let rejected = usize::try_from(self.rows_rejected).unwrap_or(usize::MAX);
        let parts = [
            some(self.failed.len(), "check failed", "checks failed"),
            some(self.warned.len(), "warning", "warnings"),
            some(rejected, "record rejected", "records rejected"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join(", ")
    }

    fn lines(self) -> Vec<String> {
        let lines = [self.failed, self.warned, self.rejected];
        lines.into_iter().flatten().collect()
    }
}

/// The first lines, each cut, and how many more there are.
fn some(lines: Vec<String>, more: &str) -> Vec<String> {
    let rest = lines.len().saturating_sub(MOST_DETAILS);
    let cut = |line: String| match line.chars().count() > LONGEST_DETAIL {
        true => line.chars().take(LONGEST_DETAIL - 1).chain(['…']).collect(),
        false => line,
    };
    let mut some: Vec<String> = lines.into_iter().take(MOST_DETAILS).map(cut).collect();
    if rest > 0 {
        some.push(format!("and {rest} {more}"));
    }
    some
}

/// The same for every try to send it, in the letters that headers take.
fn id(project: &str, event: &OutboxEvent) -> String {
    let OutboxEvent {
        run, environment, ..
    } = event;
    let text = format!("{project}\n{environment}\n{run}\n{}", event.event.seq);
    let digest = Sha256::digest(text.as_bytes());
    let hex: String = digest
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("alert_{hex}")
}
