//! The option `send` of a table, read once.
//!
//! Promise: what cannot be meant is refused by name before a row is read. It sends nothing. Read next:
//! `spec.rs`, which describes the keys.

use reqwest::Method;
use reqwest::header::HeaderName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::endpoint::of_table;
use super::super::error::{RestError, Result};
use super::super::path::JsonPath;
use super::row_path::RowPath;

/// The option.
pub(in super::super) const SEND: &str = "send";
/// One row in each request.
pub(super) const ROW: &str = "row";
/// Several rows in each request.
pub(super) const BATCH: &str = "batch";

/// What happens to a row of the API, in the order in which changes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    /// It is gone.
    Delete,
    /// It has new values.
    Update,
    /// It is new.
    Insert,
}

impl Change {
    /// All, in the order in which they are sent: a value that has to be unique is given up before another
    /// row gets it.
    pub(super) const ALL: [Self; 3] = [Self::Delete, Self::Update, Self::Insert];

    /// Its name, which is its key in `send`.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Update => "update",
            Self::Insert => "insert",
        }
    }
}

/// A method and a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: RowPath,
}

/// What is done for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Call(Call),
    Ignored,
    /// Nothing is declared for it.
    Undeclared,
}

/// How rows of a table are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SendOptions {
    insert: Sent,
    update: Sent,
    delete: Sent,
    upsert: Sent,
    /// Requests have lists of rows.
    pub(super) is_batch: bool,
    /// The most rows of a request.
    pub(super) size: usize,
    records: JsonPath,
    pub(super) results: Option<JsonPath>,
    pub(super) idempotency_header: Option<HeaderName>,
}

struct Given<'g> {
    table: &'g str,
    map: &'g Map<String, Value>,
}

impl Given<'_> {
    fn wrong(&self, key: &str, why: impl Into<String>) -> RestError {
        of_table(self.table, &format!("{SEND}.{key}"), why)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.map.get(key).and_then(Value::as_str)
    }

    fn sent(&self, key: &str) -> Result<Sent> {
        let Some(text) = self.text(key).map(str::trim) else {
            return Ok(Sent::Undeclared);
        };
        if text == "ignore" {
            return match key {
                "update" | "delete" => Ok(Sent::Ignored),
                _ => Err(self.wrong(key, "cannot be `ignore`")),
            };
        }
        let example = || format!("is `{text}`, but must be like `PATCH contacts/{{id}}`");
        let (method, path) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let method = match method {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            _ => return Err(self.wrong(key, example())),
        };
        let path = RowPath::new(path.trim()).map_err(|why| self.wrong(key, why))?;
        Ok(Sent::Call(Call { method, path }))
    }

    fn size(&self) -> Result<usize> {
        if self.text("type") == Some(ROW) {
            return Ok(1);
        }
        let size = self.map.get("size");
        let rows = size
            .and_then(Value::as_u64)
            .and_then(|rows| usize::try_from(rows).ok());
        rows.filter(|rows| *rows > 0).ok_or_else(|| {
            let shown = size.map_or_else(|| "missing".to_owned(), |size| format!("`{size}`"));
            self.wrong(
                "size",
                format!("is {shown}, but must be a whole number from 1"),
            )
        })
    }

    fn header(&self) -> Result<Option<HeaderName>> {
        let name = self.text("idempotency_header");
        let name = name.map(|name| HeaderName::from_bytes(name.as_bytes()));
        name.transpose()
            .map_err(|_| self.wrong("idempotency_header", "is not the name of a header"))
    }
}

impl SendOptions {
    /// Reads the option of a table.
    pub(super) fn read(table: &str, value: Option<&Value>) -> Result<Self> {
        let map = value
            .and_then(Value::as_object)
            .filter(|map| !map.is_empty());
        let Some(map) = map else {
            return Err(RestError::NotWritable {
                table: table.to_owned(),
            });
        };
        let given = Given { table, map };
        let path = |key: &str| given.text(key).map(JsonPath::new);
        let options = Self {
            insert: given.sent("insert")?,
            update: given.sent("update")?,
            delete: given.sent("delete")?,
            upsert: given.sent("upsert")?,
            is_batch: given.text("type") == Some(BATCH),
            size: given.size()?,
            records: path("records").unwrap_or_default(),
            results: path("results"),
            idempotency_header: given.header()?,
        };
        match options.of(Change::Insert) {
            Sent::Undeclared => Err(given.wrong("insert", "is missing, and so is `upsert`")),
            _ => Ok(options),
        }
    }

    /// What is done for a change.
    pub(super) fn of(&self, change: Change) -> &Sent {
        let (own, other) = match change {
            Change::Insert => (&self.insert, &self.upsert),
            Change::Update => (&self.update, &self.upsert),
            Change::Delete => (&self.delete, &Sent::Undeclared),
        };
        match own {
            Sent::Undeclared => other,
            own => own,
        }
    }

    /// The request of a change, if it is sent.
    pub(super) fn call(&self, change: Change) -> Option<&Call> {
        match self.of(change) {
            Sent::Call(call) => Some(call),
            Sent::Ignored | Sent::Undeclared => None,
        }
    }

    /// True if a request has a list of rows, not one row.
    pub(super) fn is_list(&self, call: &Call) -> bool {
        self.is_batch && !call.path.is_of_one_row()
    }

    /// Where the row or the rows are in the body.
    pub(super) fn place(&self, call: &Call) -> &[String] {
        match self.is_batch && call.path.is_of_one_row() {
            // `records` is the place of a list.
            true => &[],
            false => self.records.keys(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<SendOptions> {
        SendOptions::read("contacts", Some(&value))
    }

    #[test]
    fn what_is_not_there_is_upserted_ignored_or_not_declared() {
        let options = read(json!({
            "type": "batch", "size": 10, "upsert": "PUT contacts", "update": "ignore",
        }))
        .unwrap();
        assert!(options.call(Change::Insert).is_some());
        assert_eq!(*options.of(Change::Update), Sent::Ignored);
        assert_eq!(*options.of(Change::Delete), Sent::Undeclared);
        let call = options.call(Change::Insert).unwrap();
        assert_eq!((options.size, options.is_list(call)), (10, true));
    }

    #[test]
    fn mistakes_are_refused_by_name() {
        for (wrong, key) in [
            (json!({ "type": "row" }), "insert"),
            (json!({ "type": "row", "insert": "contacts" }), "insert"),
            (json!({ "type": "row", "insert": "GET contacts" }), "insert"),
            (json!({ "type": "row", "insert": "ignore" }), "insert"),
            (json!({ "type": "row", "insert": "POST ../x" }), "insert"),
            (
                json!({ "type": "batch", "insert": "POST c", "size": 0 }),
                "size",
            ),
            (
                json!({ "type": "row", "insert": "POST c", "idempotency_header": "a b" }),
                "idempotency_header",
            ),
        ] {
            let said = read(wrong).unwrap_err().to_string();
            assert!(said.contains(&format!("send.{key}")), "{said}");
        }
        assert!(SendOptions::read("c", None).is_err());
    }
}
