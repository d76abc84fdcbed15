//! Every connector passes the suite of each port it implements.
//!
//! A new connector adds a module here: what it is, how it is looked at from outside, and the macro.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod adbc;
mod bucket;
mod files;
mod mysql;
mod postgres;
mod sqlite;

use std::sync::Arc;

use towpath_connectors::connectors;
use towpath_ports::Connector;
use towpath_testkit::conformance::line;

fn connector(kind: &str) -> Arc<dyn Connector> {
    let mut all = connectors().into_iter();
    all.find(|connector| connector.spec().kind == kind).unwrap()
}

/// Rows that sources start with.
const ROWS: i64 = 2_000;
/// Rows added each time.
const MORE: i64 = 50;

/// A row outside: an id, a text, and a cursor that ties in threes and is sometimes NULL.
struct Row {
    id: i64,
    v: String,
    c: Option<i64>,
}

fn row(id: i64) -> Row {
    Row {
        id,
        v: format!("v{id}"),
        c: (id % 500 != 7).then_some(id / 3),
    }
}

impl Row {
    fn line(&self) -> String {
        line([
            ("id".to_owned(), Some(self.id.to_string())),
            ("v".to_owned(), Some(self.v.clone())),
            ("c".to_owned(), self.c.map(|c| c.to_string())),
        ])
    }

    /// As SQL values.
    fn values(&self) -> String {
        let c = self.c.map_or("NULL".to_owned(), |c| c.to_string());
        format!("({}, '{}', {c})", self.id, self.v)
    }
}

fn lines(ids: std::ops::Range<i64>) -> Vec<String> {
    ids.map(|id| row(id).line()).collect()
}

/// An INSERT of these rows.
fn insert(ids: std::ops::Range<i64>) -> String {
    let values: Vec<String> = ids.map(|id| row(id).values()).collect();
    format!("INSERT INTO t (id, v, c) VALUES {}", values.join(", "))
}
