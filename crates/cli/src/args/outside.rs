//! Arguments of the commands that make a project, look outside, or speak about the program itself.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Format, FormatOnly};

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionCommand {
    /// The project's connections.
    #[command(after_help = "Example:\n  towpath connection ls")]
    Ls(FormatOnly),
    /// Kinds of connections there are, with what they can do.
    #[command(after_help = "Example:\n  towpath connection types --format json")]
    Types(FormatOnly),
    /// Try to connect.
    #[command(after_help = "Example:\n  towpath connection test shop_db")]
    Test {
        /// The connection.
        name: String,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Look at its tables; `--write` puts them into schemas/NAME.yml.
    #[command(
        after_help = "Example:\n  towpath connection discover shop_db\n  towpath connection discover shop_db 'order*' --write"
    )]
    Discover {
        /// The connection.
        name: String,
        /// Only tables whose names match this glob.
        #[arg(default_value = "*")]
        pattern: String,
        /// Write schemas/NAME.yml; the next check knows these tables.
        #[arg(long)]
        write: bool,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LakeCommand {
    /// A table's commits, newest first.
    #[command(after_help = "Example:\n  towpath lake history raw.flights --last 5")]
    History {
        /// The table.
        table: String,
        /// So many.
        #[arg(long, default_value_t = 20)]
        last: usize,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// A table's columns, files and size.
    #[command(after_help = "Example:\n  towpath lake describe raw.flights")]
    Describe {
        /// The table.
        table: String,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Make a table what it was at a version or a time, as a new version; history stays.
    ///
    /// The next run that writes the table continues where the restored version stopped reading: later
    /// rows of the source are read again, and a source without a cursor is read completely. Rows that were
    /// rejected and replayed since then wait in the quarantine again.
    #[command(
        after_help = "Example:\n  towpath lake restore raw.flights --to 3\n  towpath lake restore raw.flights --to '2026-01-31 18:00'"
    )]
    Restore {
        /// The table.
        table: String,
        /// A version, or a time (UTC unless it says its zone).
        #[arg(long, value_name = "VERSION|TIME")]
        to: String,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Write small files of a table together; no row changes.
    #[command(after_help = "Example:\n  towpath lake compact raw.flights")]
    Compact {
        /// The table.
        table: String,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Delete files that only versions older than this need; those versions can no longer be read.
    #[command(
        after_help = "Example:\n  towpath lake vacuum raw.flights --dry-run\n  towpath lake vacuum raw.flights --older-than 30d"
    )]
    Vacuum {
        /// The table.
        table: String,
        /// How long ago a file must have left the table: 7d, 12h.
        #[arg(long, value_name = "AGE", default_value = "7d", value_parser = super::run::duration)]
        older_than: std::time::Duration,
        /// Only say what would be deleted.
        #[arg(long)]
        dry_run: bool,
        /// Also below 7 days: whoever still reads an older version, or writes with another program, loses
        /// files.
        #[arg(long)]
        force: bool,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Take a table or a view away, with all its versions.
    #[command(after_help = "Example:\n  towpath lake drop staging.old --yes")]
    Drop {
        /// The table or view.
        table: String,
        /// Do it; without it only what would be gone is told.
        #[arg(long)]
        yes: bool,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// The folder; made if it does not exist.
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The URL of a database, or a folder of files, to load from.
    #[arg(long, value_name = "URL|FOLDER")]
    pub(crate) from: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArguments {
    /// Of which file.
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
