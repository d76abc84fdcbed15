//! The command line, declared with clap. Every command has an example in its help.
//!
//! This file has the arguments of the commands that show and query a project; `args/run.rs` has those that
//! plan and run it, `args/outside.rs` those that create a project or contact external systems. Read next:
//! `commands/dispatch.rs`, which calls the commands.

mod outside;
mod run;
mod schedule;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use outside::{
    AlertsCommand, ConnectionCommand, InitArguments, LakeCommand, Page, ReferenceArguments,
    SchemaArguments, SchemaOf,
};
pub(crate) use run::{
    CancelArguments, LogsArguments, PlanArguments, RerunArguments, RunArguments,
    SelectionArguments, WaitArgument,
};
pub(crate) use schedule::{
    BackfillArguments, BackfillCommand, BackfillNumber, BackfillOrderArgument, ListenArgument,
    OnExistingArgument, ScheduleCommand, ScopeArgument, ServeArguments, TokenCommand,
};

/// Moves data from source systems to where it is used, checks it before it becomes visible, and explains what it did.
#[derive(Debug, Parser)]
#[command(
    name = "towpath",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    /// The project folder; default: the current folder or the nearest parent folder with a towpath.yml.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,

    /// The environment; default: the one that the project sets.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) env: Option<String>,

    /// Print log lines to standard error; repeat it (-vv) for details and library logs.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Print only failures: no progress and no report of what succeeded.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Format of progress and log lines on standard error.
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        default_value_t
    )]
    pub(crate) log_format: LogFormat,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find every mistake in the project at once; contacts no system unless `--connect` is given.
    #[command(
        after_help = "Example:\n  towpath check\n  towpath check --connect\n  towpath check --explain P0102"
    )]
    Check(CheckArguments),

    /// Show what a run would do and why; changes nothing.
    #[command(
        after_help = "Example:\n  towpath plan nycflights\n  towpath plan --select +marts.weather_delay"
    )]
    Plan(PlanArguments),

    /// Run a pipeline now.
    #[command(
        after_help = "Example:\n  towpath run\n  towpath run nycflights.extract --full-refresh\n  towpath run --select raw.flights+ --exclude step:reports\n  towpath run --wait=10m\n  towpath run --fail-above raw.weather=6%"
    )]
    Run(RunArguments),

    /// Run a past run again: its tasks, parameters and environment, as a new run.
    ///
    /// Tables that are replaced or merged are written again; models and commands run again. An incremental
    /// load continues from its last position. Nothing is appended twice: what a load or a command appended
    /// in that run or a later one stays as it is while its source is unchanged. The new run uses the
    /// current project files. To read everything again: towpath run --full-refresh.
    #[command(
        after_help = "Example:\n  towpath rerun\n  towpath rerun nycflights#12 --failed\n  towpath rerun nycflights#12 --from build"
    )]
    Rerun(RerunArguments),

    /// Stop a run, whichever process carries it out, and wait until it has ended.
    ///
    /// What it has committed stays, no partial result is visible, and the programs that it started are gone. If the
    /// schedule began it, its interval is skipped; `towpath rerun RUN --failed` does what it has not done. A run
    /// whose process has died, or does not renew its lease, ends at once.
    #[command(
        after_help = "Example:\n  towpath cancel nycflights#12\n  towpath cancel nycflights#12 --now"
    )]
    Cancel(CancelArguments),

    /// Have past intervals of a pipeline run: create, list, show, pause, resume, cancel.
    ///
    /// `towpath serve` runs them one after the other, each once, after what the schedules have due. An
    /// interval that the schedule runs is left to it.
    #[command(
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true,
        after_help = "Example:\n  towpath backfill nycflights --from 2026-01-01 --to 2026-01-31 --dry-run\n  towpath backfill nycflights --from 2026-01-01 --to 2026-01-31\n  towpath backfill show 1"
    )]
    Backfill(BackfillArguments),

    /// Run the scheduled pipelines: scheduler, workers and HTTP API in one process.
    ///
    /// Each interval of each schedule gets one run, also if the process is killed and started again, or if
    /// several processes serve the project. A change of the project's files is noticed within seconds,
    /// and each run reads the project anew. Ctrl-C once: nothing new begins and the runs end; twice: the
    /// runs are stopped and resumed later. The HTTP API listens on this machine only, and needs a token:
    /// towpath token create.
    #[command(
        after_help = "Example:\n  towpath serve\n  towpath serve --env prod --runs 4\n  towpath serve --listen none"
    )]
    Serve(ServeArguments),

    /// Create, list and revoke the tokens of the HTTP API.
    #[command(
        subcommand,
        after_help = "Example:\n  towpath token create ci --scope operate\n  towpath token ls"
    )]
    Token(TokenCommand),

    /// Show schedules, and when pipelines run next.
    #[command(
        subcommand,
        after_help = "Example:\n  towpath schedule ls\n  towpath schedule preview nycflights"
    )]
    Schedule(ScheduleCommand),

    /// Query the lakehouse and files with SQL.
    #[command(
        after_help = "Example:\n  towpath query \"select count(*) from raw.flights\"\n  towpath query --format json \"select * from marts.weather_delay\""
    )]
    Query(QueryArguments),

    /// Copy a table without a project.
    #[command(
        after_help = "Example:\n  towpath copy data.csv data.parquet\n  towpath copy \"$URL\" --table public.orders orders.parquet\n  towpath copy orders.parquet \"$URL\" --into public.orders --write merge --key id\n  towpath copy \"$URL\" --query \"select id, total from orders where total > 100\" large.csv\n  towpath copy 'logs/*.jsonl' errors.parquet --columns at,message --where \"level = 'error'\"\n  towpath copy data.csv clean.csv --option 'delimiter=;' --type zip=text --fail-above 0"
    )]
    Copy(CopyArguments),

    /// Show where columns come from and where they go.
    #[command(
        after_help = "Example:\n  towpath lineage marts.delay_by_carrier_month --up\n  towpath lineage raw.flights.dep_delay --down --format mermaid"
    )]
    Lineage(LineageArguments),

    /// Show the results of checks, the latest and earlier ones.
    #[command(after_help = "Example:\n  towpath quality\n  towpath quality raw.flights --last 20")]
    Quality(QualityArguments),

    /// Show, replay or discard rejected rows.
    #[command(
        subcommand,
        after_help = "Example:\n  towpath quarantine show raw.weather\n  towpath quarantine replay raw.weather"
    )]
    Quarantine(QuarantineCommand),

    /// List runs, newest first.
    #[command(after_help = "Example:\n  towpath runs --last 5")]
    Runs(RunsArguments),

    /// Show what happened in a run, or follow a run that is in progress.
    #[command(
        after_help = "Example:\n  towpath logs nycflights#1\n  towpath logs nycflights#1.raw.flights\n  towpath logs --follow"
    )]
    Logs(LogsArguments),

    /// Explain the state of a task.
    #[command(after_help = "Example:\n  towpath why marts.weather_delay")]
    Why(WhyArguments),

    /// List who gets alerts about runs, send a test message, or send what waits.
    ///
    /// `towpath serve` sends the alerts by itself.
    #[command(
        subcommand,
        after_help = "Example:\n  towpath alerts ls\n  towpath alerts test data_slack\n  towpath alerts send"
    )]
    Alerts(AlertsCommand),

    /// List connections, test them, and discover their tables.
    #[command(
        subcommand,
        after_help = "Example:\n  towpath connection test shop_db\n  towpath connection discover shop_db --write"
    )]
    Connection(ConnectionCommand),

    /// Look at and maintain the tables of the lakehouse.
    #[command(
        subcommand,
        after_help = "Example:\n  towpath lake history raw.flights\n  towpath lake describe raw.flights"
    )]
    Lake(LakeCommand),

    /// Create a project that can run at once.
    #[command(
        after_help = "Example:\n  towpath init shop\n  towpath init shop --from \"$SHOP_DB_URL\"\n  towpath init shop --from ./data"
    )]
    Init(InitArguments),

    /// Print the JSON Schema of a kind of project file, for editors.
    #[command(after_help = "Example:\n  towpath schema pipeline > pipeline.json")]
    Schema(SchemaArguments),

    /// Print the completion script of a shell.
    #[command(
        after_help = "Example:\n  towpath completion bash > ~/.local/share/bash-completion/completions/towpath\n  towpath completion zsh > ~/.zfunc/_towpath"
    )]
    Completion(CompletionArguments),

    /// Print a page of the reference, as Markdown.
    #[command(hide = true, after_help = "Example:\n  towpath reference codes")]
    Reference(ReferenceArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CompletionArguments {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Formats of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Formats of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Explain an error code: what it means and what to do.
    #[arg(long, value_name = "CODE")]
    pub(crate) explain: Option<String>,
    /// Also compare the project with the live systems.
    #[arg(long)]
    pub(crate) connect: bool,
    /// Set a parameter.
    #[arg(long = "param", value_name = "K=V", value_parser = pair)]
    pub(crate) params: Vec<(String, String)>,
    /// Format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Formats of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// For people.
    #[default]
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One array of objects; decimals and integers beyond 2^53 as strings.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArguments {
    /// One SQL statement.
    pub(crate) sql: String,
    /// Query the sample that `towpath run --limit` built, not the lakehouse.
    #[arg(long)]
    pub(crate) sample: bool,
    /// Format of the rows.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: RowFormat,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArguments {
    /// A file, a glob, or the URL of a database.
    pub(crate) source: String,
    /// A file, or the URL of a database.
    pub(crate) destination: String,
    /// The table to read from a database.
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// A query of the database, in its own SQL, instead of a table.
    #[arg(long, value_name = "SQL", conflicts_with = "table")]
    pub(crate) query: Option<String>,
    /// Copy only these columns.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    pub(crate) columns: Vec<String>,
    /// Copy only the rows for which this SQL expression is true.
    #[arg(long = "where", value_name = "SQL")]
    pub(crate) filter: Option<String>,
    /// Copy at most this many rows.
    #[arg(long, value_name = "ROWS")]
    pub(crate) limit: Option<u64>,
    /// The table to write in a database; default: the source's name.
    #[arg(long)]
    pub(crate) into: Option<String>,
    /// How to write the target; default: a file is replaced, a table must not exist yet.
    #[arg(long, value_enum)]
    pub(crate) write: Option<CopyWrite>,
    /// Key columns of a merge.
    #[arg(long, value_delimiter = ',')]
    pub(crate) key: Vec<String>,
    /// The type of a column: name=type. Columns not named are inferred.
    #[arg(long = "type", value_name = "COLUMN=TYPE", value_parser = pair)]
    pub(crate) types: Vec<(String, String)>,
    /// An option of the source, for example delimiter=; or null_values=NA.
    #[arg(long = "option", value_name = "K=V", value_parser = pair)]
    pub(crate) options: Vec<(String, String)>,
    /// Compare the target with the source after the copy: rows, and a checksum of each column.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Stop the copy if more rows than this are bad: 100 or 5%; default 10%.
    #[arg(long, value_name = "LIMIT")]
    pub(crate) fail_above: Option<String>,
    /// The memory limit: 256MB, 4GB.
    #[arg(long)]
    pub(crate) memory: Option<String>,
}

/// What a copy does to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CopyWrite {
    /// The rows become the target.
    Replace,
    /// The rows are added.
    Append,
    /// Rows whose key already exists are replaced; the others are added.
    Merge,
    /// All rows with a key that comes are deleted, then the rows are added.
    #[value(name = "delete+insert")]
    DeleteInsert,
    /// Only rows whose key does not exist yet are added.
    #[value(name = "insert_only")]
    InsertOnly,
}

/// Formats of lineage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LineageFormat {
    /// For people.
    #[default]
    Text,
    /// A flow chart.
    Mermaid,
    /// For programs.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct LineageArguments {
    /// TABLE or TABLE.COLUMN.
    pub(crate) subject: String,
    /// Show where it comes from (the default).
    #[arg(long, conflicts_with = "down")]
    pub(crate) up: bool,
    /// Show where it goes.
    #[arg(long)]
    pub(crate) down: bool,
    /// Format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: LineageFormat,
}

#[derive(Debug, Args)]
pub(crate) struct QualityArguments {
    /// Only this table.
    pub(crate) table: Option<String>,
    /// Show this many results of each check.
    #[arg(long, default_value_t = 1)]
    pub(crate) last: u64,
    /// Format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List the tables with rejected rows.
    #[command(after_help = "Example:\n  towpath quarantine ls")]
    Ls(FormatOnly),
    /// Show the rejected rows of a table, each with its location and the reasons.
    #[command(after_help = "Example:\n  towpath quarantine show raw.weather --limit 5")]
    Show(QuarantineShow),
    /// Load the quarantined rows again: they pass through transforms, rules and checks.
    #[command(after_help = "Example:\n  towpath quarantine replay raw.weather")]
    Replay(QuarantineTable),
    /// Discard the quarantined rows: they are never replayed.
    #[command(after_help = "Example:\n  towpath quarantine discard raw.weather")]
    Discard(QuarantineTable),
}

#[derive(Debug, Args)]
pub(crate) struct FormatOnly {
    /// Format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineShow {
    /// The table.
    pub(crate) table: String,
    /// At most this many rows.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u64,
    /// Format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineTable {
    /// The table.
    pub(crate) table: String,
}

#[derive(Debug, Args)]
pub(crate) struct RunsArguments {
    /// Only this pipeline.
    pub(crate) pipeline: Option<String>,
    /// Show this many.
    #[arg(long, default_value_t = 10)]
    pub(crate) last: u64,
    /// Format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArguments {
    /// A table or a task; of a pipeline: what waits for its run.
    pub(crate) subject: String,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` must have the form name=value")),
    }
}
