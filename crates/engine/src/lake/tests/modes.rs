//! Every write mode beside a naive model, merges that do not fit into memory included.

use std::collections::BTreeMap;

use arrow_array::UInt8Array;
use towpath_ports::{CandidateRows, Op};
use towpath_vocab::{Remedy, WriteMode};

use super::*;

#[tokio::test]
async fn replace_and_append_do_what_they_say() {
    let f = Fixture::new();
    let receipt = load(
        &f.lake,
        intent(WriteMode::Replace, schema(), 1),
        rows(&[(1, "a"), (2, "b")]),
    )
    .await
    .unwrap();
    assert_eq!(
        (receipt.committed.version.as_str(), receipt.adopted),
        ("version 0", false)
    );
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 2),
        rows(&[(2, "c")]),
    )
    .await
    .unwrap();
    assert_eq!(held(&f.lake).await, owned(&[(1, "a"), (2, "b"), (2, "c")]));
    let receipt = load(
        &f.lake,
        intent(WriteMode::Replace, schema(), 3),
        rows(&[(9, "z")]),
    )
    .await
    .unwrap();
    let stats = receipt.committed.stats;
    assert_eq!(
        (stats.inserted, stats.deleted, stats.rows_after),
        (1, 3, Some(1))
    );
    assert_eq!(held(&f.reopened()).await, owned(&[(9, "z")]));
}

#[tokio::test]
async fn an_empty_load_makes_the_table_with_its_columns() {
    let f = Fixture::new();
    load(&f.lake, intent(WriteMode::Replace, schema(), 1), rows(&[]))
        .await
        .unwrap();
    assert_eq!(f.lake.describe(&table()).await.unwrap().rows, Some(0));
    assert_eq!(
        f.lake
            .schema(&table())
            .await
            .unwrap()
            .unwrap()
            .fields()
            .len(),
        2
    );
    assert_eq!(data_files(&f.lake), 0);
    assert_eq!(held(&f.lake).await, []);
}

#[tokio::test]
async fn merge_updates_inserts_and_says_how_many() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Merge, schema(), 1),
        rows(&[(1, "a"), (2, "b"), (3, "c")]),
    )
    .await
    .unwrap();
    let receipt = load(
        &f.lake,
        intent(WriteMode::Merge, schema(), 2),
        rows(&[(2, "B"), (4, "D")]),
    )
    .await
    .unwrap();
    let stats = receipt.committed.stats;
    assert_eq!(
        (
            stats.rows_in,
            stats.inserted,
            stats.updated,
            stats.deleted,
            stats.rows_after
        ),
        (2, 1, 1, 0, Some(4))
    );
    assert_eq!(
        held(&f.lake).await,
        owned(&[(1, "a"), (2, "B"), (3, "c"), (4, "D")])
    );
}

#[tokio::test]
async fn files_without_an_incoming_key_are_left_alone() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a"), (5, "e")]),
    )
    .await
    .unwrap();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 2),
        rows(&[(100, "x")]),
    )
    .await
    .unwrap();
    let before = f.lake.snapshot(&table()).await.unwrap().unwrap();
    load(
        &f.lake,
        intent(WriteMode::Merge, schema(), 3),
        rows(&[(3, "c"), (4, "d")]),
    )
    .await
    .unwrap();
    let history = f.lake.history(&table(), 1).await.unwrap();
    assert_eq!((history[0].files_added, history[0].files_removed), (1, 0));
    load(
        &f.lake,
        intent(WriteMode::Merge, schema(), 4),
        rows(&[(100, "y")]),
    )
    .await
    .unwrap();
    let after = f.lake.snapshot(&table()).await.unwrap().unwrap();
    let kept = before
        .files
        .iter()
        .filter(|file| after.files.contains(file))
        .count();
    assert_eq!(kept, 1, "only the file with key 100 is written anew");
    assert_eq!(
        held(&f.lake).await,
        owned(&[(1, "a"), (3, "c"), (4, "d"), (5, "e"), (100, "y")])
    );
}

#[tokio::test]
async fn a_key_that_comes_twice_is_named_and_changes_nothing() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Merge, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let files = data_files(&f.lake);
    let failure = load(
        &f.lake,
        intent(WriteMode::Merge, schema(), 2),
        rows(&[(7, "x"), (1, "b"), (7, "y")]),
    )
    .await
    .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0406", Remedy::FixData)
    );
    assert!(
        failure.message.contains("`id = 7`") && failure.message.contains("raw.things"),
        "{}",
        failure.message
    );
    assert_eq!(data_files(&f.lake), files, "the incoming files are deleted");
    assert_eq!(held(&f.lake).await, owned(&[(1, "a")]));
}

#[tokio::test]
async fn null_keys_and_missing_keys_are_refused() {
    let f = Fixture::new();
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let batch = RecordBatch::try_new(schema(), vec![ids, names]).unwrap();
    let failure = load(&f.lake, intent(WriteMode::Merge, schema(), 1), batch)
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R0407");
    let mut keyless = intent(WriteMode::Merge, schema(), 1);
    keyless.write.key = vec!["nope".to_owned()];
    assert_eq!(
        load(&f.lake, keyless, rows(&[(1, "a")]))
            .await
            .unwrap_err()
            .code,
        "R0408"
    );
    let later = load(
        &f.lake,
        intent(WriteMode::Scd3, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap_err();
    assert_eq!(
        (later.code.as_str(), later.remedy),
        ("R0409", Remedy::Refused)
    );
    assert!(later.message.contains("not supported in this version"));
    assert_eq!(f.lake.version(&table()).await.unwrap(), None);
}

#[tokio::test]
async fn changes_apply_in_order_and_the_last_per_key_wins() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Merge, schema(), 1),
        rows(&[(1, "a"), (2, "b"), (3, "c")]),
    )
    .await
    .unwrap();
    let ops = |ops: &[Op]| Some(UInt8Array::from_iter_values(ops.iter().map(|op| *op as u8)));
    let batches = vec![
        (rows(&[(8, "snapshot")]), None),
        (
            rows(&[(1, "a2"), (2, ""), (4, "d")]),
            ops(&[Op::Update, Op::Delete, Op::Insert]),
        ),
        (
            rows(&[(1, "a3"), (4, ""), (9, ""), (8, "later")]),
            ops(&[Op::Update, Op::Delete, Op::Delete, Op::Update]),
        ),
        (rows(&[(10, "plain")]), None),
    ];
    let prepared = prepare(&f.lake, intent(WriteMode::Merge, schema(), 2), batches)
        .await
        .unwrap();
    let stats = prepared.stats();
    assert_eq!(
        (
            stats.inserted,
            stats.updated,
            stats.deleted,
            stats.rows_after
        ),
        (2, 1, 1, Some(4))
    );
    prepared.commit(position(2)).await.unwrap();
    assert_eq!(
        held(&f.lake).await,
        owned(&[(1, "a3"), (3, "c"), (8, "later"), (10, "plain")])
    );
}

#[tokio::test]
async fn delete_insert_takes_duplicates_and_insert_only_leaves_known_keys() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a"), (1, "b"), (2, "c")]),
    )
    .await
    .unwrap();
    let receipt = load(
        &f.lake,
        intent(WriteMode::DeleteInsert, schema(), 2),
        rows(&[(1, "x"), (1, "y"), (1, "z")]),
    )
    .await
    .unwrap();
    assert_eq!(
        (
            receipt.committed.stats.inserted,
            receipt.committed.stats.deleted
        ),
        (3, 2)
    );
    let receipt = load(
        &f.lake,
        intent(WriteMode::InsertOnly, schema(), 3),
        rows(&[(2, "no"), (3, "yes")]),
    )
    .await
    .unwrap();
    assert_eq!(
        (
            receipt.committed.stats.inserted,
            receipt.committed.stats.rows_after
        ),
        (1, Some(5))
    );
    assert_eq!(
        held(&f.lake).await,
        owned(&[(1, "x"), (1, "y"), (1, "z"), (2, "c"), (3, "yes")])
    );
}

#[tokio::test]
async fn the_candidate_is_what_readers_would_see() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Merge, schema(), 1),
        rows(&[(1, "a"), (2, "b")]),
    )
    .await
    .unwrap();
    let prepared = prepare(
        &f.lake,
        intent(WriteMode::Merge, schema(), 2),
        vec![(rows(&[(2, "B"), (3, "C")]), None)],
    )
    .await
    .unwrap();
    let incoming = prepared
        .candidate(CandidateRows::OfThisWrite)
        .await
        .unwrap();
    let whole = prepared
        .candidate(CandidateRows::AfterCommit)
        .await
        .unwrap();
    assert_eq!(
        pairs(&read_all(incoming.source.as_ref()).await),
        owned(&[(2, "B"), (3, "C")])
    );
    assert_eq!(
        pairs(&read_all(whole.source.as_ref()).await),
        owned(&[(1, "a"), (2, "B"), (3, "C")])
    );
    let native = whole
        .native
        .downcast_ref::<crate::lake::LakeCandidate>()
        .unwrap();
    assert_eq!(native.rows(), Some(3));
    assert_eq!(
        held(&f.lake).await,
        owned(&[(1, "a"), (2, "b")]),
        "nothing is visible yet"
    );
    prepared.discard().await.unwrap();
    assert_eq!(
        (held(&f.reopened()).await, data_files(&f.lake)),
        (owned(&[(1, "a"), (2, "b")]), 1)
    );
    assert_eq!(f.lake.version(&table()).await.unwrap(), Some(0));
}

/// Small seeded generator: the same batches on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[tokio::test]
async fn random_writes_agree_with_a_model() {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let f = Fixture::new();
        let mut model: BTreeMap<i64, String> = BTreeMap::new();
        for generation in 1..=8 {
            let count = dice.below(6);
            let mut batch: BTreeMap<i64, String> = BTreeMap::new();
            for _ in 0..count {
                batch.insert(
                    dice.below(10) as i64,
                    format!("g{generation}-{}", dice.below(100)),
                );
            }
            let kind = dice.below(4);
            let mut list: Vec<(i64, String, Op)> = batch
                .into_iter()
                .map(|(id, name)| (id, name, Op::Update))
                .collect();
            if kind == 0 {
                for id in 0..dice.below(4) {
                    list.push((id as i64, String::new(), Op::Delete));
                }
            }
            let borrowed: Vec<(i64, &str)> = list
                .iter()
                .map(|(id, name, _)| (*id, name.as_str()))
                .collect();
            let ops = (kind == 0)
                .then(|| UInt8Array::from_iter_values(list.iter().map(|(_, _, op)| *op as u8)));
            let mode = match kind {
                0 | 1 => WriteMode::Merge,
                2 => WriteMode::InsertOnly,
                _ => WriteMode::Replace,
            };
            if kind == 3 {
                model.clear();
            }
            for (id, name, op) in &list {
                match (op, kind) {
                    (Op::Delete, _) => drop(model.remove(id)),
                    (_, 2) => drop(model.entry(*id).or_insert_with(|| name.clone())),
                    _ => drop(model.insert(*id, name.clone())),
                }
            }
            let split = dice.below(borrowed.len() as u64 + 1) as usize;
            let parts = [(0, split), (split, borrowed.len())].map(|(from, to)| {
                let part = rows(&borrowed[from..to]);
                (part, ops.as_ref().map(|ops| ops.slice(from, to - from)))
            });
            let prepared = prepare(&f.lake, intent(mode, schema(), generation), parts.into())
                .await
                .unwrap();
            assert_eq!(
                prepared.stats().rows_after,
                Some(model.len() as u64),
                "seed {seed} generation {generation}"
            );
            prepared.commit(position(1)).await.unwrap();
            let expected: Vec<(i64, String)> =
                model.iter().map(|(id, name)| (*id, name.clone())).collect();
            assert_eq!(
                held(&f.lake).await,
                expected,
                "seed {seed} generation {generation}"
            );
        }
    }
}

#[tokio::test]
async fn a_merge_with_more_keys_than_memory_makes_several_passes() {
    let folder = tempfile::tempdir().unwrap();
    // 128 KiB for keys: some 1,800 at once.
    let lake = Lake::open(folder.path().to_str().unwrap(), 1 << 20).unwrap();
    let named = |ids: std::ops::Range<i64>, name: &str| {
        ids.map(|id| (id, name.to_owned())).collect::<Vec<_>>()
    };
    let batch = |list: &[(i64, String)]| {
        rows(
            &list
                .iter()
                .map(|(id, name)| (*id, name.as_str()))
                .collect::<Vec<_>>(),
        )
    };
    load(
        &lake,
        intent(WriteMode::Merge, schema(), 1),
        batch(&named(0..10_000, "old")),
    )
    .await
    .unwrap();
    let receipt = load(
        &lake,
        intent(WriteMode::Merge, schema(), 2),
        batch(&named(5_000..12_000, "new")),
    )
    .await
    .unwrap();
    let stats = receipt.committed.stats;
    assert_eq!(
        (stats.inserted, stats.updated, stats.rows_after),
        (2_000, 5_000, Some(12_000))
    );
    let mut expected = named(0..5_000, "old");
    expected.extend(named(5_000..12_000, "new"));
    assert_eq!(held(&lake).await, expected);

    let mut changes = named(0..6_000, "first");
    changes.extend(named(0..6_000, "last"));
    let ops = UInt8Array::from_iter_values((0..12_000).map(|at| {
        if at >= 9_000 {
            Op::Delete as u8
        } else {
            Op::Update as u8
        }
    }));
    let prepared = prepare(
        &lake,
        intent(WriteMode::Merge, schema(), 3),
        vec![(batch(&changes), Some(ops))],
    )
    .await
    .unwrap();
    let stats = prepared.stats();
    assert_eq!(
        (
            stats.inserted,
            stats.updated,
            stats.deleted,
            stats.rows_after
        ),
        (0, 3_000, 3_000, Some(9_000))
    );
    prepared.commit(position(3)).await.unwrap();
    let mut expected = named(0..3_000, "last");
    expected.extend(named(6_000..12_000, "new"));
    assert_eq!(held(&lake).await, expected);

    let mut twice = named(20_000..26_000, "x");
    twice.push((20_001, "again".to_owned()));
    let failure = load(&lake, intent(WriteMode::Merge, schema(), 4), batch(&twice))
        .await
        .unwrap_err();
    assert!(
        failure.message.contains("`id = 20001`"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn keys_of_several_columns_and_types_find_each_other() {
    let f = Fixture::new();
    let schema = Arc::new(Schema::new(vec![
        Field::new("origin", DataType::Utf8, true),
        Field::new("day", DataType::Date32, true),
        Field::new("id", DataType::UInt64, true),
        Field::new("n", DataType::Int64, true),
    ]));
    let batch = |n: i64| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["EWR", "EWR", "JFK"])),
            Arc::new(arrow_array::Date32Array::from(vec![1, 2, 1])),
            Arc::new(arrow_array::UInt64Array::from(vec![u64::MAX, u64::MAX, 0])),
            Arc::new(Int64Array::from(vec![n, n, n])),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    };
    let keyed = |generation| {
        let mut intent = intent(WriteMode::Merge, Arc::clone(&schema), generation);
        intent.write.key = vec!["ID".to_owned(), "origin".to_owned(), "day".to_owned()];
        intent
    };
    load(&f.lake, keyed(1), batch(1)).await.unwrap();
    let receipt = load(&f.lake, keyed(2), batch(2).slice(1, 2)).await.unwrap();
    assert_eq!(
        (
            receipt.committed.stats.updated,
            receipt.committed.stats.rows_after
        ),
        (2, Some(3))
    );
    let mut twice = keyed(3);
    twice.write.key.truncate(2);
    let failure = load(&f.lake, twice, batch(3)).await.unwrap_err();
    assert!(
        failure
            .message
            .contains("`id = 18446744073709551615`, `origin = EWR`"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn staged_files_are_taken_like_rows() {
    let f = Fixture::new();
    let staged = tempfile::NamedTempFile::new().unwrap();
    let mut parquet =
        parquet::arrow::ArrowWriter::try_new(staged.reopen().unwrap(), schema(), None).unwrap();
    parquet.write(&rows(&[(1, "a"), (2, "b")])).unwrap();
    parquet.close().unwrap();
    let mut writer = f
        .lake
        .begin(intent(WriteMode::Merge, schema(), 1))
        .await
        .unwrap();
    let path = staged.path().to_str().unwrap().to_owned();
    writer
        .add_files(vec![towpath_ports::StagedFile {
            path,
            rows: 2,
            bytes: 1,
        }])
        .await
        .unwrap();
    writer.write(rows(&[(3, "c")]), None).await.unwrap();
    writer
        .prepare()
        .await
        .unwrap()
        .commit(position(1))
        .await
        .unwrap();
    assert_eq!(held(&f.lake).await, owned(&[(1, "a"), (2, "b"), (3, "c")]));
}

#[tokio::test]
async fn an_aborted_write_leaves_no_file() {
    let f = Fixture::new();
    let mut writer = f
        .lake
        .begin(intent(WriteMode::Append, schema(), 1))
        .await
        .unwrap();
    writer.write(rows(&[(1, "a")]), None).await.unwrap();
    writer.abort().await.unwrap();
    assert_eq!(
        (data_files(&f.lake), f.lake.version(&table()).await.unwrap()),
        (0, None)
    );
}
