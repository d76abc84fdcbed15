//! The statistics of a data file, as the log of a Delta table has them.
//!
//! Promise: every value of a column lies within its bounds; where that is not sure, there are none. The number of
//! NULLs is exact. It knows columns of plain types, not members of structs or lists. Read next: `data_files.rs`.

use chrono::{DateTime, Datelike as _, Days, NaiveDate, Timelike as _};
use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;
use serde_json::{Map, Value, json};

/// The smallest or largest value of a column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bound {
    Number(i64),
    Text(String),
}

/// The statistics of these columns, as JSON text.
pub(super) fn stats(file: &ParquetMetaData, columns: &[String]) -> String {
    let (mut least, mut most, mut nulls) = (Map::new(), Map::new(), Map::new());
    let leaves = file.file_metadata().schema_descr().columns();
    for (at, column) in leaves.iter().enumerate() {
        let [name] = column.path().parts() else {
            continue;
        };
        if column.max_rep_level() > 0 || !columns.contains(name) {
            continue;
        }
        let chunks = file.row_groups().iter().map(|group| group.column(at));
        let Some(null_count) = chunks.clone().map(nulls_of).sum::<Option<u64>>() else {
            continue;
        };
        nulls.insert(name.clone(), json!(null_count));
        if let Some((min, max)) = bounds(chunks)
            && let (Some(min), Some(max)) = (shown(column, min, false), shown(column, max, true))
        {
            least.insert(name.clone(), min);
            most.insert(name.clone(), max);
        }
    }
    json!({
        "numRecords": file.file_metadata().num_rows(),
        "minValues": least,
        "maxValues": most,
        "nullCount": nulls,
    })
    .to_string()
}

fn nulls_of(chunk: &ColumnChunkMetaData) -> Option<u64> {
    chunk.statistics()?.null_count_opt()
}

/// The bounds of all row groups; none if a row group with values has none.
fn bounds<'a>(chunks: impl Iterator<Item = &'a ColumnChunkMetaData>) -> Option<(Bound, Bound)> {
    let mut all: Option<(Bound, Bound)> = None;
    for chunk in chunks {
        let statistics = chunk.statistics()?;
        let values = u64::try_from(chunk.num_values()).ok()?;
        if statistics.null_count_opt() == Some(values) {
            continue;
        }
        let (min, max) = of_chunk(statistics)?;
        all = Some(match all {
            None => (min, max),
            Some((least, most)) => (least.min(min), most.max(max)),
        });
    }
    all
}

fn of_chunk(statistics: &Statistics) -> Option<(Bound, Bound)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok().map(Bound::Text);
    Some(match statistics {
        Statistics::Boolean(of) => (
            Bound::Number(i64::from(*of.min_opt()?)),
            Bound::Number(i64::from(*of.max_opt()?)),
        ),
        Statistics::Int32(of) => (
            Bound::Number(i64::from(*of.min_opt()?)),
            Bound::Number(i64::from(*of.max_opt()?)),
        ),
        Statistics::Int64(of) => (Bound::Number(*of.min_opt()?), Bound::Number(*of.max_opt()?)),
        Statistics::ByteArray(of) => (text(of.min_bytes_opt()?)?, text(of.max_bytes_opt()?)?),
        _ => return None,
    })
}

/// A bound as the log writes it. Times have milliseconds there: the upper one is rounded up.
fn shown(column: &ColumnDescriptor, bound: Bound, upper: bool) -> Option<Value> {
    let number = match bound {
        Bound::Text(text) => {
            return matches!(column.logical_type_ref(), Some(LogicalType::String))
                .then(|| Value::from(text));
        }
        Bound::Number(number) => number,
    };
    match column.logical_type_ref() {
        None if column.physical_type() == parquet::basic::Type::BOOLEAN => {
            Some(Value::from(number != 0))
        }
        None => Some(Value::from(number)),
        Some(LogicalType::Integer(of)) if of.is_signed => Some(Value::from(number)),
        Some(LogicalType::Decimal(of)) if of.scale == 0 => Some(Value::from(number)),
        // Both numbers are doubles without rounding, so the quotient is the nearest one to the decimal.
        Some(LogicalType::Decimal(of)) if of.precision <= 15 => {
            Some(Value::from(number as f64 / 10_f64.powi(of.scale)))
        }
        Some(LogicalType::Date) => {
            let epoch = NaiveDate::default();
            let days = Days::new(number.unsigned_abs());
            let date = match number < 0 {
                true => epoch.checked_sub_days(days),
                false => epoch.checked_add_days(days),
            }?;
            Some(Value::from(date.format("%Y-%m-%d").to_string()))
        }
        Some(LogicalType::Timestamp(of)) if of.unit == TimeUnit::MICROS => {
            timestamp(number, of.is_adjusted_to_u_t_c, upper)
        }
        _ => None,
    }
}

fn timestamp(micros: i64, utc: bool, upper: bool) -> Option<Value> {
    let floor = micros.div_euclid(1000);
    let rounds_up = upper && micros.rem_euclid(1000) > 0;
    let time = DateTime::from_timestamp_millis(floor + i64::from(rounds_up))?;
    // Rounded up over the last year that readers know.
    if time.year() > 9999 {
        return None;
    }
    let format = match (utc, time.nanosecond() == 0) {
        (true, true) => "%Y-%m-%dT%H:%M:%SZ",
        (true, false) => "%Y-%m-%dT%H:%M:%S%.3fZ",
        (false, true) => "%Y-%m-%d %H:%M:%S",
        (false, false) => "%Y-%m-%d %H:%M:%S%.3f",
    };
    Some(Value::from(time.naive_utc().format(format).to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch,
        StringArray, TimestampMicrosecondArray,
    };
    use arrow_schema::Schema;
    use deltalake_core::datafile::writer::{DeltaWriter, WriterConfig};
    use object_store::memory::InMemory;
    use parquet::file::properties::WriterProperties;
    use towpath_parquet::{Limits, ParquetWriter};

    use super::*;

    /// Rows whose values are spread by a seed over all of their type.
    fn batch(seed: u64, rows: u64) -> RecordBatch {
        let mut state = seed;
        let mut next = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (!state.is_multiple_of(5)).then_some((state >> 1).cast_signed())
        };
        let mut values = move || -> Vec<Option<i64>> { (0..rows).map(|_| next()).collect() };
        let days = |days: i64| i32::try_from(days % 2_000_000).unwrap() - 400_000;
        // Whole milliseconds: of others the library rounds the upper bound down.
        let micros = |micros: i64| (micros % 200_000_000_000_000) * 1_000;
        let decimals = |values: Vec<Option<i64>>, precision, scale| {
            let limit = 10_i128.pow(u32::from(precision));
            let values = values.into_iter();
            let values =
                values.map(|value| value.map(|value| (i128::from(value) - (1 << 60)) % limit));
            let array = Decimal128Array::from_iter(values);
            array.with_precision_and_scale(precision, scale).unwrap()
        };
        let of = |values: Vec<Option<i64>>, map: fn(i64) -> i64| -> Vec<Option<i64>> {
            values.into_iter().map(|value| value.map(map)).collect()
        };
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "flag",
                Arc::new(BooleanArray::from_iter(
                    values()
                        .into_iter()
                        .map(|value| value.map(|value| value % 3 == 0)),
                )),
            ),
            (
                "small",
                Arc::new(Int32Array::from_iter(
                    values()
                        .into_iter()
                        .map(|value| value.map(|value| (value >> 32) as i32)),
                )),
            ),
            (
                "big",
                Arc::new(Int64Array::from(of(values(), |value| value - (1 << 62)))),
            ),
            (
                "day",
                Arc::new(Date32Array::from_iter(
                    values().into_iter().map(|value| value.map(days)),
                )),
            ),
            (
                "at",
                Arc::new(
                    TimestampMicrosecondArray::from_iter(
                        values().into_iter().map(|value| value.map(micros)),
                    )
                    .with_timezone("UTC"),
                ),
            ),
            (
                "local",
                Arc::new(TimestampMicrosecondArray::from_iter(
                    values().into_iter().map(|value| value.map(micros)),
                )),
            ),
            ("price", Arc::new(decimals(values(), 15, 2))),
            ("cents", Arc::new(decimals(values(), 9, 4))),
            ("whole", Arc::new(decimals(values(), 12, 0))),
            (
                "text \"x\"",
                Arc::new(StringArray::from_iter(
                    values()
                        .into_iter()
                        .map(|value| value.map(|value| format!("ä{value}"))),
                )),
            ),
            (
                "empty",
                Arc::new(Int64Array::from(vec![None; usize::try_from(rows).unwrap()])),
            ),
        ];
        RecordBatch::try_from_iter_with_nullable(
            columns
                .into_iter()
                .map(|(name, column)| (name, column, true)),
        )
        .unwrap()
    }

    fn ours(schema: &Arc<Schema>, batches: &[RecordBatch]) -> Value {
        let limits = Limits {
            encoded_bytes: u64::MAX,
            memory_bytes: u64::MAX,
            rows: 700,
        };
        let properties = WriterProperties::default();
        let mut writer = ParquetWriter::new(Vec::new(), schema, properties, limits).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        let names: Vec<String> = schema.fields().iter().map(|of| of.name().clone()).collect();
        let file = writer.finish_in_memory().unwrap();
        serde_json::from_str(&stats(&file.metadata, &names)).unwrap()
    }

    #[tokio::test]
    async fn statistics_are_those_of_the_library() {
        for seed in 0..20 {
            let batches = [batch(seed, 1_000), batch(seed + 100, 300)];
            let schema = batches[0].schema();
            let config = WriterConfig::new(
                Arc::clone(&schema),
                Vec::new(),
                None,
                None,
                None,
                Default::default(),
                None,
            );
            let mut writer = DeltaWriter::new(Arc::new(InMemory::new()), config);
            for batch in &batches {
                writer.write(batch).await.unwrap();
            }
            let theirs = writer.close().await.unwrap().remove(0).stats.unwrap();
            let theirs: Value = serde_json::from_str(&theirs).unwrap();
            assert_eq!(ours(&schema, &batches), theirs, "{seed}");
        }
    }

    #[test]
    fn an_upper_bound_in_milliseconds_is_not_below_a_value() {
        assert_eq!(
            timestamp(1, true, true),
            Some(json!("1970-01-01T00:00:00.001Z"))
        );
        assert_eq!(
            timestamp(1, true, false),
            Some(json!("1970-01-01T00:00:00Z"))
        );
        assert_eq!(
            timestamp(-1, false, true),
            Some(json!("1970-01-01 00:00:00"))
        );
        assert_eq!(
            timestamp(-1, false, false),
            Some(json!("1969-12-31 23:59:59.999"))
        );
        let last = 253_402_300_799_999_999;
        assert_eq!(timestamp(last, true, true), None);
        assert_eq!(
            timestamp(last - 999, true, true),
            Some(json!("9999-12-31T23:59:59.999Z"))
        );
    }

    #[test]
    fn a_row_group_without_bounds_leaves_the_column_without_them() {
        let long = "ü".repeat(100);
        let rows: ArrayRef = Arc::new(StringArray::from(vec!["b", &long, "a"]));
        let batch = RecordBatch::try_from_iter([("t", rows)]).unwrap();
        let found = ours(&batch.schema(), &[batch]);
        let max = found["maxValues"]["t"].as_str().unwrap();
        assert!(
            max >= long.as_str() && found["minValues"]["t"] == "a",
            "{found}"
        );
        let far: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![
            0,
            253_402_300_799_999_999,
        ]));
        let batch = RecordBatch::try_from_iter([("t", far)]).unwrap();
        let found = ours(&batch.schema(), &[batch]);
        assert_eq!(found["minValues"], json!({}));
        assert_eq!(found["nullCount"], json!({ "t": 0 }));
    }
}
