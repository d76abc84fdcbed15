//! The targets of publishes, one variant each: its configuration, and how other programs read it.

use std::path::Path;
use std::sync::Arc;

use towpath_testkit::mariadb::MariadbServer;
use towpath_testkit::postgres::PostgresServer;

use crate::content::Rows;
use crate::look;

const TO_POSTGRES: &str =
    "  out: { type: postgres, url: \"${secret:KILL_URL}\", writable: true }\n";
const TO_MYSQL: &str = "  out: { type: mysql, url: \"${secret:KILL_URL}\", writable: true }\n";
const TO_SQLITE: &str = "  out: { type: sqlite, path: out.db, writable: true }\n";
const TO_FILES: &str = "  out: { type: files, path: out, writable: true }
  parts: { type: files, path: parts, format: parquet, writable: true }
";

const PUBLISH_FILES: &str = "  rows:
    publish: raw
    into: out
    tables:
      items.parquet: { from: items }
  rows_in_parts:
    publish: raw
    into: parts
    tables:
      items/: { from: items }
  reports:
    publish: marts
    into: out
    tables:
      by_kind.csv: { from: by_kind }
";

const PUBLISH_DATABASE: &str = "  rows:
    publish: raw
    into: out
    tables:
      items: { key: id }
  reports:
    publish: marts
    into: out
    tables:
      by_kind: {}
";

const TOKENS: &str = "_towpath_commits";
const GENERATIONS: &str = "SELECT sum(generation) FROM _towpath_commits";

/// An outside system that is published into.
pub(crate) enum Outside {
    Nothing,
    Files,
    Sqlite,
    Postgres(Arc<PostgresServer>, String),
    Mysql(Arc<MariadbServer>, String),
}

/// One published table as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) what: &'static str,
    /// Rows of `raw.items`, else of `marts.by_kind`.
    pub(crate) is_items: bool,
    pub(crate) rows: Rows,
}

impl Outside {
    /// A database of its own.
    pub(crate) fn postgres() -> Self {
        let server = PostgresServer::shared().expect("PostgreSQL starts");
        let database = server.new_database().expect("a database");
        Self::Postgres(server, database)
    }

    /// The same on a MariaDB server.
    pub(crate) fn mysql() -> Self {
        let server = MariadbServer::shared().expect("MariaDB starts");
        let database = server.new_database().expect("a database");
        Self::Mysql(server, database)
    }

    /// The connections and the steps it adds to a project.
    pub(crate) fn config(&self) -> (&'static str, &'static str) {
        match self {
            Self::Nothing => ("", ""),
            Self::Files => (TO_FILES, PUBLISH_FILES),
            Self::Sqlite => (TO_SQLITE, PUBLISH_DATABASE),
            Self::Postgres(..) => (TO_POSTGRES, PUBLISH_DATABASE),
            Self::Mysql(..) => (TO_MYSQL, PUBLISH_DATABASE),
        }
    }

    /// What `KILL_URL` must be.
    pub(crate) fn url(&self) -> Option<String> {
        match self {
            Self::Postgres(server, database) => Some(server.url(database)),
            Self::Mysql(server, database) => Some(server.url(database)),
            _ => None,
        }
    }

    /// Puts the target away and takes the one that was put away before; an empty one at first.
    pub(crate) fn retarget(&mut self, dir: &Path, other: &mut Option<String>) {
        if let Self::Postgres(server, database) = self {
            let next = other.take();
            let next = next.unwrap_or_else(|| server.new_database().expect("a database"));
            *other = Some(std::mem::replace(database, next));
            return;
        }
        if let Self::Mysql(server, database) = self {
            let next = other.take();
            let next = next.unwrap_or_else(|| server.new_database().expect("a database"));
            *other = Some(std::mem::replace(database, next));
            return;
        }
        let (away, between) = (dir.join("away"), dir.join("between"));
        std::fs::create_dir_all(&away).expect("made");
        for name in ["out.db", "out", "parts"] {
            let (here, there) = (dir.join(name), away.join(name));
            let put = |from: &Path, to: &Path| {
                if from.exists() {
                    std::fs::rename(from, to).expect("moved");
                }
            };
            put(&there, &between);
            put(&here, &there);
            put(&between, &here);
        }
    }

    /// The published tables; one that is not there yet has no rows.
    pub(crate) fn seen(&self, dir: &Path) -> Vec<Sent> {
        let sent = |what, is_items, rows| Sent {
            what,
            is_items,
            rows,
        };
        match self {
            Self::Nothing => Vec::new(),
            Self::Files => vec![
                sent(
                    "items.parquet",
                    true,
                    look::parquet_file(&dir.join("out/items.parquet"), &look::ITEMS),
                ),
                sent(
                    "items/",
                    true,
                    look::parts(&dir.join("parts/items"), &look::ITEMS),
                ),
                sent(
                    "by_kind.csv",
                    false,
                    look::csv_file(&dir.join("out/by_kind.csv")),
                ),
            ],
            Self::Sqlite => {
                let cents = |name: &str| format!("CAST(round({name} * 100) AS INTEGER)");
                let at = "CAST(strftime('%s', at) AS INTEGER) * 1000000";
                let items = format!(
                    "SELECT id, kind, {}, {at}, note FROM items",
                    cents("amount")
                );
                let by_kind = format!("SELECT kind, n, {} FROM by_kind", cents("total"));
                let file = dir.join("out.db");
                vec![
                    sent(
                        "items in SQLite",
                        true,
                        look::sqlite_rows(&file, "items", &items),
                    ),
                    sent(
                        "by_kind in SQLite",
                        false,
                        look::sqlite_rows(&file, "by_kind", &by_kind),
                    ),
                ]
            }
            Self::Postgres(..) => {
                let at = "(extract(epoch from at) * 1000000)::bigint";
                let items =
                    format!("SELECT id, kind, (amount * 100)::bigint, {at}, note FROM items");
                let by_kind = "SELECT kind, n, (total * 100)::bigint FROM by_kind";
                let copied = |sql: &str, table| {
                    look::copied_rows(&self.psql(&format!("COPY ({sql}) TO STDOUT"), table))
                };
                vec![
                    sent("items in PostgreSQL", true, copied(&items, "items")),
                    sent("by_kind in PostgreSQL", false, copied(by_kind, "by_kind")),
                ]
            }
            Self::Mysql(..) => self.seen_in_mariadb(),
        }
    }

    fn seen_in_mariadb(&self) -> Vec<Sent> {
        let null = |sql: &str| format!("coalesce({sql}, '\\\\N')");
        let number = |sql: &str| null(&format!("CAST({sql} AS signed)"));
        let items = format!(
            "SELECT {}, {}, {}, {}, {} FROM items",
            null("id"),
            null("kind"),
            number("amount * 100"),
            number("timestampdiff(microsecond, '1970-01-01', at)"),
            null("note")
        );
        let by_kind = format!(
            "SELECT {}, {}, {} FROM by_kind",
            null("kind"),
            null("n"),
            number("total * 100")
        );
        // Of a backslash, the client shows two.
        let copied =
            |sql: &str, table| look::copied_rows(&self.mariadb(sql, table).replace("\\\\N", "\\N"));
        vec![
            Sent {
                what: "items in MariaDB",
                is_items: true,
                rows: copied(&items, "items"),
            },
            Sent {
                what: "by_kind in MariaDB",
                is_items: false,
                rows: copied(&by_kind, "by_kind"),
            },
        ]
    }

    /// Changes when anything is committed there.
    pub(crate) fn versions(&self, dir: &Path) -> Vec<Option<u64>> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Files => [
                "out/items.parquet",
                "parts/items/_manifest.json",
                "out/by_kind.csv",
            ]
            .map(|file| look::changed_ns(&dir.join(file)))
            .to_vec(),
            Self::Sqlite => vec![look::sqlite_number(
                &dir.join("out.db"),
                TOKENS,
                GENERATIONS,
            )],
            Self::Postgres(..) => vec![self.psql(GENERATIONS, TOKENS).parse().ok()],
            Self::Mysql(..) => vec![self.mariadb(GENERATIONS, TOKENS).parse().ok()],
        }
    }

    /// The answer of `mariadb`; empty while the table does not exist.
    fn mariadb(&self, sql: &str, table: &str) -> String {
        let Self::Mysql(server, database) = self else {
            return String::new();
        };
        let exists = format!(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = database() AND table_name = '{table}'"
        );
        match server.sql(database, &exists).expect("mariadb").as_str() {
            "0" => String::new(),
            _ => server.sql(database, sql).expect("mariadb"),
        }
    }

    /// The answer; empty while the table does not exist.
    fn psql(&self, sql: &str, table: &str) -> String {
        let Self::Postgres(server, database) = self else {
            return String::new();
        };
        let exists = format!("SELECT to_regclass('{table}') IS NOT NULL");
        match server.psql(database, &exists).expect("psql").as_str() {
            "t" => server.psql(database, sql).expect("psql"),
            _ => String::new(),
        }
    }
}
