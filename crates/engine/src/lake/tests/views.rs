//! A table that becomes a view and back: at each moment one of them is in sight.

use super::*;

async fn seen(lake: &Lake) -> (Option<u64>, bool) {
    (
        lake.version(&table()).await.unwrap(),
        lake.view(&table()).await.unwrap().is_some(),
    )
}

#[tokio::test]
async fn a_view_takes_a_tables_place_in_one_step_and_gives_it_back() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Replace, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    assert_eq!(
        f.lake
            .put_view(&table(), "select 1")
            .await
            .unwrap_err()
            .code,
        "R0423"
    );
    assert_eq!(f.lake.put_view_over(&table(), "select 1").await.unwrap(), 1);
    assert_eq!(seen(&f.reopened()).await, (None, true));
    assert!(!root(&f.lake).join("raw/things").exists());
    assert_eq!(f.lake.put_view_over(&table(), "select 1").await.unwrap(), 1);
    assert_eq!(f.lake.put_view(&table(), "select 2").await.unwrap(), 2);
    load(
        &f.lake,
        intent(WriteMode::Replace, schema(), 2),
        rows(&[(2, "b")]),
    )
    .await
    .unwrap();
    assert_eq!(seen(&f.reopened()).await, (Some(0), false));
    assert_eq!(held(&f.lake).await, owned(&[(2, "b")]));
}

/// What a kill between the view and the end of the table leaves.
async fn half_way(f: &Fixture) -> std::path::PathBuf {
    load(
        &f.lake,
        intent(WriteMode::Replace, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let home = root(&f.lake).join("raw/things");
    let kept = root(&f.lake).join("raw/kept");
    let copied = std::process::Command::new("cp")
        .args(["-a".as_ref(), home.as_os_str(), kept.as_os_str()])
        .status()
        .unwrap();
    assert!(copied.success());
    f.lake.put_view_over(&table(), "select 1").await.unwrap();
    std::fs::rename(kept, &home).unwrap();
    home
}

#[tokio::test]
async fn a_kill_between_leaves_the_view_in_sight_and_the_next_step_finishes() {
    let f = Fixture::new();
    let home = half_way(&f).await;
    let lake = f.reopened();
    assert_eq!(seen(&lake).await, (None, true));
    assert!(!lake.tables().await.unwrap().contains(&table()));
    assert_eq!(lake.last(&task("extract"), &table()).await.unwrap(), None);
    lake.put_view_over(&table(), "select 1").await.unwrap();
    assert!(!home.exists());
    assert_eq!(seen(&f.reopened()).await, (None, true));
}

#[tokio::test]
async fn a_table_made_after_a_kill_between_is_seen_with_its_first_commit() {
    let f = Fixture::new();
    half_way(&f).await;
    let lake = f.reopened();
    let prepared = prepare(
        &lake,
        intent(WriteMode::Replace, schema(), 2),
        vec![(rows(&[(2, "new")]), None)],
    )
    .await
    .unwrap();
    assert_eq!(seen(&f.reopened()).await, (None, true));
    prepared.commit(position(2)).await.unwrap();
    assert_eq!(seen(&f.reopened()).await, (Some(0), false));
    assert_eq!(held(&f.reopened()).await, owned(&[(2, "new")]));
}
