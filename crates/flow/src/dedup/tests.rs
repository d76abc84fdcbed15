//! Deduplication against a model in memory, with and without rows on disk.

#![allow(clippy::unwrap_used, reason = "tests")]

use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, StringArray};

use super::*;
use crate::spill::SpillFolder;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("version", DataType::Int64, true),
    ]))
}

fn rows(ids: Vec<i64>, versions: Vec<i64>, ops: Option<Vec<u8>>) -> Rows {
    let texts = ids.iter().map(|id| format!("{id:01000}"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.clone())),
        Arc::new(StringArray::from_iter_values(texts)),
        Arc::new(Int64Array::from(versions)),
    ];
    let batch = RecordBatch::try_new(schema(), columns).unwrap();
    Rows {
        ops: ops.map(OpColumn::from),
        ..Rows::of_batch(TableName::new("raw", "t"), "t", batch, 0)
    }
}

fn dedup(stays: KeptRow, bytes: u64, folder: &tempfile::TempDir) -> Deduplicate {
    let share = MemoryShare {
        bytes,
        spill: SpillFolder::new(folder.path().join("spill")),
    };
    Deduplicate::new(stays, &["id".to_owned()], &schema(), share).unwrap()
}

/// Id, version and op of what stays, sorted; and how many rows were left out.
async fn all(mut dedup: Deduplicate, given: Vec<Rows>) -> (Vec<(i64, i64, Option<u8>)>, u64) {
    let mut left_out = 0;
    for rows in given {
        left_out += dedup.process(rows).await.unwrap().repeated_rows;
    }
    let mut stay = Vec::new();
    while let Some(output) = dedup.flush().await.unwrap() {
        left_out += output.repeated_rows;
        for rows in output.rows {
            let ids = rows.batch.column(0).as_primitive::<Int64Type>();
            let versions = rows.batch.column(2).as_primitive::<Int64Type>();
            for row in 0..rows.len() {
                let op = rows.ops.as_ref().map(|ops| ops.value(row));
                stay.push((ids.value(row), versions.value(row), op));
            }
        }
    }
    stay.sort_unstable();
    (stay, left_out)
}

fn by_version() -> KeptRow {
    KeptRow::By {
        column: 2,
        largest: true,
    }
}

#[tokio::test]
async fn what_does_not_fit_into_memory_goes_to_disk_and_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    // Three versions of 3,000 keys of 1 kB each: 9 MB in a share of 100 kB.
    let given = |step: i64| {
        let ids: Vec<i64> = (0..9_000).map(|n| (n * 7919) % 3_000).collect();
        let versions: Vec<i64> = (0..9_000).map(|n| (n * step) % 9_000).collect();
        let chunks = ids.chunks(500).zip(versions.chunks(500));
        chunks
            .map(|(ids, versions)| rows(ids.to_vec(), versions.to_vec(), None))
            .collect::<Vec<_>>()
    };
    for step in [1, 101, 8_999] {
        let small = all(dedup(by_version(), 100_000, &folder), given(step)).await;
        let large = all(dedup(by_version(), 1 << 30, &folder), given(step)).await;
        assert_eq!(small.0.len(), 3_000);
        assert_eq!(small.1, 6_000);
        assert_eq!(small, large, "step {step}");
    }
    let left = std::fs::read_dir(folder.path().join("spill")).unwrap();
    assert_eq!(left.count(), 0, "spill files have no name");
}

#[tokio::test]
async fn in_a_feed_the_last_event_of_a_key_stays_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let given = || {
        vec![
            rows(vec![1, 2], vec![9, 9], Some(vec![0, 0])),
            rows(vec![1, 2, 3], vec![1, 2, 3], Some(vec![1, 2, 2])),
            rows(vec![3, 1], vec![0, 0], Some(vec![0, 1])),
        ]
    };
    for bytes in [1, 1 << 20] {
        let (stay, left_out) = all(dedup(by_version(), bytes, &folder), given()).await;
        assert_eq!(stay, [(1, 0, Some(1)), (2, 2, Some(2)), (3, 0, Some(0))]);
        assert_eq!(left_out, 4);
        let (stay, left_out) = all(dedup(KeptRow::LastPresent, bytes, &folder), given()).await;
        assert_eq!(stay, [(1, 0, None), (3, 0, None)]);
        assert_eq!(left_out, 5);
    }
}

#[tokio::test]
async fn one_key_larger_than_the_share_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let given = (0..50).map(|n| rows(vec![7; 10], vec![n; 10], None));
    let (stay, left_out) = all(dedup(by_version(), 1, &folder), given.collect()).await;
    assert_eq!((stay, left_out), (vec![(7, 49, None)], 499));
}

#[tokio::test]
async fn it_goes_on_after_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    for bytes in [1, 1 << 20] {
        let mut dedup = dedup(by_version(), bytes, &folder);
        for _ in 0..2 {
            let given = rows(vec![1, 2, 1], vec![1, 1, 2], None);
            dedup.process(given).await.unwrap();
            let mut count = 0;
            while let Some(output) = dedup.flush().await.unwrap() {
                count += output.rows.iter().map(Rows::len).sum::<usize>();
            }
            assert_eq!(count, 2);
        }
    }
}
