//! The connector as data: what a project may say about a `files` connection.
//!
//! Generated docs and the check of a project read this; what the options do is in `options.rs`.

use towpath_vocab::{
    Capability, ConnectorSpec, Guarantee, ObjectKind, OptionKind, OptionSpec, OptionUse, Proof,
    ProvenSystem, ReadMode, WriteMode,
};

use super::http;

/// Files that other programs wrote, and the services of buckets.
fn proven() -> Vec<ProvenSystem> {
    let real = [
        "files of DuckDB, pyarrow, fastavro and openpyxl",
        "parquet-testing",
        "csv-spectrum",
        "S3 of SeaweedFS 4",
    ];
    let mut proven = ProvenSystem::all(Proof::RealSystem, real);
    proven.extend(ProvenSystem::all(Proof::Emulator, ["Azure by Azurite 3"]));
    proven
}

enum Kind {
    Text,
    Integer,
    Boolean,
    List,
    OneOf(&'static [&'static str]),
}

/// Options that a connection and a table may set: name, what it takes, one line of documentation.
const OPTIONS: &[(&str, Kind, &str)] = &[
    (
        "format",
        Kind::OneOf(&[
            "csv", "jsonl", "json", "xml", "parquet", "avro", "arrow", "xlsx", "common",
            "combined", "syslog", "regex", "fixed",
        ]),
        "The format of the files; default: by extension.",
    ),
    (
        "compression",
        Kind::OneOf(&["none", "gzip", "zstd"]),
        "The compression of the files; default: by extension (.gz, .zst). For Parquet, Avro and Arrow only when they are written; default zstd, gzip (`deflate`) and none.",
    ),
    (
        "delimiter",
        Kind::Text,
        "One ASCII character between CSV fields, or `tab`; default `,` (tab for .tsv), or the separator of a header without commas: `;`, a tab or `|`.",
    ),
    (
        "quote",
        Kind::Text,
        "One ASCII character around CSV fields, or empty for none; default `\"`.",
    ),
    (
        "escape",
        Kind::Text,
        "One ASCII character before a quote inside quotes; default: quotes are doubled.",
    ),
    (
        "header",
        Kind::Boolean,
        "Whether the first CSV line names the columns; default true.",
    ),
    (
        "null_values",
        Kind::List,
        "Unquoted CSV texts that mean NULL, in addition to the empty one; `\"\"` also makes quoted empty fields NULL. In XML, texts that mean NULL.",
    ),
    (
        "encoding",
        Kind::Text,
        "Character encoding, such as `utf-8`, `utf-16le`, `windows-1252`; default: found for each file, mostly utf-8.",
    ),
    (
        "skip_lines",
        Kind::Integer,
        "The number of CSV lines to skip before the header; default 0.",
    ),
    (
        "comment",
        Kind::Text,
        "CSV lines that start with this ASCII character are skipped.",
    ),
    (
        "trim",
        Kind::Boolean,
        "Whether blanks around fields are dropped; default false, and true for `format: fixed` and `xml`.",
    ),
    (
        "date_format",
        Kind::Text,
        "The format of dates, such as `%d/%m/%Y`; default ISO 8601.",
    ),
    (
        "timestamp_format",
        Kind::Text,
        "The format of timestamps, such as `%d.%m.%Y %H:%M`; default ISO 8601.",
    ),
    (
        "decimal",
        Kind::Text,
        "One ASCII character before the fraction of CSV numbers, read or written; default `.`, or what the numbers of a column show when they are read. With `,` a `.` is read between thousands.",
    ),
    (
        "thousands",
        Kind::Text,
        "One ASCII character between thousands of CSV numbers when they are read (none is written); default none, or what the numbers of a column show.",
    ),
    (
        "records",
        Kind::Text,
        "Where the array of rows is in a JSON file that is one object, such as `data.items`; default: the only member that is an array of objects; empty for the file itself.",
    ),
    (
        "record",
        Kind::Text,
        "The elements of an XML file that are rows: a name, such as `book`, or the place from the root on, such as `/catalog/book`; default: the ones of the only name that repeats in the root.",
    ),
    (
        "prefixes",
        Kind::OneOf(&["drop", "keep"]),
        "Whether names of XML elements and attributes keep their namespace prefix: `x:id`; default drop.",
    ),
    (
        "nested",
        Kind::OneOf(&["text", "types"]),
        "What lists and objects of JSON, and nested or repeated elements of XML, become where no type is declared: JSON text, or structs and lists; default text.",
    ),
    (
        "sheet",
        Kind::Text,
        "The sheet of an Excel workbook: its name, or its place from 1; default: the first visible one.",
    ),
    (
        "range",
        Kind::Text,
        "The cells of the sheet, such as `B3:F200`, `B:F` or `B3`; default: all with a value.",
    ),
    (
        "pattern",
        Kind::Text,
        "The regular expression that a whole line of `format: regex` matches; its named groups are the columns: `(?<level>[A-Z]+) (?<message>.*)`.",
    ),
    (
        "fields",
        Kind::List,
        "The fields of a line of `format: fixed`, each with its first and last character, or its width behind the field before: `id 1-5`, `name 20`.",
    ),
    (
        "short_lines",
        Kind::OneOf(&["reject", "pad"]),
        "What becomes of a line of `format: fixed` that ends before its last field does: it is rejected, or what is missing is taken as blanks; default reject.",
    ),
    (
        "year",
        Kind::Integer,
        "The year of times of RFC 3164 in `format: syslog`, which have none; needs `offset`. Default: such times are text.",
    ),
    (
        "offset",
        Kind::Text,
        "The offset from UTC of such times, such as `+02:00`; needs `year`.",
    ),
    (
        "hive_partitioning",
        Kind::Boolean,
        "Whether folders `key=value` in the path of a file are columns; default false.",
    ),
    (
        "file_column",
        Kind::Text,
        "The name of a column for the path of the file, relative to the connection; default: none.",
    ),
    (
        "missing_columns",
        Kind::OneOf(&["fail", "null"]),
        "What happens when a file does not have an expected column; default fail.",
    ),
    (
        "max_record_bytes",
        Kind::Integer,
        "A longer record is rejected; default 67108864.",
    ),
    (
        "max_columns",
        Kind::Integer,
        "A file with more columns stops the load; default 10000, and 2000 different keys of JSON objects.",
    ),
];

/// Options that nothing reads when files are written.
const READ_ONLY: &[&str] = &[
    "records",
    "record",
    "prefixes",
    "nested",
    "sheet",
    "range",
    "pattern",
    "fields",
    "short_lines",
    "year",
    "offset",
    "hive_partitioning",
    "file_column",
    "missing_columns",
];

impl Kind {
    fn option_kind(&self) -> OptionKind {
        match self {
            Kind::Text => OptionKind::Text,
            Kind::Integer => OptionKind::Integer,
            Kind::Boolean => OptionKind::Boolean,
            Kind::List => OptionKind::TextList,
            Kind::OneOf(words) => {
                OptionKind::OneOf(words.iter().map(|word| (*word).to_owned()).collect())
            }
        }
    }
}

/// The connector as data.
pub(crate) fn spec() -> ConnectorSpec {
    let mut options = vec![OptionSpec {
        name: "path".to_owned(),
        kind: OptionKind::Path,
        required: true,
        per_table: false,
        table_only: false,
        used_by: OptionUse::Always,
        doc: "Folder or file, relative to the project folder; or `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`; or `https://HOST/PATH`, which is only read.".to_owned(),
    }];
    options.push(http::spec::auth());
    options.extend(OPTIONS.iter().map(|(name, kind, doc)| OptionSpec {
        name: (*name).to_owned(),
        kind: kind.option_kind(),
        required: false,
        per_table: true,
        table_only: false,
        used_by: match READ_ONLY.contains(name) {
            true => OptionUse::Reads,
            false => OptionUse::Always,
        },
        doc: (*doc).to_owned(),
    }));
    ConnectorSpec {
        kind: "files".to_owned(),
        doc: "CSV, JSON lines, JSON, XML, Parquet, Avro, Arrow, Excel and log files in a local folder, in a bucket, or behind `https://`."
            .to_owned(),
        objects: ObjectKind::Files,
        capabilities: vec![
            Capability::Source,
            Capability::Destination,
            Capability::Discover,
        ],
        options,
        limits: Vec::new(),
        reads: vec![ReadMode::Full, ReadMode::Incremental],
        needs_cursor: false,
        tells_version: true,
        keeps_text: true,
        writes: vec![WriteMode::Replace, WriteMode::Append],
        guarantee: Guarantee::AtomicFile,
        proven: proven(),
        schemes: std::iter::once("file")
            .chain(towpath_buckets::SCHEMES)
            .chain(["https", "http"])
            .map(str::to_owned)
            .collect(),
        endings: Vec::new(),
    }
}
