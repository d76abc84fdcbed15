//! Looks at tables the way others do: the Delta log and Parquet files by an ordinary reader, PostgreSQL
//! by `psql`. Nothing of Towpath takes part.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::content::Rows;

/// A table of the lakehouse: its newest version (None: there is no table) and these columns' rows.
pub(crate) fn lake_table(folder: &Path, columns: &[&str]) -> (Option<u64>, Rows) {
    let (version, files) = live_files(folder);
    let mut rows = Rows::default();
    for file in files {
        let open = std::fs::File::open(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let builder = ParquetRecordBatchReaderBuilder::try_new(open).expect("a Parquet file");
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        for batch in builder.with_projection(mask).with_batch_size(8192).build().expect("readable") {
            let batch = batch.expect("rows");
            let cells: Vec<Vec<Option<String>>> = columns
                .iter()
                .map(|name| texts(batch.column_by_name(name).unwrap_or_else(|| panic!("no column `{name}`"))))
                .collect();
            let mut row = Vec::with_capacity(cells.len());
            for at in 0..batch.num_rows() {
                row.clear();
                row.extend(cells.iter().map(|column| column[at].as_deref()));
                rows.add(&row);
            }
        }
    }
    (version, rows)
}

/// Replays the log's JSON entries; a kept checkpoint never removes them here.
fn live_files(folder: &Path) -> (Option<u64>, BTreeSet<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder.join("_delta_log"))
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.len() == 25 && name.ends_with(".json") && name[..20].bytes().all(|b| b.is_ascii_digit())
        })
        .collect();
    entries.sort();
    let mut live = BTreeSet::new();
    for entry in &entries {
        for line in std::fs::read_to_string(entry).expect("a log entry").lines() {
            let action: serde_json::Value = serde_json::from_str(line).expect("whole JSON in the log");
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
        (0..column.len()).map(|row| column.is_valid(row).then(|| value(row))).collect()
    };
    match column.data_type() {
        DataType::Int64 => at(&|row| column.as_primitive::<Int64Type>().value(row).to_string()),
        DataType::Decimal128(_, _) => at(&|row| column.as_primitive::<Decimal128Type>().value(row).to_string()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            at(&|row| column.as_primitive::<TimestampMicrosecondType>().value(row).to_string())
        }
        DataType::Utf8 => at(&|row| column.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => at(&|row| column.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => at(&|row| column.as_string_view().value(row).to_owned()),
        other => panic!("no test column is {other}"),
    }
}

/// Rows of a query whose columns are all text; a missing table has none.
pub(crate) fn postgres_rows(text: &str) -> Rows {
    let mut rows = Rows::default();
    for line in text.lines() {
        let cells: Vec<Option<&str>> = line.split('\t').map(|cell| (cell != "\\N").then_some(cell)).collect();
        rows.add(&cells);
    }
    rows
}
