//! How SQLite carries out a write by key: by an index on one of the sides, whatever the table has.

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray, UInt8Array};
use rusqlite::StatementStatus;

use super::super::align;
use super::super::catalog::look_up;
use super::super::keys::KeyColumns;
use super::super::names::quoted;
use super::super::sql::SqliteDialect;
use super::super::stage;
use super::*;
use crate::relational::modes::is_keyed;
use crate::relational::statements::{Statements, Step};

const ROWS: i64 = 5_000;

/// Rows whose keys are these numbers as text, or as they are, with `value`.
fn rows(keys: std::ops::Range<i64>, kind: Kind, value: &str) -> RecordBatch {
    let key: ArrayRef = match kind {
        Kind::Text => Arc::new(StringArray::from_iter_values(
            keys.clone().map(|key| format!("key {key}")),
        )),
        Kind::Whole => Arc::new(Int64Array::from_iter_values(keys.clone())),
        #[allow(clippy::cast_precision_loss, reason = "small")]
        Kind::Real => Arc::new(Float64Array::from_iter_values(
            keys.clone().map(|key| key as f64 / 2.0),
        )),
    };
    let part: ArrayRef = Arc::new(StringArray::from_iter_values(
        keys.clone().map(|key| format!("P{}", key % 2)),
    ));
    let text: ArrayRef = Arc::new(StringArray::from_iter_values(keys.map(|_| value)));
    RecordBatch::try_from_iter([("k", key), ("part", part), ("v", text)]).unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Whole,
    Real,
}

/// What became of one write by key.
struct Done {
    /// Rows that were deleted, updated, inserted.
    changed: (usize, usize, usize),
    /// Each statement's plan.
    plans: Vec<Vec<String>>,
    /// Rows that were stepped over, of all statements.
    scanned: i64,
}

/// Writes `ROWS` rows into a table that holds as many, half of them with the same keys.
fn write(sql: &str, mode: WriteMode, kind: Kind, key: &[&str]) -> Done {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(sql).unwrap();
    let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
    let put = |mode, batch: &RecordBatch| -> Done {
        let merges = mode == WriteMode::Merge;
        let ops = merges.then(|| {
            UInt8Array::from_iter_values(
                (0..batch.num_rows()).map(|row| if row % 10 == 0 { 2 } else { 1 }),
            )
        });
        stage::create(&connection, batch.num_columns(), merges, "x").unwrap();
        stage::insert(&connection, batch, ops.as_ref(), "x").unwrap();
        let found = look_up(&connection, "t", "x").unwrap();
        let schema = batch.schema();
        let fitting = align::fit(found, "t", &schema, SchemaChange::Evolve, &key);
        let alignment = futures::executor::block_on(fitting).unwrap();
        for statement in &alignment.statements {
            connection.execute_batch(statement).unwrap();
        }
        let table = quoted("t");
        let statements = Statements {
            deletes_absent: false,
            dialect: &SqliteDialect,
            table: &table,
            rows: &table,
            shown: "t",
            alignment: &alignment,
            key: &key,
            mode,
        };
        if is_keyed(mode) {
            let columns = KeyColumns {
                connection: &connection,
                table: "t",
                shown: "x",
            };
            columns.add(&statements.key_columns().unwrap()).unwrap();
            columns
                .index(key.len(), mode != WriteMode::DeleteInsert)
                .unwrap();
        }
        let (mut plans, mut scanned, mut changed) = (Vec::new(), 0, (0, 0, 0));
        for step in statements.steps().unwrap() {
            let (sql, count) = match step {
                Step::Delete { sql, .. } => (sql, &mut changed.0),
                Step::Update { sql, .. } => (sql, &mut changed.1),
                Step::Insert { sql, .. } => (sql, &mut changed.2),
                other @ Step::Known { .. } => panic!("{other:?}"),
            };
            let mut plan = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let lines = plan.query_map([], |row| row.get(3)).unwrap();
            plans.push(lines.map(rusqlite::Result::unwrap).collect());
            let mut statement = connection.prepare(&sql).unwrap();
            *count = statement.raw_execute().unwrap();
            scanned += i64::from(statement.get_status(StatementStatus::FullscanStep));
        }
        connection
            .execute_batch("COMMIT; DROP TABLE temp.\"_towpath_stage\"")
            .unwrap();
        Done {
            changed,
            plans,
            scanned,
        }
    };
    put(WriteMode::Append, &rows(0..ROWS, kind, "old"));
    put(mode, &rows(ROWS / 2..ROWS / 2 + ROWS, kind, "new"))
}

const TABLES: [(&str, Kind); 9] = [
    // Made by the write itself, with a primary key.
    ("SELECT 1", Kind::Text),
    ("SELECT 1", Kind::Whole),
    ("SELECT 1", Kind::Real),
    ("CREATE TABLE t (k TEXT, part TEXT, v TEXT)", Kind::Text),
    ("CREATE TABLE t (k INTEGER, part TEXT, v TEXT)", Kind::Whole),
    ("CREATE TABLE t (k, part, v)", Kind::Text),
    ("CREATE TABLE t (k VARCHAR(9) COLLATE nocase, part TEXT COLLATE nocase, v TEXT, PRIMARY KEY (k, part)) WITHOUT ROWID", Kind::Text),
    // An index that finds half of the table for each row, and statistics of a table that had one row.
    ("CREATE TABLE t (k INTEGER, part TEXT, v TEXT); CREATE INDEX half ON t (part)", Kind::Whole),
    ("CREATE TABLE t (k NUMERIC, part TEXT, v TEXT); INSERT INTO t VALUES (-1, '', ''); CREATE INDEX i ON t (v);
      ANALYZE; DELETE FROM t", Kind::Whole),
];

#[test]
fn no_write_by_key_reads_a_side_for_every_row_of_the_other() {
    for (sql, kind) in TABLES {
        for key in [["k"].as_slice(), &["part", "k"]] {
            for mode in [
                WriteMode::Merge,
                WriteMode::DeleteInsert,
                WriteMode::InsertOnly,
            ] {
                let done = write(sql, mode, kind, key);
                let what = format!("{sql} by {key:?}, {mode:?}: {:#?}", done.plans);
                let (half, tenth) = (ROWS as usize / 2, ROWS as usize / 20);
                let expected = match mode {
                    WriteMode::Merge => (tenth, half - tenth, half - tenth),
                    WriteMode::DeleteInsert => (half, 0, 2 * half),
                    _ => (0, 0, half),
                };
                assert_eq!(done.changed, expected, "{what}");
                // Each statement goes once over the stage and once over the table, the last one
                // twice over the stage.
                assert!(
                    done.scanned <= 8 * ROWS,
                    "{} steps over rows; {what}",
                    done.scanned
                );
                for plan in &done.plans {
                    assert!(
                        !plan.iter().any(|line| line.contains("CORRELATED")),
                        "{what}"
                    );
                }
            }
        }
    }
}

#[test]
fn rows_and_table_find_each_other_by_an_index() {
    let has = |plan: &[String], words: &str| plan.iter().any(|line| line.contains(words));
    // Without an index the table is read, and the stage is searched.
    let bare = write(TABLES[3].0, WriteMode::Merge, Kind::Text, &["k"]);
    let [gone, changed, new] = bare.plans.as_slice() else {
        panic!("{:?}", bare.plans)
    };
    assert!(
        has(gone, "SCAN t") && has(gone, "LIST SUBQUERY"),
        "{gone:?}"
    );
    assert!(
        has(changed, "SEARCH s USING INDEX _towpath_stage_key (k0=?)"),
        "{changed:?}"
    );
    assert!(has(new, "SEARCH "), "{new:?}");
    // With one the table is searched, and not read.
    let keyed = write(TABLES[0].0, WriteMode::Merge, Kind::Text, &["k"]);
    let [gone, changed, new] = keyed.plans.as_slice() else {
        panic!("{:?}", keyed.plans)
    };
    for plan in [gone, changed, new] {
        assert!(
            has(plan, "SEARCH t USING") && !has(plan, "SCAN t"),
            "{plan:?}"
        );
    }
}

/// What the table takes for one key is one key: it is not found out when the row is inserted.
#[tokio::test]
async fn keys_are_compared_as_the_table_compares_them() {
    let project = TestProject::with(
        "CREATE TABLE t (k TEXT COLLATE nocase PRIMARY KEY, v TEXT); INSERT INTO t VALUES ('A', 'old')",
    );
    let rows = |keys: &[&str]| {
        let keys: ArrayRef = Arc::new(StringArray::from(keys.to_vec()));
        RecordBatch::try_from_iter([("k", Arc::clone(&keys)), ("v", keys)]).unwrap()
    };
    let merge = how("t", WriteMode::Merge, 1);
    let other = project.write(&merge, &rows(&["a", "b"]), None).await;
    assert_eq!(other.unwrap_err().code, "R0253");
    let receipt = project.write(&merge, &rows(&["A", "b"]), None).await;
    let receipt = receipt.unwrap();
    assert_eq!(
        (
            receipt.committed.stats.updated,
            receipt.committed.stats.inserted
        ),
        (1, 1)
    );
    assert_eq!(project.read(&table("t")).await.rows, ["A|A", "b|b"]);
    let twice = project
        .write(&how("t", WriteMode::Merge, 2), &rows(&["c", "C"]), None)
        .await
        .unwrap_err();
    assert_eq!(twice.code, "R0242");
}
