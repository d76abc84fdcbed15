//! Formats lists of names for messages, on one line.
//!
//! It knows only text; `towpath_sql::closest` finds the name that was probably meant.

/// The most names in a list; the rest is counted.
const LISTED: usize = 12;

/// `a`, `b`, `c` and 7 more.
pub(crate) fn listed(names: &[String]) -> String {
    let mut out = names
        .iter()
        .take(LISTED)
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > LISTED {
        out.push_str(&format!(" and {} more", names.len() - LISTED));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
        assert!(listed(&names).ends_with("`c11` and 8 more"));
    }
}
