//! Commits of files: tokens that fit their file, the first commit of a generation, two writers, leftovers.

use super::*;
use towpath_vocab::Remedy;

const OBJECTS: [&str; 4] = ["x.csv", "x.jsonl.gz", "x.parquet", "x/"];

fn how(object: &'static str, generation: i64) -> How {
    let how = replace(object, generation);
    if object.ends_with('/') {
        how.with("format", json!("csv"))
    } else {
        how
    }
}

#[tokio::test]
async fn nothing_shows_before_the_commit_and_nothing_stays_after_a_discard() {
    for object in OBJECTS {
        let (house, first) = (House::new(), how(object, 1));
        assert_eq!(house.last(&first).await, None);
        assert_eq!(
            house.destination().schema(&first.table()).await.unwrap(),
            None
        );
        house.write(&first, &rows(0..3)).await.unwrap();
        let files = |house: &House| {
            (
                house.names(""),
                if object == "x/" {
                    house.names("x")
                } else {
                    Vec::new()
                },
            )
        };
        let before = files(&house);
        let second = how(object, 2);
        house
            .prepare(&second, &rows(0..9))
            .await
            .unwrap()
            .discard()
            .await
            .unwrap();
        let mut writer = house.begin(&second, rows(0..1).schema()).await.unwrap();
        writer.write(rows(0..5), None).await.unwrap();
        writer.abort().await.unwrap();
        drop(house.begin(&second, rows(0..1).schema()).await.unwrap());
        assert_eq!(files(&house), before, "{object}");
        assert_eq!(house.last(&first).await, Some(1), "{object}");
        let schema = house
            .destination()
            .schema(&first.table())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(schema.fields().len(), 2);
    }
}

#[tokio::test]
async fn the_first_commit_of_a_generation_wins() {
    for object in OBJECTS {
        let house = House::new();
        house.write(&how(object, 1), &rows(0..3)).await.unwrap();
        let again = house.prepare(&how(object, 1), &rows(0..9)).await.unwrap();
        assert_eq!(again.stats().rows_in, 3, "{object}");
        assert_eq!(
            candidate(again.as_ref(), Scope::Table).await.num_rows(),
            3,
            "{object}"
        );
        let receipt = again
            .commit(Commit {
                audited: false,
                position: position(7),
            })
            .await
            .unwrap();
        assert!(receipt.adopted, "{object}");
        assert_eq!(receipt.committed.token.position, position(1));
        house.write(&how(object, 2), &rows(0..4)).await.unwrap();
        assert_eq!(house.last(&how(object, 2)).await, Some(2), "{object}");
        let failure = house
            .begin(&how(object, 1), rows(0..1).schema())
            .await
            .err()
            .unwrap();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0128", Remedy::Refused)
        );
    }
}

#[tokio::test]
async fn tasks_are_remembered_apart() {
    for object in OBJECTS {
        let house = House::new();
        house.write(&how(object, 1), &rows(0..3)).await.unwrap();
        let other = How {
            step: "other",
            mode: WriteMode::Append,
            ..how(object, 5)
        };
        house.write(&other, &rows(3..4)).await.unwrap();
        assert_eq!(house.last(&how(object, 1)).await, Some(1), "{object}");
        assert_eq!(house.last(&other).await, Some(5), "{object}");
    }
}

#[tokio::test]
async fn a_file_that_somebody_changed_is_no_commit_of_ours() {
    let (house, first) = (House::new(), how("x.csv", 1));
    house.write(&first, &rows(0..3)).await.unwrap();
    let text = house.text("x.csv");
    // Moved and brought back, touched, restored from elsewhere: still the same bytes.
    std::fs::write(house.path("copy"), &text).unwrap();
    std::fs::rename(house.path("copy"), house.path("x.csv")).unwrap();
    assert_eq!(house.last(&first).await, Some(1));
    // One byte changed, the size kept.
    std::fs::write(house.path("x.csv"), text.replace("row 1", "row 7")).unwrap();
    assert_eq!(house.last(&first).await, None);
    std::fs::remove_file(house.path("x.csv")).unwrap();
    assert_eq!(house.last(&first).await, None);
    house.write(&how("x.csv", 2), &rows(0..1)).await.unwrap();
    assert_eq!(house.last(&first).await, Some(2));
}

#[tokio::test]
async fn two_writers_of_one_file_are_one_too_many() {
    for object in OBJECTS {
        let house = House::new();
        let first = house
            .begin(&how(object, 1), rows(0..1).schema())
            .await
            .unwrap();
        let failure = house
            .begin(&how(object, 1), rows(0..1).schema())
            .await
            .err()
            .unwrap();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0124", Remedy::Retry),
            "{object}"
        );
        house
            .begin(&how("other.csv", 1), rows(0..1).schema())
            .await
            .unwrap();
        first.abort().await.unwrap();
        house
            .begin(&how(object, 1), rows(0..1).schema())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_dead_processes_left_is_removed() {
    let house = House::new();
    std::fs::create_dir(house.path("")).unwrap();
    for name in [
        ".x.csv.3-rows.towpath-tmp",
        ".x.csv.3-note.towpath-tmp",
        ".x.csv.towpath.lock",
        ".x.towpath-tmp",
    ] {
        std::fs::write(house.path(name), "left").unwrap();
    }
    house.write(&how("x.csv", 4), &rows(0..1)).await.unwrap();
    assert_eq!(
        house.names(""),
        [".x.csv.towpath.json", ".x.towpath-tmp", "x.csv"]
    );

    house.write(&how("x/", 1), &rows(0..1)).await.unwrap();
    let orphan = "part-000009-0123abcd.csv";
    std::fs::write(house.path("x").join(orphan), "left").unwrap();
    house
        .write(&append("x/", 2).with("format", json!("csv")), &rows(1..2))
        .await
        .unwrap();
    assert!(!house.names("x").contains(&orphan.to_owned()));
    assert_eq!(house.names("x").len(), 3);
}

#[tokio::test]
async fn mistakes_name_a_way_out() {
    let mut house = House::new();
    let fail = async |house: &House, how: &How| {
        house
            .begin(how, rows(0..1).schema())
            .await
            .err()
            .unwrap()
            .code
    };
    assert_eq!(fail(&house, &replace("x", 1)).await, "R0120");
    assert_eq!(fail(&house, &replace("../x.csv", 1)).await, "R0120");
    assert_eq!(
        fail(
            &house,
            &How {
                mode: WriteMode::Merge,
                ..replace("x.csv", 1)
            }
        )
        .await,
        "R0120"
    );
    std::fs::create_dir_all(house.path("d.csv")).unwrap();
    assert_eq!(fail(&house, &replace("d.csv", 1)).await, "R0120");
    std::fs::write(house.path("f"), "").unwrap();
    assert_eq!(fail(&house, &replace("f/x.csv", 1)).await, "R0123");
    let twice: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let twice = RecordBatch::try_from_iter([("a", Arc::clone(&twice)), ("a", twice)]).unwrap();
    assert_eq!(
        house
            .begin(&replace("x.csv", 1), twice.schema())
            .await
            .err()
            .unwrap()
            .code,
        "R0120"
    );
    house.connection.writable = false;
    assert_eq!(fail(&house, &replace("x.csv", 1)).await, "R0121");
}

#[tokio::test]
async fn notes_of_a_newer_version_are_not_touched() {
    let (house, first) = (House::new(), how("x.csv", 1));
    house.write(&first, &rows(0..3)).await.unwrap();
    let note = house.text(".x.csv.towpath.json");
    std::fs::write(
        house.path(".x.csv.towpath.json"),
        note.replace("\"version\":1", "\"version\":2"),
    )
    .unwrap();
    let failure = house
        .begin(&how("x.csv", 2), rows(0..1).schema())
        .await
        .err()
        .unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0127", Remedy::Refused)
    );
    std::fs::write(house.path(".x.csv.towpath.json"), "{").unwrap();
    let failure = house
        .destination()
        .last(&first.task(), &first.table())
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0127", Remedy::FixData)
    );
}

#[tokio::test]
async fn rows_read_after_another_commit_are_read_again() {
    for object in OBJECTS {
        let house = House::new();
        house.write(&how(object, 1), &rows(0..3)).await.unwrap();
        let mut intent = how(object, 3).intent(rows(0..1).schema());
        for (after, code) in [(Some(0), Some("R0130")), (Some(1), None), (None, None)] {
            intent.after = after.map(Generation);
            let begun = house.destination().begin(intent.clone()).await;
            assert_eq!(
                begun.err().map(|failure| failure.code),
                code.map(str::to_owned),
                "{object} {after:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_change_of_others_does_not_vanish_in_an_append() {
    let house = House::new();
    house.write(&how("x.csv", 1), &rows(0..1)).await.unwrap();
    let prepared = house
        .prepare(&append("x.csv", 2), &rows(1..2))
        .await
        .unwrap();
    std::fs::write(house.path("x.csv"), "n,t\n7,theirs\n").unwrap();
    let failure = prepared
        .commit(Commit {
            audited: false,
            position: position(2),
        })
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0130", Remedy::Retry)
    );
    house.write(&append("x.csv", 2), &rows(1..2)).await.unwrap();
    assert_eq!(house.text("x.csv"), "n,t\n7,theirs\n1,row 1\n");
}
