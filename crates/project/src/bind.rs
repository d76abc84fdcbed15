//! Substitution in strings of YAML values: `${env:X}`, `${param:x}` and others.
//!
//! Promise: a string is bound, or is kept as a template on purpose (secret options, run-time values), or
//! there is a diagnostic that names what is missing. Any other `${…}` is plain text. Inside SQL a value
//! becomes a literal, never code. It does not know which string is which: `shape.rs` tells it.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::{FileRange, Report};
use crate::sqltext::{self, Inside};

/// The values for substitutions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bindings<'a> {
    pub(crate) variables: &'a BTreeMap<String, String>,
    pub(crate) set_variables: &'a BTreeSet<String>,
    /// Params of the pipeline; `None` outside a pipeline.
    pub(crate) params: Option<&'a BTreeMap<String, String>>,
}

/// How a string is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// To its text.
    Text,
    /// To SQL, values as literals.
    Sql,
    /// To SQL, values as literals; values of the run stay, for `fill_run_values`.
    SqlAtRun,
    /// To its text; run-time substitutions stay.
    AtRun,
    /// Not at all; it is only checked.
    Secret,
}

/// One `${kind:name}` in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot<'a> {
    start: usize,
    end: usize,
    kind: &'a str,
    name: &'a str,
    default: Option<&'a str>,
}

const KINDS: &[&str] = &["env", "secret", "param", "run", "step", "item"];
const RUN_NAMES: &[&str] = &["interval_start", "interval_end", "date", "id"];

/// True if a text contains a substitution.
pub(crate) fn has_slot(text: &str) -> bool {
    !slots(text).is_empty()
}

/// Binds one string. `None` if nothing changes.
pub(crate) fn leaf(
    text: &str,
    at: FileRange,
    leaf: Leaf,
    bindings: &Bindings<'_>,
    report: &mut Report,
) -> Option<String> {
    if !text.contains("${") {
        return None;
    }
    let found = slots(text);
    if let (Leaf::SqlAtRun, Some(first), Some(what)) = (leaf, found.first(), unsure(text, &found)) {
        report
            .error(
                "C0523",
                at.inside(text, first.start, first.end),
                format!("a value cannot be put into a statement with {what}"),
            )
            .label("where texts begin and end in it is not the same in all databases")
            .help("write it without, or as a statement of its own");
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    let mut changed = false;
    for slot in &found {
        let place = at.inside(text, slot.start, slot.end);
        let Some(value) = value(slot, place, leaf, bindings, report) else {
            continue;
        };
        if let Some(why) = unfit(&value, slot, leaf) {
            report
                .error(
                    "C0524",
                    place,
                    format!("the value of `{}` {why}", slot.name),
                )
                .help("values are put into texts as they are: give another one");
            continue;
        }
        out.push_str(text.get(rest..slot.start).unwrap_or_default());
        match leaf {
            Leaf::SqlAtRun => push_text(&mut out, &value),
            Leaf::Sql => push_literal(&mut out, &value),
            _ => out.push_str(&value),
        }
        rest = slot.end;
        changed = true;
    }
    out.push_str(text.get(rest..).unwrap_or_default());
    changed.then_some(out)
}

/// Finds the value of a place that is filled in late, by its kind, its name and its default.
pub type LateValue<'a, E> = dyn FnMut(&str, &str, Option<&str>) -> Result<String, E> + 'a;

/// Fills `${run:…}` and `${env:…}` in SQL that was bound before: each value becomes a text literal, never code.
///
/// # Errors
/// Those of `value`, which gets the kind, the name and the default of each.
pub fn fill_run_values<E>(sql: &str, value: &mut LateValue<'_, E>) -> Result<String, E> {
    let mut out = String::with_capacity(sql.len());
    let mut rest = 0;
    let found = slots(sql);
    let late = found
        .iter()
        .filter(|slot| matches!(slot.kind, "run" | "env"));
    for slot in late {
        out.push_str(sql.get(rest..slot.start).unwrap_or_default());
        push_text(&mut out, &value(slot.kind, slot.name, slot.default)?);
        rest = slot.end;
    }
    out.push_str(sql.get(rest..).unwrap_or_default());
    Ok(out)
}

/// Why a value may not be put into SQL of any database, or into a text that is filled again.
fn unfit(value: &str, slot: &Slot<'_>, leaf: Leaf) -> Option<&'static str> {
    let is_filled_again = matches!(leaf, Leaf::SqlAtRun | Leaf::AtRun);
    if is_filled_again && slot.kind == "param" && value.contains("${") {
        return Some("has `${` in it, which would be filled in again");
    }
    unfit_text(value).filter(|_| leaf == Leaf::SqlAtRun)
}

/// Why a value may not be put into SQL of any database.
pub fn unfit_text(value: &str) -> Option<&'static str> {
    let is_strange = |c: char| c == '\\' || c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    value
        .contains(is_strange)
        .then_some("has a backslash or a control character in it, which not all databases read in the same way")
}

/// What makes it unsure where texts begin and end in a statement, apart from the values in it.
fn unsure(text: &str, found: &[Slot<'_>]) -> Option<&'static str> {
    let mut own = String::with_capacity(text.len());
    let mut rest = 0;
    for slot in found {
        own.push_str(text.get(rest..slot.start).unwrap_or_default());
        own.push(' ');
        rest = slot.end;
    }
    own.push_str(text.get(rest..).unwrap_or_default());
    let is_tag = |c: char| c.is_alphanumeric() || c == '_';
    let between = own.matches('$').count().saturating_sub(1);
    let mut between = own.split('$').skip(1).take(between);
    let has_dollars = between.any(|tag| tag.chars().all(is_tag));
    let mut quoted = own.split('`').skip(1).step_by(2);
    let signs = [
        ("a backslash", own.contains('\\')),
        ("a text between `$$`", has_dollars),
        (
            "a comment",
            own.contains("--") || own.contains("/*") || own.contains('#'),
        ),
        (
            "a quote in a name",
            quoted.any(|name| name.contains(['\'', '"'])),
        ),
    ];
    signs
        .into_iter()
        .find(|(_, has)| *has)
        .map(|(what, _)| what)
}

/// Writes a value into SQL of any database as a text: the database makes a number of it where it needs one.
fn push_text(out: &mut String, value: &str) {
    match sqltext::inside(out) {
        Inside::Quotes(quote) => {
            out.push_str(&value.replace(quote, &format!("{quote}{quote}")));
        }
        _ => {
            out.push('\'');
            out.push_str(&value.replace('\'', "''"));
            out.push('\'');
        }
    }
}

/// Writes a value into SQL. Inside quotes, quotes in it are doubled; outside, it becomes a quoted literal,
/// or stays a number. In a comment it cannot end the comment.
fn push_literal(out: &mut String, value: &str) {
    match sqltext::inside(out) {
        Inside::Nothing if value.parse().is_ok_and(f64::is_finite) => {
            // Two would begin a comment.
            if out.ends_with('-') && value.starts_with('-') {
                out.push(' ');
            }
            out.push_str(value);
        }
        Inside::Nothing => {
            out.push('\'');
            out.push_str(&value.replace('\'', "''"));
            out.push('\'');
        }
        Inside::Quotes(quote) => {
            out.push_str(&value.replace(quote, &format!("{quote}{quote}")));
        }
        Inside::Escaped => {
            out.push_str(&value.replace('\\', "\\\\").replace('\'', "''"));
        }
        Inside::Comment => {
            out.push_str(&value.replace(['\n', '\r', '*', '/'], " "));
        }
    }
}

fn value(
    slot: &Slot<'_>,
    at: FileRange,
    leaf: Leaf,
    bindings: &Bindings<'_>,
    report: &mut Report,
) -> Option<String> {
    if slot.name.is_empty() {
        report
            .error("P0203", at, format!("`${{{}:}}` names nothing", slot.kind))
            .help("write a name after the colon, as in `${env:HOME}`");
        return None;
    }
    match slot.kind {
        "env" => variable(slot, at, leaf, bindings, report),
        "param" => param(slot, at, bindings, report),
        "secret" if matches!(leaf, Leaf::Text | Leaf::Sql | Leaf::SqlAtRun) => {
            report
                .error("P0204", at, format!("secret `{}` is not allowed here", slot.name))
                .help("secrets are allowed only in options that a connector marks secret (url, password, token), in `state` and in a command's `env`: they are read when they are needed and never stored");
            None
        }
        "run" if !RUN_NAMES.contains(&slot.name) => {
            report
                .error(
                    "P0203",
                    at,
                    format!("a run has no value `${{run:{}}}`", slot.name),
                )
                .suggest(slot.name, RUN_NAMES.iter().copied(), "a run has");
            None
        }
        "run" if leaf == Leaf::SqlAtRun => None,
        "run" | "step" | "item" if leaf != Leaf::AtRun => {
            report.warning(
                "P0208",
                at,
                format!(
                    "`${{{}:{}}}` is only filled in commands; not supported here in this version",
                    slot.kind, slot.name
                ),
            );
            None
        }
        _ => None,
    }
}

fn variable(
    slot: &Slot<'_>,
    at: FileRange,
    leaf: Leaf,
    bindings: &Bindings<'_>,
    report: &mut Report,
) -> Option<String> {
    let name = slot.name;
    // What a program gets may be a secret as well: it is resolved when the program starts.
    if matches!(leaf, Leaf::Secret | Leaf::AtRun | Leaf::SqlAtRun) {
        if slot.default.is_none()
            && !bindings.set_variables.contains(name)
            && !bindings.variables.contains_key(name)
        {
            report
                .warning(
                    "C0508",
                    at,
                    format!("environment variable `{name}` is not set here"),
                )
                .label("needed when the pipeline runs")
                .help(format!(
                    "export {name}=…  before the run; the value is never stored"
                ));
        }
        return None;
    }
    match bindings
        .variables
        .get(name)
        .map(String::as_str)
        .or(slot.default)
    {
        Some(value) => Some(value.to_owned()),
        None => {
            report
                .error(
                    "P0201",
                    at,
                    format!("environment variable `{name}` is not set"),
                )
                .help(format!(
                    "export {name}=…, or give a default: ${{env:{name}:-value}}"
                ));
            None
        }
    }
}

fn param(
    slot: &Slot<'_>,
    at: FileRange,
    bindings: &Bindings<'_>,
    report: &mut Report,
) -> Option<String> {
    let Some(params) = bindings.params else {
        report
            .error("P0202", at, format!("param `{}` is not allowed here", slot.name))
            .help("params belong to a pipeline: declare them under `params` there, and use them there");
        return None;
    };
    let value = params
        .get(slot.name)
        .cloned()
        .or_else(|| slot.default.map(str::to_owned));
    if value.is_none() {
        report
            .error(
                "P0202",
                at,
                format!("this pipeline has no param `{}`", slot.name),
            )
            .suggest(slot.name, params.keys().map(String::as_str), "params here")
            .help(format!(
                "declare it: params: {{ {}: {{ default: … }} }}",
                slot.name
            ));
    }
    value
}

fn slots(text: &str) -> Vec<Slot<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(open) = text.get(from..).and_then(|rest| rest.find("${")) {
        let start = from + open;
        from = start + 2;
        let Some(inner) = text
            .get(from..)
            .and_then(|rest| Some(&rest[..rest.find('}')?]))
        else {
            break;
        };
        let Some((kind, rest)) = inner.split_once(':') else {
            continue;
        };
        if !KINDS.contains(&kind) {
            continue;
        }
        let (name, default) = match rest.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (rest, None),
        };
        let end = from + inner.len() + 1;
        found.push(Slot {
            start,
            end,
            kind,
            name,
            default,
        });
        from = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str, how: Leaf) -> (String, Vec<String>) {
        let variables = BTreeMap::from([("DIR".to_owned(), "da'ta".to_owned())]);
        let params = BTreeMap::from([
            ("since".to_owned(), "2013-01-01".to_owned()),
            ("n".to_owned(), "7".to_owned()),
        ]);
        let set = BTreeSet::new();
        let bindings = Bindings {
            variables: &variables,
            set_variables: &set,
            params: Some(&params),
        };
        let mut report = Report::default();
        let at = FileRange {
            end: text.len(),
            line: 1,
            column: 1,
            ..FileRange::default()
        };
        let out = leaf(text, at, how, &bindings, &mut report).unwrap_or_else(|| text.to_owned());
        (
            out,
            report
                .finish()
                .into_iter()
                .map(|d| format!("{} {}", d.code, d.message))
                .collect(),
        )
    }

    #[test]
    fn text_is_filled_and_strangers_stay() {
        assert_eq!(
            bound("a/${env:DIR}/${other}/${x:y}", Leaf::Text).0,
            "a/da'ta/${other}/${x:y}"
        );
        assert_eq!(bound("${env:NONE:-d:e}", Leaf::Text).0, "d:e");
        assert_eq!(
            bound("--since=${param:since} ${run:date}", Leaf::AtRun).0,
            "--since=2013-01-01 ${run:date}"
        );
        assert_eq!(
            bound("${secret:X}${env:DIR}", Leaf::Secret).0,
            "${secret:X}${env:DIR}"
        );
    }

    #[test]
    fn sql_gets_literals() {
        assert_eq!(
            bound("a > ${param:since} and b = ${env:DIR}", Leaf::Sql).0,
            "a > '2013-01-01' and b = 'da''ta'"
        );
        assert_eq!(
            bound("a > date '${param:since}' and n > ${param:n}", Leaf::Sql).0,
            "a > date '2013-01-01' and n > 7"
        );
    }

    #[test]
    fn an_apostrophe_in_a_comment_opens_no_quotes() {
        for (text, wanted) in [
            (
                "a > 1 -- it's new\n and b = ${env:DIR}",
                "a > 1 -- it's new\n and b = 'da''ta'",
            ),
            (
                "/* don't /* won't */ */ b = '${env:DIR}'",
                "/* don't /* won't */ */ b = 'da''ta'",
            ),
            (
                "\"it's\" = ${env:DIR} and \"${env:DIR}\" = '--' || ${env:DIR}",
                "\"it's\" = 'da''ta' and \"da'ta\" = '--' || 'da''ta'",
            ),
            (
                "b = E'it\\'s ${env:DIR}' and c = ${param:since}",
                "b = E'it\\'s da''ta' and c = '2013-01-01'",
            ),
            (
                "a = 1 -- ${env:DIR} and ${param:n}\n and b = ${env:DIR}",
                "a = 1 -- da'ta and 7\n and b = 'da''ta'",
            ),
            ("a = 'it''s' || ${env:DIR}", "a = 'it''s' || 'da''ta'"),
        ] {
            assert_eq!(bound(text, Leaf::Sql).0, wanted);
        }
    }

    #[test]
    fn a_value_ends_no_comment_and_no_quotes() {
        let filled = |before: &str, value: &str| {
            let mut out = before.to_owned();
            push_literal(&mut out, value);
            out
        };
        assert_eq!(filled("-- ", "x\n; drop"), "-- x ; drop");
        assert_eq!(filled("/* ", "x */ or 1=1 /*"), "/* x    or 1=1   ");
        assert_eq!(filled("\"", "a\" or \""), "\"a\"\" or \"\"");
        assert_eq!(filled("a -", "-1"), "a - -1");
        assert_eq!(filled("a = ", "inf"), "a = 'inf'");
        assert_eq!(filled("E'", "\\' or 1"), "E'\\\\'' or 1");
    }

    #[test]
    fn values_of_a_run_become_literals_when_it_runs() {
        let sql = "delete from t where day >= ${run:date} and n = ${param:n} and a = '${run:id}' and b = ${env:DIR}";
        let sql = bound(sql, Leaf::SqlAtRun);
        assert!(
            sql.1.iter().all(|said| said.starts_with("C0508")),
            "{:?}",
            sql.1
        );
        let filled = fill_run_values::<()>(&sql.0, &mut |kind, name, _| match (kind, name) {
            ("run", "date") => Ok("2026-01-02".to_owned()),
            ("env", "DIR") => Ok("x' or 1=1 -- ".to_owned()),
            _ => Ok("it's#1".to_owned()),
        });
        assert_eq!(
            filled.ok().as_deref(),
            Some(
                "delete from t where day >= '2026-01-02' and n = '7' and a = 'it''s#1' and b = 'x'' or 1=1 -- '"
            )
        );
    }

    #[test]
    fn a_value_is_put_only_where_each_database_sees_a_text() {
        for (sql, what) in [
            (
                "do $$ begin delete from t where r = ${param:n}; end $$",
                "`$$`",
            ),
            ("do $x$ it's $x$ || ${param:n}", "`$$`"),
            ("# don't\nselect ${param:n}", "a comment"),
            ("select 1 --x don't\n + ${param:n}", "a comment"),
            ("select /* /* */ ${param:n}", "a comment"),
            ("select E'\\'' || ${param:n}", "a backslash"),
            ("select `it's` = ${param:n}", "a quote in a name"),
        ] {
            let (text, said) = bound(sql, Leaf::SqlAtRun);
            assert_eq!(text, sql);
            assert!(said.len() == 1 && said[0].starts_with("C0523"), "{said:?}");
            assert!(said[0].contains(what), "{said:?}");
        }
        // Without a value they are left alone.
        assert!(bound("do $$ it's # $$", Leaf::SqlAtRun).1.is_empty());
        let fine = bound("update `order` set a = ${param:n}, b = $1", Leaf::SqlAtRun);
        assert_eq!(fine.0, "update `order` set a = '7', b = $1");
        let slot = Slot {
            start: 0,
            end: 0,
            kind: "param",
            name: "p",
            default: None,
        };
        for (value, leaf, is_fit) in [
            ("\\' or 1=1 -- ", Leaf::SqlAtRun, false),
            ("C:\\new", Leaf::SqlAtRun, false),
            ("C:\\new", Leaf::AtRun, true),
            ("see ${run:id}", Leaf::SqlAtRun, false),
            ("${secret:X}", Leaf::AtRun, false),
            ("it's", Leaf::SqlAtRun, true),
        ] {
            assert_eq!(unfit(value, &slot, leaf).is_none(), is_fit, "{value}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            bound("${env:NONE}", Leaf::Text).1,
            ["P0201 environment variable `NONE` is not set"]
        );
        assert_eq!(
            bound("${env:NONE}", Leaf::Secret).1,
            ["C0508 environment variable `NONE` is not set here"]
        );
        assert_eq!(
            bound("${param:sinse}", Leaf::Text).1,
            ["P0202 this pipeline has no param `sinse`"]
        );
        assert_eq!(
            bound("${secret:X}", Leaf::Text).1,
            ["P0204 secret `X` is not allowed here"]
        );
        assert_eq!(
            bound("${run:now}", Leaf::AtRun).1,
            ["P0203 a run has no value `${run:now}`"]
        );
        assert_eq!(
            bound("${run:now} ${secret:X}", Leaf::SqlAtRun).1,
            [
                "P0203 a run has no value `${run:now}`",
                "P0204 secret `X` is not allowed here"
            ]
        );
        assert_eq!(
            bound("${env:}", Leaf::Text).1,
            ["P0203 `${env:}` names nothing"]
        );
    }
}
