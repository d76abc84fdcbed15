//! The connector as data: what a project may say about a `singer` connection and its tables.
//!
//! Generated docs and the check of a project read this. Promise: each option is read somewhere; what they
//! do is in `settings.rs`.

use towpath_vocab::{
    Capability, ConnectorSpec, Guarantee, ObjectKind, OptionKind, OptionSpec, OptionUse, Proof,
    ProvenSystem, ReadMode, WriteMode,
};

fn key(name: &str, kind: OptionKind, doc: &str) -> OptionSpec {
    OptionSpec {
        name: name.to_owned(),
        kind,
        required: false,
        per_table: false,
        table_only: false,
        used_by: OptionUse::Always,
        doc: doc.to_owned(),
    }
}

fn of_table(name: &str, kind: OptionKind, doc: &str) -> OptionSpec {
    OptionSpec {
        per_table: true,
        table_only: true,
        used_by: OptionUse::Reads,
        ..key(name, kind, doc)
    }
}

fn words(words: &[&str]) -> OptionKind {
    OptionKind::OneOf(words.iter().map(|word| (*word).to_owned()).collect())
}

/// What is said of the program.
fn of_program() -> Vec<OptionSpec> {
    vec![
        OptionSpec {
            required: true,
            ..key(
                "command",
                OptionKind::TextList,
                "The program and its arguments: `[.venv/bin/tap-csv]`. A tap for connections that are read, a target for those that are written. There is no shell; a path is relative to the project folder.",
            )
        },
        key(
            "config",
            OptionKind::SecretMap,
            "The configuration of the program, as its documentation says. It gets it as a JSON file that only this user can read.",
        ),
        key(
            "timeout_s",
            OptionKind::Integer,
            "The seconds after which a program that says nothing is stopped; default 900.",
        ),
        key(
            "max_record_bytes",
            OptionKind::Integer,
            "The largest message in bytes; default 16 MB.",
        ),
        key(
            "discover",
            OptionKind::Boolean,
            "Whether the tap is asked for its catalog with `--discover`; default true. Without it the tap gets no catalog.",
        ),
        key(
            "catalog",
            OptionKind::Path,
            "A file with the catalog of the tap, which is used instead of asking for it.",
        ),
        key(
            "catalog_argument",
            words(&["catalog", "properties"]),
            "The argument before the path of the catalog: `--catalog`, or `--properties` for old taps.",
        ),
    ]
}

/// What is said of tables.
fn of_tables() -> Vec<OptionSpec> {
    vec![
        of_table(
            "replication_method",
            words(&["FULL_TABLE", "INCREMENTAL", "LOG_BASED"]),
            "How the tap reads the stream, if it leaves that to its catalog.",
        ),
        of_table(
            "replication_key",
            OptionKind::Text,
            "The column by which the tap finds new records, if it leaves that to its catalog.",
        ),
        of_table(
            "stream",
            OptionKind::Text,
            "The name that the tap's messages give the stream, if it is another one than in its catalog.",
        ),
        of_table(
            "repeats",
            words(&["never"]),
            "`never` says that the tap gives no record again that lies before its state. Then the stream may be read incrementally without a key.",
        ),
        OptionSpec {
            per_table: true,
            used_by: OptionUse::Writes,
            ..key(
                "deleted_rows",
                words(&["refuse", "mark"]),
                "What a target gets of a deleted row: `refuse`, the default, stops the publish; `mark` sends the row with the moment in the column `_sdc_deleted_at`.",
            )
        },
    ]
}

/// The description of the connector.
pub(super) fn spec() -> ConnectorSpec {
    let mut options = of_program();
    options.extend(of_tables());
    ConnectorSpec {
        kind: "singer".to_owned(),
        doc: "Singer taps and targets: programs that print tables as JSON messages, and programs that store them.".to_owned(),
        objects: ObjectKind::Tables,
        capabilities: vec![
            Capability::Source,
            Capability::Destination,
            Capability::Discover,
        ],
        options,
        limits: Vec::new(),
        reads: vec![ReadMode::Full, ReadMode::Incremental],
        needs_cursor: false,
        tells_version: false,
        keeps_text: true,
        writes: vec![WriteMode::Append, WriteMode::Merge],
        guarantee: Guarantee::AtLeastOnce,
        proven: ProvenSystem::all(Proof::RealSystem, ["tap-dbf 0.1", "tap-postgres 0.10", "target-csv 0.5"]),
        schemes: Vec::new(),
        endings: Vec::new(),
    }
}
