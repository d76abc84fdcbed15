//! The commands about schedules: `serve`, `schedule` and `backfill`.

use std::net::SocketAddr;

use clap::{Args, Subcommand, ValueEnum};

use super::{Format, FormatOnly};

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The most runs at once; they share the memory limit.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    /// Where the HTTP API listens; `none` for no API.
    #[arg(long, value_name = "ADDRESS", default_value = towpath_server::DEFAULT_ADDRESS, value_parser = listen)]
    pub(crate) listen: ListenArgument,
    /// A name by which clients may name the server, for example that of a proxy before it; with the port of its pages
    /// if that is not the usual one: NAME:8443. Repeat it for more.
    #[arg(long = "allow-host", value_name = "NAME", value_parser = host_name)]
    pub(crate) hosts: Vec<String>,
    /// Print the link that logs a browser in at the first start, also where the output is no terminal.
    #[arg(long)]
    pub(crate) login_link: bool,
}

/// `ops.example.com` or `ops.example.com:8443`.
fn host_name(text: &str) -> Result<String, String> {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, port.parse::<u16>().is_ok_and(|port| port > 0)),
        None => (text, true),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if port && !name.is_empty() && name.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is not the name of a host: write ops.example.com, or ops.example.com:8443"
    ))
}

/// `127.0.0.1:7450` or `none`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ListenArgument {
    At(SocketAddr),
    None,
}

fn listen(text: &str) -> Result<ListenArgument, String> {
    match text {
        "none" => Ok(ListenArgument::None),
        _ => text.parse().map(ListenArgument::At).map_err(|_| {
            format!("`{text}` is not an address: write 127.0.0.1:7450, [::1]:7450 or none")
        }),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token and print it; it is shown only now.
    #[command(after_help = "Example:\n  towpath token create ci --scope operate")]
    Create {
        /// Its name.
        name: String,
        /// What its holder may do.
        #[arg(long, value_enum)]
        scope: ScopeArgument,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List the tokens, also revoked ones.
    #[command(after_help = "Example:\n  towpath token ls")]
    Ls(FormatOnly),
    /// Revoke a token: it is refused from now on, also by servers that run.
    #[command(after_help = "Example:\n  towpath token revoke ci")]
    Revoke {
        /// Its name.
        name: String,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ScopeArgument {
    /// Look at everything.
    Read,
    /// Also start and cancel runs, pause and resume schedules.
    Operate,
    /// All.
    Admin,
}

#[derive(Debug, Args)]
pub(crate) struct BackfillArguments {
    /// The pipeline.
    #[arg(required = true)]
    pub(crate) pipeline: Option<String>,
    /// No interval begins before this day or time, in the time zone of the schedule: 2026-01-01.
    #[arg(long, value_name = "DATE", required = true)]
    pub(crate) from: Option<String>,
    /// No interval ends after this time, or after the end of this day: 2026-01-31.
    #[arg(long, value_name = "DATE", required = true)]
    pub(crate) to: Option<String>,
    /// Intervals of this length from `--from` on, instead of those of the schedule: 1h, 24h.
    #[arg(long, value_name = "TIME", value_parser = super::run::duration)]
    pub(crate) every: Option<std::time::Duration>,
    /// The most runs of it at once; runs of one pipeline never overlap, so only 1 is possible.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) parallel: u16,
    /// Which interval comes first.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) order: BackfillOrderArgument,
    /// What happens to an interval that has had a run.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) on_existing: OnExistingArgument,
    /// Show the intervals that would be run, and why others would not; creates nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(subcommand)]
    pub(crate) command: Option<BackfillCommand>,
}

/// Which interval comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackfillOrderArgument {
    /// The oldest one.
    #[default]
    Oldest,
    /// The newest one.
    Newest,
}

/// What happens to an interval that has had a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnExistingArgument {
    /// It is skipped.
    #[default]
    Skip,
    /// It is run again.
    Rerun,
    /// It is run again if no run of it ended well.
    RerunFailed,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackfillCommand {
    /// List the backfills, newest first.
    #[command(after_help = "Example:\n  towpath backfill ls")]
    Ls(FormatOnly),
    /// Show a backfill with all its intervals.
    #[command(after_help = "Example:\n  towpath backfill show 1")]
    Show(BackfillShow),
    /// Pause a backfill: no run of it begins.
    #[command(after_help = "Example:\n  towpath backfill pause 1 --reason \"the database moves\"")]
    Pause(BackfillNumber),
    /// Let a paused backfill go on.
    #[command(after_help = "Example:\n  towpath backfill resume 1")]
    Resume(BackfillNumber),
    /// Skip all that waits in a backfill.
    #[command(after_help = "Example:\n  towpath backfill cancel 1")]
    Cancel(BackfillNumber),
}

#[derive(Debug, Args)]
pub(crate) struct BackfillShow {
    /// The number of the backfill.
    pub(crate) number: u64,
    /// Format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct BackfillNumber {
    /// The number of the backfill.
    pub(crate) number: u64,
    /// Why; it is kept with the change.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List the schedules: the next run, and the last interval.
    #[command(after_help = "Example:\n  towpath schedule ls")]
    Ls {
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Pause the schedule of a pipeline: no run of it begins. Runs that have begun go on.
    ///
    /// A schedule that is paused already gets the new time and reason.
    #[command(
        after_help = "Example:\n  towpath schedule pause nycflights --until 2026-04-01 --reason \"the database moves\""
    )]
    Pause {
        /// The pipeline.
        pipeline: String,
        /// Go on by itself at this day or time, in the time zone of the schedule: 2026-04-01.
        #[arg(long, value_name = "DATE")]
        until: Option<String>,
        /// Why; it is shown wherever something waits because of it.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Let a paused schedule go on. Its `catchup` decides about the intervals that were due meanwhile.
    #[command(after_help = "Example:\n  towpath schedule resume nycflights")]
    Resume {
        /// The pipeline.
        pipeline: String,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show who paused and resumed the schedule of a pipeline, when and why.
    #[command(after_help = "Example:\n  towpath schedule events nycflights")]
    Events {
        /// The pipeline.
        pipeline: String,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show the next runs of a pipeline, each with its interval, in the time zone of the schedule.
    #[command(after_help = "Example:\n  towpath schedule preview nycflights --next 20")]
    Preview {
        /// The pipeline.
        pipeline: String,
        /// Show this many.
        #[arg(long, value_name = "N", default_value_t = 10)]
        next: usize,
        /// Begin after this day, in the time zone of the schedule: 2026-03-28; default: now.
        #[arg(long, value_name = "DATE")]
        after: Option<String>,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}
