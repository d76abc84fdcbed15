//! The commands about schedules: `serve` and `schedule`.

use clap::{Args, Subcommand};

use super::Format;

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The most runs at once; they share the memory limit.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
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
