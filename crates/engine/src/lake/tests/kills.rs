//! A writer that dies at each edge: no partial result is visible, and the rerun completes it once.
//!
//! Failpoints are global; each fires only on the thread that armed it, which the current-thread
//! runtime of the test shares with everything it runs.

use std::cell::Cell;
use std::sync::Once;

use towpath_vocab::{AbsentRows, WriteMode};

use super::absent::{marked, present, with_deleted_at};
use super::*;

const EDGES: [&str; 7] = [
    "lake::begin",
    "lake::write",
    "lake::prepared",
    "lake::position_written",
    "lake::before_commit",
    "lake::after_commit",
    "lake::before_receipt",
];

thread_local! {
    static ARMED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

fn arm(edge: &'static str) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        for edge in EDGES {
            fail::cfg_callback(edge, move || {
                if ARMED.get() == Some(edge) {
                    ARMED.set(None);
                    std::panic::panic_any(edge);
                }
            })
            .unwrap();
        }
    });
    ARMED.set(Some(edge));
}

#[tokio::test]
async fn a_death_at_any_edge_loses_and_doubles_nothing() {
    let writes = [
        (WriteMode::Append, None),
        (WriteMode::Replace, None),
        (WriteMode::Merge, None),
        (WriteMode::Merge, Some(AbsentRows::Delete)),
        (WriteMode::Merge, Some(AbsentRows::Mark { at_us: Some(7) })),
        (WriteMode::Scd2, None),
    ];
    for (mode, absent) in writes {
        let marks = matches!(absent, Some(AbsentRows::Mark { .. }));
        let schema = || match marks {
            true => with_deleted_at(),
            false => schema(),
        };
        let rows = |pairs: &[(i64, &str)]| match marks {
            true => present(pairs),
            false => rows(pairs),
        };
        let intent = |mode, schema, generation| {
            let mut intent = intent(mode, schema, generation);
            absent
                .into_iter()
                .for_each(|absent| absent.put(&mut intent.write));
            intent
        };
        for fresh in [true, false] {
            for edge in EDGES {
                let f = Fixture::new();
                let mut expected = owned(&[(2, "new"), (3, "new")]);
                let generation = if fresh { 1 } else { 2 };
                if !fresh {
                    load(&f.lake, intent(mode, schema(), 1), rows(&[(1, "old")]))
                        .await
                        .unwrap();
                    if mode != WriteMode::Replace && absent != Some(AbsentRows::Delete) {
                        expected.insert(0, (1, "old".to_owned()));
                    }
                }
                let before = held_or_none(&f.reopened()).await;
                arm(edge);
                let lake = f.reopened();
                let write = intent(mode, schema(), generation);
                let coming = rows(&[(2, "new"), (3, "new")]);
                let killed = tokio::spawn(async move { load(&lake, write, coming).await }).await;
                assert!(killed.unwrap_err().is_panic(), "{edge}");
                let landed = matches!(edge, "lake::after_commit" | "lake::before_receipt");
                let seen = held_or_none(&f.reopened()).await;
                assert_eq!(
                    seen,
                    if landed {
                        Some(expected.clone())
                    } else {
                        before
                    },
                    "{edge} {mode:?}"
                );
                let lake = f.reopened();
                let last = lake.last(&task("extract"), &table()).await.unwrap();
                assert_eq!(
                    last.map(|last| last.token.generation.0),
                    if landed {
                        Some(generation)
                    } else {
                        (!fresh).then_some(1)
                    }
                );
                let receipt = load(
                    &lake,
                    intent(mode, schema(), generation),
                    rows(&[(2, "new"), (3, "new")]),
                )
                .await
                .unwrap();
                assert_eq!(receipt.adopted, landed, "{edge}");
                assert_eq!(held_or_none(&f.lake).await, Some(expected));
                if marks && !fresh {
                    let time = marked(&f.lake).await[&1].1;
                    assert_eq!(time, Some(7), "{edge}");
                }
                assert_eq!(
                    lake.version(&table()).await.unwrap(),
                    Some(generation as u64 - 1)
                );
                assert_eq!(
                    f.lake.last(&task("extract"), &table()).await.unwrap(),
                    Some(receipt.committed)
                );
            }
        }
    }
}

async fn held_or_none(lake: &Lake) -> Option<Vec<(i64, String)>> {
    lake.version(&table()).await.unwrap()?;
    Some(held(lake).await)
}
