//! Conformance cases about write modes: what each of them does to a table that has rows already.
//!
//! The case `modes_not_declared_are_refused` covers the modes that a destination does not declare. Read
//! next: `write.rs`.

use arrow_array::UInt8Array;
use towpath_ports::Op;
use towpath_vocab::{Remedy, WriteMode};

use super::DestinationUnderTest;
use super::write::{Write, commit, keyed, rows, seen, write};

const EVERY_MODE: [WriteMode; 9] = [
    WriteMode::Replace,
    WriteMode::Append,
    WriteMode::Merge,
    WriteMode::DeleteInsert,
    WriteMode::InsertOnly,
    WriteMode::Scd1,
    WriteMode::Scd2,
    WriteMode::Scd3,
    WriteMode::Snapshot,
];

/// A table with three rows, and the second generation of a write in this mode. `None` if the mode is not
/// declared; `modes_not_declared_are_refused` covers it.
async fn on_three_rows(under: &dyn DestinationUnderTest, mode: WriteMode) -> Option<Write<'_>> {
    let base = write(under, WriteMode::Replace);
    base.done(&rows(&[(1, "a"), (2, "b"), (3, "c")])).await;
    under
        .modes()
        .contains(&mode)
        .then(|| base.generation(2).mode(mode))
}

/// The new rows become the table.
pub async fn replace_replaces(under: &dyn DestinationUnderTest) {
    let next = on_three_rows(under, WriteMode::Replace).await.unwrap();
    next.done(&rows(&[(3, "C"), (4, "D")])).await;
    assert_eq!(next.look().await, seen(&[(3, "C"), (4, "D")]));
}

/// The new rows are added, even equal ones.
pub async fn append_adds(under: &dyn DestinationUnderTest) {
    let next = on_three_rows(under, WriteMode::Append).await.unwrap();
    next.done(&rows(&[(3, "c"), (4, "D")])).await;
    let expected = [(1, "a"), (2, "b"), (3, "c"), (3, "c"), (4, "D")];
    assert_eq!(next.look().await, seen(&expected));
    // Also into a table that does not exist yet.
    let first = write(under, WriteMode::Append).named("fresh");
    first.done(&rows(&[(1, "a")])).await;
    assert_eq!(first.look().await, seen(&[(1, "a")]));
}

/// Rows with a known key are replaced, others added.
pub async fn merge_updates_and_inserts(under: &dyn DestinationUnderTest) {
    let Some(next) = on_three_rows(under, WriteMode::Merge).await else {
        return;
    };
    let stats = next
        .done(&rows(&[(3, "C"), (4, "D")]))
        .await
        .committed
        .stats;
    assert_eq!((stats.inserted, stats.updated, stats.deleted), (1, 1, 0));
    assert_eq!(
        next.look().await,
        seen(&[(1, "a"), (2, "b"), (3, "C"), (4, "D")])
    );
    let first = next.generation(1).named("fresh");
    first.done(&rows(&[(1, "a")])).await;
    assert_eq!(first.look().await, seen(&[(1, "a")]));
}

/// Of several changes of one key the last one counts; a delete deletes; deleting an unknown key is allowed.
pub async fn changes_apply_in_order_and_deletes_delete(under: &dyn DestinationUnderTest) {
    let Some(next) = on_three_rows(under, WriteMode::Merge).await else {
        return;
    };
    let ops = |ops: &[Op]| Some(UInt8Array::from_iter_values(ops.iter().map(|op| *op as u8)));
    let batches = [
        (
            rows(&[(1, "a2"), (2, ""), (4, "d")]),
            ops(&[Op::Update, Op::Delete, Op::Insert]),
        ),
        (
            rows(&[(1, "a3"), (4, ""), (9, ""), (5, "e")]),
            ops(&[Op::Update, Op::Delete, Op::Delete, Op::Insert]),
        ),
    ];
    let prepared = next.prepare_all(&batches).await.unwrap();
    prepared.commit(commit(2)).await.unwrap();
    assert_eq!(next.look().await, seen(&[(1, "a3"), (3, "c"), (5, "e")]));
}

/// Rows with a written key are deleted first; all written rows are added.
pub async fn delete_insert_takes_repeated_keys(under: &dyn DestinationUnderTest) {
    let Some(next) = on_three_rows(under, WriteMode::DeleteInsert).await else {
        return;
    };
    next.done(&rows(&[(3, "x"), (3, "y"), (4, "D")])).await;
    let expected = [(1, "a"), (2, "b"), (3, "x"), (3, "y"), (4, "D")];
    assert_eq!(next.look().await, seen(&expected));
}

/// Only rows with an unknown key are added.
pub async fn insert_only_leaves_known_keys(under: &dyn DestinationUnderTest) {
    let Some(next) = on_three_rows(under, WriteMode::InsertOnly).await else {
        return;
    };
    next.done(&rows(&[(3, "C"), (4, "D")])).await;
    assert_eq!(
        next.look().await,
        seen(&[(1, "a"), (2, "b"), (3, "c"), (4, "D")])
    );
}

/// A key that is NULL, or that occurs twice in a mode with one row per key, is a mistake in the data.
pub async fn a_null_or_repeated_key_is_refused_and_changes_nothing(
    under: &dyn DestinationUnderTest,
) {
    write(under, WriteMode::Replace)
        .done(&rows(&[(1, "a"), (2, "b"), (3, "c")]))
        .await;
    let wrong = [
        (keyed(&[(Some(4), "x"), (None, "y")]), "NULL"),
        (keyed(&[(Some(3), "x"), (Some(3), "y")]), "repeated"),
        (keyed(&[(Some(4), "x"), (Some(4), "x")]), "repeated, equal"),
    ];
    for mode in [WriteMode::Merge, WriteMode::InsertOnly] {
        if !under.modes().contains(&mode) {
            continue;
        }
        let next = write(under, mode).generation(2);
        for (batch, what) in &wrong {
            let failure = next.refused(batch).await;
            assert_eq!(
                failure.remedy,
                Remedy::FixData,
                "{mode:?}, {what}: {failure:?}"
            );
            assert!(
                failure.message.contains("id"),
                "{mode:?}, {what}: {failure:?}"
            );
        }
        assert_eq!(
            next.look().await,
            seen(&[(1, "a"), (2, "b"), (3, "c")]),
            "{mode:?}"
        );
        assert_eq!(next.last_generation().await, Some(1), "{mode:?}");
    }
}

/// A mode that is not declared is refused with its name and leaves nothing.
pub async fn modes_not_declared_are_refused(under: &dyn DestinationUnderTest) {
    let declared = under.modes();
    assert!(declared.contains(&WriteMode::Replace) && declared.contains(&WriteMode::Append));
    for mode in EVERY_MODE {
        let is_history = !towpath_vocab::added_fields(mode).is_empty() && under.keeps_history();
        if is_history || declared.contains(&mode) {
            continue;
        }
        let first = write(under, mode);
        let failure = first.refused(&rows(&[(1, "a")])).await;
        assert!(
            matches!(failure.remedy, Remedy::FixConfig | Remedy::Refused),
            "{mode:?}: {failure:?}"
        );
        assert_eq!(
            (first.look().await, first.last().await),
            (None, None),
            "{mode:?}"
        );
    }
}

/// A write without rows is a commit: it creates the table, empties it, or leaves it unchanged.
pub async fn no_rows_are_a_table_too(under: &dyn DestinationUnderTest) {
    let first = write(under, WriteMode::Replace);
    let none = rows(&[]);
    let writer = first.begin(none.schema()).await.unwrap();
    writer
        .prepare()
        .await
        .unwrap()
        .commit(commit(1))
        .await
        .unwrap();
    assert_eq!(first.look().await, Some(Vec::new()), "without any batch");
    for (at, mode) in under.modes().into_iter().enumerate() {
        let name = format!("t {mode:?}").to_lowercase();
        let base = first.named(&name);
        base.done(&rows(&[(1, "a")])).await;
        let next = base.generation(2 + at as i64).mode(mode);
        let stats = next.done(&none).await.committed.stats;
        assert_eq!((stats.rows_in, stats.inserted), (0, 0), "{mode:?}");
        let expected = match mode {
            WriteMode::Replace => Some(Vec::new()),
            _ => seen(&[(1, "a")]),
        };
        assert_eq!(next.look().await, expected, "{mode:?}");
        assert_eq!(
            next.last_generation().await,
            Some(2 + at as i64),
            "{mode:?}"
        );
    }
}
