//! Conformance cases about columns that change between writes, and about unusual names.
//!
//! Every destination passes them in every write mode. Types are in `values.rs`; read next: `write.rs`.

use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use towpath_vocab::{Remedy, SchemaChange, WriteMode};

use super::DestinationUnderTest;
use super::write::{rows, seen, sorted, write};
use crate::conformance::lines_of_batch;
use crate::conformance::types::batch;

const NAMES: [&str; 9] = [
    "order",
    "with space",
    "quo\"te",
    "a'b",
    "Groß",
    "semi;colon",
    "100%",
    "b`t",
    "日本",
];

fn wide(id: i64, v: &str, more: i64) -> RecordBatch {
    batch(vec![
        ("id", Arc::new(Int64Array::from(vec![id])) as ArrayRef),
        ("v", Arc::new(StringArray::from(vec![v]))),
        ("more", Arc::new(Int64Array::from(vec![more]))),
    ])
}

/// `evolve` and `add_columns` add a new column, `ignore` leaves it out, `fail` refuses it, in every mode. If new rows are
/// not matched with existing ones, they are written as they come.
pub async fn a_new_column_is_added_left_out_or_refused(under: &dyn DestinationUnderTest) {
    let limits = under.limits();
    for mode in under.modes() {
        if mode == WriteMode::Replace {
            continue;
        }
        let name = format!("t {mode:?}").to_lowercase();
        let base = write(under, WriteMode::Replace).named(&name);
        base.done(&rows(&[(1, "a")])).await;
        let mut next = base.generation(2).mode(mode);
        next.change = SchemaChange::Fail;
        if !limits.columns {
            next.done(&wide(2, "b", 7)).await;
            let both = ["id=1 v=a".to_owned(), "id=2 more=7 v=b".to_owned()];
            assert_eq!(next.look().await, Some(both.to_vec()), "{mode:?}");
            continue;
        }
        next.refused(&wide(2, "b", 7)).await;
        assert_eq!(next.look().await, seen(&[(1, "a")]), "{mode:?}, fail");
        next.change = SchemaChange::Ignore;
        next.done(&wide(2, "b", 7)).await;
        assert_eq!(
            next.look().await,
            seen(&[(1, "a"), (2, "b")]),
            "{mode:?}, ignore"
        );
        next = next.generation(3);
        next.change = match mode {
            WriteMode::Append => SchemaChange::AddColumns,
            _ => SchemaChange::Evolve,
        };
        let mut expected = vec!["id=1 v=a".to_owned(), "id=2 v=b".to_owned()];
        if limits.new_columns {
            next.done(&wide(3, "c", 8)).await;
            expected.push("id=3 more=8 v=c".to_owned());
        } else {
            next.refused(&wide(3, "c", 8)).await;
        }
        assert_eq!(next.look().await, Some(expected), "{mode:?}, evolve");
        // A column that is missing is NULL.
        let id: ArrayRef = Arc::new(Int64Array::from(vec![4]));
        next.generation(4).done(&batch(vec![("id", id)])).await;
        assert!(
            next.look().await.unwrap().contains(&"id=4".to_owned()),
            "{mode:?}"
        );
    }
}

/// A column whose new type neither fits nor is wider stops the write; the table does not change.
pub async fn another_type_is_refused_and_changes_nothing(under: &dyn DestinationUnderTest) {
    let first = write(under, WriteMode::Replace);
    first.done(&rows(&[(1, "a")])).await;
    let before = under.destination().schema(&first.table()).await.unwrap();
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![2]));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![20_000]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["b"]));
    let wrong = batch(vec![("id", days), ("v", text)]);
    for mode in under.modes() {
        if mode == WriteMode::Replace {
            continue;
        }
        let next = first.generation(2).mode(mode);
        if under.limits().types {
            let failure = next.refused(&wrong).await;
            assert!(
                matches!(failure.remedy, Remedy::FixData | Remedy::FixConfig),
                "{mode:?}: {failure:?}"
            );
            assert!(failure.message.contains("`id`"), "{mode:?}: {failure:?}");
            assert_eq!(next.look().await, seen(&[(1, "a")]), "{mode:?}");
            assert_eq!(next.last_generation().await, Some(1), "{mode:?}");
            let after = under.destination().schema(&first.table()).await.unwrap();
            assert_eq!(after, before, "{mode:?}");
        } else {
            next.done(&wrong).await;
            assert_eq!(next.look().await.unwrap().len(), 2, "{mode:?}");
        }
    }
    // Rows that fit can still be written.
    let fits = batch(vec![("id", ids)]);
    let held = first.look().await.unwrap().len();
    first
        .generation(3)
        .mode(WriteMode::Append)
        .done(&fits)
        .await;
    assert_eq!(first.look().await.unwrap().len(), held + 1);
}

/// A column keeps any name; a value stays in its column.
pub async fn any_column_name_is_kept(under: &dyn DestinationUnderTest) {
    let columns = NAMES.iter().enumerate().map(|(at, name)| {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![at as i64, -1]));
        (*name, array)
    });
    let rows = batch(columns.collect());
    let first = write(under, WriteMode::Replace);
    first.done(&rows).await;
    first
        .generation(2)
        .mode(WriteMode::Append)
        .done(&rows)
        .await;
    let back = first.back(&rows.schema()).await;
    let back = sorted(back.iter().flat_map(lines_of_batch).collect());
    let once = lines_of_batch(&rows);
    let twice = sorted(once.iter().chain(&once).cloned().collect());
    assert_eq!(back, twice);
}

/// A table is found under any name that it has, and under no other.
pub async fn any_table_name_is_kept(under: &dyn DestinationUnderTest) {
    for (at, name) in NAMES.iter().enumerate() {
        write(under, WriteMode::Replace)
            .named(name)
            .done(&rows(&[(at as i64, "x")]))
            .await;
    }
    for (at, name) in NAMES.iter().enumerate() {
        let held = write(under, WriteMode::Append).named(name);
        assert_eq!(held.look().await, seen(&[(at as i64, "x")]), "{name}");
        assert_eq!(held.last_generation().await, Some(1), "{name}");
        held.generation(2).done(&rows(&[(100, "y")])).await;
        let expected = seen(&[(at as i64, "x"), (100, "y")]);
        assert_eq!(held.look().await, expected, "{name}");
        let back = held.back(&rows(&[]).schema()).await;
        let back = sorted(back.iter().flat_map(lines_of_batch).collect());
        assert_eq!(Some(back), expected, "{name}");
    }
}
