//! The connector as data: what a project may say about a `program` connection and its tables.
//!
//! Generated docs and the check of a project read this. Promise: each option is read in `settings.rs`, those
//! of the format as files have them.

use towpath_ports::Connector as _;
use towpath_vocab::{
    Capability, ConnectorSpec, Guarantee, ObjectKind, OptionKind, OptionSpec, OptionUse, Proof,
    ProvenSystem, ReadMode,
};

use crate::files::FilesConnector;

/// The formats that a program may print.
const FORMATS: [&str; 3] = ["jsonl", "csv", "arrow"];

/// Options of files that say how text is read.
pub(super) const OF_FILES: [&str; 12] = [
    "delimiter",
    "quote",
    "escape",
    "header",
    "null_values",
    "trim",
    "date_format",
    "timestamp_format",
    "decimal",
    "thousands",
    "nested",
    "max_record_bytes",
];

fn key(name: &str, kind: OptionKind, doc: &str) -> OptionSpec {
    OptionSpec {
        name: name.to_owned(),
        kind,
        required: false,
        per_table: false,
        table_only: false,
        used_by: OptionUse::Reads,
        doc: doc.to_owned(),
    }
}

fn options() -> Vec<OptionSpec> {
    let formats = FORMATS.map(str::to_owned).to_vec();
    let mut options = vec![
        OptionSpec {
            required: true,
            ..key(
                "command",
                OptionKind::TextList,
                "The program and its arguments: `[python3, export.py, \"{{ table }}\"]`. There is no shell; a path is relative to the project folder. An argument with `{{ cursor }}` is left out while nothing was read before.",
            )
        },
        OptionSpec {
            per_table: true,
            ..key(
                "format",
                OptionKind::OneOf(formats),
                "What the program prints on its standard output; default `jsonl`.",
            )
        },
        OptionSpec {
            per_table: true,
            table_only: true,
            ..key(
                "arguments",
                OptionKind::TextList,
                "Further arguments for this table.",
            )
        },
        key(
            "env",
            OptionKind::SecretMap,
            "Extra environment variables of the program. It also has `TOWPATH_TABLE`, and `TOWPATH_CURSOR` if rows were read before.",
        ),
        key(
            "timeout_s",
            OptionKind::Integer,
            "The seconds after which a program that prints nothing is stopped; default 900.",
        ),
    ];
    let of_files = FilesConnector.spec().options.into_iter();
    options.extend(of_files.filter(|option| OF_FILES.contains(&option.name.as_str())));
    options
}

pub(super) fn spec() -> ConnectorSpec {
    ConnectorSpec {
        kind: "program".to_owned(),
        doc: "A program that prints rows.".to_owned(),
        objects: ObjectKind::Tables,
        capabilities: vec![Capability::Source],
        options: options(),
        limits: Vec::new(),
        reads: vec![ReadMode::Full, ReadMode::Incremental],
        needs_cursor: true,
        tells_version: false,
        keeps_text: true,
        writes: Vec::new(),
        guarantee: Guarantee::AtLeastOnce,
        proven: ProvenSystem::all(Proof::RealSystem, ["programs of the tests"]),
        schemes: Vec::new(),
        endings: Vec::new(),
    }
}
