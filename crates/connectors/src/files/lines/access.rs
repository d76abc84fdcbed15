//! A line of a web server's access log: the Common Log Format of Apache, and the combined one.
//!
//! Promise: all of a line is in its cells, as the server wrote it, with its escapes (`\"`, `\x16`); `-` is NULL. The
//! time is a moment with its offset. `method`, `path` and `protocol` are parts of `request`, NULL where that is
//! no request of HTTP. A line with more or less is rejected. It knows no types: see `../column.rs`.

use std::net::IpAddr;

use arrow_schema::DataType;
use towpath_vocab::types;

use super::table::LineTable;

const MORE_FIELDS: &str = "a host, an ident and a user are expected before the time, and there is more; `format: regex` reads other fields";

/// Its columns.
pub(super) fn columns(combined: bool) -> Vec<(&'static str, DataType)> {
    let mut columns = vec![
        ("remote_host", DataType::Utf8),
        ("ident", DataType::Utf8),
        ("remote_user", DataType::Utf8),
        ("time", types::instant()),
        ("request", DataType::Utf8),
        ("method", DataType::Utf8),
        ("path", DataType::Utf8),
        ("protocol", DataType::Utf8),
        ("status", DataType::Int64),
        ("bytes", DataType::Int64),
    ];
    if combined {
        columns.extend([("referer", DataType::Utf8), ("user_agent", DataType::Utf8)]);
    }
    columns
}

/// Adds the cells of a line.
pub(super) fn cells(line: &str, combined: bool, to: &mut LineTable) -> Result<(), String> {
    let wrong = |what: &str| format!("is not in the {} log format: {what}", word(combined));
    let (host, rest) = line
        .split_once(' ')
        .ok_or_else(|| wrong("it has one field"))?;
    let (ident, rest) = rest
        .split_once(' ')
        .ok_or_else(|| wrong("it has two fields"))?;
    // A name of a user may have blanks.
    let (user, rest) = rest
        .split_once(" [")
        .ok_or_else(|| wrong("there is no time in brackets"))?;
    let (time, rest) = rest
        .split_once("] \"")
        .ok_or_else(|| wrong("there is no request in quotes behind the time"))?;
    if !are_three(host, ident, user) {
        return Err(wrong(MORE_FIELDS));
    }
    let (request, rest) =
        quoted(rest).ok_or_else(|| wrong("the quote around its request does not close"))?;
    let rest = rest
        .strip_prefix(' ')
        .ok_or_else(|| wrong("there is no status"))?;
    let (status, rest) = rest
        .split_once(' ')
        .ok_or_else(|| wrong("there is no size"))?;
    let (bytes, rest) = rest
        .split_once(' ')
        .map_or((rest, None), |(bytes, rest)| (bytes, Some(rest)));
    for cell in [host, ident, user] {
        to.push(value(cell));
    }
    let time =
        moment(time).ok_or_else(|| wrong("its time is not like `10/Oct/2000:13:55:36 -0700`"))?;
    to.push(Some(&time));
    to.push(value(request));
    let parts = parts(request);
    for part in [
        parts.map(|parts| parts.0),
        parts.map(|parts| parts.1),
        parts.map(|parts| parts.2),
    ] {
        to.push(part);
    }
    to.push(value(status));
    to.push(value(bytes));
    let rest = match (combined, rest) {
        (true, Some(rest)) => {
            let (referer, rest) =
                named(rest).ok_or_else(|| wrong("there is no referer in quotes"))?;
            let rest = rest.strip_prefix(' ').and_then(named);
            let (agent, rest) = rest.ok_or_else(|| wrong("there is no user agent in quotes"))?;
            to.push(value(referer));
            to.push(value(agent));
            (!rest.is_empty()).then_some(rest)
        }
        (true, None) => return Err(wrong("there is no referer; `format: common` has none")),
        (false, rest) => rest,
    };
    match rest {
        None => Ok(()),
        Some(_) if combined => Err(wrong(
            "there is more behind the user agent; `format: regex` reads other fields",
        )),
        Some(_) => Err(wrong(
            "there is more behind the size; `format: combined` has a referer and a user agent",
        )),
    }
}

/// Whether the fields before the time are the three of the format. A user with blanks is one; a line with a virtual
/// host or several addresses before the rest is not: its ident is an address, or its user begins with an ident.
fn are_three(host: &str, ident: &str, user: &str) -> bool {
    !host.ends_with(',') && ident.parse::<IpAddr>().is_err() && !user.starts_with("- ")
}

fn word(combined: bool) -> &'static str {
    match combined {
        true => "combined",
        false => "common",
    }
}

fn value(cell: &str) -> Option<&str> {
    (cell != "-").then_some(cell)
}

fn named(text: &str) -> Option<(&str, &str)> {
    quoted(text.strip_prefix('"')?)
}

/// The text up to the quote that closes, and what is behind it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

/// The method, the target and the protocol.
fn parts(request: &str) -> Option<(&str, &str, &str)> {
    let (method, rest) = request.split_once(' ')?;
    let (target, protocol) = rest.rsplit_once(' ')?;
    let is_method = !method.is_empty()
        && method
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(&byte));
    (is_method && protocol.starts_with("HTTP/")).then_some((method, target, protocol))
}

/// The number of a month by its English name of three letters.
pub(super) fn month(name: &str) -> Option<usize> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let at = MONTHS.iter().position(|month| *month == name)?;
    Some(at + 1)
}

/// A time such as `10/Oct/2000:13:55:36 -0700` in ISO 8601.
fn moment(text: &str) -> Option<String> {
    let (date, rest) = text.split_once(':')?;
    let (clock, offset) = rest.split_once(' ')?;
    let mut date = date.split('/');
    let (day, month, year) = (date.next()?, month(date.next()?)?, date.next()?);
    let is_whole = date.next().is_none() && day.len() == 2 && year.len() == 4;
    let is_offset = offset.len() == 5 && offset.starts_with(['+', '-']);
    (is_whole && is_offset && clock.len() == 8)
        .then(|| format!("{year}-{month:02}-{day}T{clock}{offset}"))
}
