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
