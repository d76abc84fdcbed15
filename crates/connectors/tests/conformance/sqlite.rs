//! SQLite, looked at by a connection of somebody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::json;
use towpath_ports::{ConnectorContext, Destination, ReadSpec, Source};
use towpath_testkit::conformance::{
    Ample, DestinationUnderTest, Limits, SourceUnderTest, line, read_spec,
};
use towpath_testkit::{destination_conformance, source_conformance};
use towpath_vocab::{ConnectionPlan, CursorPlan, OptionValue, ReadMode, TableName, WriteMode};

use super::{MORE, ROWS, connector, insert, lines};

/// A folder with a database file, or none yet.
struct Folder {
    dir: tempfile::TempDir,
    /// Rows in the table to read.
    rows: AtomicI64,
}

fn folder() -> Folder {
    Folder {
        dir: tempfile::tempdir().unwrap(),
        rows: AtomicI64::new(0),
    }
}

fn with_rows() -> Folder {
    let folder = folder();
    let sql = "CREATE TABLE t (id INTEGER, v TEXT, c INTEGER)";
    folder.own().execute_batch(sql).unwrap();
    folder.add(ROWS);
    folder
}

fn shown(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) | ValueRef::Blob(text) => {
            Some(String::from_utf8_lossy(text).into_owned())
        }
    }
}

impl Folder {
    fn own(&self) -> Connection {
        Connection::open(self.dir.path().join("data.db")).unwrap()
    }

    fn add(&self, count: i64) -> Vec<String> {
        let first = self.rows.fetch_add(count, Ordering::SeqCst);
        self.own()
            .execute_batch(&insert(first..first + count))
            .unwrap();
        lines(first..first + count)
    }

    fn context(&self) -> ConnectorContext {
        Ample::context(self.dir.path())
    }

    fn plan(&self) -> ConnectionPlan {
        let path = OptionValue::Plain(json!("data.db"));
        ConnectionPlan {
            name: "db".to_owned(),
            kind: "sqlite".to_owned(),
            writable: true,
            options: BTreeMap::from([("path".to_owned(), path)]),
        }
    }

    fn open(&self) -> Arc<dyn Source> {
        connector("sqlite")
            .source(&self.plan(), &self.context())
            .unwrap()
    }
}

#[async_trait]
impl DestinationUnderTest for Folder {
    fn modes(&self) -> Vec<WriteMode> {
        connector("sqlite").spec().writes
    }

    fn limits(&self) -> Limits {
        // SQLite stores -0.0 as 0.
        Limits {
            negative_zero: false,
            ..Limits::default()
        }
    }

    fn destination(&self) -> Arc<dyn Destination> {
        connector("sqlite")
            .destination(&self.plan(), &self.context())
            .unwrap()
    }

    fn table(&self, name: &str) -> TableName {
        TableName::new("db", name)
    }

    async fn look(&self, table: &TableName) -> Option<Vec<String>> {
        let own = self.own();
        let sql = "SELECT count(*) FROM sqlite_master WHERE name = ?1";
        let there: i64 = own
            .query_row(sql, [table.table()], |row| row.get(0))
            .unwrap();
        if there == 0 {
            return None;
        }
        let name = table.table().replace('"', "\"\"");
        let mut rows = own.prepare(&format!("SELECT * FROM \"{name}\"")).unwrap();
        let names: Vec<String> = rows.column_names().map(str::to_owned).collect();
        let read = |row: &rusqlite::Row<'_>| {
            let cells = names.iter().enumerate();
            let cells = cells.map(|(at, name)| Ok((name.clone(), shown(row.get_ref(at)?))));
            Ok(line(cells.collect::<rusqlite::Result<Vec<_>>>()?))
        };
        let lines = rows.query_map([], read).unwrap();
        Some(lines.map(Result::unwrap).collect())
    }

    fn reading(&self, table: &TableName, _: &SchemaRef) -> (Arc<dyn Source>, ReadSpec) {
        (self.open(), read_spec(table.table()))
    }
}

#[async_trait]
impl SourceUnderTest for Folder {
    fn reads(&self) -> Vec<ReadMode> {
        connector("sqlite").spec().reads
    }

    fn source(&self) -> Arc<dyn Source> {
        self.open()
    }

    fn spec(&self, mode: ReadMode) -> ReadSpec {
        ReadSpec {
            mode,
            batch_rows: 100,
            cursor: (mode == ReadMode::Incremental).then(|| CursorPlan {
                column: "c".to_owned(),
                lookback: 0,
            }),
            ..read_spec("t")
        }
    }

    fn expected(&self) -> Vec<String> {
        lines(0..self.rows.load(Ordering::SeqCst))
    }

    /// Rows without a cursor are read by the first load only.
    fn is_found_later(&self, line: &str) -> bool {
        line.starts_with("c=")
    }

    async fn grow(&self) -> Option<Vec<String>> {
        Some(self.add(MORE))
    }
}

destination_conformance!(as_destination, folder());
source_conformance!(as_source, with_rows());
