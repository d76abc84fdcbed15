//! The commands that plan, run, run again and show what a run said.

use std::time::Duration;

use clap::{ArgGroup, Args};

use super::{Format, pair};

/// Which tasks: dbt's selection grammar.
#[derive(Debug, Default, Args)]
pub(crate) struct ChoiceArguments {
    /// Only these: raw.flights, marts, +x (what it needs), x+ (what needs it), 1+x+2, @x, marts.*,
    /// step:, source:, path:, connection:, pipeline:, resource_type:. A blank adds, a comma
    /// intersects.
    #[arg(short, long, value_name = "WORDS", num_args = 1..)]
    pub(crate) select: Vec<String>,
    /// All but these; the same words.
    #[arg(long, value_name = "WORDS", num_args = 1..)]
    pub(crate) exclude: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// PIPELINE or PIPELINE.STEP; default: all pipelines.
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) choice: ChoiceArguments,
    /// Where each setting of a table comes from.
    #[arg(long, value_name = "TABLE")]
    pub(crate) explain: Option<String>,
    /// Set a parameter.
    #[arg(long = "param", value_name = "K=V", value_parser = pair)]
    pub(crate) params: Vec<(String, String)>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// PIPELINE or PIPELINE.STEP; may be left out when there is one pipeline.
    pub(crate) target: Option<String>,
    /// Run every pipeline, one after the other, each after those that write what it reads.
    #[arg(long, conflicts_with_all = ["target", "select", "exclude"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) choice: ChoiceArguments,
    /// Read and build everything anew.
    #[arg(long)]
    pub(crate) full_refresh: bool,
    /// Read at most about this many rows per load, into a sample beside the lakehouse: no table is
    /// changed, nothing is sent out and no program is started. Look: towpath query --sample.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Set a parameter.
    #[arg(long = "param", value_name = "K=V", value_parser = pair)]
    pub(crate) params: Vec<(String, String)>,
    /// Another limit for bad rows, for this run only: raw.weather=6% or raw.weather=100.
    #[arg(long, value_name = "T=LIMIT", value_parser = pair)]
    pub(crate) fail_above: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) wait: WaitArgument,
    /// Form of the report.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// `--wait`, `--wait=10m`.
#[derive(Debug, Args)]
pub(crate) struct WaitArgument {
    /// While another run of the pipeline goes on, wait until it ends, or so long: --wait=10m.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = duration)]
    pub(crate) wait: Option<Option<Duration>>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("part").args(["failed", "from"]))]
pub(crate) struct RerunArguments {
    /// The run: shop#212; default: the newest.
    pub(crate) run: Option<String>,
    /// Only tasks that did not end well, and what depends on them.
    #[arg(long)]
    pub(crate) failed: bool,
    /// Only this step, and everything after it.
    #[arg(long, value_name = "STEP")]
    pub(crate) from: Option<String>,
    #[command(flatten)]
    pub(crate) wait: WaitArgument,
    /// Form of the report.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// The run, or one of its tasks, tables or steps: shop#212, shop#212.raw.orders; default: the
    /// newest run.
    #[arg(value_name = "RUN[.TASK]")]
    pub(crate) run: Option<String>,
    /// Go on with new lines until the run ends; a run that has not begun yet is waited for.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Form of the output; with --follow one JSON object per line.
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
        .ok_or_else(|| format!("`{text}` is no time: 30s, 10m, 2h"))
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
