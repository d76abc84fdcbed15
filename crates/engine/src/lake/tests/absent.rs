//! Merges of all rows of a source: rows whose key does not come are deleted, or marked with the time of the load.

use std::collections::BTreeMap;

use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array as _, TimestampMicrosecondArray};
use towpath_vocab::{AbsentRows, DELETED_AT, types};

use super::*;

pub(super) fn with_deleted_at() -> SchemaRef {
    let mut fields = schema().fields().to_vec();
    fields.push(Arc::new(Field::new(DELETED_AT, types::instant(), true)));
    Arc::new(Schema::new(fields))
}

/// Rows that come, none of them deleted.
pub(super) fn present(pairs: &[(i64, &str)]) -> RecordBatch {
    let mut columns = rows(pairs).columns().to_vec();
    let none = TimestampMicrosecondArray::from(vec![None; pairs.len()]);
    columns.push(Arc::new(none.with_timezone("UTC")));
    RecordBatch::try_new(with_deleted_at(), columns).unwrap()
}

fn merge_of_all(generation: i64, absent: AbsentRows) -> WriteRequest {
    let schema = match absent {
        AbsentRows::Delete => schema(),
        AbsentRows::Mark { .. } => with_deleted_at(),
    };
    let mut intent = intent(WriteMode::Merge, schema, generation);
    absent.put(&mut intent.write);
    intent
}

fn mark(at_us: i64) -> AbsentRows {
    AbsentRows::Mark { at_us: Some(at_us) }
}

/// Every row with its name and the time at which it was deleted.
pub(super) async fn marked(lake: &Lake) -> BTreeMap<i64, (String, Option<i64>)> {
    let mut found = BTreeMap::new();
    for batch in read_all(lake.source(&table()).unwrap().as_ref()).await {
        let pairs = pairs(std::slice::from_ref(&batch.project(&[0, 1]).unwrap()));
        let names: BTreeMap<i64, String> = pairs.into_iter().collect();
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let times = batch.column_by_name(DELETED_AT).unwrap();
        let times = times.as_primitive::<TimestampMicrosecondType>();
        for (row, id) in ids.values().iter().enumerate() {
            let time = times.is_valid(row).then(|| times.value(row));
            let before = found.insert(*id, (names[id].clone(), time));
            assert_eq!(before, None, "{id} is there twice");
        }
    }
    found
}

#[tokio::test]
async fn rows_that_do_not_come_are_deleted() {
    let f = Fixture::new();
    for (generation, from) in [(1, 0), (2, 10), (3, 20)] {
        let list: Vec<(i64, &str)> = (from..from + 10).map(|id| (id, "old")).collect();
        let append = intent(WriteMode::Append, schema(), generation);
        load(&f.lake, append, rows(&list)).await.unwrap();
    }
    let coming = rows(&[(3, "new"), (12, "new"), (40, "new")]);
    let write = merge_of_all(4, AbsentRows::Delete);
    let stats = load(&f.lake, write, coming).await.unwrap().committed.stats;
    let counts = (
        stats.inserted,
        stats.updated,
        stats.deleted,
        stats.rows_after,
    );
    assert_eq!(counts, (1, 2, 28, Some(3)));
    assert_eq!(
        held(&f.lake).await,
        owned(&[(3, "new"), (12, "new"), (40, "new")])
    );
    let none = load(&f.lake, merge_of_all(5, AbsentRows::Delete), rows(&[]));
    let stats = none.await.unwrap().committed.stats;
    assert_eq!((stats.deleted, stats.rows_after), (3, Some(0)));
    assert!(held(&f.lake).await.is_empty());
}

#[tokio::test]
async fn a_row_that_was_rejected_is_not_gone() {
    for absent in [AbsentRows::Delete, mark(7)] {
        let f = Fixture::new();
        let batch = |pairs: &[(i64, &str)]| match absent {
            AbsentRows::Delete => rows(pairs),
            AbsentRows::Mark { .. } => present(pairs),
        };
        let first = batch(&[(1, "a"), (2, "b")]);
        load(&f.lake, merge_of_all(1, absent), first).await.unwrap();
        let mut writer = f.lake.begin(merge_of_all(2, absent)).await.unwrap();
        writer.write(batch(&[(1, "c")]), None).await.unwrap();
        writer.rows_are_missing();
        let prepared = writer.prepare().await.unwrap();
        assert_eq!(prepared.stats().deleted, 0);
        prepared.commit(position(2)).await.unwrap();
        assert_eq!(held(&f.lake).await, owned(&[(1, "c"), (2, "b")]));
        if let AbsentRows::Mark { .. } = absent {
            assert!(
                marked(&f.lake)
                    .await
                    .values()
                    .all(|(_, time)| time.is_none())
            );
        }
    }
}

#[tokio::test]
async fn rows_that_do_not_come_are_marked_once() {
    let f = Fixture::new();
    // The table is older than the column.
    let first = intent(WriteMode::Merge, schema(), 1);
    load(&f.lake, first, rows(&[(1, "a"), (2, "b"), (3, "c")]))
        .await
        .unwrap();
    let load_of = |generation: i64, pairs: &[(i64, &str)]| {
        let write = merge_of_all(generation, mark(generation * 100));
        load(&f.lake, write, present(pairs))
    };
    let stats = load_of(2, &[(1, "a2")]).await.unwrap().committed.stats;
    let counts = (
        stats.inserted,
        stats.updated,
        stats.deleted,
        stats.rows_after,
    );
    assert_eq!(counts, (0, 1, 2, Some(3)));
    let row = |name: &str, time| (name.to_owned(), time);
    let expected = BTreeMap::from([
        (1, row("a2", None)),
        (2, row("b", Some(200))),
        (3, row("c", Some(200))),
    ]);
    assert_eq!(marked(&f.lake).await, expected);
    // 2 comes back, 1 goes; 3 keeps its time, and its file is not written anew.
    let stats = load_of(3, &[(2, "b3")]).await.unwrap().committed.stats;
    assert_eq!((stats.updated, stats.deleted), (1, 1));
    let expected = BTreeMap::from([
        (1, row("a2", Some(300))),
        (2, row("b3", None)),
        (3, row("c", Some(200))),
    ]);
    assert_eq!(marked(&f.lake).await, expected);
    let before = f.lake.snapshot(&table()).await.unwrap().unwrap().files;
    let stats = load_of(4, &[(2, "b3")]).await.unwrap().committed.stats;
    assert_eq!((stats.updated, stats.deleted), (1, 0));
    assert_eq!(marked(&f.lake).await, expected);
    let after = f.lake.snapshot(&table()).await.unwrap().unwrap().files;
    let kept = before
        .iter()
        .filter(|file| after.iter().any(|other| other.key == file.key));
    assert_eq!(kept.count(), 2, "files of marked rows stay");
}

/// More keys than memory holds at once, many loads, against a model.
#[tokio::test]
async fn many_loads_agree_with_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().to_str().unwrap(), 1 << 20).unwrap();
    let mut model: BTreeMap<i64, (String, Option<i64>)> = BTreeMap::new();
    for (generation, keys) in [
        (1, 0..4_000_i64),
        (2, 1_000..5_000),
        (3, 500..2_500),
        (4, 0..4_500),
    ] {
        let name = format!("n{generation}");
        let ids: Vec<i64> = keys
            .step_by(1 + usize::try_from(generation % 2).unwrap())
            .collect();
        let list: Vec<(i64, &str)> = ids.iter().map(|id| (*id, name.as_str())).collect();
        let write = merge_of_all(generation, mark(generation));
        load(&lake, write, present(&list)).await.unwrap();
        for (id, row) in &mut model {
            if row.1.is_none() && ids.binary_search(id).is_err() {
                row.1 = Some(generation);
            }
        }
        model.extend(ids.iter().map(|id| (*id, (name.clone(), None))));
        assert!(marked(&lake).await == model, "generation {generation}");
    }
}
