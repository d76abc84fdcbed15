//! Reads tables without Towpath: the Delta log and Parquet files with an ordinary reader, PostgreSQL with
//! `psql`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::content::Rows;

/// The columns of `items`.
pub(crate) const ITEMS: [&str; 5] = ["id", "kind", "amount", "at", "note"];

/// Rows of data files seen before: a name is never used twice.
static SEEN: Mutex<BTreeMap<PathBuf, Rows>> = Mutex::new(BTreeMap::new());

/// The rows of a table of the lakehouse by its newest version, over all its columns but some; a missing
/// one has none.
pub(crate) fn lake_table(folder: &Path, columns: &[&str], left_out: &[&str]) -> Rows {
    let (_, files) = live_files(folder);
    files.into_iter().fold(Rows::default(), |rows, file| {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.get(&file).copied();
        rows.and(known.unwrap_or_else(|| {
            assert!(
                file.exists(),
                "the log names `{}`, which is missing",
                file.display()
            );
            let read = parquet_rows(&file, columns, left_out);
            seen.insert(file, read);
            read
        }))
    })
}

/// The newest version of a table of the lakehouse; None while there is none.
pub(crate) fn lake_version(folder: &Path) -> Option<u64> {
    live_files(folder).0
}

/// A folder of Parquet files, as its manifest lists them.
pub(crate) fn parts(folder: &Path, columns: &[&str]) -> Rows {
    let Ok(manifest) = std::fs::read(folder.join("_manifest.json")) else {
        return Rows::default();
    };
    let manifest: serde_json::Value =
        serde_json::from_slice(&manifest).expect("whole JSON in the manifest");
    let files = manifest["files"].as_array().expect("a list of files");
    let names = files
        .iter()
        .map(|file| file["name"].as_str().expect("a name"));
    names.fold(Rows::default(), |rows, name| {
        rows.and(parquet_file(&folder.join(name), columns))
    })
}

/// `by_kind.csv`: a kind, a count, an amount.
pub(crate) fn csv_file(path: &Path) -> Rows {
    let mut rows = Rows::default();
    for line in std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .skip(1)
    {
        let cells: Vec<String> = line.split(',').map(|cell| cell.replace('.', "")).collect();
        rows.add(
            &cells
                .iter()
                .map(|cell| Some(cell.as_str()))
                .collect::<Vec<_>>(),
        );
    }
    rows
}

/// When a file was changed last.
pub(crate) fn changed_ns(path: &Path) -> Option<u64> {
    let changed = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// A Parquet file with these columns and no other; a missing one has no rows.
pub(crate) fn parquet_file(file: &Path, columns: &[&str]) -> Rows {
    parquet_rows(file, columns, &[])
}

fn parquet_rows(file: &Path, columns: &[&str], left_out: &[&str]) -> Rows {
    let mut rows = Rows::default();
    if file.exists() {
        let open =
            std::fs::File::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let builder = ParquetRecordBatchReaderBuilder::try_new(open).expect("a Parquet file");
        let names = builder.schema().fields().iter();
        let there: BTreeSet<&str> = names.map(|field| field.name().as_str()).collect();
        let known: BTreeSet<&str> = columns.iter().chain(left_out).copied().collect();
        assert_eq!(there, known, "the columns of `{}`", file.display());
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        for batch in builder
            .with_projection(mask)
            .with_batch_size(8192)
            .build()
            .expect("readable")
        {
            let batch = batch.expect("rows");
            let cells: Vec<Vec<Option<String>>> = columns
                .iter()
                .map(|name| {
                    texts(
                        batch
                            .column_by_name(name)
                            .unwrap_or_else(|| panic!("no column `{name}`")),
                    )
                })
                .collect();
            let mut row = Vec::with_capacity(cells.len());
            for at in 0..batch.num_rows() {
                row.clear();
                row.extend(cells.iter().map(|column| column[at].as_deref()));
                rows.add(&row);
            }
        }
    }
    rows
}

/// Replays the log's JSON entries; a kept checkpoint never removes them here.
fn live_files(folder: &Path) -> (Option<u64>, BTreeSet<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder.join("_delta_log"))
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.len() == 25
                && name.ends_with(".json")
                && name[..20].bytes().all(|b| b.is_ascii_digit())
        })
        .collect();
    entries.sort();
    let mut live = BTreeSet::new();
    for entry in &entries {
        for line in std::fs::read_to_string(entry).expect("a log entry").lines() {
            let action: serde_json::Value =
                serde_json::from_str(line).expect("whole JSON in the log");
            if let Some(path) = action["add"]["path"].as_str() {
                live.insert(folder.join(path));
            }
            if let Some(path) = action["remove"]["path"].as_str() {
                live.remove(&folder.join(path));
            }
        }
    }
    ((entries.len() as u64).checked_sub(1), live)
}

/// Numbers plain, decimals as their unscaled number, times as microseconds.
fn texts(column: &ArrayRef) -> Vec<Option<String>> {
    let at = |value: &dyn Fn(usize) -> String| -> Vec<Option<String>> {
        (0..column.len())
            .map(|row| column.is_valid(row).then(|| value(row)))
            .collect()
    };
    match column.data_type() {
        DataType::Int64 => at(&|row| column.as_primitive::<Int64Type>().value(row).to_string()),
        DataType::Decimal128(_, _) => at(&|row| {
            column
                .as_primitive::<Decimal128Type>()
                .value(row)
                .to_string()
        }),
        DataType::Timestamp(TimeUnit::Microsecond, _) => at(&|row| {
            column
                .as_primitive::<TimestampMicrosecondType>()
                .value(row)
                .to_string()
        }),
        DataType::Utf8 => at(&|row| column.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => at(&|row| column.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => at(&|row| column.as_string_view().value(row).to_owned()),
        other => panic!("no test column is {other}"),
    }
}

/// Rows as `COPY TO STDOUT` gives them.
pub(crate) fn copied_rows(text: &str) -> Rows {
    let mut rows = Rows::default();
    for line in text.lines() {
        let cells: Vec<Option<&str>> = line
            .split('\t')
            .map(|cell| (cell != "\\N").then_some(cell))
            .collect();
        rows.add(&cells);
    }
    rows
}

/// A SQLite database with this table in it.
fn sqlite(file: &Path, table: &str) -> Option<rusqlite::Connection> {
    if !file.exists() {
        return None;
    }
    let database = rusqlite::Connection::open(file).expect("a database");
    let there: i64 = database
        .query_row(
            "SELECT count(*) FROM sqlite_master WHERE name = ?1",
            [table],
            |row| row.get(0),
        )
        .expect("asked");
    (there > 0).then_some(database)
}

/// Rows of a query; none while the table does not exist.
pub(crate) fn sqlite_rows(file: &Path, table: &str, sql: &str) -> Rows {
    let mut rows = Rows::default();
    let Some(database) = sqlite(file, table) else {
        return rows;
    };
    let mut statement = database.prepare(sql).expect("a query");
    let width = statement.column_count();
    let mut answers = statement.query([]).expect("asked");
    while let Some(row) = answers.next().expect("a row") {
        let cells: Vec<Option<String>> = (0..width)
            .map(|at| match row.get_ref(at).expect("a cell") {
                rusqlite::types::ValueRef::Null => None,
                rusqlite::types::ValueRef::Integer(number) => Some(number.to_string()),
                rusqlite::types::ValueRef::Text(text) => {
                    Some(String::from_utf8_lossy(text).into_owned())
                }
                other => panic!("no test value is {other:?}"),
            })
            .collect();
        rows.add(&cells.iter().map(Option::as_deref).collect::<Vec<_>>());
    }
    rows
}

/// The number a query gives; None while the table does not exist.
pub(crate) fn sqlite_number(file: &Path, table: &str, sql: &str) -> Option<u64> {
    let database = sqlite(file, table)?;
    let number: Option<i64> = database
        .query_row(sql, [], |row| row.get(0))
        .expect("asked");
    number.and_then(|number| u64::try_from(number).ok())
}
