//! The `schedule` of a pipeline: a cron expression or a fixed interval, with its zone and its policies.
//!
//! Promise: every mistake in it is found at once, each with its place; a local time becomes a moment here,
//! so that all machines run at the same moments. It does not know what is due. Read next: the crate
//! `towpath-schedule`.

use towpath_schedule::{ScheduleError, Timetable, local_date_us, local_time_us, zone_names};
use towpath_vocab::{Catchup, DstGap, DstOverlap, Overlap, Recurrence, SchedulePlan};

use crate::report::{FileRange, Report};
use crate::value;
use crate::yaml::Node;

const ZONE: &str = "UTC";
const EXAMPLE: &str =
    "example: schedule: { cron: 0 2 * * *, timezone: Europe/Berlin, start: 2026-01-01 }";

/// The schedule of a pipeline, if it has one.
pub(crate) fn plan(pipeline: &Node, report: &mut Report) -> Option<SchedulePlan> {
    let node = pipeline.get("schedule").filter(|node| !node.is_null())?;
    let cron = match node.text() {
        Some("continuous") => {
            let message = "`schedule: continuous` is not supported in this version";
            report
                .error("P0115", node.at, message)
                .help("a short interval comes near: schedule: { every: 10s }");
            return None;
        }
        Some(_) => Some(node),
        None => node.get("cron"),
    };
    let every = node.get("every");
    let recurrence = match (cron, every) {
        (Some(cron), None) => Recurrence::Cron(cron.text()?.to_owned()),
        (None, Some(every)) => Recurrence::EveryMs(value::duration_ms(every.text()?)?),
        (None, None) => {
            let message = "a schedule has `cron` or `every`";
            report.error("P0152", node.at.head(), message).help(EXAMPLE);
            return None;
        }
        (Some(_), Some(every)) => {
            let message = "a schedule has either `cron` or `every`, not both";
            report.error("P0152", every.at, message).help(EXAMPLE);
            return None;
        }
    };
    let mut timezone = node.get_text("timezone").unwrap_or(ZONE).to_owned();
    // The other settings are read in any case, so that all mistakes are found.
    if let Err(error) = local_time_us("2026-01-01", &timezone) {
        wrong(node, node, &error, report);
        ZONE.clone_into(&mut timezone);
    }
    let catchup = catchup(node);
    let plan = SchedulePlan {
        recurrence,
        start_us: moment(node, "start", &timezone, report),
        end_us: moment(node, "end", &timezone, report),
        timezone,
        catchup,
        overlap: overlap(node, catchup, report),
        deadline_ms: deadline_ms(node, report),
        dst_gap: match node.get_text("dst_gap") {
            Some("skip") => DstGap::Skip,
            _ => DstGap::Shift,
        },
        dst_overlap: match node.get_text("dst_overlap") {
            Some("last") => DstOverlap::Last,
            Some("both") => DstOverlap::Both,
            _ => DstOverlap::First,
        },
    };
    let place = cron.or(every).unwrap_or(node);
    match Timetable::new(&plan) {
        Ok(table) => agrees(node, &plan, &table, report),
        Err(error) => wrong(node, place, &error, report),
    }
    Some(plan)
}

fn catchup(node: &Node) -> Catchup {
    match node.get_text("catchup") {
        Some("none") => Catchup::None,
        Some("all") => Catchup::All,
        _ => Catchup::Latest,
    }
}

/// What an earlier run does that has not ended. Without a word: each interval waits where each one is to
/// run, else the last one.
fn overlap(node: &Node, catchup: Catchup, report: &mut Report) -> Overlap {
    let Some(said) = node.get("overlap") else {
        return match catchup {
            Catchup::All => Overlap::Queue,
            Catchup::None | Catchup::Latest => Overlap::KeepLatest,
        };
    };
    let overlap = match said.text() {
        Some("skip") => Overlap::Skip,
        Some("keep_latest") => Overlap::KeepLatest,
        Some("queue") => Overlap::Queue,
        Some("cancel_running") => Overlap::CancelRunning,
        Some("terminate_running") => Overlap::TerminateRunning,
        other => {
            let other = other.unwrap_or_default();
            let message = format!("`overlap: {other}` is not supported in this version");
            report
                .error("P0115", said.at, message)
                .help("two runs of one pipeline would write the same tables at once, and the later commit would win, whichever interval it is about")
                .help("write `queue`, `keep_latest`, `skip`, `cancel_running` or `terminate_running`");
            Overlap::Queue
        }
    };
    if catchup == Catchup::All && overlap != Overlap::Queue {
        let message = "`catchup: all` runs every interval, and this `overlap` skips some";
        report
            .error("P0152", said.at, message)
            .help("write `overlap: queue`, or `catchup: latest`");
    }
    overlap
}

/// How long a run may take.
fn deadline_ms(node: &Node, report: &mut Report) -> Option<u64> {
    let said = node.get("deadline")?;
    let found = value::duration_ms(said.text()?)?;
    if found == 0 {
        let message = "with `deadline: 0` every run would fail";
        report
            .error("P0152", said.at, message)
            .help("write how long a run may take: deadline: 2h; without it there is no limit");
    }
    Some(found)
}

/// `start` is the first moment of its day, `end` the last one.
fn moment(node: &Node, key: &str, timezone: &str, report: &mut Report) -> Option<i64> {
    let said = node.get(key)?;
    let text = said.text()?;
    let day = match key {
        "end" => local_date_us(text, timezone).ok()?,
        _ => None,
    };
    let found = day.or(local_time_us(text, timezone).ok()?);
    if found.is_none() {
        report
            .error(
                "P0152",
                said.at,
                format!("`{text}` is not a date or a time"),
            )
            .help(format!(
                "write {key}: 2026-01-01, or {key}: 2026-01-01T06:00:00"
            ));
    }
    found
}

/// Settings that have no effect, or leave nothing to run.
fn agrees(node: &Node, plan: &SchedulePlan, table: &Timetable, report: &mut Report) {
    for key in ["dst_gap", "dst_overlap"] {
        if let Some(said) = node.get(key).filter(|_| !table.has_fixed_hours()) {
            let message = format!("`{key}` has no effect on this schedule");
            report
                .error("P0152", said.at, message)
                .help("only a cron expression with listed hours (`0 2 * * *`) names times that the clock skips or repeats; the others follow the time that passes");
        }
    }
    let (Some(start_us), Some(end_us)) = (plan.start_us, plan.end_us) else {
        return;
    };
    if table.intervals(start_us.saturating_sub(1)).next().is_none() {
        let at = node.get("end").map_or(node.at, |end| end.at);
        let message = match start_us < end_us {
            true => "no interval lies between `start` and `end`",
            false => "`end` is not after `start`",
        };
        report.error("P0152", at, message).help(EXAMPLE);
    }
}

fn wrong(node: &Node, place: &Node, error: &ScheduleError, report: &mut Report) {
    match error {
        ScheduleError::Cron {
            start, end, help, ..
        } => {
            let text = place.text().unwrap_or_default();
            let at = match start == end {
                true => place.at,
                false => place.at.inside(text, *start, *end),
            };
            report
                .error("P0150", at, error.to_string())
                .help(help.clone());
        }
        ScheduleError::Never(_) => {
            report
                .error("P0150", place.at, error.to_string())
                .help("no month has such a day");
        }
        ScheduleError::TooShort => {
            report
                .error("P0152", place.at, error.to_string())
                .help("example: schedule: { every: 10s }");
        }
        ScheduleError::Zone(name) => unknown_zone(node, name, report),
    }
}

fn unknown_zone(node: &Node, name: &str, report: &mut Report) {
    let at: FileRange = node.get("timezone").map_or(node.at, |zone| zone.at);
    let names = zone_names();
    report
        .error("P0151", at, format!("there is no time zone `{name}`"))
        .suggest(name, names.iter().map(String::as_str), "time zones")
        .help("a name of the IANA database: Europe/Berlin, America/New_York, UTC");
}
