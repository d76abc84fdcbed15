//! Comparisons against a model in memory: equal, changed, new and gone rows, in parts of any size.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, Int64Array, StringArray};
use arrow_schema::{DataType, Field};

use super::*;
use crate::spill::SpillFolder;

type Table = BTreeMap<i64, Option<String>>;

fn version(rows: &Table) -> QueryResult {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
    ]));
    let rows: Vec<(i64, Option<String>)> = rows.clone().into_iter().collect();
    let columns = Arc::clone(&schema);
    let batches = rows.chunks(700).map(move |rows| {
        let ids = Int64Array::from_iter_values(rows.iter().map(|(id, _)| *id));
        let texts: StringArray = rows.iter().map(|(_, text)| text.clone()).collect();
        let arrays: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(texts)];
        Ok(RecordBatch::try_new(Arc::clone(&columns), arrays).unwrap())
    });
    let batches: Vec<_> = batches.collect();
    QueryResult {
        schema,
        batches: stream::iter(batches).boxed(),
    }
}

/// The old version after the differences were applied to it, and how many there were.
async fn applied(then: &Table, now: &Table, bytes: u64) -> (Table, usize) {
    compared(then, now, bytes, vec![0, 1]).await
}

/// The same, where only these columns are compared.
async fn compared(then: &Table, now: &Table, bytes: u64, columns: Vec<usize>) -> (Table, usize) {
    let folder = tempfile::tempdir().unwrap();
    let (then_rows, now_rows) = (version(then), version(now));
    let comparing = Comparing {
        schema: SchemaRef::clone(&now_rows.schema),
        key: vec![0],
        compared: columns,
        share: MemoryShare {
            bytes,
            spill: SpillFolder::new(folder.path()),
        },
        hash: DefaultHashBuilder::default(),
    };
    let (sender, mut receiver) = mpsc::channel(2);
    let task = tokio::spawn(async move { comparing.run(then_rows, now_rows, &sender).await });
    let (mut table, mut count) = (then.clone(), 0);
    while let Some(change) = receiver.recv().await {
        let (batch, ops) = change.unwrap();
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let texts = batch.column(1).as_string::<i32>();
        for row in 0..batch.num_rows() {
            count += 1;
            let text = texts.is_valid(row).then(|| texts.value(row).to_owned());
            match Op::from_byte(ops.value(row)) {
                Some(Op::Delete) => assert_eq!(table.remove(&ids.value(row)), Some(text)),
                _ => {
                    table.insert(ids.value(row), text);
                }
            }
        }
    }
    task.await.unwrap().unwrap();
    (table, count)
}

#[tokio::test]
async fn differences_lead_from_one_version_to_the_other_however_small_the_memory() {
    let long = |n: i64| Some(format!("{n:0300}"));
    let then: Table = (0..3_000).map(|n| (n, long(n))).collect();
    let mut now = then.clone();
    for n in (0..3_000).step_by(3) {
        match n % 4 {
            0 => now.remove(&n),
            1 => now.insert(n, None),
            2 => now.insert(n, long(n + 1)),
            _ => now.insert(n + 10_000, long(n)),
        };
    }
    for bytes in [30_000, 1 << 30] {
        let (table, count) = applied(&then, &now, bytes).await;
        assert_eq!(table, now, "{bytes} bytes");
        assert_eq!(count, 1_000, "{bytes} bytes");
        assert_eq!(applied(&now, &now, bytes).await.1, 0);
        assert_eq!(applied(&Table::new(), &now, bytes).await.1, now.len());
        assert_eq!(applied(&now, &Table::new(), bytes).await.1, now.len());
    }
}

#[tokio::test]
async fn a_column_that_is_not_compared_makes_no_row_differ() {
    let then: Table = (0..100).map(|n| (n, Some(format!("{n}")))).collect();
    let mut now: Table = (1..101).map(|n| (n, None)).collect();
    now.insert(7, Some("other".to_owned()));
    for bytes in [100, 1 << 30] {
        let (table, count) = compared(&then, &now, bytes, vec![0]).await;
        // 0 is gone and 100 is new; the others have another text only.
        assert_eq!(count, 2, "{bytes} bytes");
        assert_eq!(table.get(&7), then.get(&7));
        assert_eq!(table.get(&100), Some(&None));
        assert!(!table.contains_key(&0));
    }
}
