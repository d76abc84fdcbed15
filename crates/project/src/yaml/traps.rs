//! Common mistakes in YAML, with the name of the mistake.
//!
//! Promise: if the text around a syntax error shows its cause, the message says what to write instead. It
//! only writes messages; `parse.rs` finds the errors.

use super::tree::{Map, Node, Value};
use crate::report::{FileRange, Report};

/// Writes the message of a syntax error.
pub(super) fn syntax_error(text: &str, at: FileRange, info: &str, report: &mut Report) {
    let found = text.get(at.start..).and_then(|rest| rest.chars().next());
    let before = text
        .get(..at.start)
        .and_then(|rest| rest.chars().next_back());
    let line = text
        .lines()
        .nth(at.line.saturating_sub(1))
        .unwrap_or_default();
    match found {
        Some('{') if before == Some('$') => {
            let rest = text.get(at.start..).unwrap_or_default();
            let end = rest.find('}').map_or(at.end, |close| at.start + close + 1);
            let at = FileRange {
                start: at.start - 1,
                end,
                column: at.column - 1,
                ..at
            };
            let whole = text.get(at.start..at.end).unwrap_or("${…}");
            report
                .error(
                    "P0108",
                    at,
                    format!("`{whole}` inside braces must be in quotes"),
                )
                .label("YAML reads this `{` as the start of a map")
                .help(format!("write \"{whole}\""));
        }
        Some(mark @ ('@' | '%' | '`')) => {
            let word: String = line.chars().skip(at.column.saturating_sub(1)).collect();
            let word = word.trim_end().to_owned();
            report
                .error(
                    "P0110",
                    at,
                    format!("a value cannot start with `{mark}` without quotes"),
                )
                .help(format!("write '{word}'"));
        }
        _ if info.contains("unknown anchor") || found == Some('*') => {
            report
                .error("P0110", at, "a value that starts with `*` is an alias of an anchor, and there is no such anchor")
                .help("quote it if it is a pattern: \"*\"");
        }
        _ if line.starts_with('\t')
            || line.trim_start_matches(' ').starts_with('\t')
            || info.contains("tabs disallowed") =>
        {
            report
                .error("P0105", at, "a tab cannot indent YAML")
                .help("use spaces, two for each level");
        }
        _ if info.contains("mapping values are not allowed") => {
            report
                .error("P0101", at, "a second `: ` in one line, or the line above is not finished")
                .help("quote text that contains `: `; write a space after the colon of a key (`key: value`)");
        }
        _ if info.contains("expected key")
            || info.contains("indentation") && !info.contains("quoted") =>
        {
            report
                .error(
                    "P0105",
                    at,
                    "this line is not indented like the lines around it",
                )
                .help("the keys of a map must start in the same column");
        }
        _ if info.contains("quoted scalar") => {
            report
                .error("P0101", at, "this quote is never closed")
                .help("close it, or escape a quote inside: '' in single quotes, \\\" in double quotes");
        }
        _ if info.contains("flow mapping") || info.contains("flow sequence") => {
            report
                .error("P0101", at, "an opening brace or bracket is not closed")
                .help("close it with `}` or `]`, or quote text that holds braces, brackets, `,` or `: `");
        }
        _ if info.contains("recursion limit") => {
            report
                .error("P0101", at, "this is nested too deeply")
                .help("at most 255 levels");
        }
        _ => {
            report.error("P0101", at, format!("this is not valid YAML: {info}"));
        }
    }
}

/// YAML splits `{ type: decimal(18,2) }` at its comma: true if this entry is the second half. The type is
/// joined again, so that there is only one message about it.
pub(super) fn split_type(
    map: &mut Map,
    name: &str,
    key_at: FileRange,
    value: &Node,
    text: &str,
    report: &mut Report,
) -> bool {
    if !value.is_null() || !name.ends_with(')') || name.contains('(') {
        return false;
    }
    let Some((_, last)) = map.last_mut() else {
        return false;
    };
    let Value::Scalar {
        text: first,
        plain: true,
    } = &mut last.value.value
    else {
        return false;
    };
    if !first.contains('(') || first.contains(')') {
        return false;
    }
    let joined = format!("{first},{name}");
    let at = FileRange {
        end: key_at.end,
        ..last.value.at
    };
    let written = text.get(at.start..at.end).unwrap_or(&joined).to_owned();
    report
        .error(
            "P0107",
            at,
            format!("`{written}` inside braces is split at its comma"),
        )
        .label("YAML reads two entries here")
        .help(format!("write \"{joined}\" in quotes"));
    *first = joined;
    last.value.at = at;
    true
}

/// Reports that an unquoted yes, no, on or off is text. True if it was one.
pub(crate) fn bare_boolean(node: &Node, report: &mut Report) -> bool {
    let Value::Scalar { text, plain: true } = &node.value else {
        return false;
    };
    let meant = match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "on" => "true",
        "no" | "n" | "off" => "false",
        _ => return false,
    };
    report
        .error(
            "P0109",
            node.at,
            format!("`{text}` is text in YAML 1.2, not a boolean"),
        )
        .label(format!("write `{meant}`"));
    true
}
