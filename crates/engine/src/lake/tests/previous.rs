//! Merges that keep values before: against a model, with passes, change feeds and marked rows.

use std::collections::BTreeMap;

use arrow_array::{Array as _, Int64Array, StringArray};
use towpath_vocab::AuditColumns;

use super::*;

/// `id`, `name`, and the name before.
fn with_previous() -> SchemaRef {
    let mut fields = schema().fields().to_vec();
    let name = fields[1].as_ref().clone();
    fields.push(Arc::new(name.with_name("_previous_name")));
    Arc::new(Schema::new(fields))
}

fn coming(pairs: &[(i64, Option<&str>)]) -> RecordBatch {
    let ids = pairs.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    let names: StringArray = pairs.iter().map(|(_, name)| *name).collect();
    let none: StringArray = pairs.iter().map(|_| None::<&str>).collect();
    let columns: Vec<arrow_array::ArrayRef> = vec![
        Arc::new(Int64Array::from(ids)),
        Arc::new(names),
        Arc::new(none),
    ];
    RecordBatch::try_new(with_previous(), columns).unwrap()
}

fn merge(generation: i64) -> WriteRequest {
    let mut intent = intent(WriteMode::Merge, with_previous(), generation);
    AuditColumns {
        columns: Vec::new(),
        source: String::new(),
        surrogate_key: None,
        previous: vec!["name".to_owned()],
    }
    .put(&mut intent.write);
    intent
}

type Names = (Option<String>, Option<String>);

async fn kept(lake: &Lake) -> BTreeMap<i64, Names> {
    let mut found = BTreeMap::new();
    for batch in read_all(lake.source(&table()).unwrap().as_ref()).await {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let text = |name: &str, row: usize| {
            let column = batch.column_by_name(name).unwrap();
            let column = column.as_string::<i32>();
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        for (row, id) in ids.values().iter().enumerate() {
            let names = (text("name", row), text("_previous_name", row));
            assert_eq!(found.insert(*id, names), None, "{id} is there twice");
        }
    }
    found
}

#[tokio::test]
async fn a_value_before_is_kept_until_the_next_change() {
    let f = Fixture::new();
    // The table is older than the column.
    let first = intent(WriteMode::Merge, schema(), 1);
    load(&f.lake, first, rows(&[(1, "a"), (2, "b"), (3, "c")]))
        .await
        .unwrap();
    let name = |now: Option<&str>, before: Option<&str>| -> Names {
        (now.map(str::to_owned), before.map(str::to_owned))
    };
    for (generation, incoming, wanted) in [
        (
            2,
            vec![(1, Some("a2")), (2, Some("b")), (4, Some("d"))],
            [
                name(Some("a2"), Some("a")),
                name(Some("b"), None),
                name(Some("c"), None),
                name(Some("d"), None),
            ],
        ),
        // The same again changes nothing; NULL is a value.
        (
            3,
            vec![(1, Some("a2")), (2, None)],
            [
                name(Some("a2"), Some("a")),
                name(None, Some("b")),
                name(Some("c"), None),
                name(Some("d"), None),
            ],
        ),
        (
            4,
            vec![(1, Some("a3")), (2, Some("b2")), (3, Some("c"))],
            [
                name(Some("a3"), Some("a2")),
                name(Some("b2"), None),
                name(Some("c"), None),
                name(Some("d"), None),
            ],
        ),
    ] {
        let stats = load(&f.lake, merge(generation), coming(&incoming))
            .await
            .unwrap();
        assert_eq!(stats.committed.stats.rows_after, Some(4));
        let found: Vec<Names> = kept(&f.lake).await.into_values().collect();
        assert_eq!(found, wanted, "{generation}");
    }
}

/// More rows than memory holds at once, many loads, against a model.
#[tokio::test]
async fn many_loads_agree_with_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().to_str().unwrap(), 1 << 20).unwrap();
    let mut model: BTreeMap<i64, Names> = BTreeMap::new();
    for generation in 1..=5_i64 {
        let ids = (0..6_000_i64).filter(|id| (id * 7 + generation) % 3 != 0);
        let names: Vec<(i64, String)> = ids
            .map(|id| (id, format!("n{}", (id + generation) % 4)))
            .collect();
        let list: Vec<(i64, Option<&str>)> = names
            .iter()
            .map(|(id, name)| (*id, Some(name.as_str())))
            .collect();
        load(&lake, merge(generation), coming(&list)).await.unwrap();
        for (id, name) in &names {
            let row = model
                .entry(*id)
                .or_insert_with(|| (Some(name.clone()), None));
            if row.0.as_ref() != Some(name) {
                *row = (Some(name.clone()), row.0.clone());
            }
        }
        assert!(kept(&lake).await == model, "generation {generation}");
    }
}
