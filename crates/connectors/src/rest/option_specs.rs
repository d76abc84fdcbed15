//! Short forms of the descriptions of options. Read next: `spec.rs`.

use towpath_vocab::{OptionKind, OptionSpec, OptionUse, OptionVariant};

pub(super) fn key(name: &str, kind: OptionKind, doc: &str) -> OptionSpec {
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

pub(super) fn required(name: &str, kind: OptionKind, doc: &str) -> OptionSpec {
    OptionSpec {
        required: true,
        ..key(name, kind, doc)
    }
}

pub(super) fn words(words: &[&str]) -> OptionKind {
    OptionKind::OneOf(words.iter().map(|word| (*word).to_owned()).collect())
}

pub(super) fn form(word: &str, doc: &str, keys: Vec<OptionSpec>) -> OptionVariant {
    OptionVariant {
        word: word.to_owned(),
        doc: doc.to_owned(),
        keys,
    }
}
