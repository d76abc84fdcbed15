//! The source of a project: a file that each version replaces, or a database table that grows.
//!
//! The table is read by its cursor and appended. The first rows of each version have the same cursor value
//! as the last rows of the version before, so a read that loses or repeats equal cursor values is noticed.

use std::path::Path;
use std::sync::Arc;

use towpath_testkit::postgres::PostgresServer;

use crate::content::{self, Version};

const FILE: &str = "items.csv";
const DATABASE: &str = "source.db";

/// Where rows come from.
pub(crate) enum Feed {
    File,
    Sqlite,
    Postgres(Arc<PostgresServer>, String),
}

impl Feed {
    /// A table in a database of its own.
    pub(crate) fn postgres() -> Self {
        let server = PostgresServer::shared().expect("PostgreSQL starts");
        let database = server.new_database().expect("a database");
        let table = "CREATE TABLE items (id bigint, kind text, amount numeric(12,2), at timestamp, note text)";
        server.psql(&database, table).expect("a table");
        Self::Postgres(server, database)
    }

    /// Whether rows are only added, and read by a cursor.
    pub(crate) fn grows(&self) -> bool {
        !matches!(self, Self::File)
    }

    /// The connection `data`, and what it is asked for.
    pub(crate) fn config(&self) -> (&'static str, &'static str) {
        match self {
            Self::File => ("{ type: files, path: data }", FILE),
            Self::Sqlite => ("{ type: sqlite, path: source.db }", "items"),
            Self::Postgres(..) => (
                "{ type: postgres, url: \"${secret:KILL_SOURCE}\" }",
                "items",
            ),
        }
    }

    /// What `KILL_SOURCE` must be.
    pub(crate) fn url(&self) -> Option<String> {
        match self {
            Self::Postgres(server, database) => Some(server.url(database)),
            _ => None,
        }
    }

    /// Brings the next version.
    pub(crate) fn next(&self, dir: &Path, version: u64, rows: u64) -> Version {
        match self {
            Self::File => {
                let folder = dir.join("data");
                std::fs::create_dir_all(&folder).expect("made");
                content::write(&folder.join(FILE), version, rows)
            }
            Self::Sqlite => sqlite(&dir.join(DATABASE), version, rows),
            Self::Postgres(server, database) => {
                let mut copy = "COPY items FROM STDIN;\n".to_owned();
                let made = content::grow(version, rows, "public.items", |cells| {
                    let cells = cells.map(|cell| cell.unwrap_or("\\N"));
                    copy.push_str(&cells.join("\t"));
                    copy.push('\n');
                });
                copy.push_str("\\.\n");
                server.psql(database, &copy).expect("rows come");
                made
            }
        }
    }

    /// Takes all rows away.
    pub(crate) fn empty(&self, dir: &Path) {
        match self {
            Self::File => {}
            Self::Sqlite => std::fs::remove_file(dir.join(DATABASE)).expect("removed"),
            Self::Postgres(server, database) => {
                server.psql(database, "TRUNCATE items").expect("emptied");
            }
        }
    }
}

fn sqlite(file: &Path, version: u64, rows: u64) -> Version {
    let mut database = rusqlite::Connection::open(file).expect("a database");
    let table = "CREATE TABLE IF NOT EXISTS items (id INTEGER, kind TEXT, amount DECIMAL(12,2), at TIMESTAMP, note TEXT)";
    let change = database.transaction().expect("begun");
    change.execute_batch(table).expect("a table");
    let mut insert = change
        .prepare("INSERT INTO items VALUES (?1, ?2, ?3, ?4, ?5)")
        .expect("prepared");
    let made = content::grow(version, rows, "items", |cells| {
        insert.execute(cells).expect("a row comes");
    });
    drop(insert);
    change.commit().expect("committed");
    made
}
