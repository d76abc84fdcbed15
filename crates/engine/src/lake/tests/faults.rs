//! A lakehouse in an object store whose calls fail: every call of a write once, before it did anything,
//! after it was done with the answer lost, and with all calls behind it. Nothing is lost, nothing
//! doubled, and what a failed try left is gone after the next one.

use std::time::Duration;

use object_store::memory::InMemory;
use towpath_vocab::{Token, WriteMode};
use url::Url;

use super::*;
use crate::lake::storage::{Bucket, Fault, FaultyObjects};

const FAULTS: [Fault; 5] = [
    Fault::Before,
    Fault::After,
    Fault::Down,
    Fault::Repeated,
    Fault::Late,
];

/// A lakehouse whose holders of leases are dead at once: the tests write one after the other.
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

    /// The lakehouse as another process would see it.
    fn lake(&self) -> Lake {
        let url = Url::parse("memory://lake/").unwrap();
        let bucket = Bucket::over(Arc::clone(&self.faulty) as _, url).dead_after(Duration::ZERO);
        Lake::over(Arc::new(bucket), MEMORY)
    }

    async fn visible(&self) -> Option<Vec<(i64, String)>> {
        let lake = self.lake();
        lake.version(&table()).await.unwrap()?;
        Some(held(&lake).await)
    }

    /// Nothing is left that no version names.
    async fn is_clean(&self, what: &str) {
        let lake = self.lake();
        assert_eq!(lake.writers(&table()).await.unwrap(), 0, "{what}");
        let swept = lake.sweep(&table(), Duration::ZERO, true).await.unwrap();
        assert!(swept.files.is_empty(), "{what}: {:?}", swept.files);
    }
}

#[tokio::test]
async fn a_write_whose_storage_fails_anywhere_loses_and_doubles_nothing() {
    let modes = [
        WriteMode::Append,
        WriteMode::Replace,
        WriteMode::Merge,
        WriteMode::Scd2,
    ];
    for mode in modes {
        for fresh in [true, false] {
            for fault in FAULTS {
                for lands_at_once in [true, false] {
                    let mut at = 0;
                    while write_with(mode, (fresh, lands_at_once), fault, at).await {
                        at += 1;
                    }
                    assert!(at > 10, "the faults reached the write: {at}");
                    if fault != Fault::Late {
                        break;
                    }
                }
            }
        }
    }
}

/// One write with a fault at one call; false when it needs fewer calls.
async fn write_with(
    mode: WriteMode,
    (fresh, lands_at_once): (bool, bool),
    fault: Fault,
    at: u64,
) -> bool {
    let what = format!("{mode:?} fresh={fresh} {fault:?} at once={lands_at_once} at call {at}");
    let stage = Stage::new();
    let mut expected = owned(&[(2, "new"), (3, "new")]);
    let generation = if fresh { 1 } else { 2 };
    if !fresh {
        let first = rows(&[(1, "old"), (2, "old")]);
        load(&stage.lake(), intent(mode, schema(), 1), first)
            .await
            .unwrap();
        match mode {
            WriteMode::Replace => {}
            WriteMode::Merge => expected.insert(0, (1, "old".to_owned())),
            _ => expected
                .splice(0..0, owned(&[(1, "old"), (2, "old")]))
                .for_each(drop),
        }
    }
    let before = stage.visible().await;
    let write = || intent(mode, schema(), generation);
    let new = || rows(&[(2, "new"), (3, "new")]);
    let lake = stage.lake();
    stage.faulty.reset(Some((at, fault)));
    let first = load(&lake, write(), new()).await;
    let reached = stage.faulty.calls() > at;
    stage.faulty.reset(None);
    drop(lake);
    if lands_at_once {
        stage.faulty.land().await;
    }
    let mut seen = stage.visible().await;
    if let Some(seen) = &mut seen {
        seen.sort();
    }
    let mut sorted = before.clone();
    if let Some(sorted) = &mut sorted {
        sorted.sort();
    }
    expected.sort();
    match first {
        Ok(_) => assert_eq!(seen.as_ref(), Some(&expected), "{what}"),
        Err(_) => assert!(
            seen == sorted || seen.as_ref() == Some(&expected),
            "{what}: {seen:?}"
        ),
    }
    let lake = stage.lake();
    let receipt = load(&lake, write(), new())
        .await
        .unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
    let mut after = held(&lake).await;
    after.sort();
    assert_eq!(after, expected, "{what}");
    assert_eq!(
        lake.version(&table()).await.unwrap(),
        Some(generation as u64 - 1),
        "{what}"
    );
    assert_eq!(
        lake.last(&task("extract"), &table()).await.unwrap(),
        Some(receipt.committed),
        "{what}"
    );
    if fault == Fault::Late && !lands_at_once {
        stage.faulty.land().await;
        let mut after = held(&stage.lake()).await;
        after.sort();
        assert_eq!(after, expected, "{what}: landed");
        // A data file that landed late waits for the next vacuum.
        return reached;
    }
    stage.is_clean(&what).await;
    reached
}

/// What a command does to a table, and what is visible when it is done.
#[derive(Clone, Copy, Debug)]
enum Maintenance {
    Compact,
    Restore,
    Drop,
    View,
}

#[tokio::test]
async fn care_whose_storage_fails_anywhere_can_be_repeated() {
    for maintenance in [
        Maintenance::Compact,
        Maintenance::Restore,
        Maintenance::Drop,
        Maintenance::View,
    ] {
        for fault in FAULTS {
            let mut at = 0;
            while maintenance_with(maintenance, fault, at).await {
                at += 1;
            }
            assert!(at > 5, "the faults reached {maintenance:?}: {at}");
        }
    }
}

async fn maintenance_with(maintenance: Maintenance, fault: Fault, at: u64) -> bool {
    let what = format!("{maintenance:?} {fault:?} at call {at}");
    let stage = Stage::new();
    for generation in 1..=3 {
        let row = rows(&[(generation, "x")]);
        let intent = intent(WriteMode::Append, schema(), generation);
        load(&stage.lake(), intent, row).await.unwrap();
    }
    let all = owned(&[(1, "x"), (2, "x"), (3, "x")]);
    let expected = match maintenance {
        Maintenance::Compact => Some(all.clone()),
        Maintenance::Restore => Some(owned(&[(1, "x")])),
        Maintenance::Drop | Maintenance::View => None,
    };
    let lake = stage.lake();
    stage.faulty.reset(Some((at, fault)));
    let first = maintain(&lake, maintenance).await;
    let reached = stage.faulty.calls() > at;
    stage.faulty.reset(None);
    drop(lake);
    stage.faulty.land().await;
    let sorted = |seen: Option<Vec<(i64, String)>>| {
        seen.map(|mut seen| {
            seen.sort();
            seen
        })
    };
    let seen = sorted(stage.visible().await);
    match first {
        Ok(()) => assert_eq!(seen, expected, "{what}"),
        Err(_) => assert!(
            seen == expected || seen.as_ref() == Some(&all),
            "{what}: {seen:?}"
        ),
    }
    if seen != expected || !matches!(maintenance, Maintenance::Restore) {
        maintain(&stage.lake(), maintenance)
            .await
            .unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
    }
    assert_eq!(sorted(stage.visible().await), expected, "{what}");
    if expected.is_some() {
        stage.is_clean(&what).await;
    } else {
        stage.lake().clear_up().await;
        let left = stage.lake().data_keys().await;
        assert!(left.is_empty(), "{what}: {left:?}");
        let fresh = intent(WriteMode::Append, schema(), 9);
        load(&stage.lake(), fresh, rows(&[(9, "new")]))
            .await
            .unwrap();
        assert_eq!(stage.visible().await, Some(owned(&[(9, "new")])), "{what}");
    }
    reached
}

impl Lake {
    /// Objects below the table.
    async fn data_keys(&self) -> Vec<String> {
        let objects = self.storage().objects();
        let prefix = crate::lake::storage::key("raw/things");
        let listed: Vec<_> = objects.list(Some(&prefix)).try_collect().await.unwrap();
        listed
            .iter()
            .map(|object| object.location.to_string())
            .collect()
    }
}

async fn maintain(lake: &Lake, maintenance: Maintenance) -> Result<(), Failure> {
    match maintenance {
        Maintenance::Compact => lake.compact(&table(), "r#1").await.map(drop),
        Maintenance::Restore => {
            let carried = Token::of(task("extract"), Generation(4));
            lake.restore(&table(), 0, vec![carried], "r#1")
                .await
                .map(drop)
        }
        Maintenance::Drop => lake.drop_table(&table()).await.map(drop),
        Maintenance::View => lake.put_view_over(&table(), "select 1").await.map(drop),
    }
}
