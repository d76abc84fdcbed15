//! Checkpoints that are torn: a table opens without them, or it is said what to do.

use towpath_vocab::Remedy;

use super::*;

const CHECKPOINT: &str = "raw/things/_delta_log/00000000000000000009.checkpoint.parquet";

async fn twelve_versions(f: &Fixture) {
    for generation in 1..=12 {
        let intent = intent(WriteMode::Append, schema(), generation);
        load(&f.lake, intent, rows(&[(generation, "a")]))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_torn_checkpoint_costs_nothing_while_the_log_is_whole() {
    for keep in [0, 7, 900] {
        let f = Fixture::new();
        twelve_versions(&f).await;
        let path = root(&f.lake).join(CHECKPOINT);
        let whole = std::fs::read(&path).unwrap();
        assert!(
            root(&f.lake)
                .join("raw/things/_delta_log/_last_checkpoint")
                .exists()
        );
        std::fs::write(&path, &whole[..keep]).unwrap();
        assert_eq!(held(&f.reopened()).await.len(), 12, "{keep} bytes");
        let intent = intent(WriteMode::Append, schema(), 13);
        load(&f.reopened(), intent, rows(&[(13, "a")]))
            .await
            .unwrap();
        assert_eq!(held(&f.reopened()).await.len(), 13);
        assert_eq!(f.reopened().version(&table()).await.unwrap(), Some(12));
    }
}

#[tokio::test]
async fn a_torn_checkpoint_the_log_needs_is_told() {
    let f = Fixture::new();
    twelve_versions(&f).await;
    let path = root(&f.lake).join(CHECKPOINT);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    std::fs::remove_file(root(&f.lake).join("raw/things/_delta_log/00000000000000000003.json"))
        .unwrap();
    let failure = f.reopened().version(&table()).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0426", Remedy::Refused)
    );
    assert!(failure.message.contains("checkpoint.parquet"), "{failure}");
    assert!(
        failure.help.iter().any(|line| line.contains("backup")),
        "{:?}",
        failure.help
    );
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(held(&f.reopened()).await.len(), 12, "the backup is back");
}

#[tokio::test]
async fn a_checkpoint_that_is_gone_costs_nothing_while_the_log_is_whole() {
    let pointer = "raw/things/_delta_log/_last_checkpoint";
    let spoils: [fn(&std::path::Path, &std::path::Path); 4] = [
        |checkpoint, _| std::fs::remove_file(checkpoint).unwrap(),
        |checkpoint, pointer| {
            std::fs::remove_file(checkpoint).unwrap();
            std::fs::write(pointer, "{").unwrap();
        },
        |_, pointer| std::fs::write(pointer, "{\"version\":11,\"size\":3}").unwrap(),
        |_, pointer| std::fs::write(pointer, "").unwrap(),
    ];
    for (at, spoil) in spoils.into_iter().enumerate() {
        let f = Fixture::new();
        twelve_versions(&f).await;
        spoil(
            &root(&f.lake).join(CHECKPOINT),
            &root(&f.lake).join(pointer),
        );
        assert_eq!(held(&f.reopened()).await.len(), 12, "{at}");
        let intent = intent(WriteMode::Merge, schema(), 13);
        load(&f.reopened(), intent, rows(&[(13, "a"), (12, "b")]))
            .await
            .unwrap();
        assert_eq!(held(&f.reopened()).await.len(), 13, "{at}");
        assert_eq!(f.reopened().version(&table()).await.unwrap(), Some(12));
        let found = f.reopened().verify(&table(), true).await.unwrap();
        assert_eq!(
            (found.damaged.len(), found.without_checksums),
            (0, 0),
            "{at}"
        );
    }
}

#[tokio::test]
async fn an_earlier_checkpoint_serves_when_the_newest_is_gone() {
    let f = Fixture::new();
    for generation in 1..=22 {
        let intent = intent(WriteMode::Append, schema(), generation);
        load(&f.lake, intent, rows(&[(generation, "a")]))
            .await
            .unwrap();
    }
    let log = root(&f.lake).join("raw/things/_delta_log");
    std::fs::remove_file(log.join("00000000000000000019.checkpoint.parquet")).unwrap();
    for version in 0..=9 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    assert_eq!(held(&f.reopened()).await.len(), 22);
    std::fs::write(log.join("_last_checkpoint"), "{\"version\":19,\"size\":22}").unwrap();
    std::fs::remove_file(log.join("00000000000000000014.json")).unwrap();
    let failure = f.reopened().version(&table()).await.unwrap_err();
    assert_eq!(failure.code, "R0431", "{failure}");
    for part in [
        "00000000000000000019.checkpoint.parquet",
        "the entry of version 14",
    ] {
        assert!(failure.message.contains(part), "{failure}");
    }
    let way = "at_version('raw.things', 13)";
    assert!(
        failure.help.iter().any(|help| help.contains(way)),
        "{failure:?}"
    );
}

#[tokio::test]
async fn nothing_half_named_stays_beside_a_checkpoint() {
    let f = Fixture::new();
    twelve_versions(&f).await;
    let names: Vec<String> = std::fs::read_dir(root(&f.lake).join("raw/things/_delta_log"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert_eq!(names, Vec::<String>::new());
}

/// As a program leaves a log that is killed after it has renamed a torn checkpoint.
fn renamed_but_pointed_to(log: &std::path::Path, version: u64) {
    let torn = format!("{version:020}.checkpoint.parquet");
    let whole = std::fs::read(log.join(&torn)).unwrap();
    std::fs::write(log.join(&torn), &whole[..whole.len() / 2]).unwrap();
    std::fs::rename(log.join(&torn), log.join(format!("{torn}.torn"))).unwrap();
    assert!(log.join("_last_checkpoint").exists());
}

#[tokio::test]
async fn a_checkpoint_that_was_renamed_before_a_kill_costs_nothing() {
    let f = Fixture::new();
    twelve_versions(&f).await;
    let log = root(&f.lake).join("raw/things/_delta_log");
    renamed_but_pointed_to(&log, 9);
    assert_eq!(held(&f.reopened()).await.len(), 12);
    assert!(!log.join("_last_checkpoint").exists());
    let intent = intent(WriteMode::Append, schema(), 13);
    load(&f.reopened(), intent, rows(&[(13, "a")]))
        .await
        .unwrap();
    assert_eq!(held(&f.reopened()).await.len(), 13);
}

#[tokio::test]
async fn some_parts_of_a_checkpoint_are_not_one_to_read() {
    let f = Fixture::new();
    twelve_versions(&f).await;
    let log = root(&f.lake).join("raw/things/_delta_log");
    let part = log.join("00000000000000000009.checkpoint.0000000001.0000000002.parquet");
    std::fs::rename(root(&f.lake).join(CHECKPOINT), part).unwrap();
    assert_eq!(held(&f.reopened()).await.len(), 12);
}

#[tokio::test]
async fn a_renamed_checkpoint_is_no_base_of_a_damaged_log() {
    let f = Fixture::new();
    twelve_versions(&f).await;
    let log = root(&f.lake).join("raw/things/_delta_log");
    renamed_but_pointed_to(&log, 9);
    std::fs::write(log.join("00000000000000000003.json"), "{\"add\":").unwrap();
    let failure = f.reopened().version(&table()).await.unwrap_err();
    assert_eq!(failure.code, "R0431", "{failure}");
    let named = "00000000000000000003.json` of version 3";
    assert!(failure.message.contains(named), "{failure}");
}

#[tokio::test]
async fn every_version_is_verified_from_a_checkpoint_that_can_be_read() {
    let f = Fixture::new();
    for generation in 1..=22 {
        let intent = intent(WriteMode::Append, schema(), generation);
        load(&f.lake, intent, rows(&[(generation, "a")]))
            .await
            .unwrap();
    }
    let log = root(&f.lake).join("raw/things/_delta_log");
    renamed_but_pointed_to(&log, 9);
    for version in 0..=9 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let found = f.reopened().verify(&table(), true).await.unwrap();
    assert_eq!((found.oldest, found.damaged.len()), (19, 0));
}
