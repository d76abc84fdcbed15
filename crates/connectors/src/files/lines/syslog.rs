//! A line of syslog: RFC 5424, RFC 3164, and the form with ISO times that rsyslog writes to files.
//!
//! Promise: a moment is never guessed. A time of RFC 3164 has neither a year nor a zone: it is the text
//! `local_time`, as it stands, and `time` is NULL, unless the project says both (`year`, `offset`). Structured data
//! is JSON text: an object of elements, each an object of parameters; a parameter that comes twice has a list.
//! A line that is none of the three is rejected. It knows no types: see `../column.rs`.

use std::fmt::Write as _;
use std::net::IpAddr;

use arrow_schema::DataType;
use serde_json::{Map, Value};
use towpath_vocab::types;

use super::access::month;
use super::table::LineTable;

/// Its columns.
pub(super) fn columns() -> Vec<(&'static str, DataType)> {
    vec![
        ("facility", DataType::Int64),
        ("severity", DataType::Int64),
        ("time", types::instant()),
        ("local_time", DataType::Utf8),
        ("hostname", DataType::Utf8),
        ("app_name", DataType::Utf8),
        ("procid", DataType::Utf8),
        ("msgid", DataType::Utf8),
        ("structured_data", DataType::Utf8),
        ("message", DataType::Utf8),
    ]
}

/// The year and the offset of times that have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalTimes {
    year: u16,
    /// As it is written: `+02:00`.
    offset: [u8; 6],
}

impl LocalTimes {
    /// Reads both; the error is the option, its value and what it should be.
    pub(super) fn read(year: &str, offset: &str) -> Result<Self, (&'static str, String, String)> {
        let number = year
            .parse::<u16>()
            .ok()
            .filter(|number| (1970..=9999).contains(number));
        let year =
            number.ok_or_else(|| ("year", year.to_owned(), "a year such as 2026".to_owned()))?;
        let wrong = || {
            (
                "offset",
                offset.to_owned(),
                "an offset from UTC such as `+02:00`, or `Z`".to_owned(),
            )
        };
        let text = if offset == "Z" { "+00:00" } else { offset };
        let offset = <[u8; 6]>::try_from(text.as_bytes()).map_err(|_| wrong())?;
        let [sign, h1, h2, colon, m1, m2] = offset;
        let are_digits = [h1, h2, m1, m2].iter().all(u8::is_ascii_digit);
        match are_digits
            && matches!(sign, b'+' | b'-')
            && colon == b':'
            && (h1, h2) <= (b'1', b'8')
            && m1 < b'6'
        {
            true => Ok(Self { year, offset }),
            false => Err(wrong()),
        }
    }
}

/// The parts of a line.
#[derive(Default)]
struct Parts<'a> {
    time: Option<&'a str>,
    local_time: Option<&'a str>,
    hostname: Option<&'a str>,
    app_name: Option<&'a str>,
    procid: Option<&'a str>,
    msgid: Option<&'a str>,
    structured_data: Option<String>,
    message: Option<&'a str>,
}

/// Adds the cells of a line.
pub(super) fn cells(
    line: &str,
    times: Option<&LocalTimes>,
    to: &mut LineTable,
) -> Result<(), String> {
    let (priority, rest) = priority(line)?;
    let parts = match rest.strip_prefix("1 ").filter(|_| priority.is_some()) {
        Some(rest) => new_form(rest)?,
        None => old_form(rest)?,
    };
    let number = |number: u16, to: &mut LineTable| {
        to.write(|text| text.extend_from_slice(number.to_string().as_bytes()));
    };
    match priority {
        None => {
            to.push(None);
            to.push(None);
        }
        Some(priority) => {
            number(priority / 8, to);
            number(priority % 8, to);
        }
    }
    match (parts.time, parts.local_time, times) {
        (None, Some(local), Some(times)) => to.push(Some(&moment(local, times)?)),
        (time, ..) => to.push(time),
    }
    for cell in [
        parts.local_time,
        parts.hostname,
        parts.app_name,
        parts.procid,
        parts.msgid,
    ] {
        to.push(cell);
    }
    to.push(parts.structured_data.as_deref());
    to.push(parts.message);
    Ok(())
}

/// Whether a line has a time without a year.
pub(crate) fn has_local_time(line: &str) -> bool {
    let time = priority(line).ok().and_then(|(_, rest)| rest.get(..15));
    time.is_some_and(|time| local(time).is_some())
}

/// `<PRI>`, if the line begins with it.
fn priority(line: &str) -> Result<(Option<u16>, &str), String> {
    let Some(rest) = line.strip_prefix('<') else {
        return Ok((None, line));
    };
    let found = rest.split_once('>').and_then(|(number, rest)| {
        let is_number =
            (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| number.parse::<u16>().ok()).flatten()?;
        (number <= 191).then_some((Some(number), rest))
    });
    found.ok_or_else(|| "does not begin with a priority from `<0>` to `<191>`".to_owned())
}

fn present(text: &str) -> Option<&str> {
    (text != "-").then_some(text)
}

/// The rest of a line of RFC 5424 behind its version.
fn new_form(line: &str) -> Result<Parts<'_>, String> {
    let mut rest = line;
    let mut next = |what: &str| {
        let (field, behind) = rest
            .split_once(' ')
            .filter(|(field, _)| !field.is_empty())
            .ok_or_else(|| format!("is not as RFC 5424 says: it has no {what}"))?;
        rest = behind;
        Ok::<_, String>(present(field))
    };
    let mut parts = Parts {
        time: next("time")?,
        hostname: next("hostname")?,
        app_name: next("app name")?,
        procid: next("process id")?,
        msgid: next("message id")?,
        ..Parts::default()
    };
    let behind = match rest.strip_prefix('-') {
        Some(behind) => behind,
        None => {
            let (data, behind) = structured(rest).ok_or_else(|| {
                "is not as RFC 5424 says: its structured data is broken".to_owned()
            })?;
            parts.structured_data = Some(data.to_string());
            behind
        }
    };
    parts.message = match behind.strip_prefix(' ') {
        Some(message) => Some(message.strip_prefix('\u{feff}').unwrap_or(message)),
        None if behind.is_empty() => None,
        None => {
            return Err(
                "is not as RFC 5424 says: no blank is behind its structured data".to_owned(),
            );
        }
    };
    Ok(parts)
}

/// Elements such as `[id@1 name="value"]`, one behind the other, and what is behind them.
fn structured(text: &str) -> Option<(Value, &str)> {
    let mut elements = Map::new();
    let mut rest = text;
    while let Some(element) = rest.strip_prefix('[') {
        let end = element.find([' ', ']'])?;
        let (id, behind) = element.split_at_checked(end)?;
        let (parameters, behind) = parameters(behind)?;
        // An element comes once.
        if id.is_empty()
            || elements
                .insert(id.to_owned(), Value::Object(parameters))
                .is_some()
        {
            return None;
        }
        rest = behind;
    }
    (!elements.is_empty()).then_some((Value::Object(elements), rest))
}

fn parameters(text: &str) -> Option<(Map<String, Value>, &str)> {
    let mut found: Map<String, Value> = Map::new();
    let mut rest = text;
    loop {
        if let Some(behind) = rest.strip_prefix(']') {
            return Some((found, behind));
        }
        let (name, behind) = rest.strip_prefix(' ')?.split_once("=\"")?;
        if name.is_empty() || name.contains([' ', ']', '"', '=']) {
            return None;
        }
        let (value, behind) = unescaped(behind)?;
        rest = behind;
        let value = Value::String(value);
        match found.get_mut(name) {
            None => {
                found.insert(name.to_owned(), value);
            }
            Some(Value::Array(all)) => all.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
}

/// The text up to the quote that closes, without its escapes: `\"`, `\\` and `\]`. Before anything else a backslash
/// is one.
fn unescaped(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            ']' => return None,
            '\\' => match letters.next()?.1 {
                escaped @ ('"' | '\\' | ']') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
    None
}

/// The rest of a line of RFC 3164, or of one with an ISO time in its place.
fn old_form(line: &str) -> Result<Parts<'_>, String> {
    let wrong = "does not begin with a time as RFC 3164 or RFC 5424 says";
    let mut parts = Parts::default();
    let is_iso = line.as_bytes().get(4) == Some(&b'-');
    let rest = match is_iso {
        true => {
            let (time, rest) = line.split_once(' ').ok_or(wrong)?;
            parts.time = Some(time);
            rest
        }
        false => {
            let (time, rest) = line.split_at_checked(15).ok_or(wrong)?;
            local(time).ok_or(wrong)?;
            parts.local_time = Some(time);
            rest.strip_prefix(' ').ok_or(wrong)?
        }
    };
    let (app_name, procid, message) = match tag(rest) {
        // The first word is a tag: some programs leave the hostname out.
        (Some(name), procid, message) if name.parse::<IpAddr>().is_err() => {
            (Some(name), procid, message)
        }
        _ => {
            let (hostname, rest) = rest
                .split_once(' ')
                .filter(|(hostname, _)| !hostname.is_empty())
                .ok_or("has no message behind its hostname")?;
            parts.hostname = Some(hostname);
            tag(rest)
        }
    };
    (parts.app_name, parts.procid, parts.message) = (app_name, procid, Some(message));
    Ok(parts)
}

/// `app[123]: message`; a text without such a tag is all message.
fn tag(text: &str) -> (Option<&str>, Option<&str>, &str) {
    let found = || {
        let (tag, message) = text.split_once(':')?;
        let (name, procid) = match tag.split_once('[') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(']')?)),
            None => (tag, None),
        };
        let is_word = |word: &str| !word.is_empty() && !word.contains([' ', '[', ']']);
        let message = match message.strip_prefix(' ') {
            Some(message) => message,
            None if message.is_empty() => message,
            None => return None,
        };
        (is_word(name) && procid.is_none_or(is_word)).then_some((Some(name), procid, message))
    };
    found().unwrap_or((None, None, text))
}

/// Month, day and time of day of `Oct 11 22:14:15`.
fn local(time: &str) -> Option<(usize, u8, &str)> {
    let (name, rest) = time.split_at_checked(4)?;
    let (day, clock) = rest.split_at_checked(3)?;
    let month = month(name.strip_suffix(' ')?)?;
    let day: u8 = day.strip_suffix(' ')?.trim_start().parse().ok()?;
    let is_clock = clock.bytes().enumerate().all(|(at, byte)| match at {
        2 | 5 => byte == b':',
        _ => byte.is_ascii_digit(),
    });
    (is_clock && (1..=31).contains(&day)).then_some((month, day, clock))
}

/// Such a time in ISO 8601.
fn moment(time: &str, times: &LocalTimes) -> Result<String, String> {
    let (month, day, clock) = local(time).ok_or("has no time")?;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(text, "{:04}-{month:02}-{day:02}T{clock}", times.year);
    text.extend(times.offset.map(char::from));
    Ok(text)
}
