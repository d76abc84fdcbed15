//! Rewords the planner's messages: types as in the config, names in backticks, no hints about an issue
//! tracker.
//!
//! Promise: a message that is not known here is shortened and passed on. It finds no position; it says which
//! word of the statement the message is about, and `problem.rs` finds that word. Read next: `problem.rs`.

/// A reworded message of the planner.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) help: Vec<String>,
    /// The column, function or type of the message, as in the statement.
    pub(crate) about: Option<String>,
}

fn sentence(code: &'static str, message: impl Into<String>, about: Option<&str>) -> Sentence {
    Sentence {
        code,
        message: message.into(),
        help: Vec::new(),
        about: about.map(str::to_owned),
    }
}

/// The longest message that is passed on.
const LONGEST: usize = 240;

/// Rewords an error of the planner.
pub(crate) fn reword(text: &str) -> Sentence {
    let known = [calls, filters, grouping, duplicates, fields_and_types, sets];
    known
        .iter()
        .find_map(|rule| rule(text))
        .unwrap_or_else(|| plain(text))
}

/// The text between two others.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    rest.split_once(after).map(|(found, _)| found)
}

/// The last part of `raw.orders.total`.
fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name).trim_matches('"')
}

/// Rewords an error about a call whose arguments do not fit.
fn calls(text: &str) -> Option<Sentence> {
    let call = between(
        text,
        "No function matches the given name and argument types '",
        "'. You might",
    )?;
    let (name, arguments) = call.split_once('(')?;
    let own = between(text, "coercion failed with: ", ". No function matches")
        .and_then(|why| why.split_once(": "));
    let own = own.map(|(_, why)| why).filter(|why| why.starts_with('`'));
    let arguments = type_words(arguments.strip_suffix(')').unwrap_or(arguments));
    let message = match own {
        Some(why) => why.to_owned(),
        None if arguments.is_empty() => format!("`{name}` needs arguments"),
        None => format!("`{name}` does not take ({arguments})"),
    };
    let mut reworded = sentence("M0308", message, Some(name));
    let candidates = text
        .split_once("Candidate functions:")
        .map(|(_, rest)| rest)
        .unwrap_or_default();
    let candidates: Vec<String> = candidates
        .lines()
        .map(str::trim)
        .filter(|c| !c.is_empty() && !c.contains("UserDefined"))
        .map(type_words)
        .collect();
    if !candidates.is_empty() {
        reworded
            .help
            .push(format!("it takes: {}", candidates.join(", ")));
    }
    Some(reworded)
}

fn filters(text: &str) -> Option<Sentence> {
    let condition = between(text, "non-boolean predicate '", "' returning ")?;
    let data_type = type_words(text.rsplit("' returning ").next()?);
    let name = last_part(condition);
    Some(sentence(
        "M0308",
        format!("a condition is true or false, and `{name}` is {data_type}"),
        Some(name),
    ))
}

fn grouping(text: &str) -> Option<Sentence> {
    let column = between(text, "column \"", "\" must appear in the GROUP BY clause")?;
    let name = last_part(column);
    let mut reworded = sentence(
        "M0310",
        format!("`{name}` must be in GROUP BY or inside an aggregate"),
        Some(name),
    );
    reworded.help.push(format!(
        "add `{name}` to GROUP BY, or choose one of its values: `max({name})`, `first_value({name})`"
    ));
    Some(reworded)
}

fn duplicates(text: &str) -> Option<Sentence> {
    if !text.contains("require unique expression names") {
        return None;
    }
    let expression = between(text, "the expression \"", "\" at position")?;
    let name = last_part(expression.rsplit(" AS ").next()?);
    let mut reworded = sentence(
        "M0309",
        format!("two columns are named `{name}`"),
        Some(name),
    );
    reworded
        .help
        .push("give one of them a different name with AS".to_owned());
    Some(reworded)
}

fn fields_and_types(text: &str) -> Option<Sentence> {
    if let Some(field) = text
        .split_once("field ")
        .or_else(|| text.split_once("Field "))
        .and_then(|(_, rest)| rest.strip_suffix(" not found in struct"))
    {
        return Some(sentence(
            "M0301",
            format!("there is no field `{field}` in this struct"),
            Some(field),
        ));
    }
    let name = text.rsplit_once("Unsupported SQL type ")?.1;
    let mut reworded = sentence("M0308", format!("`{name}` is not a type"), Some(name));
    reworded.help.push("types are varchar, boolean, int, bigint, double, decimal(p,s), date, timestamp and their kin".to_owned());
    Some(reworded)
}

fn sets(text: &str) -> Option<Sentence> {
    let operation = text.split_whitespace().next()?;
    text.contains("queries have different number of columns")
        .then(|| {
            sentence(
                "M0310",
                format!(
                    "the queries on both sides of {operation} have different numbers of columns"
                ),
                None,
            )
        })
}

fn plain(text: &str) -> Sentence {
    let line = text.lines().next().unwrap_or(text).trim();
    let prefixes = [
        "Error during planning: ",
        "Execution error: ",
        "Internal error: ",
        "External error: ",
    ];
    let line = prefixes.iter().fold(line, |line, prefix| {
        line.strip_prefix(prefix).unwrap_or(line)
    });
    let line = line.split_once(" {").map_or(line, |(before, _)| before);
    let about_types = [
        "coerc",
        " type",
        "cannot be cast",
        "Cannot cast",
        "Cannot infer",
    ];
    let code = if about_types.iter().any(|word| line.contains(word)) {
        "M0308"
    } else {
        "M0310"
    };
    let end = line
        .char_indices()
        .nth(LONGEST)
        .map_or(line.len(), |(at, _)| at);
    let short = type_words(line.get(..end).unwrap_or(line));
    sentence(code, lower_first(short.trim_end_matches('.')), None)
}

/// Makes the first letter lower case, unless the first word is in capitals.
pub(crate) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(_), Some(second)) if second.is_uppercase() => text.to_owned(),
        (Some(first), _) => first.to_lowercase().chain(chars).collect(),
        (None, _) => String::new(),
    }
}

/// Arrow's names of types, with the words of the config.
const TYPE_WORDS: &[(&str, &str)] = &[
    ("Timestamp(µs, \"UTC\")", "timestamptz"),
    ("Timestamp(ns, \"UTC\")", "timestamptz"),
    ("Timestamp(µs)", "timestamp"),
    ("Timestamp(ns)", "timestamp"),
    ("Timestamp(ms)", "timestamp"),
    ("Timestamp(s)", "timestamp"),
    ("Interval(MonthDayNano)", "interval"),
    ("LargeUtf8", "text"),
    ("Utf8View", "text"),
    ("Utf8", "text"),
    ("LargeBinary", "binary"),
    ("BinaryView", "binary"),
    ("Decimal128(", "decimal("),
    ("Decimal256(", "decimal("),
    ("Boolean", "bool"),
    ("Date32", "date"),
    ("Float32", "float"),
    ("Float64", "double"),
    ("UInt8", "utinyint"),
    ("UInt16", "usmallint"),
    ("UInt32", "uint"),
    ("UInt64", "ubigint"),
    ("Int8", "tinyint"),
    ("Int16", "smallint"),
    ("Int32", "int"),
    ("Int64", "bigint"),
    ("List(", "list("),
    ("Struct(", "struct("),
];

/// Replaces Arrow's names of types by the words of the config.
pub(crate) fn type_words(text: &str) -> String {
    let mut words = text.to_owned();
    for (arrow, word) in TYPE_WORDS {
        words = words.replace(arrow, word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_reworded() {
        let found = reword(
            "Internal error: Function 'sum' failed to match any signature. No function matches the given name and argument types 'sum(Utf8)'. You might need to add explicit type casts.\n\tCandidate functions:\n\tsum(Decimal)\n\tsum(Int64)",
        );
        assert_eq!(found.message, "`sum` does not take (text)");
        assert_eq!(found.help, ["it takes: sum(Decimal), sum(bigint)"]);
        let found = reword(
            "Cannot create filter with non-boolean predicate 'raw.orders.order_id' returning Int64",
        );
        assert_eq!(
            found.message,
            "a condition is true or false, and `order_id` is bigint"
        );
        assert_eq!(
            reword("UNION queries have different number of columns").code,
            "M0310"
        );
        assert_eq!(lower_first("WITH query name"), "WITH query name");
        assert_eq!(lower_first("Cannot do"), "cannot do");
    }
}
