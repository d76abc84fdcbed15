//! Files of one write over objects with faults: all rows in order, or an error and nothing that is left.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use arrow_array::{ArrayRef, Int64Array, StringArray};
use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::lake::storage::{Fault, FaultyObjects};

/// Rows from this number on, whose texts do not pack.
fn rows(first: i64, count: i64) -> RecordBatch {
    let text = |n: i64| {
        let mut state = n.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut text = String::new();
        for _ in 0..16 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push_str(&format!("{state:016x}"));
        }
        text
    };
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + count));
    let texts = (first..first + count).map(text);
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).unwrap()
}

fn files(store: &Arc<FaultyObjects>, file_bytes: u64) -> DataFiles {
    let settings = DataFileSettings {
        schema: rows(0, 0).schema(),
        properties: WriterProperties::default(),
        group: Limits {
            encoded_bytes: 1 << 20,
            memory_bytes: 2 << 20,
            rows: 1 << 20,
        },
        file_bytes,
        stats: vec!["n".to_owned()],
    };
    DataFiles::new(Arc::clone(store) as _, settings)
}

async fn objects(inner: &InMemory) -> usize {
    let listed: Vec<_> = inner.list(None).try_collect().await.unwrap();
    listed.len()
}

/// The numbers in these files, in order.
async fn numbers(inner: &InMemory, adds: &[Add]) -> Vec<i64> {
    let mut all = Vec::new();
    for add in adds {
        let object = inner.get(&key(&add.path)).await.unwrap();
        let bytes = object.bytes().await.unwrap();
        assert_eq!(i64::try_from(bytes.len()), Ok(add.size));
        let before = all.len();
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)
            .unwrap()
            .build()
            .unwrap()
        {
            let batch = batch.unwrap();
            let column = batch.column(0).as_any().downcast_ref::<Int64Array>();
            all.extend(column.unwrap().values());
        }
        let stats: serde_json::Value = serde_json::from_str(add.stats.as_ref().unwrap()).unwrap();
        let found = &all[before..];
        assert_eq!(stats["numRecords"], found.len());
        assert_eq!(stats["minValues"]["n"], found[0]);
        assert_eq!(stats["maxValues"]["n"], found[found.len() - 1]);
    }
    all
}

async fn write(files: &mut DataFiles, batches: i64, count: i64) -> Result<()> {
    for at in 0..batches {
        files.write(&rows(at * count, count)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn files_end_at_their_size_and_keep_the_order_of_rows() {
    let inner = Arc::new(InMemory::new());
    let store = Arc::new(FaultyObjects::over(Arc::clone(&inner)));
    let mut files = files(&store, 2 << 20);
    write(&mut files, 30, 2_000).await.unwrap();
    let (adds, count) = files.close().await.unwrap();
    assert_eq!(count, 60_000);
    assert!((5..12).contains(&adds.len()), "{}", adds.len());
    let sizes: Vec<i64> = adds.iter().map(|add| add.size).collect();
    let whole = &sizes[..sizes.len() - 1];
    assert!(
        whole.iter().all(|size| (1 << 20..4 << 20).contains(size)),
        "{sizes:?}"
    );
    let found = numbers(&inner, &adds).await;
    assert_eq!(found, (0..60_000).collect::<Vec<_>>());
    assert_eq!(objects(&inner).await, adds.len());
}

#[tokio::test]
async fn one_large_batch_becomes_several_files() {
    let inner = Arc::new(InMemory::new());
    let store = Arc::new(FaultyObjects::over(Arc::clone(&inner)));
    let mut files = files(&store, 1 << 20);
    files.write(&rows(0, 20_000)).await.unwrap();
    let (adds, _) = files.close().await.unwrap();
    assert!(adds.len() > 2, "{}", adds.len());
    assert_eq!(
        numbers(&inner, &adds).await,
        (0..20_000).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn without_rows_there_is_no_file() {
    let inner = Arc::new(InMemory::new());
    let store = Arc::new(FaultyObjects::over(Arc::clone(&inner)));
    let mut files = files(&store, 1 << 20);
    files.write(&rows(0, 0)).await.unwrap();
    let (adds, count) = files.close().await.unwrap();
    assert_eq!((adds.len(), count, objects(&inner).await), (0, 0, 0));
}

/// Files of more than a part each, with a fault at each call of the store.
#[tokio::test]
async fn a_fault_at_any_call_is_an_error_or_no_row_is_missing() {
    let inner = Arc::new(InMemory::new());
    let store = Arc::new(FaultyObjects::over(Arc::clone(&inner)));
    let mut whole = files(&store, 7 << 20);
    store.reset(None);
    write(&mut whole, 10, 9_000).await.unwrap();
    let (adds, _) = whole.close().await.unwrap();
    let calls = store.calls();
    assert!(adds.len() > 2 && calls > 6, "{} {calls}", adds.len());
    for fault in [Fault::Before, Fault::After, Fault::Down] {
        for call in 0..calls {
            let inner = Arc::new(InMemory::new());
            let store = Arc::new(FaultyObjects::over(Arc::clone(&inner)));
            store.reset(Some((call, fault)));
            let mut files = files(&store, 7 << 20);
            let written = write(&mut files, 10, 9_000).await;
            let at = format!("{fault:?} at {call}");
            if written.is_err() {
                assert!(files.write(&rows(0, 1)).await.is_err(), "{at}");
            }
            let names = files.names();
            match files.close().await {
                Ok((adds, count)) => {
                    assert!(written.is_ok(), "{at}");
                    assert_eq!(count, 90_000, "{at}");
                    let found = numbers(&inner, &adds).await;
                    assert_eq!(found, (0..90_000).collect::<Vec<_>>(), "{at}");
                }
                Err(_) => {
                    // What is there has a name that its writer knows, to delete it.
                    let listed: Vec<_> = inner.list(None).try_collect().await.unwrap();
                    let known = |name: &str| names.iter().any(|one| one == name);
                    assert!(
                        listed.iter().all(|one| known(one.location.as_ref())),
                        "{at}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_fails_the_write() {
    let inner = Arc::new(InMemory::new());
    let store = Arc::new(FaultyObjects::over(Arc::clone(&inner)));
    let mut files = files(&store, 1 << 20);
    files.write(&rows(0, 30_000)).await.unwrap();
    let more = rows(30_000, 30_000);
    let given_up = tokio::time::timeout(std::time::Duration::from_nanos(1), files.write(&more));
    assert!(given_up.await.is_err());
    assert!(files.write(&rows(60_000, 1)).await.is_err());
    assert!(files.close().await.is_err());
}

#[tokio::test]
async fn a_write_that_is_aborted_has_names_for_what_is_there() {
    let inner = Arc::new(InMemory::new());
    let store = Arc::new(FaultyObjects::over(Arc::clone(&inner)));
    let mut files = files(&store, 1 << 20);
    write(&mut files, 10, 2_000).await.unwrap();
    let names = files.names();
    files.abort().await;
    let listed: Vec<_> = inner.list(None).try_collect().await.unwrap();
    assert!(!listed.is_empty());
    for one in listed {
        assert!(names.iter().any(|name| name == one.location.as_ref()));
    }
}
