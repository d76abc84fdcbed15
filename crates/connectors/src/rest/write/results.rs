//! What an answer says about the rows of its request.
//!
//! Promise: an answer that does not tell which rows were taken is an error, never taken for success. Only
//! `status` of a result is looked at. Read next: `delivery.rs`.

use super::super::answer::Answer;
use super::super::path::JsonPath;
use super::super::raw::Raw;
use super::super::retry::may_pass;

/// What happened to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowResult {
    Taken,
    /// The status, and the result as it came.
    Refused(u16, String),
    /// Neither: it may be taken later.
    NotNow(u16),
}

/// The results of the rows of a request; `None` if the answer is about all of them. The error is why nobody
/// can tell.
pub(super) fn results(
    answer: &Answer,
    path: Option<&JsonPath>,
    rows: usize,
) -> Result<Option<Vec<RowResult>>, String> {
    let Some(path) = path else {
        return match answer.status {
            207 => Err("has a status for each row (207), and the table does not say where: `results` of `send`".to_owned()),
            _ => Ok(None),
        };
    };
    let text = std::str::from_utf8(&answer.body).unwrap_or_default();
    let body = Raw::read(text).map_err(|at| format!("is not JSON: {at}"))?;
    let list = path.find(body).filter(|list| list.is_array());
    let list = list.ok_or_else(|| format!("has no list at `results: {path}`"))?;
    let results: Option<Vec<RowResult>> = list.items().map(result).collect();
    let results =
        results.ok_or_else(|| format!("has a result without `status` at `results: {path}`"))?;
    match results.len() == rows {
        true => Ok(Some(results)),
        false => Err(format!(
            "has {} results at `results: {path}` for {rows} rows",
            results.len()
        )),
    }
}

fn result(raw: Raw<'_>) -> Option<RowResult> {
    let status: u16 = JsonPath::key("status").scalar(raw)?.parse().ok()?;
    Some(match status {
        200..300 => RowResult::Taken,
        status if may_pass(status) || status >= 500 => RowResult::NotNow(status),
        status => RowResult::Refused(status, raw.text().to_owned()),
    })
}
