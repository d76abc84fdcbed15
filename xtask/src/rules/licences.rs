//! Every package that is built may be distributed under Apache-2.0.
//!
//! Promise: the SPDX expression of each manifest is checked without another tool. `cargo deny` checks
//! advisories; its `deny.toml` has the same list of licences, and a test keeps both equal. It does not know
//! the texts of licences.

use crate::finding::Finding;
use crate::workspace::Workspace;

/// Licences whose terms a distributed binary under Apache-2.0 can meet.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];

/// Finds packages without a licence or with one that is not in the list.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace
        .packages
        .iter()
        .filter_map(|package| {
            let problem = match package.licence.as_deref() {
                None => "states no licence".to_owned(),
                Some(expression) if accepted(expression) => return None,
                Some(expression) => format!("is under `{expression}`"),
            };
            Some(Finding::new(
                "licences",
                format!("package `{} {}`", package.name, package.version),
                format!("{problem}; use another package, or add the licence to rules/licences.rs and deny.toml with a reason in docs/decisions/"),
            ))
        })
        .collect()
}

/// True when the expression can be met by allowed licences alone.
fn accepted(expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) == Some(true) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> Option<bool> {
    let mut met = all_of(rest)?;
    while let Some(("OR", after)) = split(rest) {
        *rest = after;
        met |= all_of(rest)?;
    }
    Some(met)
}

fn all_of(rest: &mut &[&str]) -> Option<bool> {
    let mut met = one(rest)?;
    while let Some(("AND", after)) = split(rest) {
        *rest = after;
        met &= one(rest)?;
    }
    Some(met)
}

fn one(rest: &mut &[&str]) -> Option<bool> {
    let (word, after) = split(rest)?;
    *rest = after;
    if word == "(" {
        let met = any_of(rest)?;
        let (closing, after) = split(rest)?;
        *rest = after;
        return (closing == ")").then_some(met);
    }
    if let Some(("WITH", after)) = split(rest) {
        let (exception, after) = split(after)?;
        *rest = after;
        return Some(ALLOWED.contains(&format!("{word} WITH {exception}").as_str()));
    }
    Some(ALLOWED.contains(&word))
}

fn split<'a, 'b>(rest: &'b [&'a str]) -> Option<(&'a str, &'b [&'a str])> {
    rest.split_first().map(|(first, after)| (*first, after))
}

#[cfg(test)]
mod tests {
    use super::{ALLOWED, accepted, check};
    use crate::workspace::planted::{of_packages, package};
    use serde_json::Value;

    #[test]
    fn expressions_are_read_as_logic() {
        for yes in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
            "ISC AND (Apache-2.0 OR ISC) AND Apache-2.0",
        ] {
            assert!(accepted(yes), "{yes}");
        }
        for no in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR ISC) AND (GPL-3.0 OR AGPL-3.0)",
            "Apache-2.0 WITH Something-else",
            "MIT OR",
            "(MIT",
            "MIT ISC",
            "",
        ] {
            assert!(!accepted(no), "{no}");
        }
    }

    #[test]
    fn a_planted_copyleft_and_a_missing_licence_are_found() {
        let mut strict = package("strict", &[]);
        strict["license"] = Value::from("AGPL-3.0-only");
        let mut silent = package("silent", &[]);
        silent["license"] = Value::Null;
        let workspace = of_packages(&[strict, silent, package("towpath-vocab", &[])]);
        let places: Vec<String> = check(&workspace).into_iter().map(|f| f.place).collect();
        assert_eq!(places, ["package `strict 0.1.0`", "package `silent 0.1.0`"]);
    }

    #[test]
    #[allow(clippy::expect_used, reason = "tests")]
    fn deny_toml_allows_the_same() {
        let path = crate::workspace::root().join("deny.toml");
        let text = std::fs::read_to_string(path).expect("deny.toml");
        let (_, list) = text.split_once("allow = [").expect("an allow list");
        let (list, _) = list.split_once(']').expect("its end");
        let listed: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
        assert_eq!(listed, ALLOWED);
    }
}
