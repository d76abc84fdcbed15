//! What can go wrong between a Singer program and its rows.
//!
//! Each variant becomes a `vocab::Failure` with a code of R12xx, a remedy and what to do. Messages repeat what a
//! program said on its standard error, without secrets, and never a record. Read next: `codes.rs`, which
//! explains the codes.

use std::path::PathBuf;
use std::time::Duration;

use towpath_vocab::{Failure, Remedy};

pub(super) type Result<T> = std::result::Result<T, SingerError>;

/// A failure of the Singer connector.
#[derive(Debug, thiserror::Error)]
pub(super) enum SingerError {
    #[error("`{option}` of {place} {why}")]
    Option {
        place: String,
        option: String,
        why: String,
    },
    #[error("`{program}` was not found")]
    NotFound { program: String },
    #[error("`{program}` cannot be started: {source}")]
    NotStarted {
        program: String,
        source: std::io::Error,
    },
    #[error("`{program}` {how}")]
    Ended {
        program: String,
        how: String,
        /// Its last words.
        said: Vec<String>,
    },
    #[error("line {line} of the output of `{program}` {what}")]
    NotSinger {
        program: String,
        line: u64,
        what: String,
        said: Vec<String>,
    },
    #[error("line {line} of the output of `{program}` has more than {most} bytes")]
    TooLong {
        program: String,
        line: u64,
        most: usize,
    },
    #[error("`{program}` gave a record of `{stream}` before its schema, in line {line}")]
    NoSchema {
        program: String,
        stream: String,
        line: u64,
    },
    #[error("the schema of `{stream}` changed between its records: {what}")]
    SchemaChanged { stream: String, what: String },
    #[error("`{program}` said nothing for {}", seconds(.timeout))]
    Silent {
        program: String,
        timeout: Duration,
        said: Vec<String>,
    },
    #[error("connection `{connection}` has no stream `{stream}`")]
    NoStream {
        connection: String,
        stream: String,
        known: Vec<String>,
    },
    #[error("the catalog of `{program}` {why}")]
    Catalog { program: String, why: String },
    #[error("the schema of `{stream}` {why}")]
    Schema { stream: String, why: String },
    #[error("files for `{program}` cannot be written: {source}")]
    Files {
        program: String,
        source: std::io::Error,
    },
    #[error("`{stream}` is read incrementally without a key")]
    NoKey { stream: String },
    #[error("{count} records of `{stream}` came after the last state of the tap")]
    AfterState { stream: String, count: u64 },
    #[error("what the last read of `{stream}` left {what}")]
    Stored { stream: String, what: &'static str },
    #[error(
        "`{program}` gave records of a new version of `{stream}` and ended without activating it"
    )]
    NotActivated { program: String, stream: String },
    #[error("the tap gave version {version} of `{stream}` behind a newer one")]
    OldVersion { stream: String, version: i64 },
    #[error("the tap gave nothing of `{stream}`, but messages of {}", names.join(", "))]
    OtherNames { stream: String, names: Vec<String> },
    #[error("a Singer tap has no queries")]
    Query,
    #[error("the output of `{program}` cannot be read: {source}")]
    Pipe {
        program: String,
        source: std::io::Error,
    },
    #[error("the output of `{program}` ended in the middle of line {line}")]
    HalfLine {
        program: String,
        line: u64,
        said: Vec<String>,
    },
    #[error("`{word}` is not a type that values of `{column}` can be read as")]
    Type { column: String, word: String },
    #[error("the catalog `{}` cannot be read: {source}", .path.display())]
    CatalogFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("connection `{connection}` is read-only")]
    NotWritable { connection: String },
    #[error("`{table}` cannot be written so: a Singer target gets records only, and this {why}")]
    Mode { table: String, why: &'static str },
    #[error("`{program}` did not confirm the rows of `{table}`")]
    NotConfirmed {
        program: String,
        table: String,
        said: Vec<String>,
    },
    #[error("{rows} rows of `{table}` were deleted, and a Singer target has no message for that")]
    Deletes { table: String, rows: u64 },
    #[error("`{column}` of `{table}` has NaN or an infinity, which JSON cannot hold")]
    NotFinite { table: String, column: String },
    #[error("another process has delivered `{table}` meanwhile")]
    Overtaken { table: String },
    #[error("what was delivered cannot be noted or read: {source}")]
    Delivered { source: std::io::Error },
    #[error("a part of the work on records of `{stream}` broke off")]
    Broken { stream: String },
    /// A failure of another part, which has its own code.
    #[error("{0}")]
    Port(Failure),
}

fn seconds(timeout: &Duration) -> String {
    format!("{} s", timeout.as_secs())
}

impl SingerError {
    /// The code, and who must do what.
    fn code(&self) -> (&'static str, Remedy) {
        match self {
            Self::Option { .. } => ("R1201", Remedy::FixConfig),
            Self::NotFound { .. } | Self::NotStarted { .. } => ("R1202", Remedy::FixConfig),
            Self::Ended { .. } => ("R1203", Remedy::Retry),
            Self::NotSinger { .. } => ("R1204", Remedy::FixConfig),
            Self::TooLong { .. } => ("R1205", Remedy::FixConfig),
            Self::NoSchema { .. } => ("R1206", Remedy::FixConfig),
            Self::SchemaChanged { .. } => ("R1207", Remedy::FixConfig),
            Self::Silent { .. } => ("R1208", Remedy::Retry),
            Self::NoStream { .. } | Self::OtherNames { .. } => ("R1209", Remedy::FixConfig),
            Self::Catalog { .. } | Self::CatalogFile { .. } => ("R1210", Remedy::FixConfig),
            Self::Schema { .. } => ("R1211", Remedy::FixConfig),
            Self::Files { .. } => ("R1212", Remedy::FixConfig),
            Self::NoKey { .. } => ("R1213", Remedy::FixConfig),
            Self::AfterState { .. } => ("R1214", Remedy::Refused),
            Self::Stored { .. } => ("R1215", Remedy::FixConfig),
            Self::NotActivated { .. } | Self::OldVersion { .. } => ("R1216", Remedy::Retry),
            Self::Query => ("R1217", Remedy::FixConfig),
            Self::Pipe { .. } => ("R1218", Remedy::Retry),
            Self::HalfLine { .. } => ("R1219", Remedy::Retry),
            Self::Type { .. } => ("R1220", Remedy::FixConfig),
            Self::NotWritable { .. } => ("R1221", Remedy::Refused),
            Self::Mode { .. } => ("R1222", Remedy::Refused),
            Self::NotConfirmed { .. } => ("R1223", Remedy::FixConfig),
            Self::Deletes { .. } => ("R1224", Remedy::FixConfig),
            Self::NotFinite { .. } => ("R1225", Remedy::FixData),
            Self::Overtaken { .. } => ("R1226", Remedy::Retry),
            Self::Delivered { .. } => ("R1227", Remedy::FixConfig),
            Self::Broken { .. } | Self::Port(_) => ("R1299", Remedy::Bug),
        }
    }

    /// What the user can do.
    fn help(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::NotFound { .. } => one(
                "install it, for example with `python3 -m venv .venv && .venv/bin/pip install NAME`, and write its path: `command: [.venv/bin/NAME]`",
            ),
            Self::Ended { said, .. } | Self::Silent { said, .. } | Self::HalfLine { said, .. } => {
                last_words(said)
            }
            Self::NotSinger { said, .. } => {
                let mut help = one(
                    "a tap prints one Singer message in each line of its output, and everything else on standard error",
                );
                help.extend(last_words(said));
                help
            }
            Self::TooLong { .. } => one("`max_record_bytes` of the connection allows more"),
            Self::SchemaChanged { .. } => one(
                "declare the types of these columns under `columns:` of the table, so that they are known from the start",
            ),
            Self::NoStream { stream, known, .. } => nearest(stream, known),
            Self::OtherNames { .. } => one(
                "if one of these names is that of the stream in messages, write `stream: NAME` at the table",
            ),
            Self::NoKey { .. } => one(
                "taps give records again that lie at their last state: name a `key` of the table and `write: merge`; or, if this tap never does so, set `repeats: never`",
            ),
            Self::AfterState { .. } => one(
                "the next run would get them again, although the table says `repeats: never`: write the table by its key without that option",
            ),
            Self::Stored { .. } => one("towpath run --full-refresh reads everything again"),
            Self::Query => one("name a stream as the table"),
            Self::Type { .. } => one(
                "types: text, bigint, double, decimal(P,S), bool, date, timestamp, timestamptz, binary, struct(…), list(…)",
            ),
            Self::NotWritable { .. } => {
                one("`writable: true` of the connection of a target allows it")
            }
            Self::Mode { .. } => one("`write: append`, or `write: merge` with a `key`"),
            Self::NotConfirmed { said, .. } => {
                let mut help = one(
                    "a target gives back the state behind the rows once they are stored; those that were sent may be there all the same",
                );
                help.extend(last_words(said));
                help
            }
            Self::Deletes { .. } => one(
                "`deleted_rows: mark` sends them with the moment in the column `_sdc_deleted_at`; targets with `hard_delete` delete such rows",
            ),
            Self::NotFinite { .. } => one("leave the column out, or make it text in a model"),
            Self::Delivered { .. } => {
                one("check the folder `.towpath/singer-targets` of the project")
            }
            _ => Vec::new(),
        }
    }
}

/// What a program said last.
fn last_words(said: &[String]) -> Vec<String> {
    match said.is_empty() {
        true => vec!["it said nothing on standard error".to_owned()],
        false => vec![format!("its last words: {}", said.join(" | "))],
    }
}

fn nearest(stream: &str, known: &[String]) -> Vec<String> {
    let near = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(name, stream), name))
        .filter(|(distance, _)| *distance <= stream.len().div_ceil(3))
        .min();
    let mut help = Vec::new();
    help.extend(near.map(|(_, name)| format!("did you mean `{name}`?")));
    if !known.is_empty() {
        let shown: Vec<&str> = known.iter().take(20).map(String::as_str).collect();
        help.push(format!("streams: {}", shown.join(", ")));
    }
    help
}

impl From<SingerError> for Failure {
    fn from(error: SingerError) -> Self {
        if let SingerError::Port(failure) = error {
            return failure;
        }
        let (code, remedy) = error.code();
        let failure = Failure::new(code, remedy, error.to_string());
        error
            .help()
            .into_iter()
            .fold(failure, |failure, help| failure.help(help))
    }
}
