//! What can go wrong before a row exists, in the words of a person who owns the files.
//!
//! Promise: each variant becomes a `vocab::Failure` with a code of R01xx, a remedy and what to do. Rows that
//! cannot be read are no errors: they are rejects (see `csv/explain.rs`). No value of a row is ever part of a
//! message here. Read next: `codes.rs`.

use towpath_vocab::{Failure, Remedy};

use super::http::error::HttpError;
use super::xml::DamageKind;

/// A failure of the files connector.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    #[error("connection `{connection}` has no option `path`")]
    NoPath { connection: String },
    #[error("option `{option}` of `files`: `{value}` is not {expected}")]
    Option {
        option: &'static str,
        value: String,
        expected: String,
    },
    #[error("option `{option}` is `{value}`, but files of format `{format}` do not have it")]
    Unused {
        option: &'static str,
        value: String,
        format: &'static str,
    },
    #[error("there is no `{path}`")]
    Missing {
        path: String,
        nearest: Option<String>,
        present: Vec<String>,
    },
    #[error("`{name}` in `{folder}` could be any of {}", listed(.candidates))]
    Ambiguous {
        name: String,
        folder: String,
        candidates: Vec<String>,
    },
    #[error("`{selection}` leaves the connection's folder `{folder}`")]
    Escapes { selection: String, folder: String },
    #[error("`{path}` is behind a link that leads out of `{folder}`")]
    LinkOut { path: String, folder: String },
    #[error("`{path}` is a folder, not a file")]
    Folder { path: String, selection: String },
    #[error("the files connector reads files, not queries")]
    Query,
    #[error("`{glob}` is not a valid glob: {why}")]
    Glob { glob: String, why: String },
    #[error("the name of `{path}` does not show its format")]
    UnknownFormat { path: String },
    #[error("one table cannot mix formats: `{first}` and `{second}`")]
    MixedFormats { first: String, second: String },
    #[error("`{path}` cannot be read: {source}")]
    Read {
        path: String,
        source: std::io::Error,
    },
    #[error("`{path}` changed while it was being read")]
    Changing { path: String },
    #[error("`{path}` is not there, and the manifest of its folder names it")]
    LostPart { path: String },
    #[error("`path` does not name a place in a bucket: {why}")]
    BucketUrl { why: towpath_buckets::NoBucket },
    #[error("`{setting}` cannot be used: {why}")]
    Setting {
        setting: String,
        why: String,
        way: &'static str,
    },
    #[error("{doing} `{address}` failed: {}", said(.source))]
    Bucket {
        doing: &'static str,
        address: String,
        source: Box<object_store::Error>,
    },
    #[error(
        "the listing of `{address}` is not to be trusted: it has the key `{key}` twice, or it does not belong there"
    )]
    Listing { address: String, key: String },
    #[error("`{path}` was not read whole: of {wanted} bytes the service gave {got}")]
    Short { path: String, wanted: u64, got: u64 },
    #[error("the service does not say which version `{path}` has")]
    NoVersion { path: String },
    #[error("`{path}` cannot be asked for: its key {why}")]
    Key { path: String, why: &'static str },
    #[error("the service of `{address}` {what}")]
    Unconditional { address: String, what: &'static str },
    #[error(
        "`{path}` has {bytes} bytes, more than the {most} that are put there at once under a condition"
    )]
    TooLarge { path: String, bytes: u64, most: u64 },
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{0}")]
    Carried(Box<Failure>),
    #[error("`{path}` is empty and has no header")]
    Empty { path: String },
    #[error("the header of `{path}` cannot be read: {why}")]
    BadHeader { path: String, why: String },
    #[error("`{path}` has no column `{column}`")]
    MissingColumn {
        path: String,
        column: String,
        because: String,
        nearest: Option<String>,
    },
    #[error("column `{column}` is declared `{word}`, which cannot be read from {format}")]
    Type {
        column: String,
        word: String,
        format: &'static str,
    },
    #[error("column `{column}` is `{first}` in one file and `{second}` in `{path}`")]
    TypeDiffers {
        column: String,
        first: String,
        second: String,
        path: String,
    },
    #[error("files of format `{format}` need the option `{option}`")]
    NoOption {
        option: &'static str,
        format: &'static str,
    },
    #[error("the columns of the path of `{path}` cannot be read: {why}")]
    Partition { path: String, why: String },
    #[error("`file_column` is `{column}`, but `{path}` has a column of that name")]
    FileColumn { path: String, column: String },
    #[error("`{path}` has no array at `records: {records}`")]
    NoRecords { path: String, records: String },
    #[error(
        "`{path}` is one object that has none of the table's columns, and {} arrays that may have the rows",
        .members.len()
    )]
    UnclearRecords { path: String, members: Vec<String> },
    #[error("`{path}` cannot be read in line {line}, column {column}: {}", document(.what))]
    Document {
        path: String,
        line: u64,
        column: u64,
        what: DamageKind,
    },
    #[error("`{path}` does not show which of its elements are the records")]
    UnclearElements { path: String, places: Vec<String> },
    #[error("`{path}` has no columns: {why}")]
    NoColumns { path: String, why: String },
    #[error("{}", too_many(.path, *.most, *.are_keys))]
    TooManyColumns {
        path: String,
        most: usize,
        /// They are keys of JSON objects.
        are_keys: bool,
    },
    #[error("`{path}` is {found}, and `encoding` says {declared}")]
    OtherEncoding {
        path: String,
        declared: String,
        found: String,
    },
    #[error("`{path}` is not a readable workbook: {why}")]
    Workbook { path: String, why: String },
    #[error(
        "the sheet `{sheet}` of `{path}` has {count} formulas without a stored value, the first one in {first}"
    )]
    Uncalculated {
        path: String,
        sheet: String,
        count: u64,
        first: String,
    },
    #[error("`{path}` has no sheet `{sheet}`")]
    NoSheet {
        path: String,
        sheet: String,
        present: Vec<String>,
    },
    #[error("`{path}` is not a readable {kind} file: {why}")]
    Unreadable {
        path: String,
        kind: &'static str,
        why: String,
    },
    #[error("`{path}` is damaged: {part}{}: {why}", in_column(.column.as_deref()))]
    Damaged {
        path: String,
        /// A row group, a block, a record batch.
        part: String,
        column: Option<String>,
        why: String,
    },
    #[error("`{path}` is damaged: it counts {counted} rows in {part}, and {read} can be read")]
    RowsDiffer {
        path: String,
        part: String,
        counted: u64,
        read: u64,
    },
    #[error(
        "{part} of `{path}` takes {bytes} bytes of memory when it is read, and {most} are allowed"
    )]
    LargePart {
        path: String,
        part: String,
        bytes: u64,
        most: u64,
        /// No setting allows more.
        is_fixed: bool,
    },
    #[error(
        "column `{column}` of `{path}` is `{found}`, which cannot be read as the declared `{wanted}`"
    )]
    NotReadable {
        path: String,
        column: String,
        found: String,
        wanted: String,
    },
    #[error("the file `{name}` is not in the folder of the project")]
    Outside { name: String },
    #[error("`{name}` cannot be queried: {why}")]
    NotQueried { name: String, why: &'static str },
    #[error("rows of `{path}` could not be put into columns: {why}")]
    Columns { path: String, why: String },
    #[error(
        "too many quoted fields of `{path}` are longer than `max_record_bytes` and never properly closed, the last one in line {line}"
    )]
    Unending { path: String, line: u64 },
    #[error("`{path}` has two columns named `{name}`, the {first}. and the {second}.")]
    TwoColumns {
        path: String,
        name: String,
        first: usize,
        second: usize,
    },
    #[error("a reading task of `{path}` ended early")]
    Broken { path: String },
    #[error("{0}")]
    Memory(Box<Failure>),
}

fn listed(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn too_many(path: &str, most: usize, are_keys: bool) -> String {
    match are_keys {
        true => format!("the objects of `{path}` have more than {most} different keys"),
        false => format!("`{path}` has more than {most} columns"),
    }
}

fn document(what: &DamageKind) -> String {
    match what {
        DamageKind::Wrong(why) => why.clone(),
        DamageKind::Declares => {
            "its document type declares entities or attributes, and nothing is expanded".to_owned()
        }
        DamageKind::NoRecords { record, others } if others.is_empty() => {
            format!("it ends, and has no element `{record}`")
        }
        DamageKind::NoRecords { record, others } => format!(
            "it ends, and has no element `{record}`; in its place are `{}`",
            others.join("`, `")
        ),
    }
}

fn in_column(column: Option<&str>) -> String {
    column.map_or_else(String::new, |name| format!(", column `{name}`"))
}

impl FilesError {
    fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "R0101",
            Self::Ambiguous { .. } => "R0102",
            Self::NoPath { .. } | Self::Option { .. } | Self::Unused { .. } => "R0103",
            Self::Escapes { .. } => "R0104",
            Self::Folder { .. } | Self::Query | Self::Glob { .. } => "R0105",
            Self::UnknownFormat { .. } | Self::MixedFormats { .. } => "R0106",
            Self::Read { .. } => "R0107",
            Self::Changing { .. } | Self::LostPart { .. } => "R0116",
            Self::BucketUrl { .. } => "R0150",
            Self::Setting { .. } => "R0151",
            Self::Bucket { .. } | Self::Listing { .. } | Self::Short { .. } => "R0152",
            Self::NoVersion { .. } => "R0153",
            Self::Key { .. } => "R0154",
            Self::Http(error) => error.code(),
            Self::Unconditional { .. } => "R0180",
            Self::TooLarge { .. } => "R0181",
            Self::Empty { .. } => "R0108",
            Self::BadHeader { .. } | Self::TwoColumns { .. } => "R0109",
            Self::Unending { .. } => "R0115",
            Self::MissingColumn { .. } => "R0110",
            Self::Type { .. } => "R0111",
            Self::TypeDiffers { .. } => "R0117",
            Self::Unreadable { .. } => "R0112",
            Self::Damaged { .. } => "R0140",
            Self::RowsDiffer { .. } => "R0141",
            Self::LargePart { .. } => "R0156",
            Self::NotReadable { .. } => "R0142",
            Self::Outside { .. } => "R0143",
            Self::NotQueried { .. } => "R0145",
            Self::LinkOut { .. } => "R0144",
            Self::TooManyColumns { .. } => "R0113",
            Self::NoOption { .. } => "R0134",
            Self::Partition { .. } => "R0132",
            Self::FileColumn { .. } => "R0133",
            Self::NoRecords { .. } => "R0170",
            Self::UnclearRecords { .. } => "R0179",
            Self::Document { what, .. } => match what {
                DamageKind::Wrong(_) => "R0176",
                DamageKind::Declares => "R0177",
                DamageKind::NoRecords { .. } => "R0178",
            },
            Self::UnclearElements { .. } => "R0178",
            Self::NoColumns { .. } => "R0171",
            Self::NoSheet { .. } => "R0172",
            Self::Workbook { .. } => "R0173",
            Self::OtherEncoding { .. } => "R0174",
            Self::Uncalculated { .. } => "R0175",
            Self::Columns { .. } | Self::Broken { .. } | Self::Memory(_) | Self::Carried(_) => {
                "R0114"
            }
        }
    }

    fn remedy(&self) -> Remedy {
        match self {
            Self::Read { source, .. } => match source.kind() {
                std::io::ErrorKind::InvalidData
                | std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::InvalidInput => Remedy::FixData,
                std::io::ErrorKind::Interrupted
                | std::io::ErrorKind::TimedOut
                | std::io::ErrorKind::WouldBlock => Remedy::Retry,
                _ => Remedy::FixConfig,
            },
            Self::Document {
                what: DamageKind::Wrong(_) | DamageKind::Declares,
                ..
            }
            | Self::Empty { .. }
            | Self::BadHeader { .. }
            | Self::TwoColumns { .. }
            | Self::Unending { .. }
            | Self::MissingColumn { .. }
            | Self::TypeDiffers { .. }
            | Self::TooManyColumns { .. }
            | Self::NoRecords { .. }
            | Self::UnclearRecords { .. }
            | Self::NoColumns { .. }
            | Self::Workbook { .. }
            | Self::Uncalculated { .. }
            | Self::Damaged { .. }
            | Self::RowsDiffer { .. }
            | Self::Unreadable { .. } => Remedy::FixData,
            Self::Bucket { source, .. } if towpath_buckets::way_out(source.as_ref()).is_some() => {
                Remedy::FixConfig
            }
            Self::Changing { .. }
            | Self::LostPart { .. }
            | Self::Bucket { .. }
            | Self::Listing { .. }
            | Self::Short { .. } => Remedy::Retry,
            Self::Outside { .. } => Remedy::Refused,
            Self::Http(error) => error.remedy(),
            Self::Columns { .. } | Self::Broken { .. } => Remedy::Bug,
            _ => Remedy::FixConfig,
        }
    }

    fn help(&self) -> Vec<String> {
        match self {
            Self::NoPath { .. } => vec!["write `path: FOLDER`, relative to the project folder".into()],
            Self::Unused { .. } => vec![
                "remove it; at a connection without `format` it holds for the files that have it".into(),
            ],
            Self::Missing { nearest, present, .. } => match nearest {
                Some(name) => vec![format!("did you mean `{name}`?")],
                None if present.is_empty() => vec!["the folder is empty or missing".into()],
                None => vec![format!("there are: {}", listed(present))],
            },
            Self::Ambiguous { .. } => vec!["write the whole file name".into()],
            Self::Escapes { .. } => {
                vec!["name files inside the folder, without `..`, or set the connection's `path` to a folder that contains them".into()]
            }
            Self::LinkOut { .. } => vec![
                "set the connection's `path` to the folder where the file is, or to the link itself".into(),
                "or copy the file into the folder; a glob that does not match the link leaves it out".into(),
            ],
            Self::Folder { selection, .. } => vec![format!("for all its files write a glob, such as `{selection}/*.csv`")],
            Self::Query => vec!["name a file or a glob".into()],
            Self::UnknownFormat { path } if is_spreadsheet(path) => {
                vec!["it is a spreadsheet: save it as .xlsx, or each sheet as CSV in UTF-8".into()]
            }
            Self::OtherEncoding { .. } => vec![
                "leave `encoding` out: each file is then read in the encoding that is found for it".into(),
            ],
            Self::NoSheet { present, .. } => vec![format!("there are: {}", listed(present))],
            Self::Uncalculated { .. } => vec![
                "open it in Excel or LibreOffice and save it: they store the values of formulas; or set a `range` without these cells".into(),
            ],
            Self::Workbook { .. } => vec![
                "open it in Excel or LibreOffice and save it as .xlsx without a password, or each sheet as CSV in UTF-8".into(),
            ],
            Self::UnknownFormat { .. } => {
                vec!["add its `format`, such as `csv`, `jsonl`, `parquet`, `avro`, `arrow`, `combined` or `syslog`, to the table or the connection".into()]
            }
            Self::MixedFormats { .. } => vec!["write a glob that matches only one format, and a table for each format".into()],
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                vec!["its target does not exist; delete the link, or create the file".into()]
            }
            Self::Read { source, .. } if self.remedy() == Remedy::FixData => {
                vec![format!("the file seems damaged or cut short ({}); download it again", source.kind())]
            }
            Self::Changing { .. } => vec![
                "write files under a name that is not read, and rename them when they are complete; an object in a bucket is put under its final key once".into(),
                "a text file to which lines are only added is read by `mode: incremental` up to its last whole line".into(),
            ],
            Self::Empty { .. } => vec!["delete the file, or write its header line".into()],
            Self::TwoColumns { .. } => vec!["give each column its own name where the file is written".into()],
            Self::Unending { .. } => vec![
                "correct the lines with stray quotes, or set `quote: \"\"` if quotes are plain characters".into(),
                "`max_record_bytes` allows longer records".into(),
            ],
            Self::BadHeader { .. } => vec!["check the first line; `encoding`, `quote` and `skip_lines` set how it is read".into()],
            Self::MissingColumn { because, nearest, .. } => {
                let mut help = vec![because.clone()];
                help.extend(nearest.iter().map(|name| format!("did you mean `{name}`?")));
                help.push("`missing_columns: null` on the table reads it as NULL".into());
                help
            }
            Self::NoRecords { .. } => vec![
                "write the names of the members on the path to the array, separated by points: `records: data.items`".into(),
            ],
            Self::UnclearRecords { members, .. } => {
                let way = |member: &String| format!("`records: {member}`");
                let ways: Vec<String> = members.iter().take(5).map(way).collect();
                vec![format!("say which one has the rows: {}", ways.join(" or "))]
            }
            Self::NoColumns { .. } => vec![
                "a row is an object with members, such as {\"id\": 1}; an array of them may be inside an object: `records: data.items`; in XML it is an element with anything in it".into(),
            ],
            Self::TooManyColumns { are_keys: false, .. } => vec![
                "`max_columns` allows more, at the cost of time and memory".into(),
                "if the columns are data, such as one for each day, write them as rows instead".into(),
            ],
            Self::TooManyColumns { .. } => vec![
                "keys that are data, such as ids, make a column each; write them as values instead".into(),
                "`max_columns` allows more, at the cost of time and memory".into(),
            ],
            Self::Type { .. } => vec!["declare `text`, or another simple type".into()],
            Self::TypeDiffers { column, .. } => vec![format!(
                "declare the type of `{column}` in the table's `columns`; values that do not fit it are rejected"
            )],
            Self::Outside { .. } => vec![
                "put it below the project's folder, or load it with a connection of its own".into(),
            ],
            Self::NotReadable { .. } => vec![
                "leave its type out, or declare `text`; `set` computes a value of a different type".into(),
            ],
            Self::Unreadable { .. } | Self::Damaged { .. } | Self::RowsDiffer { .. } => {
                vec!["nothing of it was written; download the file, or write it again".into()]
            }
            Self::LargePart { is_fixed: true, .. } => vec![
                "no setting allows more: write the file again in smaller parts, and with smaller values".into(),
            ],
            Self::LargePart { .. } => vec![
                "set a larger `memory:` (`--memory` of a copy), or write the file again in smaller parts".into(),
            ],
            _ => self.help_of_lines(),
        }
    }

    /// What to do about lines and paths.
    fn help_of_lines(&self) -> Vec<String> {
        match self {
            Self::NoOption { option: "pattern", .. } => vec![
                "write a regular expression with a named group for each column: `pattern: \"(?<level>[A-Z]+) (?<message>.*)\"`".into(),
            ],
            Self::NoOption { .. } => vec![
                "write the places of the fields: `fields: [\"id 1-5\", \"name 6-25\"]`".into(),
            ],
            Self::Partition { .. } => vec![
                "all files of a table have the same folders `key=value`; write a glob that leaves the others out, or set `hive_partitioning: false`".into(),
                "`missing_columns: null` reads a key that a path does not have as NULL".into(),
            ],
            Self::FileColumn { .. } => vec!["give `file_column` another name".into()],
            Self::Document { what: DamageKind::Wrong(_), .. } => vec![
                "nothing of it was written; correct the document where it is made, or download it again".into(),
            ],
            Self::Document { what: DamageKind::Declares, .. } => vec![
                "write the file again with what the entities stand for, such as by `xmllint --noent --dropdtd`; only do that with files that you trust".into(),
            ],
            Self::Document { .. } => vec![
                "write the name of the elements that are rows, or their place from the root on: `record: /catalog/book`; with the place, a file has no rows where the element around them is empty".into(),
            ],
            Self::UnclearElements { places, .. } => {
                let ways: Vec<String> = places.iter().take(5).map(|place| format!("`record: {place}`")).collect();
                vec![format!("say which ones: {}", ways.join(" or "))]
            }
            _ => self.bucket_help(),
        }
    }

    /// What to do about a failure of a bucket.
    fn bucket_help(&self) -> Vec<String> {
        match self {
            Self::LostPart { .. } => vec![
                "if the folder is being written or copied, the next try finds it; copy `_manifest.json` after the other files".into(),
                "if it was deleted, copy it again, or write the table again".into(),
            ],
            Self::BucketUrl { .. } => vec![
                "write `path: s3://BUCKET/PREFIX`, `gs://…` or `az://…`; credentials come from the environment".into(),
            ],
            Self::Http(error) => error.help(),
            Self::Setting { way, .. } => vec![(*way).to_owned()],
            Self::Bucket { source, .. } => {
                towpath_buckets::way_out(source.as_ref()).map(str::to_owned).into_iter().collect()
            }
            Self::NoVersion { .. } => vec![
                "Towpath needs the ETag of an object, to read all of it from one version; use a service that gives it; one that begins with `W/` does not say that all bytes are the same".into(),
            ],
            Self::Key { .. } => vec!["copy the object to another key, or write a glob that does not match it".into()],
            Self::TooLarge { .. } => vec![
                "write a folder of files: a name that ends in `/`, with `write: append` in several commits; or set a larger `memory`".into(),
            ],
            Self::Unconditional { .. } => vec![
                "two writers could overwrite each other there: write into a service that obeys If-None-Match and If-Match on puts and on ends of uploads in parts, such as Amazon S3, Cloudflare R2, Ceph or SeaweedFS".into(),
            ],
            _ => Vec::new(),
        }
    }
}

/// What a service or the client said, on one line.
pub(crate) fn said(error: &object_store::Error) -> String {
    let text = error.to_string();
    towpath_buckets::cleaned(&text).unwrap_or_else(|| text.replace('\n', " "))
}

/// A failure that went through a library as an error of a read.
fn carried(source: &std::io::Error) -> Option<Failure> {
    let inner = source.get_ref()?.downcast_ref::<FilesError>()?;
    match inner {
        FilesError::Carried(failure) => Some((**failure).clone()),
        _ => None,
    }
}

/// Whether a file's name is one of a spreadsheet.
fn is_spreadsheet(path: &str) -> bool {
    let lower = path.to_lowercase();
    let ends = [".xls", ".xlsb", ".ods"];
    ends.iter().any(|end| lower.ends_with(end))
}

impl From<FilesError> for Failure {
    fn from(error: FilesError) -> Self {
        if let FilesError::Memory(failure) | FilesError::Carried(failure) = error {
            return *failure;
        }
        if let FilesError::Read { source, .. } = &error
            && let Some(failure) = carried(source)
        {
            return failure;
        }
        let mut failure = Failure::new(error.code(), error.remedy(), error.to_string());
        for line in error.help() {
            failure = failure.help(line);
        }
        failure
    }
}
