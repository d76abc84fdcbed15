//! What each code of templates means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use
//! in the file that raises it. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::CodeEntry;

/// The codes, sorted.
pub const CODES: &[CodeEntry] = &[
    CodeEntry::check(
        "M0320",
        "The template cannot be read: for instance, a `{{` or `{%` is not closed.",
        "",
    ),
    CodeEntry::check(
        "M0321",
        "The template uses a name, function, macro or filter that does not exist.",
        "",
    ),
    CodeEntry::check(
        "M0322",
        "A `ref` does not name a model, or a `source` does not name a table.",
        "A `ref` names a model by its file, without folder and `.sql`. A `source` has two parts: the lakehouse schema of a load (or a name under `sources:`) and the table.",
    ),
    CodeEntry::check(
        "M0323",
        "A function or macro is called with arguments that it does not take.",
        "",
    ),
    CodeEntry::check(
        "M0324",
        "`var` has neither a value nor a default.",
        "Set it in towpath.yml (vars: { NAME: … }), or write var('NAME', default).",
    ),
    CodeEntry::check(
        "M0325",
        "`env_var` names a variable that is not set and gives no default.",
        "",
    ),
    CodeEntry::check(
        "M0326",
        "A macro cannot be used: its file is broken, or two have the same name.",
        "",
    ),
    CodeEntry::check(
        "M0327",
        "The template itself raised this error, with `exceptions.raise_compiler_error`.",
        "",
    ),
    CodeEntry::check(
        "M0328",
        "The template could not be rendered; the message says why.",
        "",
    ),
    CodeEntry::check(
        "T0410",
        "A template runs too many steps.",
        "Nested loops, or a loop that writes a lot of text, can cause this. Loop over fewer items, or let SQL make the rows (`generate_series`, `cross join`).",
    ),
    CodeEntry::check(
        "T0411",
        "A template makes a text of more than 16 MB or a list of more than a million items.",
        "Adding a value to itself in a loop can cause this. Build smaller pieces.",
    ),
];
