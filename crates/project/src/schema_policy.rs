//! What a table says about a source whose columns change: `schema_change`, as one word or for columns and types.
//!
//! Promise: each word is obeyed or refused. It does not know which columns there are: they are judged when the
//! table is written (`flow/src/schema_policy.rs`). Read next: `table.rs`, which puts the policy into its `write`.

use towpath_vocab::{BadRows, ChangePolicy, SchemaPolicy};

use crate::report::Report;
use crate::yaml::Node;

/// Words for `schema_change`. `fail` is read as `freeze`, `ignore` as new columns discarded and types frozen.
pub(crate) const WORDS: &[&str] = &[
    "evolve",
    "freeze",
    "discard_value",
    "quarantine_row",
    "fail",
    "ignore",
];

/// Words for its parts.
pub(crate) const PART_WORDS: &[&str] = &["evolve", "freeze", "discard_value", "quarantine_row"];

/// What a table allows. `reads_text` says that the types of the source are found by reading its text.
pub(crate) fn read(
    settings: &Node,
    bad_rows: BadRows,
    reads_text: bool,
    report: &mut Report,
) -> SchemaPolicy {
    let Some(node) = settings.get("schema_change") else {
        return SchemaPolicy::default();
    };
    let policy = match node.text() {
        Some("fail") => both(ChangePolicy::Freeze),
        Some("ignore") => SchemaPolicy {
            columns: ChangePolicy::DiscardValue,
            types: ChangePolicy::Freeze,
        },
        Some(word) => both(ChangePolicy::of_word(word).unwrap_or_default()),
        None => SchemaPolicy {
            columns: part(node, "columns"),
            types: part(node, "types"),
        },
    };
    let rejects = [policy.columns, policy.types].contains(&ChangePolicy::QuarantineRow);
    if rejects && bad_rows != BadRows::Quarantine {
        let word = settings.get_text("bad_rows").unwrap_or_default();
        report
            .error(
                "P0141",
                node.at,
                format!("`quarantine_row` keeps records, and `bad_rows: {word}` does not"),
            )
            .help("remove one of them: `bad_rows: quarantine` is the default");
    }
    if reads_text && policy.types == ChangePolicy::DiscardValue {
        let at = node.get("types").unwrap_or(node).at;
        report
            .error(
                "P0142",
                at,
                "values of text that do not fit the type of their column reject their record, and cannot be discarded alone",
            )
            .help(format!(
                "leave types out: schema_change: {{ columns: {} }}",
                policy.columns.word()
            ))
            .help("or say that such records are kept: schema_change: { types: quarantine_row }");
    }
    policy
}

fn both(policy: ChangePolicy) -> SchemaPolicy {
    SchemaPolicy {
        columns: policy,
        types: policy,
    }
}

fn part(node: &Node, key: &str) -> ChangePolicy {
    let word = node.get_text(key);
    word.and_then(ChangePolicy::of_word).unwrap_or_default()
}
