//! Commits of the lake: generations, races, deaths at every edge, conflicts.

use std::collections::BTreeMap;
use std::time::Duration;

use towpath_vocab::{Remedy, WriteMode};

use super::*;

#[tokio::test]
async fn version_zero_is_one_commit_with_data_and_token() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let log = std::fs::read_to_string(
        root(&f.lake).join("raw/things/_delta_log/00000000000000000000.json"),
    )
    .unwrap();
    for action in ["commitInfo", "protocol", "metaData", "add", "txn"] {
        assert!(
            log.lines()
                .any(|line| line.starts_with(&format!("{{\"{action}\""))),
            "{action} in {log}"
        );
    }
    let entry = &f.lake.history(&table(), 10).await.unwrap()[0];
    assert_eq!(entry.run.as_deref(), Some("shop#1"));
    assert_eq!(entry.task, Some((task("extract").app_id(), 1)));
    assert!(entry.engine.as_deref().unwrap().starts_with("Towpath/"));
}

#[tokio::test]
async fn a_retry_of_a_committed_generation_adopts_it() {
    let f = Fixture::new();
    let first = load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let again = load(
        &f.reopened(),
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    assert!(again.adopted);
    assert_eq!(again.committed, first.committed);
    assert_eq!(
        (held(&f.lake).await, data_files(&f.lake)),
        (owned(&[(1, "a")]), 1)
    );
}

#[tokio::test]
async fn of_two_writers_of_one_generation_one_is_visible() {
    let f = Fixture::new();
    for generation in 1..=6 {
        let mode = if generation % 2 == 0 {
            WriteMode::Append
        } else {
            WriteMode::Merge
        };
        let a = prepare(
            &f.lake,
            intent(mode, schema(), generation),
            vec![(rows(&[(generation, "a")]), None)],
        )
        .await
        .unwrap();
        let b = prepare(
            &f.reopened(),
            intent(mode, schema(), generation),
            vec![(rows(&[(generation, "b")]), None)],
        )
        .await
        .unwrap();
        let (a, b) = tokio::join!(a.commit(position(10)), b.commit(position(20)));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_ne!(a.adopted, b.adopted);
        assert_eq!(a.committed, b.committed);
        let visible = held(&f.lake).await;
        let (winner, at) = if a.adopted { ("b", 20) } else { ("a", 10) };
        assert_eq!(
            visible
                .iter()
                .filter(|(id, _)| *id == generation)
                .map(|(_, name)| name.as_str())
                .collect::<Vec<_>>(),
            [winner]
        );
        assert_eq!(
            f.reopened()
                .last(&task("extract"), &table())
                .await
                .unwrap()
                .unwrap()
                .token
                .position,
            position(at).position
        );
    }
}

#[tokio::test]
async fn appends_of_other_tasks_do_not_disturb_and_merges_ask_for_a_retry() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let other = || WriteRequest {
        after: None,
        task: task("other"),
        ..intent(WriteMode::Append, schema(), 1)
    };
    let append = prepare(
        &f.lake,
        intent(WriteMode::Append, schema(), 2),
        vec![(rows(&[(2, "b")]), None)],
    )
    .await
    .unwrap();
    load(&f.reopened(), other(), rows(&[(50, "other")]))
        .await
        .unwrap();
    append.commit(position(2)).await.unwrap();
    assert_eq!(
        held(&f.lake).await,
        owned(&[(1, "a"), (2, "b"), (50, "other")])
    );

    let merge = prepare(
        &f.lake,
        intent(WriteMode::Merge, schema(), 3),
        vec![(rows(&[(1, "A")]), None)],
    )
    .await
    .unwrap();
    load(
        &f.reopened(),
        WriteRequest {
            after: None,
            generation: Generation(2),
            ..other()
        },
        rows(&[(51, "other")]),
    )
    .await
    .unwrap();
    let files = data_files(&f.lake);
    let failure = merge.commit(position(3)).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0410", Remedy::Retry)
    );
    assert!(data_files(&f.lake) < files, "its files are gone");
    load(
        &f.lake,
        intent(WriteMode::Merge, schema(), 3),
        rows(&[(1, "A")]),
    )
    .await
    .unwrap();
    assert_eq!(
        held(&f.lake).await,
        owned(&[(1, "A"), (2, "b"), (50, "other"), (51, "other")])
    );

    let replace = prepare(
        &f.lake,
        intent(WriteMode::Replace, schema(), 4),
        vec![(rows(&[(9, "z")]), None)],
    )
    .await
    .unwrap();
    load(
        &f.reopened(),
        WriteRequest {
            after: None,
            generation: Generation(3),
            ..other()
        },
        rows(&[(52, "other")]),
    )
    .await
    .unwrap();
    replace.commit(position(4)).await.unwrap();
    assert_eq!(
        held(&f.lake).await,
        owned(&[(9, "z")]),
        "a replacement replaces what is there at its commit"
    );
}

#[tokio::test]
async fn what_a_killed_writer_leaves_is_invisible_and_swept() {
    let f = Fixture::new();
    let mut writer = f
        .lake
        .begin(intent(WriteMode::Append, schema(), 1))
        .await
        .unwrap();
    writer.write(rows(&[(1, "lost")]), None).await.unwrap();
    drop(writer);
    let prepared = prepare(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        vec![(rows(&[(1, "lost")]), None)],
    )
    .await
    .unwrap();
    drop(prepared);
    assert_eq!(f.reopened().version(&table()).await.unwrap(), None);
    assert_eq!(f.reopened().tables().await.unwrap(), []);

    load(
        &f.reopened(),
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "kept")]),
    )
    .await
    .unwrap();
    assert_eq!(held(&f.lake).await, owned(&[(1, "kept")]));
    assert_eq!(data_files(&f.lake), 1, "what is known to be dead is gone");
    // What another program left is nobody's: only its age tells.
    let foreign = root(&f.lake).join("raw/things/part-00000-x-c000.parquet");
    std::fs::write(&foreign, "unfinished").unwrap();
    load(
        &f.reopened(),
        intent(WriteMode::Append, schema(), 2),
        rows(&[]),
    )
    .await
    .unwrap();
    assert!(foreign.exists());
    assert_eq!(
        f.lake
            .sweep(&table(), Duration::from_secs(3600), false)
            .await
            .unwrap()
            .files
            .len(),
        0,
        "young files stay"
    );
    assert_eq!(
        f.lake
            .sweep(&table(), Duration::ZERO, true)
            .await
            .unwrap()
            .files
            .len(),
        1
    );
    assert!(foreign.exists());
    f.lake.sweep(&table(), Duration::ZERO, false).await.unwrap();
    assert!(!foreign.exists());
    assert_eq!(
        (data_files(&f.lake), held(&f.reopened()).await),
        (1, owned(&[(1, "kept")]))
    );
}

#[tokio::test]
async fn a_commit_whose_position_was_not_settled_is_still_read() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let folder = root(&f.lake)
        .join("raw/things/_towpath")
        .join(task("extract").app_id());
    let settled = folder.join("1.json");
    let winner: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&settled).unwrap()).unwrap();
    // A kill between log entry and rename, beside an older attempt that never won.
    let mut lost = winner.clone();
    lost["attempt"] = "lost".into();
    lost["token"]["position"]["file"]["order"] = 999.into();
    std::fs::rename(
        &settled,
        folder.join(format!("1.{}.json", winner["attempt"].as_str().unwrap())),
    )
    .unwrap();
    std::fs::write(
        folder.join("1.lost.json"),
        serde_json::to_vec(&lost).unwrap(),
    )
    .unwrap();
    let last = f
        .reopened()
        .last(&task("extract"), &table())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(last.token.position, position(1).position);
    assert!(settled.exists());
    std::fs::remove_dir_all(&folder).unwrap();
    let failure = f
        .reopened()
        .last(&task("extract"), &table())
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R0412");
}

#[tokio::test]
async fn a_position_of_a_newer_version_is_refused() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let path = root(&f.lake)
        .join("raw/things/_towpath")
        .join(task("extract").app_id())
        .join("1.json");
    let text =
        std::fs::read_to_string(&path)
            .unwrap()
            .replacen("\"version\": 2", "\"version\": 7", 1);
    std::fs::write(&path, text).unwrap();
    let failure = f.lake.last(&task("extract"), &table()).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0413", Remedy::Refused)
    );
}

#[tokio::test]
async fn checkpoints_come_every_ten_commits_and_change_nothing() {
    let f = Fixture::new();
    for generation in 1..=12 {
        load(
            &f.lake,
            intent(WriteMode::Append, schema(), generation),
            rows(&[(generation, "a")]),
        )
        .await
        .unwrap();
    }
    let log = root(&f.lake).join("raw/things/_delta_log");
    let names: Vec<String> = std::fs::read_dir(log)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        names
            .iter()
            .any(|name| name.ends_with(".checkpoint.parquet")),
        "{names:?}"
    );
    assert_eq!(held(&f.reopened()).await.len(), 12);
    assert_eq!(
        f.reopened()
            .last(&task("extract"), &table())
            .await
            .unwrap()
            .unwrap()
            .token
            .generation,
        Generation(12)
    );
    assert_eq!(f.lake.history(&table(), 3).await.unwrap().len(), 3);
}

#[tokio::test]
async fn views_have_versions_and_do_not_hide_tables() {
    let f = Fixture::new();
    let name = TableName::new("staging", "Größe v");
    assert_eq!(f.lake.put_view(&name, "select 1").await.unwrap(), 1);
    assert_eq!(f.lake.put_view(&name, "select 1").await.unwrap(), 1);
    assert_eq!(f.lake.put_view(&name, "select 2").await.unwrap(), 2);
    assert_eq!(
        f.reopened().view(&name).await.unwrap().unwrap().sql,
        "select 2"
    );
    assert_eq!(f.lake.views().await.unwrap().len(), 1);
    f.lake.put_view(&table(), "select 3").await.unwrap();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    assert_eq!(
        f.lake.view(&table()).await.unwrap(),
        None,
        "the table took the view's place"
    );
    let failure = f.lake.put_view(&table(), "select 1").await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0423", Remedy::Refused)
    );
    assert!(f.lake.drop_view(&name).await.unwrap());
    assert_eq!(f.lake.view(&name).await.unwrap(), None);
    assert_eq!(f.lake.tables().await.unwrap(), [table()]);
}

#[test]
fn other_stores_are_named_as_such() {
    for location in ["s3://key:secret@bucket/lake", "ftp://key:secret@host/lake"] {
        let failure = Lake::open_with(location, &BTreeMap::new(), MEMORY);
        let failure = failure.err().unwrap();
        assert_eq!(failure.code, "R0415", "{location}");
        assert!(!failure.message.contains("secret"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_append_to_one_table_at_once_and_none_is_lost() {
    let f = Fixture::new();
    let mut writers = tokio::task::JoinSet::new();
    for step in 0..6i64 {
        let lake = if step % 2 == 0 {
            f.lake.clone()
        } else {
            f.reopened()
        };
        writers.spawn(async move {
            for generation in 1..=4 {
                loop {
                    let intent = WriteRequest {
                        after: None,
                        task: task(&format!("s{step}")),
                        ..intent(WriteMode::Append, schema(), generation)
                    };
                    match load(&lake, intent, rows(&[(step * 100 + generation, "x")])).await {
                        Ok(receipt) => break assert!(!receipt.adopted),
                        Err(failure) => assert_eq!(failure.remedy, Remedy::Retry, "{failure}"),
                    }
                }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(held(&f.reopened()).await.len(), 24);
    assert_eq!(f.lake.version(&table()).await.unwrap(), Some(23));
    for step in 0..6 {
        assert_eq!(
            f.lake
                .last(&task(&format!("s{step}")), &table())
                .await
                .unwrap()
                .unwrap()
                .token
                .generation,
            Generation(4)
        );
    }
}

#[tokio::test]
async fn an_unchanged_replacement_leaves_the_columns_alone() {
    let f = Fixture::new();
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new(
            "t",
            DataType::Time64(arrow_schema::TimeUnit::Microsecond),
            true,
        ),
        Field::new(
            "l",
            DataType::List(Arc::new(Field::new("item", DataType::Int32, false))),
            true,
        ),
    ];
    let schema = Arc::new(Schema::new(fields));
    for generation in 1..=2 {
        load(
            &f.lake,
            intent(WriteMode::Replace, Arc::clone(&schema), generation),
            RecordBatch::new_empty(Arc::clone(&schema)),
        )
        .await
        .unwrap();
    }
    let log = std::fs::read_to_string(
        root(&f.lake).join("raw/things/_delta_log/00000000000000000001.json"),
    )
    .unwrap();
    assert!(
        !log.contains("\"metaData\"") && !log.contains("\"protocol\""),
        "{log}"
    );
}

#[tokio::test]
async fn older_versions_can_be_read_and_tables_dropped() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Replace, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    load(
        &f.lake,
        intent(WriteMode::Replace, schema(), 2),
        rows(&[(1, "b"), (2, "c")]),
    )
    .await
    .unwrap();
    assert_eq!(
        f.lake.snapshot_at(&table(), 0).await.unwrap().rows(),
        Some(1)
    );
    assert_eq!(
        f.lake.snapshot_at(&table(), 9).await.unwrap_err().message,
        "the lakehouse has no version `9` of `raw.things`"
    );
    assert!(f.lake.drop_table(&table()).await.unwrap());
    assert!(!f.lake.drop_table(&table()).await.unwrap());
    assert_eq!(f.lake.version(&table()).await.unwrap(), None);
    load(
        &f.lake,
        intent(WriteMode::Replace, schema(), 3),
        rows(&[(9, "z")]),
    )
    .await
    .unwrap();
    assert_eq!(held(&f.lake).await, owned(&[(9, "z")]));
}

#[tokio::test]
async fn tables_with_rules_of_others_are_refused_by_name() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let entry = root(&f.lake).join("raw/things/_delta_log/00000000000000000000.json");
    let log = std::fs::read_to_string(&entry).unwrap();
    let ruled = log.replacen(
        "\"delta.checkpointInterval\":\"10\"",
        "\"delta.constraints.positive\":\"id > 0\"",
        1,
    );
    assert_ne!(log, ruled);
    std::fs::write(&entry, unsealed(&ruled)).unwrap();
    let failure = load(
        &f.reopened(),
        intent(WriteMode::Append, schema(), 2),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0411", Remedy::Refused)
    );
    assert!(failure.message.contains("delta.constraints.positive"));
    assert_eq!(
        held(&f.reopened()).await,
        owned(&[(1, "a")]),
        "reading it is fine"
    );
}

#[tokio::test]
async fn an_input_version_tells_versions_and_tables_apart() {
    let f = Fixture::new();
    let spec = |f: &Fixture| (f.lake.source(&table()).unwrap(), read_spec());
    let now = async |f: &Fixture| {
        let (source, spec) = spec(f);
        source
            .version(&spec)
            .await
            .unwrap()
            .map(|version| version.0)
    };
    assert_eq!(now(&f).await, None);
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let first = now(&f).await;
    assert_eq!(first, now(&f).await);
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 2),
        rows(&[(2, "b")]),
    )
    .await
    .unwrap();
    assert_ne!(first, now(&f).await);
    f.lake.drop_table(&table()).await.unwrap();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 3),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    assert_ne!(first, now(&f).await, "version 0 of another table");
}

#[tokio::test]
async fn vacuum_takes_files_of_ended_versions_and_keeps_the_newest() {
    let f = Fixture::new();
    for generation in 1..=3 {
        let batch = rows(&[(generation, "a")]);
        load(
            &f.lake,
            intent(WriteMode::Replace, schema(), generation),
            batch,
        )
        .await
        .unwrap();
    }
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(
        f.lake.sweep(&table(), Duration::ZERO, false).await.unwrap(),
        Default::default()
    );
    assert_eq!(
        f.lake.vacuum(&table(), week, false).await.unwrap(),
        Default::default()
    );
    let listed = f.lake.vacuum(&table(), Duration::ZERO, true).await.unwrap();
    assert_eq!((listed.files.len(), data_files(&f.lake)), (2, 3));
    assert_eq!(
        f.lake
            .vacuum(&table(), Duration::ZERO, false)
            .await
            .unwrap(),
        listed
    );
    assert_eq!(
        (data_files(&f.lake), held(&f.reopened()).await),
        (1, owned(&[(3, "a")]))
    );
}

#[tokio::test]
async fn a_destination_that_vanishes_mid_load_fails_and_the_rerun_completes() {
    let f = Fixture::new();
    let mut writer = f
        .lake
        .begin(intent(WriteMode::Append, schema(), 1))
        .await
        .unwrap();
    writer.write(rows(&[(1, "a")]), None).await.unwrap();
    std::fs::remove_dir_all(root(&f.lake)).unwrap();
    std::fs::write(root(&f.lake), "not a folder").unwrap();
    let failure = writer.prepare().await.err().unwrap();
    // A file where the folder should be is nothing that another try would mend.
    assert_eq!(failure.remedy, Remedy::FixConfig);
    assert!(
        failure.message.contains("raw.things"),
        "{}",
        failure.message
    );
    std::fs::remove_file(root(&f.lake)).unwrap();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    assert_eq!(held(&f.lake).await, owned(&[(1, "a")]));
}

#[tokio::test]
async fn reads_take_the_columns_and_rows_asked_for_and_number_them() {
    let f = Fixture::new();
    for generation in 1..=3 {
        let batch = rows(&[(generation * 2, "a"), (generation * 2 + 1, "b")]);
        load(
            &f.lake,
            intent(WriteMode::Append, schema(), generation),
            batch,
        )
        .await
        .unwrap();
    }
    let read = async |spec: ReadSpec| {
        let mut reader = f
            .lake
            .source(&table())
            .unwrap()
            .open(&spec, None)
            .await
            .unwrap();
        let mut ordinals: Vec<u64> = Vec::new();
        let mut columns = 0;
        let mut splits = reader.splits();
        while let Some(assignment) = splits.next().await {
            let Assignment::Assigned(split) = assignment.unwrap() else {
                continue;
            };
            for event in split.events.try_collect::<Vec<_>>().await.unwrap() {
                if let Event::Rows(rows) = event {
                    ordinals.extend(rows.ordinals.values().iter());
                    columns = rows.batch.num_columns();
                }
            }
        }
        ordinals.sort_unstable();
        (ordinals, columns)
    };
    assert_eq!(read(read_spec()).await, ((0..6).collect(), 2));
    let some = ReadSpec {
        limit: Some(3),
        projection: Some(vec!["name".to_owned()]),
        ..read_spec()
    };
    assert_eq!(read(some).await, ((0..3).collect(), 1));
    let wrong = ReadSpec {
        projection: Some(vec!["nope".to_owned()]),
        ..read_spec()
    };
    let failure = f
        .lake
        .source(&table())
        .unwrap()
        .open(&wrong, None)
        .await
        .err()
        .unwrap();
    assert_eq!(failure.code, "R0414");
}

#[tokio::test]
async fn a_write_read_after_another_commit_gives_way() {
    let f = Fixture::new();
    let after = |after: i64, generation: i64| WriteRequest {
        after: Some(Generation(after)),
        ..intent(WriteMode::Append, schema(), generation)
    };
    load(&f.lake, after(0, 1), rows(&[(1, "a")])).await.unwrap();
    // Two processes read after generation 1; the slower one has skipped a generation.
    let slow = prepare(&f.lake, after(1, 3), vec![(rows(&[(2, "b")]), None)])
        .await
        .unwrap();
    load(&f.reopened(), after(1, 2), rows(&[(2, "b")]))
        .await
        .unwrap();
    let failure = slow.commit(position(3)).await.unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0424", Remedy::Retry)
    );
    assert!(failure.message.contains("another process"), "{failure}");
    assert_eq!(data_files(&f.lake), 2, "its files are gone");
    // One that reads from before the first commit, when there are some.
    let failure = load(&f.lake, after(0, 3), rows(&[(1, "a")]))
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R0424");
    // A later generation is never taken for ours, an equal one is.
    for older in [after(0, 1), intent(WriteMode::Append, schema(), 1)] {
        let failure = load(&f.lake, older, rows(&[(1, "a")])).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0424", Remedy::Retry)
        );
    }
    let again = load(&f.lake, after(1, 2), rows(&[(2, "b")])).await.unwrap();
    assert!(again.adopted);
    load(&f.lake, after(2, 3), rows(&[(3, "c")])).await.unwrap();
    assert_eq!(held(&f.lake).await, owned(&[(1, "a"), (2, "b"), (3, "c")]));
}

#[tokio::test]
async fn what_was_audited_is_refused_once_the_table_has_moved() {
    for mode in [WriteMode::Append, WriteMode::Replace, WriteMode::Merge] {
        let f = Fixture::new();
        load(&f.lake, intent(mode, schema(), 1), rows(&[(1, "a")]))
            .await
            .unwrap();
        let audited = || Commit {
            audited: true,
            ..position(2)
        };
        let write = vec![(rows(&[(2, "b")]), None)];
        let moved = prepare(&f.lake, intent(mode, schema(), 2), write.clone())
            .await
            .unwrap();
        let other = WriteRequest {
            task: task("other"),
            ..intent(WriteMode::Append, schema(), 1)
        };
        load(&f.reopened(), other, rows(&[(9, "z")])).await.unwrap();
        let failure = moved.commit(audited()).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0410", Remedy::Retry)
        );
        let still = prepare(&f.lake, intent(mode, schema(), 2), write)
            .await
            .unwrap();
        still.commit(audited()).await.unwrap();
    }
}

#[tokio::test]
async fn an_entry_that_landed_behind_a_lost_answer_keeps_its_files() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Append, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let _links = LINKS.lock().await;
    // The link is made, its answer is lost, and the repeated request says that the name is taken.
    let log = root(&f.lake).join("raw/things/_delta_log");
    fail::cfg_callback("lake::before_link", move || {
        let entry = log.join("00000000000000000001.json");
        for file in std::fs::read_dir(&log).into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().ends_with(".tmp") {
                let _ = std::fs::hard_link(file.path(), &entry);
            }
        }
    })
    .unwrap();
    let receipt = load(
        &f.lake,
        intent(WriteMode::Append, schema(), 2),
        rows(&[(2, "b")]),
    )
    .await;
    fail::remove("lake::before_link");
    let receipt = receipt.unwrap();
    assert!(!receipt.adopted);
    assert_eq!(receipt.committed.version, "version 1");
    assert_eq!(held(&f.reopened()).await, owned(&[(1, "a"), (2, "b")]));
    assert_eq!(
        f.reopened().last(&task("extract"), &table()).await.unwrap(),
        Some(receipt.committed)
    );
}

#[tokio::test]
async fn a_table_made_anew_by_another_process_is_read_from_its_start() {
    let f = Fixture::new();
    for generation in 1..=2 {
        let batch = rows(&[(generation, "old")]);
        load(
            &f.lake,
            intent(WriteMode::Append, schema(), generation),
            batch,
        )
        .await
        .unwrap();
    }
    assert_eq!(held(&f.lake).await.len(), 2);
    let merge = prepare(
        &f.lake,
        intent(WriteMode::Merge, schema(), 3),
        vec![(rows(&[(1, "new")]), None)],
    )
    .await
    .unwrap();
    let other = f.reopened();
    assert!(other.drop_table(&table()).await.unwrap());
    for generation in 1..=2 {
        let batch = rows(&[(generation + 10, "anew")]);
        load(
            &other,
            intent(WriteMode::Append, schema(), generation),
            batch,
        )
        .await
        .unwrap();
    }
    let anew = owned(&[(11, "anew"), (12, "anew")]);
    assert_eq!(held(&f.lake).await, anew, "as many versions");
    assert_eq!(merge.commit(position(3)).await.unwrap_err().code, "R0410");
    load(
        &other,
        intent(WriteMode::Append, schema(), 3),
        rows(&[(13, "anew")]),
    )
    .await
    .unwrap();
    assert_eq!(held(&f.lake).await.len(), 3, "and one more");
}

#[tokio::test]
async fn a_file_with_other_rows_than_the_log_says_is_never_rewritten() {
    for mode in [WriteMode::Merge, WriteMode::DeleteInsert] {
        let f = Fixture::new();
        load(
            &f.lake,
            intent(mode, schema(), 1),
            rows(&[(1, "a"), (2, "b")]),
        )
        .await
        .unwrap();
        let entry = root(&f.lake).join("raw/things/_delta_log/00000000000000000000.json");
        let log = std::fs::read_to_string(&entry).unwrap();
        let wrong = log.replace("\\\"numRecords\\\":2", "\\\"numRecords\\\":3");
        assert_ne!(log, wrong);
        std::fs::write(&entry, unsealed(&wrong)).unwrap();
        let failure = load(&f.reopened(), intent(mode, schema(), 2), rows(&[(2, "B")]))
            .await
            .unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0425", Remedy::FixData)
        );
        assert_eq!(data_files(&f.lake), 1, "nothing is left behind");
    }
}

#[tokio::test]
async fn a_replacement_without_a_known_column_is_no_table() {
    let f = Fixture::new();
    load(
        &f.lake,
        intent(WriteMode::Replace, schema(), 1),
        rows(&[(1, "a")]),
    )
    .await
    .unwrap();
    let other = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)]));
    let mut ignoring = intent(WriteMode::Replace, Arc::clone(&other), 2);
    ignoring.write.schema_change = SchemaChange::Ignore;
    let failure = load(&f.lake, ignoring, RecordBatch::new_empty(other))
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R0404");
    assert_eq!(held(&f.lake).await, owned(&[(1, "a")]));
}

#[tokio::test]
async fn a_commit_whose_log_does_not_answer_keeps_its_files_and_is_adopted() {
    for mode in [WriteMode::Append, WriteMode::Merge] {
        let f = Fixture::new();
        load(&f.lake, intent(mode, schema(), 1), rows(&[(1, "a")]))
            .await
            .unwrap();
        let links = LINKS.lock().await;
        let silent = Silent::at(&f.lake, 1);
        let failure = load(&f.lake, intent(mode, schema(), 2), rows(&[(2, "b")])).await;
        silent.over();
        drop(links);
        let failure = failure.unwrap_err();
        assert_eq!(failure.code, "R0429");
        let expected = owned(&[(1, "a"), (2, "b")]);
        assert_eq!(held(&f.reopened()).await, expected, "the version is whole");
        let lake = f.reopened();
        let last = lake
            .last(&task("extract"), &table())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(last.token.position, position(2).position);
        let again = load(&lake, intent(mode, schema(), 2), rows(&[(2, "b")]))
            .await
            .unwrap();
        assert!(again.adopted);
        assert_eq!(held(&f.reopened()).await, expected);
    }
}
