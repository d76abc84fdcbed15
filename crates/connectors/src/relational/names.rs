//! Names of tables and columns: quoted for SQL, and compared with what a person wrote.
//!
//! Promise: whatever a name holds, `quoted` gives one identifier; `nearest` gives a name only when it is
//! close. It asks no database whether a name exists.

/// Names of columns that tell when a row was changed, the best first.
const TIMES_OF_CHANGE: &[&str] = &[
    "updated_at",
    "modified_at",
    "changed_at",
    "last_modified",
    "last_updated",
    "update_time",
    "modified",
    "updated",
    "last_update",
    "sys_modified",
    "modification_date",
    "mtime",
    "created_at",
    "inserted_at",
    "created",
    "event_time",
];

/// One SQL identifier between double quotes, as the standard writes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The candidate most like `wanted`, if one is close.
pub(crate) fn nearest<'a>(
    wanted: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let wanted = wanted.to_lowercase();
    candidates
        .map(|name| {
            let edits = strsim::osa_distance(&wanted, &name.to_lowercase());
            (edits, name)
        })
        .min_by_key(|(edits, _)| *edits)
        .filter(|(edits, _)| *edits <= wanted.chars().count().div_ceil(3))
        .map(|(_, name)| name.to_owned())
}

/// The column that most likely tells when a row was changed, among those of dates and times.
pub(crate) fn guessed_cursor<'a>(
    times: impl Iterator<Item = &'a str>,
    indexed: &[String],
) -> Option<String> {
    let ranked = times.filter_map(|name| {
        let lower = name.to_lowercase();
        let rank = TIMES_OF_CHANGE.iter().position(|known| *known == lower)?;
        Some((rank, !indexed.iter().any(|other| other == name), name))
    });
    ranked.min().map(|(_, _, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_survives_anything() {
        assert_eq!(quoted("Größe \"x\""), "\"Größe \"\"x\"\"\"");
    }

    #[test]
    fn near_misses_are_found() {
        let names = ["orders", "customers"];
        assert_eq!(nearest("ordres", names.into_iter()), Some("orders".into()));
        assert_eq!(nearest("invoices", names.into_iter()), None);
    }
}
