//! Puts that are carried out after their client has given them up: a commit is found by the log or refused
//! by it, never acknowledged and lost, never visible without its files.

use std::time::Duration;

use object_store::memory::InMemory;
use towpath_vocab::{Token, WriteMode};
use url::Url;

use super::*;
use crate::lake::storage::{Bucket, Fault, FaultyObjects, key, remove};

/// A lakehouse in a store whose puts can land late.
struct Stage {
    faulty: Arc<FaultyObjects>,
}

impl Stage {
    fn new() -> Self {
        let inner = Arc::new(InMemory::new());
        Self {
            faulty: Arc::new(FaultyObjects::over(inner)),
        }
    }

    /// As a process sees it for which others are dead at once.
    fn hasty(&self) -> Lake {
        self.lake(Duration::ZERO)
    }

    /// As a process sees it for which others live on.
    fn patient(&self) -> Lake {
        self.lake(Duration::from_secs(1_200))
    }

    fn lake(&self, dead_after: Duration) -> Lake {
        let url = Url::parse("memory://lake/").unwrap();
        let bucket = Bucket::over(Arc::clone(&self.faulty) as _, url).dead_after(dead_after);
        Lake::over(Arc::new(bucket), MEMORY)
    }

    /// A table with one row, and a commit of a second one that was given up.
    async fn with_a_late_commit(mode: WriteMode) -> Self {
        let stage = Self::new();
        load(
            &stage.patient(),
            intent(mode, schema(), 1),
            rows(&[(1, "old")]),
        )
        .await
        .unwrap();
        stage.give_up(mode, 2).await;
        stage
    }

    async fn give_up(&self, mode: WriteMode, generation: i64) {
        self.faulty.of_puts(Some(("_delta_log/0", Fault::Late)));
        let written = write(self.patient(), mode, generation, (2, "new")).await;
        let failure = written.unwrap_err();
        self.faulty.of_puts(None);
        assert_eq!(failure.code, "R0429", "{failure:?}");
        assert_eq!(failure.remedy, towpath_vocab::Remedy::Retry);
    }

    async fn sorted(&self) -> Vec<(i64, String)> {
        let lake = self.patient();
        let mut rows = held(&lake).await;
        rows.sort();
        assert!(
            lake.verify(&table(), false)
                .await
                .unwrap()
                .damaged
                .is_empty()
        );
        rows
    }
}

async fn write(
    lake: Lake,
    mode: WriteMode,
    generation: i64,
    row: (i64, &str),
) -> Result<Receipt, Failure> {
    load(&lake, intent(mode, schema(), generation), rows(&[row])).await
}

fn expected(mode: WriteMode) -> Vec<(i64, String)> {
    match mode {
        WriteMode::Replace => owned(&[(2, "new")]),
        _ => owned(&[(1, "old"), (2, "new")]),
    }
}

const MODES: [WriteMode; 3] = [WriteMode::Append, WriteMode::Merge, WriteMode::Replace];

#[tokio::test]
async fn a_commit_that_lands_after_it_was_given_up_is_found_by_the_next_attempt() {
    for mode in MODES {
        for lake in [Stage::hasty, Stage::patient] {
            let stage = Stage::with_a_late_commit(mode).await;
            // Whoever clears up meanwhile does not know either.
            lake(&stage).clear_up().await;
            assert_eq!(stage.faulty.land().await, 1);
            assert_eq!(stage.sorted().await, expected(mode), "{mode:?}");
            let again = write(lake(&stage), mode, 2, (2, "new")).await;
            let receipt = again.unwrap();
            assert!(receipt.adopted, "{mode:?}");
            assert_eq!(stage.sorted().await, expected(mode), "{mode:?}");
            assert_eq!(stage.hasty().version(&table()).await.unwrap(), Some(1));
            let last = stage
                .hasty()
                .last(&task("extract"), &table())
                .await
                .unwrap();
            assert_eq!(last, Some(receipt.committed));
            assert_eq!(stage.hasty().writers(&table()).await.unwrap(), 0);
            let left = stage.hasty().sweep(&table(), Duration::ZERO, true).await;
            assert!(left.unwrap().files.is_empty(), "{mode:?}");
        }
    }
}

#[tokio::test]
async fn a_commit_that_lands_after_the_next_attempt_is_refused() {
    for mode in MODES {
        let stage = Stage::with_a_late_commit(mode).await;
        let again = write(stage.hasty(), mode, 2, (2, "new")).await;
        assert!(!again.unwrap().adopted);
        assert_eq!(stage.faulty.land().await, 0);
        assert_eq!(stage.sorted().await, expected(mode), "{mode:?}");
        assert_eq!(stage.hasty().writers(&table()).await.unwrap(), 0);
        let left = stage.hasty().sweep(&table(), Duration::ZERO, true).await;
        assert!(left.unwrap().files.is_empty(), "{mode:?}");
    }
}

#[tokio::test]
async fn the_first_commit_of_a_table_can_land_late_too() {
    let stage = Stage::new();
    stage.give_up(WriteMode::Append, 1).await;
    stage.hasty().clear_up().await;
    assert_eq!(stage.faulty.land().await, 1);
    assert_eq!(stage.sorted().await, owned(&[(2, "new")]));
    let again = write(stage.hasty(), WriteMode::Append, 1, (2, "new")).await;
    assert!(again.unwrap().adopted);
    assert_eq!(stage.sorted().await, owned(&[(2, "new")]));
}

#[tokio::test]
async fn care_that_lands_after_it_was_given_up_loses_no_row() {
    for compacts in [true, false] {
        let stage = Stage::new();
        for generation in 1..=3 {
            let intent = intent(WriteMode::Append, schema(), generation);
            load(&stage.patient(), intent, rows(&[(generation, "x")]))
                .await
                .unwrap();
        }
        stage.faulty.of_puts(Some(("_delta_log/0", Fault::Late)));
        let lake = stage.patient();
        let failure = if compacts {
            lake.compact(&table(), "r#1").await.err()
        } else {
            let carried = Token::of(task("extract"), Generation(4));
            let restored = lake.restore(&table(), 0, vec![carried], "r#1").await;
            restored.err()
        };
        stage.faulty.of_puts(None);
        assert_eq!(failure.unwrap().code, "R0429");
        stage.hasty().clear_up().await;
        assert_eq!(stage.faulty.land().await, 1);
        let rows_after = stage.sorted().await;
        if compacts {
            assert_eq!(rows_after, owned(&[(1, "x"), (2, "x"), (3, "x")]));
        } else {
            assert_eq!(rows_after, owned(&[(1, "x")]));
            let last = stage.hasty().last(&task("extract"), &table()).await;
            assert_eq!(last.unwrap().unwrap().token.generation, Generation(4));
        }
        let next = write(stage.hasty(), WriteMode::Append, 5, (5, "x")).await;
        next.unwrap();
        assert_eq!(stage.sorted().await.len(), rows_after.len() + 1);
    }
}

#[tokio::test]
async fn a_commit_does_not_land_in_a_table_that_was_dropped_meanwhile() {
    let stage = Stage::with_a_late_commit(WriteMode::Append).await;
    assert!(stage.patient().drop_table(&table()).await.unwrap());
    assert_eq!(stage.patient().version(&table()).await.unwrap(), None);
    let write = |lake| write(lake, WriteMode::Append, 1, (9, "again"));
    // Until it is known what became of the late put, the log stays where it is.
    let failure = write(stage.patient()).await.unwrap_err();
    assert_eq!(failure.code, "R0462", "{failure:?}");
    assert_eq!(stage.faulty.land().await, 0);
    assert_eq!(stage.patient().version(&table()).await.unwrap(), None);
    write(stage.hasty()).await.unwrap();
    assert_eq!(stage.sorted().await, owned(&[(9, "again")]));
    assert_eq!(stage.patient().version(&table()).await.unwrap(), Some(0));
}

#[tokio::test]
async fn a_drop_whose_own_entry_lands_late_does_not_harm_the_next_table() {
    let stage = Stage::new();
    let write = |lake| write(lake, WriteMode::Append, 1, (1, "x"));
    write(stage.patient()).await.unwrap();
    stage.faulty.of_puts(Some(("_delta_log/0", Fault::Late)));
    stage.patient().drop_table(&table()).await.unwrap_err();
    stage.faulty.of_puts(None);
    assert_eq!(stage.patient().version(&table()).await.unwrap(), None);
    stage.patient().drop_table(&table()).await.unwrap();
    write(stage.patient()).await.unwrap_err();
    assert_eq!(stage.faulty.land().await, 0);
    write(stage.hasty()).await.unwrap();
    assert_eq!(stage.sorted().await, owned(&[(1, "x")]));
}

#[tokio::test]
async fn a_commit_that_races_a_drop_or_lost_its_files_fails() {
    for drops in [true, false] {
        let stage = Stage::new();
        let lake = stage.patient();
        let write = intent(WriteMode::Append, schema(), 1);
        load(&lake, write, rows(&[(1, "x")])).await.unwrap();
        let second = intent(WriteMode::Append, schema(), 2);
        let prepared = prepare(&lake, second, vec![(rows(&[(2, "y")]), None)])
            .await
            .unwrap();
        if drops {
            stage.patient().drop_table(&table()).await.unwrap();
        } else {
            let storage = stage.patient();
            let storage = storage.storage();
            for name in crate::lake::storage::names(&**storage, &key("raw/things"))
                .await
                .unwrap()
            {
                if name.ends_with(".parquet") {
                    remove(&**storage, &key(&format!("raw/things/{name}")))
                        .await
                        .unwrap();
                }
            }
        }
        let failure = prepared.commit(position(2)).await.unwrap_err();
        assert_eq!(failure.code, "R0410", "{failure:?}");
        let version = stage.patient().version(&table()).await.unwrap();
        assert_eq!(version, (!drops).then_some(0));
    }
}
