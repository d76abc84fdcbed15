//! Arguments of the commands that create a project, contact external systems, or print reference pages.
//!
//! It declares them and reads no file. Read next: `args.rs` (all commands), `commands/connection.rs`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Format, FormatOnly};

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    /// List who gets which alerts, and how many wait to be sent.
    #[command(after_help = "Example:\n  towpath alerts ls")]
    Ls(FormatOnly),
    /// Send a test message to a connection.
    #[command(after_help = "Example:\n  towpath alerts test data_slack")]
    Test {
        /// The connection.
        connection: String,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Send the alerts that wait, once: for runs that cron or another scheduler starts.
    ///
    /// From its first use on, the ends of runs wait to be sent. While `towpath serve` runs, it sends them.
    #[command(after_help = "Example:\n  towpath run shop; towpath alerts send")]
    Send(FormatOnly),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionCommand {
    /// List the project's connections.
    #[command(after_help = "Example:\n  towpath connection ls")]
    Ls(FormatOnly),
    /// List the connection types and what each can do.
    #[command(after_help = "Example:\n  towpath connection types --format json")]
    Types(FormatOnly),
    /// Test a connection.
    #[command(after_help = "Example:\n  towpath connection test shop_db")]
    Test {
        /// The connection.
        name: String,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List a connection's tables and columns; `--write` writes them to schemas/NAME.yml.
    #[command(
        after_help = "Example:\n  towpath connection discover shop_db\n  towpath connection discover shop_db 'order*' --write\n  towpath connection discover billing --path invoices"
    )]
    Discover {
        /// The connection.
        name: String,
        /// Only tables whose names match this glob.
        #[arg(default_value = "*")]
        pattern: String,
        /// Write schemas/NAME.yml, so that `towpath check` knows these tables.
        #[arg(long)]
        write: bool,
        /// Ask an endpoint of an API that no table declares, by GET, and propose its table.
        #[arg(long, value_name = "PATH", conflicts_with_all = ["pattern", "write"])]
        path: Option<String>,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LakeCommand {
    /// List a table's commits, newest first.
    #[command(after_help = "Example:\n  towpath lake history raw.flights --last 5")]
    History {
        /// The table.
        table: String,
        /// Show this many.
        #[arg(long, default_value_t = 20)]
        last: usize,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show a table's columns, files and size.
    #[command(after_help = "Example:\n  towpath lake describe raw.flights")]
    Describe {
        /// The table.
        table: String,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Compare the files of tables with their checksums: which of them are damaged or missing.
    ///
    /// Files that an older version of Towpath or another program wrote have no checksums; they are decoded
    /// instead. The exit code is 3 when a file is damaged or missing.
    #[command(
        after_help = "Example:\n  towpath lake verify\n  towpath lake verify raw.flights --all-versions"
    )]
    Verify {
        /// The tables; without any, every table.
        tables: Vec<String>,
        /// Also the files that only older versions need.
        #[arg(long)]
        all_versions: bool,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Restore a table to an earlier version or time. This adds a version; the history is kept.
    ///
    /// The next run that writes the table continues where the restored version stopped reading: later rows
    /// of the source are read again, and a source without a cursor is read in full. Rows that were rejected
    /// and replayed since then are in the quarantine again.
    #[command(
        after_help = "Example:\n  towpath lake restore raw.flights --to 3\n  towpath lake restore raw.flights --to '2026-01-31 18:00'"
    )]
    Restore {
        /// The table.
        table: String,
        /// A version, or a time (UTC unless it has a time zone).
        #[arg(long, value_name = "VERSION|TIME")]
        to: String,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Combine small files of a table into larger ones; no row changes.
    #[command(after_help = "Example:\n  towpath lake compact raw.flights")]
    Compact {
        /// The table.
        table: String,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Delete files that only old versions need; those versions can no longer be read.
    #[command(
        after_help = "Example:\n  towpath lake vacuum raw.flights --dry-run\n  towpath lake vacuum raw.flights --older-than 30d"
    )]
    Vacuum {
        /// The table.
        table: String,
        /// Delete files that the table has not used for this long: 7d, 12h.
        #[arg(long, value_name = "AGE", default_value = "7d", value_parser = super::run::duration)]
        older_than: std::time::Duration,
        /// Only show what would be deleted.
        #[arg(long)]
        dry_run: bool,
        /// Allow less than 7 days: programs that are reading an older version or writing to the table will
        /// lose files.
        #[arg(long)]
        force: bool,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Delete a table or a view with all its versions.
    #[command(after_help = "Example:\n  towpath lake drop staging.old --yes")]
    Drop {
        /// The table or view.
        table: String,
        /// Delete it; without this flag the command only shows what would be deleted.
        #[arg(long)]
        yes: bool,
        /// Format of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// The folder; it is created if it does not exist.
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The URL of a database, or a folder of files, to load from.
    #[arg(long, value_name = "URL|FOLDER")]
    pub(crate) from: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArguments {
    /// The kind of project file.
    #[arg(value_enum)]
    pub(crate) of: SchemaOf,
}

/// Kinds of project files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// towpath.yml
    Towpath,
    /// pipelines/NAME.yml
    Pipeline,
    /// connections/NAME.yml
    Connection,
    /// schemas/CONNECTION.yml
    Schemas,
}

#[derive(Debug, Args)]
pub(crate) struct ReferenceArguments {
    /// Which page.
    #[arg(value_enum)]
    pub(crate) page: Page,
}

/// Pages of the reference that are generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Page {
    /// Every command.
    Commands,
    /// Every exit code.
    ExitCodes,
    /// Every key of every file.
    ProjectFiles,
    /// Every connector.
    Connectors,
    /// Every code of a mistake.
    Codes,
}
