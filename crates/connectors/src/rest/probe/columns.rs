//! Which columns of the records look like a key and like a cursor, and which parameter takes the cursor.
//!
//! Promise: a key that repeats or is missing in one of the records is not proposed, and a parameter only if
//! the API gave exactly the records from a cursor on. Both are guesses all the same: only some records were
//! looked at. Read next: `propose.rs`.

use std::collections::HashSet;

use serde_json::json;

use super::asker::{Asker, Options};
use crate::rest::error::Result;
use crate::rest::raw::Raw;

/// Names of keys.
const KEYS: [&str; 6] = ["id", "uuid", "guid", "_id", "key", "code"];

/// Names of cursors, without `_` and in small letters.
const CURSORS: [&str; 12] = [
    "updatedat",
    "modifiedat",
    "lastmodified",
    "lastmodifiedat",
    "lastupdated",
    "lastupdatedat",
    "changedat",
    "updatetime",
    "dateupdated",
    "datemodified",
    "updated",
    "modified",
];

/// Parameters of the time from which changes are asked for.
const SINCE: [&str; 9] = [
    "updated_since",
    "updated_after",
    "modified_since",
    "modified_after",
    "since",
    "updated_at_min",
    "updatedSince",
    "updatedAfter",
    "modifiedSince",
];

/// A column that looks like a cursor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CursorColumn {
    pub(super) name: String,
    /// The highest one that was seen, as it is written.
    pub(super) highest: String,
    /// What its numbers count.
    pub(super) epoch: Option<&'static str>,
    /// It has values that are lower.
    differs: bool,
}

fn records_of(texts: &[String]) -> Vec<Raw<'_>> {
    let records = texts.iter().filter_map(|text| Raw::read(text).ok());
    records.collect()
}

/// The values of a column, if every record has one.
fn values(records: &[Raw<'_>], name: &str) -> Option<Vec<String>> {
    let values: Option<Vec<String>> = records
        .iter()
        .map(|record| record.member(name)?.scalar())
        .collect();
    values.filter(|values| !values.is_empty())
}

/// The column that looks like a key.
pub(super) fn key(texts: &[String], table: &str) -> Option<String> {
    let records = records_of(texts);
    let of_table = table.strip_suffix('s').unwrap_or(table);
    let own = [format!("{of_table}_id"), format!("{of_table}Id")];
    let names = KEYS.map(str::to_owned).into_iter().chain(own);
    names.into_iter().find(|name| {
        let values = values(&records, name).unwrap_or_default();
        let different: HashSet<&String> = values.iter().collect();
        !values.is_empty() && different.len() == values.len()
    })
}

/// A number of a time or a number, which can be compared with others.
fn rank(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some(number);
    }
    let time = chrono::DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_micros());
    let time = time.or_else(|_| {
        let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
        let read = |form| chrono::NaiveDateTime::parse_from_str(text, form);
        let day = || {
            let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
            day.and_hms_opt(0, 0, 0)
        };
        let time = forms.iter().find_map(|form| read(form).ok());
        let time = time.or_else(day).ok_or(())?;
        Ok::<_, ()>(time.and_utc().timestamp_micros())
    });
    #[allow(clippy::cast_precision_loss, reason = "times are only compared")]
    time.ok().map(|micros| micros as f64)
}

/// The column that looks like a cursor.
pub(super) fn cursor(texts: &[String]) -> Option<CursorColumn> {
    let records = records_of(texts);
    let first = *records.first()?;
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let names = CURSORS.iter().filter_map(|usual| {
        let mut members = first.members().map(|(name, _)| name.into_owned());
        members.find(|name| plain(name) == *usual)
    });
    names.into_iter().find_map(|name| {
        let values = values(&records, &name)?;
        let ranks: Option<Vec<f64>> = values.iter().map(|value| rank(value)).collect();
        let ranks = ranks?;
        let highest = ranks.iter().copied().fold(f64::MIN, f64::max);
        let at = ranks.iter().position(|rank| *rank >= highest)?;
        let text = values.get(at)?.clone();
        let is_number = text.parse::<f64>().is_ok();
        let epoch = match highest {
            ms if is_number && ms > 1e11 && ms < 1e14 => Some("milliseconds"),
            seconds if is_number && seconds > 1e8 && seconds < 1e11 => Some("seconds"),
            _ => None,
        };
        Some(CursorColumn {
            name,
            highest: text,
            epoch,
            differs: ranks.iter().any(|rank| *rank < highest),
        })
    })
}

/// The parameter that asks for the records from a cursor on.
pub(super) async fn since(
    asker: &Asker<'_>,
    options: &Options,
    cursor: &CursorColumn,
) -> Result<Option<&'static str>> {
    let Some(highest) = rank(&cursor.highest).filter(|_| cursor.differs) else {
        return Ok(None);
    };
    for param in SINCE {
        let more = vec![(param.to_owned(), json!(cursor.highest))];
        let Some(asked) = asker.first_if_any(options, more).await? else {
            continue;
        };
        let records = records_of(&asked.records);
        let values = values(&records, &cursor.name).unwrap_or_default();
        let is_from = |value: &String| rank(value).is_some_and(|rank| rank >= highest);
        let has_itself = values.contains(&cursor.highest);
        if has_itself && values.iter().all(is_from) {
            return Ok(Some(param));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn texts(records: &[&str]) -> Vec<String> {
        records.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_key_is_there_and_different_in_all_records() {
        let found = |records: &[&str]| key(&texts(records), "invoices");
        assert_eq!(
            found(&[r#"{"id":1}"#, r#"{"id":2}"#]).as_deref(),
            Some("id")
        );
        let other = [r#"{"id":1,"invoice_id":7}"#, r#"{"id":1,"invoice_id":8}"#];
        assert_eq!(found(&other).as_deref(), Some("invoice_id"));
        assert_eq!(found(&[r#"{"id":1}"#, r#"{"id":null}"#]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn a_cursor_can_be_compared_in_all_records() {
        let found = |records: &[&str]| cursor(&texts(records));
        let times = found(&[
            r#"{"updatedAt":"2026-01-02T00:00:00Z"}"#,
            r#"{"updatedAt":"2026-01-02T02:00:00+01:00"}"#,
        ]);
        let times = times.unwrap();
        assert_eq!(times.highest, "2026-01-02T02:00:00+01:00");
        assert!(times.differs && times.epoch.is_none());
        let numbers = found(&[r#"{"modified":1760000000}"#]).unwrap();
        assert_eq!((numbers.epoch, numbers.differs), (Some("seconds"), false));
        assert_eq!(found(&[r#"{"updated_at":"soon"}"#]), None);
        assert_eq!(found(&[r#"{"updated_at":null}"#]), None);
    }
}
