//! The option `auth` of files behind HTTP, as data. What it does is in `auth.rs`.

use towpath_vocab::{OptionKind, OptionSpec, OptionUse, OptionVariant};

fn key(name: &str, kind: OptionKind, required: bool, doc: &str) -> OptionSpec {
    OptionSpec {
        name: name.to_owned(),
        kind,
        required,
        per_table: false,
        table_only: false,
        used_by: OptionUse::Reads,
        doc: doc.to_owned(),
    }
}

fn form(word: &str, doc: &str, keys: Vec<OptionSpec>) -> OptionVariant {
    OptionVariant {
        word: word.to_owned(),
        doc: doc.to_owned(),
        keys,
    }
}

/// The option.
pub(crate) fn auth() -> OptionSpec {
    use OptionKind::{Secret, Text};
    let forms = vec![
        form(
            "bearer",
            "A token in the header `Authorization`.",
            vec![key("token", Secret, true, "The token.")],
        ),
        form(
            "basic",
            "A user and a password.",
            vec![
                key("user", Secret, true, "The user."),
                key("password", Secret, false, "The password; default empty."),
            ],
        ),
        form(
            "header",
            "A header of any name.",
            vec![
                key("name", Text, true, "The name of the header."),
                key("value", Secret, true, "Its value."),
            ],
        ),
    ];
    key(
        "auth",
        OptionKind::Variants(forms),
        false,
        "How requests to `https://…` show who asks; it is sent to the host of `path` only. Default none.",
    )
}
