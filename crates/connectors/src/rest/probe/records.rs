//! Where the records of an answer are.
//!
//! Promise: a list of maps, or the answer itself where it has none; where several lists may be meant, the
//! longest is proposed as a guess. It asks nobody. Read next: `pages.rs`.

use crate::rest::path::JsonPath;
use crate::rest::raw::Raw;

/// Levels of maps that are looked through.
const DEEPEST: usize = 4;

/// Names of lists that usually hold records.
const USUAL: [&str; 8] = [
    "data", "items", "results", "records", "entries", "values", "rows", "list",
];

/// Names of lists that never do.
const TROUBLE: [&str; 4] = ["error", "errors", "warnings", "messages"];

/// Where the records are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// None where the answer is the list.
    pub(super) path: Option<JsonPath>,
    pub(super) why: String,
    pub(super) is_guess: bool,
}

/// The lists that may hold records, with their length.
fn lists(at: Raw<'_>, path: &JsonPath, deep: usize, into: &mut Vec<(JsonPath, usize)>) {
    for (name, value) in at.members() {
        let path = path.child(&name);
        if value.is_array() && value.items().all(Raw::is_object) {
            into.push((path, value.items().count()));
        } else if value.is_object() && deep < DEEPEST {
            lists(value, &path, deep + 1, into);
        }
    }
}

fn last(path: &JsonPath) -> String {
    let last = path.keys().last();
    last.map(|name| name.to_ascii_lowercase())
        .unwrap_or_default()
}

/// The place of the records; the error is why there is none.
pub(super) fn find(body: Raw<'_>) -> Result<Place, String> {
    if body.is_array() {
        let count = body.items().count();
        return match body.items().all(Raw::is_object) {
            true => Ok(Place {
                path: None,
                why: format!("the answer is a list of {count}"),
                is_guess: false,
            }),
            false => Err("answers with a list whose items are no maps".to_owned()),
        };
    }
    let mut found = Vec::new();
    lists(body, &JsonPath::default(), 1, &mut found);
    found.retain(|(path, _)| !TROUBLE.contains(&last(path).as_str()));
    // The longest first; of equal ones that with a usual name, and the outer one.
    found.sort_by_key(|(path, count)| {
        let usual = USUAL.iter().position(|name| *name == last(path));
        let usual = usual.unwrap_or(USUAL.len());
        (std::cmp::Reverse(*count), usual, path.keys().len())
    });
    let others = found.iter().skip(1).map(|(path, _)| format!("`{path}`"));
    let others = others.collect::<Vec<_>>().join(", ");
    match found.first() {
        Some((path, count)) => Ok(Place {
            path: Some(path.clone()),
            why: match (*count, others.is_empty()) {
                (0, true) => "the only list, and it is empty now".to_owned(),
                (count, true) => format!("the only list of records: {count}"),
                (count, false) => format!("the longest list: {count}; the others: {others}"),
            },
            is_guess: *count == 0 || !others.is_empty(),
        }),
        None if body.is_object() => Ok(Place {
            path: Some(JsonPath::default()),
            why: "the answer has no list of records: it is one record".to_owned(),
            is_guess: true,
        }),
        None => Err("answers with a single value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn records_are_the_longest_list_of_maps() {
        let found = |text: &str| {
            let place = find(Raw::read(text).unwrap())?;
            let path = place.path.map_or("-".to_owned(), |path| path.to_string());
            Ok::<_, String>((path, place.is_guess))
        };
        let sure = |path: &str| Ok((path.to_owned(), false));
        let guess = |path: &str| Ok((path.to_owned(), true));
        assert_eq!(found("[{\"a\":1}]"), sure("-"));
        assert_eq!(
            found("{\"r\":{\"items\":[{}]},\"tags\":[\"x\"]}"),
            sure("r.items")
        );
        assert_eq!(found("{\"included\":[{}],\"data\":[{},{}]}"), guess("data"));
        assert_eq!(found("{\"x\":[],\"data\":[]}"), guess("data"));
        assert_eq!(found("{\"a\":1,\"errors\":[{}]}"), guess("$"));
        assert!(found("[1,2]").is_err());
        assert!(found("7").is_err());
    }
}
