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
        let (project, first) = (TestProject::new(), how(object, 1));
        assert_eq!(project.last(&first).await, None);
        assert_eq!(
            project.destination().schema(&first.table()).await.unwrap(),
            None
        );
        project.write(&first, &rows(0..3)).await.unwrap();
        let files = |project: &TestProject| {
            (
                project.names(""),
                if object == "x/" {
                    project.names("x")
                } else {
                    Vec::new()
                },
            )
        };
        let before = files(&project);
        let second = how(object, 2);
        project
            .prepare(&second, &rows(0..9))
            .await
            .unwrap()
            .discard()
            .await
            .unwrap();
        let mut writer = project.begin(&second, rows(0..1).schema()).await.unwrap();
        writer.write(rows(0..5), None).await.unwrap();
        writer.abort().await.unwrap();
        drop(project.begin(&second, rows(0..1).schema()).await.unwrap());
        assert_eq!(files(&project), before, "{object}");
        assert_eq!(project.last(&first).await, Some(1), "{object}");
        let schema = project
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
        let project = TestProject::new();
        project.write(&how(object, 1), &rows(0..3)).await.unwrap();
        let again = project.prepare(&how(object, 1), &rows(0..9)).await.unwrap();
        assert_eq!(again.stats().rows_in, 3, "{object}");
        assert_eq!(
            candidate(again.as_ref(), CandidateRows::AfterCommit)
                .await
                .num_rows(),
            3,
            "{object}"
        );
        let receipt = again
            .commit(Commit {
                audited: false,
                position: position(7),
                ..Commit::default()
            })
            .await
            .unwrap();
        assert!(receipt.adopted, "{object}");
        assert_eq!(receipt.committed.token.position, position(1));
        project.write(&how(object, 2), &rows(0..4)).await.unwrap();
        assert_eq!(project.last(&how(object, 2)).await, Some(2), "{object}");
        let failure = project
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
        let project = TestProject::new();
        project.write(&how(object, 1), &rows(0..3)).await.unwrap();
        let other = How {
            step: "other",
            mode: WriteMode::Append,
            ..how(object, 5)
        };
        project.write(&other, &rows(3..4)).await.unwrap();
        assert_eq!(project.last(&how(object, 1)).await, Some(1), "{object}");
        assert_eq!(project.last(&other).await, Some(5), "{object}");
    }
}

#[tokio::test]
async fn a_file_that_somebody_changed_is_no_commit_of_ours() {
    let (project, first) = (TestProject::new(), how("x.csv", 1));
    project.write(&first, &rows(0..3)).await.unwrap();
    let text = project.text("x.csv");
    // Moved and brought back, touched, restored from elsewhere: still the same bytes.
    std::fs::write(project.path("copy"), &text).unwrap();
    std::fs::rename(project.path("copy"), project.path("x.csv")).unwrap();
    assert_eq!(project.last(&first).await, Some(1));
    // One byte changed, the size kept.
    std::fs::write(project.path("x.csv"), text.replace("row 1", "row 7")).unwrap();
    assert_eq!(project.last(&first).await, None);
    std::fs::remove_file(project.path("x.csv")).unwrap();
    assert_eq!(project.last(&first).await, None);
    project.write(&how("x.csv", 2), &rows(0..1)).await.unwrap();
    assert_eq!(project.last(&first).await, Some(2));
}

#[tokio::test]
async fn two_writers_of_one_file_are_one_too_many() {
    for object in OBJECTS {
        let project = TestProject::new();
        let first = project
            .begin(&how(object, 1), rows(0..1).schema())
            .await
            .unwrap();
        let failure = project
            .begin(&how(object, 1), rows(0..1).schema())
            .await
            .err()
            .unwrap();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0124", Remedy::Retry),
            "{object}"
        );
        project
            .begin(&how("other.csv", 1), rows(0..1).schema())
            .await
            .unwrap();
        first.abort().await.unwrap();
        project
            .begin(&how(object, 1), rows(0..1).schema())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_dead_processes_left_is_removed() {
    let project = TestProject::new();
    std::fs::create_dir(project.path("")).unwrap();
    for name in [
        ".x.csv.3-rows.towpath-tmp",
        ".x.csv.3-note.towpath-tmp",
        ".x.csv.towpath.lock",
        ".x.towpath-tmp",
    ] {
        std::fs::write(project.path(name), "left").unwrap();
    }
    project.write(&how("x.csv", 4), &rows(0..1)).await.unwrap();
    assert_eq!(
        project.names(""),
        [".x.csv.towpath.json", ".x.towpath-tmp", "x.csv"]
    );

    project.write(&how("x/", 1), &rows(0..1)).await.unwrap();
    let orphan = "part-000009-0123abcd.csv";
    std::fs::write(project.path("x").join(orphan), "left").unwrap();
    project
        .write(&append("x/", 2).with("format", json!("csv")), &rows(1..2))
        .await
        .unwrap();
    assert!(!project.names("x").contains(&orphan.to_owned()));
    assert_eq!(project.names("x").len(), 3);
}

#[tokio::test]
async fn mistakes_name_a_way_out() {
    let mut project = TestProject::new();
    let fail = async |project: &TestProject, how: &How| {
        project
            .begin(how, rows(0..1).schema())
            .await
            .err()
            .unwrap()
            .code
    };
    assert_eq!(fail(&project, &replace("x", 1)).await, "R0120");
    assert_eq!(fail(&project, &replace("../x.csv", 1)).await, "R0120");
    assert_eq!(
        fail(
            &project,
            &How {
                mode: WriteMode::Merge,
                ..replace("x.csv", 1)
            }
        )
        .await,
        "R0120"
    );
    std::fs::create_dir_all(project.path("d.csv")).unwrap();
    assert_eq!(fail(&project, &replace("d.csv", 1)).await, "R0120");
    std::fs::write(project.path("f"), "").unwrap();
    assert_eq!(fail(&project, &replace("f/x.csv", 1)).await, "R0123");
    let twice: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let twice = RecordBatch::try_from_iter([("a", Arc::clone(&twice)), ("a", twice)]).unwrap();
    assert_eq!(
        project
            .begin(&replace("x.csv", 1), twice.schema())
            .await
            .err()
            .unwrap()
            .code,
        "R0120"
    );
    project.connection.writable = false;
    assert_eq!(fail(&project, &replace("x.csv", 1)).await, "R0121");
}

#[tokio::test]
async fn notes_of_a_newer_version_are_not_touched() {
    let (project, first) = (TestProject::new(), how("x.csv", 1));
    project.write(&first, &rows(0..3)).await.unwrap();
    let note = project.text(".x.csv.towpath.json");
    std::fs::write(
        project.path(".x.csv.towpath.json"),
        note.replacen("\"version\":2", "\"version\":3", 1),
    )
    .unwrap();
    let failure = project
        .begin(&how("x.csv", 2), rows(0..1).schema())
        .await
        .err()
        .unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0131", Remedy::Refused)
    );
    std::fs::write(project.path(".x.csv.towpath.json"), "{").unwrap();
    let failure = project
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
        let project = TestProject::new();
        project.write(&how(object, 1), &rows(0..3)).await.unwrap();
        let mut intent = how(object, 3).intent(rows(0..1).schema());
        for (after, code) in [(Some(0), Some("R0130")), (Some(1), None), (None, None)] {
            intent.after = after.map(Generation);
            let begun = project.destination().begin(intent.clone()).await;
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
    let project = TestProject::new();
    project.write(&how("x.csv", 1), &rows(0..1)).await.unwrap();
    let prepared = project
        .prepare(&append("x.csv", 2), &rows(1..2))
        .await
        .unwrap();
    std::fs::write(project.path("x.csv"), "n,t\n7,theirs\n").unwrap();
    let failure = prepared
        .commit(Commit {
            audited: false,
            position: position(2),
            ..Commit::default()
        })
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0130", Remedy::Retry)
    );
    project
        .write(&append("x.csv", 2), &rows(1..2))
        .await
        .unwrap();
    assert_eq!(project.text("x.csv"), "n,t\n7,theirs\n1,row 1\n");
}

#[tokio::test]
async fn a_replacement_planned_after_a_look_does_not_take_what_others_changed_since() {
    for object in ["x.csv", "x/"] {
        let (project, first) = (TestProject::new(), how(object, 1));
        project.write(&first, &rows(0..3)).await.unwrap();
        let file = match object.ends_with('/') {
            true => {
                let names = project.names("x");
                let part = names.iter().find(|name| name.starts_with("part-"));
                project.path("x").join(part.unwrap())
            }
            false => project.path(object),
        };
        let destination = project.destination();
        let states = destination.states(&first.task(), &first.table()).await;
        let states = states.unwrap();
        assert_eq!(states.committed, states.now, "{object}");
        let begin = |must_hold: bool| {
            let before = StateBeforeWrite {
                table: states.now.clone(),
                must_hold,
            };
            let mut intent = how(object, 2).intent(rows(0..1).schema());
            before.put(&mut intent.write).unwrap();
            destination.begin(intent)
        };
        // Others add a row while the write goes on.
        let mut writer = begin(true).await.unwrap();
        writer.write(rows(0..1), None).await.unwrap();
        let prepared = writer.prepare().await.unwrap();
        let held = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{held}7,theirs\n")).unwrap();
        let commit = Commit {
            position: position(2),
            ..Commit::default()
        };
        let failure = prepared.commit(commit).await.unwrap_err();
        let told = (failure.code.as_str(), failure.remedy);
        assert_eq!(told, ("R0130", Remedy::Retry), "{object}");
        assert!(std::fs::read_to_string(&file).unwrap().contains("theirs"));
        if object.ends_with('/') {
            let failure = begin(true).await.err().unwrap();
            assert_eq!(failure.code, "R0130", "{object}");
        }
        assert!(begin(false).await.is_ok(), "{object}");
    }
}
