//! `backfill`: which past intervals of a pipeline are to be run, and what has become of them.
//!
//! Promise: a dry run lists what the backfill would do, each interval with the reason where it is skipped. An
//! interval that the schedule runs is left to it. It runs nothing: `towpath serve` does, after what the
//! schedules have due. Read next: `state/src/backfills.rs`, `orchestrator::Scheduler`.

use std::collections::BTreeSet;

use serde::Serialize;
use towpath_orchestrator::{due, in_force, parallel_backfill};
use towpath_ports::{
    BackfillChange, BackfillInterval, BackfillOrder, BackfillPlan, BackfillRecord, BackfillSkip,
    BackfillState, IntervalState, NewBackfill, OnExisting, PastRuns, ScheduleEvent, ScheduleRecord,
    ScheduleUpdate, ScheduledInterval,
};
use towpath_schedule::{Timetable, local_date_us, local_time_us};
use towpath_vocab::{
    Action, Catchup, DstGap, DstOverlap, Failure, Interval, Overlap, PipelineName, Plan,
    Recurrence, Remedy, SchedulePlan,
};

use crate::Result;
use crate::names::pipeline_called;
use crate::pause::{stored, user};
use crate::schedule::schedule_of;
use crate::services::ProjectServices;

/// The most intervals of one backfill.
const MOST_INTERVALS: usize = 10_000;

/// What a user asks for.
#[derive(Clone, Debug, Default)]
pub struct BackfillRequest {
    /// The pipeline.
    pub pipeline: String,
    /// `--from`: no interval begins before this day or time.
    pub from: String,
    /// `--to`: no interval ends after this time, or after the end of this day.
    pub to: String,
    /// `--every`: intervals of this length, instead of those of the schedule.
    pub every_ms: Option<u64>,
    /// `--parallel`.
    pub parallel: u16,
    /// `--order`.
    pub order: BackfillOrder,
    /// `--on-existing`.
    pub on_existing: OnExisting,
    /// `--dry-run`.
    pub dry_run: bool,
}

/// A backfill that was created, or would be.
#[derive(Clone, Debug, Serialize)]
pub struct BackfillReport {
    /// Version of this form; 1.
    pub version: u32,
    /// Its number; none after a dry run, or when there is nothing to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The pipeline.
    pub pipeline: String,
    /// The time zone of the schedule.
    pub timezone: String,
    /// Its intervals, in the order in which they are run.
    pub intervals: Vec<BackfillInterval>,
    /// What the user should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl BackfillReport {
    /// How many intervals get a run.
    pub fn due(&self) -> usize {
        let intervals = self.intervals.iter();
        intervals.filter(|one| one.reason.is_none()).count()
    }
}

/// A backfill with all that is known about it.
#[derive(Clone, Debug, Serialize)]
pub struct BackfillDetails {
    /// Version of this form; 1.
    pub version: u32,
    /// The backfill.
    pub backfill: BackfillRecord,
    /// Its intervals, in the order in which they are run.
    pub intervals: Vec<BackfillInterval>,
    /// What users did to it.
    pub events: Vec<ScheduleEvent>,
}

/// Creates a backfill, or says what it would do.
///
/// # Errors
/// R0920 when there is no such pipeline, R0922 when it has no schedule and no length is given, R0900 when the
/// range cannot be used, R0715 when runs are to overlap.
pub async fn backfill(
    services: &ProjectServices,
    plan: &Plan,
    request: &BackfillRequest,
) -> Result<BackfillReport> {
    if request.parallel > 1 {
        return Err(parallel_backfill(request.parallel));
    }
    let (asked, found) = asked(plan, request)?;
    let name = PipelineName::new(request.pipeline.as_str());
    let live = live(services, plan, request).await?;
    let reasons = found.into_iter();
    let reasons = reasons.map(|interval| (interval, live.skip(&asked, interval)));
    let mut report = BackfillReport {
        version: 1,
        number: None,
        pipeline: request.pipeline.clone(),
        timezone: asked.timezone.clone(),
        intervals: classified(services, plan, &name, &asked, reasons.collect()).await?,
        notes: notes(plan, &request.pipeline),
    };
    if request.dry_run || report.due() == 0 {
        return Ok(report);
    }
    let intervals = report.intervals.iter().map(|one| {
        // The state store looks at the runs once more when it creates the backfill.
        let kept = [BackfillSkip::Scheduled, BackfillSkip::NotDue];
        (
            one.interval,
            one.reason.filter(|reason| kept.contains(reason)),
        )
    });
    let new = NewBackfill {
        pipeline: name,
        environment: plan.environment.clone(),
        plan: asked,
        by: user(services),
        intervals: intervals.collect(),
    };
    let number = services.store.create_backfill(new).await?;
    report.intervals = services
        .store
        .backfill_intervals(&plan.environment, number)
        .await?;
    report.number = Some(number);
    Ok(report)
}

/// All backfills, newest first.
///
/// # Errors
/// Those of the state store.
pub async fn backfills(services: &ProjectServices, plan: &Plan) -> Result<Vec<BackfillRecord>> {
    services.store.backfills(&plan.environment).await
}

/// One backfill.
///
/// # Errors
/// R0813 when there is no such backfill.
pub async fn backfill_show(
    services: &ProjectServices,
    plan: &Plan,
    number: u64,
) -> Result<BackfillDetails> {
    let (store, environment) = (&services.store, &plan.environment);
    Ok(BackfillDetails {
        version: 1,
        backfill: store.backfill(environment, number).await?,
        intervals: store.backfill_intervals(environment, number).await?,
        events: store.backfill_events(environment, number).await?,
    })
}

/// Pauses, resumes or cancels a backfill; returns it, and whether anything has changed.
///
/// # Errors
/// R0813 when there is no such backfill.
pub async fn backfill_change(
    services: &ProjectServices,
    plan: &Plan,
    number: u64,
    state: BackfillState,
    reason: Option<String>,
) -> Result<(BackfillDetails, bool)> {
    let change = BackfillChange {
        environment: plan.environment.clone(),
        number,
        state,
        by: user(services),
        reason,
    };
    let changed = services.store.change_backfill(change).await?;
    Ok((backfill_show(services, plan, number).await?, changed))
}

/// What was asked for, and its intervals in the order in which they are run.
fn asked(plan: &Plan, request: &BackfillRequest) -> Result<(BackfillPlan, Vec<Interval>)> {
    pipeline_called(plan, &request.pipeline)?;
    let (zone, table) = match (schedule_of(plan, &request.pipeline), request.every_ms) {
        (Ok(scheduled), _) => (scheduled.plan.timezone, Some(scheduled.table)),
        (Err(_), Some(_)) => ("UTC".to_owned(), None),
        (Err(failure), None) => return Err(failure),
    };
    let range = range(request, &zone)?;
    let table = match (table, request.every_ms) {
        (Some(table), None) => table,
        (_, every_ms) => every(every_ms.unwrap_or_default(), range, &zone)?,
    };
    let found = table.intervals_in(range).take(MOST_INTERVALS + 1);
    let mut found: Vec<Interval> = found.collect();
    if found.len() > MOST_INTERVALS {
        let message = format!("more than {MOST_INTERVALS} intervals lie in this range");
        return Err(wrong(message));
    }
    if request.order == BackfillOrder::Newest {
        found.reverse();
    }
    let asked = BackfillPlan {
        range,
        timezone: zone,
        every_ms: request.every_ms,
        order: request.order,
        on_existing: request.on_existing,
    };
    Ok((asked, found))
}

/// From the first moment of `--from` to the last one of `--to`.
fn range(request: &BackfillRequest, zone: &str) -> Result<Interval> {
    let refused = |key: &str, text: &str| wrong(format!("{key}: `{text}` is not a date"));
    let time = |text: &str| local_time_us(text, zone).ok().flatten();
    let day = |text: &str| local_date_us(text, zone).ok().flatten();
    let start_us = time(&request.from).ok_or_else(|| refused("--from", &request.from))?;
    let end_us = day(&request.to).or_else(|| time(&request.to));
    let end_us = end_us.ok_or_else(|| refused("--to", &request.to))?;
    match start_us < end_us {
        true => Ok(Interval { start_us, end_us }),
        false => Err(wrong("`--to` is before `--from`".to_owned())),
    }
}

fn wrong(message: String) -> Failure {
    Failure::new("R0900", Remedy::FixConfig, message)
        .help("example: towpath backfill shop --from 2026-01-01 --to 2026-01-31")
}

/// Intervals of one length, from the beginning of a range.
fn every(every_ms: u64, range: Interval, zone: &str) -> Result<Timetable> {
    let plan = SchedulePlan {
        recurrence: Recurrence::EveryMs(every_ms),
        timezone: zone.to_owned(),
        start_us: Some(range.start_us),
        end_us: None,
        catchup: Catchup::None,
        overlap: Overlap::Queue,
        deadline_ms: None,
        dst_gap: DstGap::Shift,
        dst_overlap: DstOverlap::First,
    };
    Timetable::new(&plan).map_err(|error| wrong(format!("--every: {error}")))
}

/// What the schedule has decided.
struct Live {
    record: Option<ScheduleRecord>,
    now_us: i64,
}

impl Live {
    /// Why an interval is left to the schedule, or comes later.
    fn skip(&self, asked: &BackfillPlan, interval: Interval) -> Option<BackfillSkip> {
        if interval.end_us > self.now_us {
            return Some(BackfillSkip::NotDue);
        }
        let record = self.record.as_ref()?;
        let undecided = asked.every_ms.is_none() && interval.end_us > record.decided_us;
        let open = record.open.iter().any(|open| open.interval == interval);
        (undecided || open).then_some(BackfillSkip::Scheduled)
    }
}

/// The schedule after it has decided all that is due, so that the backfill knows what is left. A dry run only
/// says what it would decide. A schedule that was never served begins here, so that the server that serves it
/// later leaves to the backfill what the backfill was given.
async fn live(services: &ProjectServices, plan: &Plan, request: &BackfillRequest) -> Result<Live> {
    let scheduled = schedule_of(plan, &request.pipeline).ok();
    // Intervals of another length are not those of the schedule.
    let scheduled = scheduled.filter(|_| request.every_ms.is_none());
    let (mut record, mut now_us) = stored(services, plan, &request.pipeline).await?;
    loop {
        let update = match &record {
            // What a removed schedule left undecided is never decided.
            Some(record) if record.removed_us.is_some() => None,
            Some(record) => in_force(record).and_then(|one| due(&one, Some(record), now_us)),
            None => scheduled.as_ref().and_then(|one| due(one, None, now_us)),
        };
        let Some(update) = update else {
            break;
        };
        if request.dry_run {
            record = Some(taken(record, &update));
        } else {
            services.store.update_schedule(update).await?;
            (record, now_us) = stored(services, plan, &request.pipeline).await?;
        }
    }
    record = record.filter(|record| record.removed_us.is_none());
    Ok(Live { record, now_us })
}

/// A schedule after a decision that is not written.
fn taken(before: Option<ScheduleRecord>, update: &ScheduleUpdate) -> ScheduleRecord {
    let mut open = before.map_or_else(Vec::new, |before| before.open);
    open.retain(|one| {
        let mut skipped = update.skipped.iter();
        !skipped.any(|(end_us, _)| *end_us == one.interval.end_us)
    });
    let waiting = update.due.iter().filter(|one| one.skip.is_none());
    open.extend(waiting.map(|one| ScheduledInterval {
        pipeline: update.pipeline.clone(),
        interval: one.interval,
        state: IntervalState::Waiting,
        reason: None,
        intervals: 1,
        run: None,
        backfill: None,
    }));
    ScheduleRecord {
        pipeline: update.pipeline.clone(),
        environment: update.environment.clone(),
        plan: update.plan.clone(),
        decided_us: update.decided_us,
        since_us: update.since_us,
        queued_us: update.queued_us,
        removed_us: update.removed_us,
        paused: update.paused.clone(),
        fence: update.fence.unwrap_or(0),
        open,
    }
}

/// The intervals with the reasons for those that get no run: also what has run, and what waits in another
/// backfill.
async fn classified(
    services: &ProjectServices,
    plan: &Plan,
    name: &PipelineName,
    asked: &BackfillPlan,
    intervals: Vec<(Interval, Option<BackfillSkip>)>,
) -> Result<Vec<BackfillInterval>> {
    let (store, environment) = (&services.store, &plan.environment);
    let runs = store.interval_runs(environment, name, asked.range).await?;
    let runs = PastRuns::new(runs);
    let mut elsewhere = BTreeSet::new();
    for other in store.backfills(environment).await? {
        // A run that goes on after a cancel is found among the runs.
        let cancelled = other.state == BackfillState::Cancelled;
        if other.pipeline != *name || other.has_ended() || cancelled {
            continue;
        }
        let open = store.backfill_intervals(environment, other.number).await?;
        let open = open
            .into_iter()
            .filter(|one| matches!(one.state, IntervalState::Waiting | IntervalState::Running));
        elsewhere.extend(open.map(|one| one.interval));
    }
    let intervals = intervals.into_iter().map(|(interval, reason)| {
        let existing = runs.skip(asked.on_existing, interval);
        let other = elsewhere.contains(&interval);
        let other = other.then_some(BackfillSkip::OtherBackfill);
        let reason = reason.or(other).or(existing);
        BackfillInterval {
            interval,
            state: match reason {
                Some(_) => IntervalState::Skipped,
                None => IntervalState::Waiting,
            },
            reason,
            run: runs.last(interval).cloned(),
        }
    });
    Ok(intervals.collect())
}

/// Loads and models do not know the interval of their run.
fn notes(plan: &Plan, pipeline: &str) -> Vec<String> {
    let mut pipelines = plan.pipelines.iter();
    let found = pipelines.find(|one| one.name.as_str() == pipeline);
    let has_command = found.is_some_and(|found| {
        let mut tasks = found.tasks.iter();
        tasks.any(|task| {
            matches!(
                task.action,
                Action::Command(_) | Action::Sql(_) | Action::Http(_)
            )
        })
    });
    match has_command {
        true => Vec::new(),
        false => vec![format!(
            "only `command`, `sql` and `http` steps get the interval of a run, and `{pipeline}` has none: each run does the same as \
             `towpath run {pipeline}`"
        )],
    }
}
