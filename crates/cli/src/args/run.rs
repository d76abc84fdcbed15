//! Arguments of the commands that plan, run and rerun a pipeline, and print the logs of a run.
//!
//! It declares them and reads no file. Read next: `args.rs` (all commands), `commands/run.rs`.

use std::time::Duration;

use clap::{ArgGroup, Args};

use super::{Format, pair};

/// Which tasks: dbt's selection grammar.
#[derive(Debug, Default, Args)]
pub(crate) struct SelectionArguments {
    /// Only these tasks: raw.flights, marts, +x (what x needs), x+ (what needs x), 1+x+2, @x, marts.*,
    /// step:, source:, path:, connection:, pipeline:, resource_type:. A space means union, a comma
    /// intersection.
    #[arg(short, long, value_name = "SELECTOR", num_args = 1..)]
    pub(crate) select: Vec<String>,
    /// All tasks except these; the same grammar.
    #[arg(long, value_name = "SELECTOR", num_args = 1..)]
    pub(crate) exclude: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// The pipeline, or one step of it; default: all pipelines.
    #[arg(value_name = "PIPELINE[.STEP]")]
    pub(crate) pipeline_or_step: Option<String>,
    #[command(flatten)]
    pub(crate) choice: SelectionArguments,
    /// Show where each setting of a table comes from.
    #[arg(long, value_name = "TABLE")]
    pub(crate) explain: Option<String>,
    /// Set a parameter.
    #[arg(long = "param", value_name = "K=V", value_parser = pair)]
    pub(crate) params: Vec<(String, String)>,
    /// Format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The pipeline, or one step of it; optional if the project has only one pipeline.
    #[arg(value_name = "PIPELINE[.STEP]")]
    pub(crate) pipeline_or_step: Option<String>,
    /// Run all pipelines, one after the other: a pipeline runs after the pipelines whose tables it reads.
    #[arg(long, conflicts_with_all = ["pipeline_or_step", "select", "exclude"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) choice: SelectionArguments,
    /// Read all sources from the start and build all tables again.
    #[arg(long)]
    pub(crate) full_refresh: bool,
    /// Read at most about this many rows per load into a sample next to the lakehouse. No table is changed,
    /// nothing is published and no command runs. To query the sample: towpath query --sample.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Set a parameter.
    #[arg(long = "param", value_name = "K=V", value_parser = pair)]
    pub(crate) params: Vec<(String, String)>,
    /// Set the limit for bad rows for this run only: raw.weather=6% or raw.weather=100.
    #[arg(long, value_name = "T=LIMIT", value_parser = pair)]
    pub(crate) fail_above: Vec<(String, String)>,
    /// Set the limit for rows that are gone from the source for this run only: raw.customers=100%.
    #[arg(long, value_name = "T=LIMIT", value_parser = pair)]
    pub(crate) delete_above: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) wait: WaitArgument,
    /// Format of the report.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// `--wait`, `--wait=10m`.
#[derive(Debug, Args)]
pub(crate) struct WaitArgument {
    /// If another run of the pipeline is in progress, wait for it, at most for the given time: --wait=10m.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = duration)]
    pub(crate) wait: Option<Option<Duration>>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("part").args(["failed", "from"]))]
pub(crate) struct RerunArguments {
    /// The run, for example shop#212; default: the newest run.
    pub(crate) run: Option<String>,
    /// Only tasks that did not succeed, and the tasks that depend on them.
    #[arg(long)]
    pub(crate) failed: bool,
    /// Only this step and all steps after it.
    #[arg(long, value_name = "STEP")]
    pub(crate) from: Option<String>,
    #[command(flatten)]
    pub(crate) wait: WaitArgument,
    /// Format of the report.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArguments {
    /// The run, for example shop#212.
    pub(crate) run: String,
    /// Give its tasks no time to stop cleanly.
    #[arg(long)]
    pub(crate) now: bool,
    /// Format of the report.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// The run, or one of its tasks, tables or steps: shop#212, shop#212.raw.orders; default: the
    /// newest run.
    #[arg(value_name = "RUN[.TASK]")]
    pub(crate) run: Option<String>,
    /// Print new lines until the run ends; if the run has not started yet, wait for it.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Format of the output; with --follow, one JSON object per line.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// `30s`, `10m`, `2h`; a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("" | "s") => Some(1),
        Some("m" | "min") => Some(60),
        Some("h") => Some(3600),
        Some("d") => Some(86_400),
        _ => None,
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .zip(unit)
        .and_then(|(number, unit)| number.checked_mul(unit))
        .map(Duration::from_secs)
        .ok_or_else(|| format!("`{text}` is not a duration: write 30s, 10m or 2h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for wrong in ["", "m", "-1s", "1y", "1.5h", "99999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
