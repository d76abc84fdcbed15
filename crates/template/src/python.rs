//! Methods of Python's strings, lists and dicts that templates of dbt projects call.
//!
//! Promise: only methods without side effects are here, because values in a template never change; `append`
//! and similar methods are refused with an alternative. It knows nothing of dbt.

use minijinja::value::{Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind};

use crate::bounds;
use crate::limits;
use crate::session::Session;
use crate::weight::weighed;

/// Calls a method that the template engine does not know.
pub(crate) fn method(
    session: &Session,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => text(session, value.as_str().unwrap_or_default(), name, args),
        ValueKind::Map => map(value, name, args),
        ValueKind::Seq | ValueKind::Iterable => list(value, name, args),
        _ => Err(unknown(value, name)),
    }
}

fn unknown(value: &Value, name: &str) -> Error {
    Error::new(
        ErrorKind::UnknownMethod,
        format!("a {} has no method `{name}`", value.kind()),
    )
}

fn text(session: &Session, text: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    let strip = |args: &[Value]| -> Result<Vec<char>, Error> {
        let (set,): (Option<String>,) = from_args(args)?;
        Ok(set.map_or_else(|| vec![' ', '\t', '\n', '\r'], |set| set.chars().collect()))
    };
    Ok(match name {
        "upper" => Value::from(text.to_uppercase()),
        "lower" => Value::from(text.to_lowercase()),
        "title" => Value::from(title(text)),
        "capitalize" => Value::from(capitalized(text)),
        "strip" => Value::from(text.trim_matches(strip(args)?.as_slice())),
        "lstrip" => Value::from(text.trim_start_matches(strip(args)?.as_slice())),
        "rstrip" => Value::from(text.trim_end_matches(strip(args)?.as_slice())),
        "replace" => {
            let (from, to, count): (String, String, Option<usize>) = from_args(args)?;
            let count = count.unwrap_or(usize::MAX);
            Value::from(limits::replaced(session, text, &from, &to, count)?)
        }
        "split" => split(text, args)?,
        "splitlines" => Value::from(text.lines().map(Value::from).collect::<Vec<_>>()),
        "startswith" => Value::from(text.starts_with(from_args::<(&str,)>(args)?.0)),
        "endswith" => Value::from(text.ends_with(from_args::<(&str,)>(args)?.0)),
        "removeprefix" => Value::from(
            text.strip_prefix(from_args::<(&str,)>(args)?.0)
                .unwrap_or(text),
        ),
        "removesuffix" => Value::from(
            text.strip_suffix(from_args::<(&str,)>(args)?.0)
                .unwrap_or(text),
        ),
        "find" => {
            let found = text.find(from_args::<(&str,)>(args)?.0);
            Value::from(found.map_or(-1, |at| {
                i64::try_from(text.get(..at).unwrap_or_default().chars().count()).unwrap_or(-1)
            }))
        }
        "count" => Value::from(text.matches(from_args::<(&str,)>(args)?.0).count()),
        "isdigit" => Value::from(!text.is_empty() && text.chars().all(|c| c.is_ascii_digit())),
        "zfill" => {
            let width = from_args::<(usize,)>(args)?.0.min(limits::WIDEST);
            Value::from(format!("{text:0>width$}"))
        }
        "join" => {
            let (items,): (Value,) = from_args(args)?;
            Value::from(limits::joined(session, &items, text)?)
        }
        "format" => Value::from(format(session, text, args)?),
        _ => return Err(unknown(&Value::from(text), name)),
    })
}

fn split(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (separator, most): (Option<String>, Option<usize>) = from_args(args)?;
    let parts: Vec<&str> = match (&separator, most) {
        (None, _) => text.split_whitespace().collect(),
        (Some(separator), None) => text.split(separator.as_str()).collect(),
        (Some(separator), Some(most)) => text.splitn(most + 1, separator.as_str()).collect(),
    };
    Ok(Value::from(
        parts.into_iter().map(Value::from).collect::<Vec<_>>(),
    ))
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first
            .to_uppercase()
            .chain(chars.flat_map(char::to_lowercase))
            .collect()
    })
}

fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase())
        } else {
            out.extend(c.to_uppercase())
        }
        inside = c.is_alphabetic();
    }
    out
}

/// `"{} and {name}".format(1, name=2)`: positions and names, no format specifications.
fn format(session: &Session, text: &str, args: &[Value]) -> Result<String, Error> {
    let (rest, kwargs): (minijinja::value::Rest<Value>, minijinja::value::Kwargs) =
        from_args(args)?;
    let mut out = String::new();
    let mut next = 0_usize;
    let mut remaining = text;
    while let Some(at) = remaining.find(['{', '}']) {
        let (before, from) = remaining.split_at(at);
        out.push_str(before);
        if from.starts_with("{{") || from.starts_with("}}") {
            out.push_str(&from[..1]);
            remaining = &from[2..];
            continue;
        }
        let end = from.find('}').filter(|_| from.starts_with('{'));
        let end = end.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                "a brace is not closed in the format text",
            )
        })?;
        let field = &from[1..end];
        let value = if field.is_empty() {
            next += 1;
            rest.get(next - 1).cloned()
        } else if let Ok(position) = field.parse::<usize>() {
            rest.get(position).cloned()
        } else {
            kwargs.get::<Option<Value>>(field)?
        };
        let value = value.ok_or_else(|| {
            Error::new(
                ErrorKind::MissingArgument,
                format!("`format` has no value for `{{{field}}}`"),
            )
        })?;
        let more = weighed(session, &value)?.bytes(0);
        if out.len().saturating_add(more) > bounds::MOST_BYTES {
            return Err(session.raise(bounds::too_long()));
        }
        out.push_str(&value.to_string());
        remaining = &from[end + 1..];
    }
    out.push_str(remaining);
    kwargs.assert_all_used()?;
    Ok(out)
}

fn map(value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let keys = || value.try_iter().map(|keys| keys.collect::<Vec<Value>>());
    Ok(match name {
        "keys" => Value::from(keys()?),
        "values" => Value::from(
            keys()?
                .iter()
                .map(|key| value.get_item(key))
                .collect::<Result<Vec<_>, _>>()?,
        ),
        "items" => {
            let pair = |key: &Value| Ok(Value::from(vec![key.clone(), value.get_item(key)?]));
            Value::from(
                keys()?
                    .iter()
                    .map(pair)
                    .collect::<Result<Vec<_>, Error>>()?,
            )
        }
        "get" => {
            let (key, default): (Value, Option<Value>) = from_args(args)?;
            let item = value.get_item(&key)?;
            if item.is_undefined() {
                default.unwrap_or(Value::from(()))
            } else {
                item
            }
        }
        "copy" => value.clone(),
        "update" | "pop" | "setdefault" => return Err(unchanging(name)),
        _ => return Err(unknown(value, name)),
    })
}

fn list(value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let position = |wanted: &Value| {
        value
            .try_iter()
            .map(|mut items| items.position(|item| item == *wanted))
    };
    Ok(match name {
        "index" => {
            let (wanted,): (Value,) = from_args(args)?;
            match position(&wanted)? {
                Some(at) => Value::from(at),
                None => {
                    return Err(Error::new(
                        ErrorKind::InvalidOperation,
                        format!("`{wanted}` is not in the list"),
                    ));
                }
            }
        }
        "count" => {
            let (wanted,): (Value,) = from_args(args)?;
            Value::from(value.try_iter()?.filter(|item| *item == wanted).count())
        }
        "copy" => value.clone(),
        "append" | "extend" | "insert" | "pop" | "remove" => return Err(unchanging(name)),
        _ => return Err(unknown(value, name)),
    })
}

fn unchanging(name: &str) -> Error {
    Error::new(
        ErrorKind::UnknownMethod,
        format!(
            "`{name}` would change a value, and values cannot be changed here; write `{{% set xs = xs + [x] %}}`, in a loop with `namespace`"
        ),
    )
}
