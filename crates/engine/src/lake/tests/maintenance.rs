//! Maintenance of tables: what a restore, a compaction and a vacuum leave, beside writers that go on.

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use towpath_vocab::{Remedy, Token};

use super::*;
use crate::lake::CommitsAtVersion;

async fn append(lake: &Lake, generation: i64, name: &str) {
    let intent = intent(WriteMode::Append, schema(), generation);
    load(lake, intent, rows(&[(generation, name)]))
        .await
        .unwrap();
}

fn carried(tasks: &[CommitsAtVersion]) -> Vec<Token> {
    let back = |then: &CommitsAtVersion| Token {
        generation: then.now.next(),
        ..then.token.clone().unwrap()
    };
    tasks
        .iter()
        .filter(|then| then.then != Some(then.now))
        .map(back)
        .collect()
}

fn count(lake: &Lake, folder: &str) -> usize {
    std::fs::read_dir(root(lake).join(folder)).map_or(0, |entries| entries.count())
}

#[tokio::test]
async fn a_restore_is_a_new_version_from_whose_position_the_next_run_reads() {
    let f = Fixture::new();
    for generation in 1..=4 {
        append(&f.lake, generation, "a").await;
    }
    let tasks = f.lake.tasks_then(&table(), 1).await.unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].now.0, tasks[0].then.unwrap().0), (4, 2));
    let then = tasks[0].token.as_ref().unwrap();
    assert_eq!(then.position, position(2).position);
    let done = f
        .lake
        .restore(&table(), 1, carried(&tasks), "shop#9")
        .await
        .unwrap();
    assert_eq!((done.version, done.rows), (4, Some(2)));
    let other = f.reopened();
    assert_eq!(held(&other).await, owned(&[(1, "a"), (2, "a")]));
    let last = other
        .last(&task("extract"), &table())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(last.token.generation.0, 5);
    assert_eq!(last.token.position, position(2).position);
    // History stays, and can be gone back to again.
    let at_three = other.snapshot_at(&table(), 3).await.unwrap();
    assert_eq!(at_three.rows(), Some(4));
    let history = other.history(&table(), 9).await.unwrap();
    assert_eq!(history.len(), 5);
    assert_eq!(history[0].write.as_deref(), Some("restore"));
    assert_eq!(history[0].run.as_deref(), Some("shop#9"));
    assert_eq!(history[0].task, None);
    append(&other, 6, "again").await;
    let tasks = other.tasks_then(&table(), 3).await.unwrap();
    other
        .restore(&table(), 3, carried(&tasks), "shop#10")
        .await
        .unwrap();
    assert_eq!(held(&f.lake).await.len(), 4);
    let last = f
        .lake
        .last(&task("extract"), &table())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(last.token.position, position(4).position);
}

#[tokio::test]
async fn before_a_tasks_first_commit_it_reads_from_the_start() {
    let f = Fixture::new();
    append(&f.lake, 1, "a").await;
    let mut other = intent(WriteMode::Append, schema(), 1);
    other.task = task("another");
    load(&f.lake, other, rows(&[(7, "b")])).await.unwrap();
    let tasks = f.lake.tasks_then(&table(), 0).await.unwrap();
    let carried = carried(&tasks);
    assert_eq!(carried.len(), 1, "the first task stands where it stood");
    assert_eq!(carried[0].task, task("another"));
    assert!(carried[0].position.is_empty());
    f.lake
        .restore(&table(), 0, carried, "shop#3")
        .await
        .unwrap();
    assert_eq!(held(&f.lake).await, owned(&[(1, "a")]));
    let kept = f
        .lake
        .last(&task("extract"), &table())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.token.generation.0, 1);
}

#[tokio::test]
async fn a_load_that_was_read_before_a_restore_is_refused_after_it() {
    let f = Fixture::new();
    append(&f.lake, 1, "a").await;
    append(&f.lake, 2, "b").await;
    let mut late = intent(WriteMode::Append, schema(), 3);
    late.after = Some(Generation(2));
    let prepared = prepare(&f.reopened(), late, vec![(rows(&[(3, "late")]), None)])
        .await
        .unwrap();
    let tasks = f.lake.tasks_then(&table(), 0).await.unwrap();
    // The load has taken generation 3: a restore is given one that nobody has.
    let carried = vec![Token {
        generation: Generation(4),
        ..carried(&tasks).remove(0)
    }];
    f.lake
        .restore(&table(), 0, carried, "shop#3")
        .await
        .unwrap();
    let refused = prepared.commit(position(3)).await.err().unwrap();
    assert_eq!(
        (refused.code.as_str(), refused.remedy),
        ("R0424", Remedy::Retry)
    );
    assert_eq!(held(&f.lake).await, owned(&[(1, "a")]));
}

#[tokio::test]
async fn columns_go_back_too_and_a_vacuumed_version_does_not() {
    let f = Fixture::new();
    append(&f.lake, 1, "a").await;
    let wider: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("extra", DataType::Int64, true),
    ]));
    let extra: ArrayRef = Arc::new(Int64Array::from(vec![5]));
    let mut columns = rows(&[(2, "b")]).columns().to_vec();
    columns.push(extra);
    let batch = RecordBatch::try_new(Arc::clone(&wider), columns).unwrap();
    load(&f.lake, intent(WriteMode::Replace, wider, 2), batch)
        .await
        .unwrap();
    let tasks = f.lake.tasks_then(&table(), 0).await.unwrap();
    f.lake
        .restore(&table(), 0, carried(&tasks), "shop#3")
        .await
        .unwrap();
    let held_schema = f.reopened().schema(&table()).await.unwrap().unwrap();
    assert_eq!(held_schema.fields().len(), 2);
    assert_eq!(held(&f.reopened()).await, owned(&[(1, "a")]));
    f.lake
        .vacuum(&table(), Duration::ZERO, false)
        .await
        .unwrap();
    let gone = f
        .lake
        .restore(&table(), 1, Vec::new(), "shop#4")
        .await
        .unwrap_err();
    assert_eq!(
        (gone.code.as_str(), gone.remedy),
        ("R0427", Remedy::FixConfig)
    );
    assert!(
        gone.message.contains("were deleted by `lake vacuum`"),
        "{gone}"
    );
    let future = f
        .lake
        .restore(&table(), 99, Vec::new(), "shop#4")
        .await
        .unwrap_err();
    assert_eq!(future.code, "R0414");
    assert_eq!(held(&f.lake).await, owned(&[(1, "a")]));
}

#[tokio::test]
async fn the_version_of_a_time_is_the_last_one_committed_by_then() {
    let f = Fixture::new();
    append(&f.lake, 1, "a").await;
    append(&f.lake, 2, "b").await;
    let history = f.lake.history(&table(), 9).await.unwrap();
    let first = history[1].at_ms.unwrap();
    let last = history[0].at_ms.unwrap();
    assert_eq!(f.lake.version_at(&table(), last + 5).await.unwrap(), 1);
    assert!(f.lake.version_at(&table(), first).await.unwrap() <= 1);
    let early = f.lake.version_at(&table(), first - 1).await.unwrap_err();
    assert_eq!(early.code, "R0427");
}

#[tokio::test]
async fn compaction_changes_no_row_no_token_and_no_reader() {
    let f = Fixture::new();
    for generation in 1..=5 {
        append(&f.lake, generation, "a").await;
    }
    let (rows_before, token) = (
        held(&f.lake).await,
        f.lake.last(&task("extract"), &table()).await.unwrap(),
    );
    let reading = f.lake.snapshot(&table()).await.unwrap().unwrap();
    let done = f.lake.compact(&table(), "lake compact").await.unwrap();
    assert_eq!(
        (done.version, done.files_before, done.files_after),
        (Some(5), 5, 1)
    );
    let other = f.reopened();
    assert_eq!(held(&other).await, rows_before);
    assert_eq!(other.last(&task("extract"), &table()).await.unwrap(), token);
    assert_eq!(other.describe(&table()).await.unwrap().files, 1);
    assert!(
        reading
            .files
            .iter()
            .all(|file| root(&f.lake).join(file.key.as_ref()).exists())
    );
    assert_eq!(other.snapshot_at(&table(), 4).await.unwrap().files.len(), 5);
    let again = other.compact(&table(), "lake compact").await.unwrap();
    assert_eq!(again.version, None, "nothing to do");
    assert_eq!(other.version(&table()).await.unwrap(), Some(5));
    assert_eq!(other.version_of_rows(&table(), 5).await.unwrap(), 4);
    assert_eq!(other.version_of_rows(&table(), 4).await.unwrap(), 4);
    append(&other, 6, "next").await;
    assert_eq!(held(&f.lake).await.len(), 6);
    assert_eq!(count(&f.lake, "_towpath/writers"), 0);
    let nothing = intent(WriteMode::Append, schema(), 7);
    load(&other, nothing, rows(&[])).await.unwrap();
    assert_eq!(other.version(&table()).await.unwrap(), Some(7));
    let since = other.version_of_rows(&table(), 7).await.unwrap();
    assert_eq!(since, 6, "a load that found nothing changes no row");
}

#[tokio::test]
async fn a_load_beside_a_compaction_loses_nothing_whoever_is_first() {
    let f = Fixture::new();
    for generation in 1..=3 {
        append(&f.lake, generation, "a").await;
    }
    let other = f.reopened();
    let appended = prepare(
        &other,
        intent(WriteMode::Append, schema(), 4),
        vec![(rows(&[(4, "new")]), None)],
    )
    .await
    .unwrap();
    let merged = prepare(
        &other,
        intent(WriteMode::Merge, schema(), 5),
        vec![(rows(&[(1, "merged")]), None)],
    )
    .await
    .unwrap();
    f.lake.compact(&table(), "lake compact").await.unwrap();
    appended.commit(position(4)).await.unwrap();
    let refused = merged.commit(position(5)).await.err().unwrap();
    assert_eq!(
        (refused.code.as_str(), refused.remedy),
        ("R0410", Remedy::Retry)
    );
    load(
        &other,
        intent(WriteMode::Merge, schema(), 5),
        rows(&[(1, "merged")]),
    )
    .await
    .unwrap();
    assert_eq!(
        held(&f.lake).await,
        owned(&[(1, "merged"), (2, "a"), (3, "a"), (4, "new")])
    );
}

#[tokio::test]
async fn one_takes_care_of_a_table_at_a_time() {
    let f = Fixture::new();
    append(&f.lake, 1, "a").await;
    let held = f.lake.hold(&table()).await.unwrap();
    let other = f.reopened();
    for refused in [
        other.compact(&table(), "x").await.unwrap_err(),
        other
            .vacuum(&table(), Duration::ZERO, false)
            .await
            .unwrap_err(),
        other
            .restore(&table(), 0, Vec::new(), "x")
            .await
            .unwrap_err(),
    ] {
        assert_eq!(
            (refused.code.as_str(), refused.remedy),
            ("R0428", Remedy::Refused)
        );
    }
    drop(held);
    other.compact(&table(), "x").await.unwrap();
}

#[tokio::test]
async fn vacuum_keeps_what_checkpoints_have_forgotten_and_what_is_being_written() {
    let f = Fixture::new();
    append(&f.lake, 1, "a").await;
    load(
        &f.lake,
        intent(WriteMode::Replace, schema(), 2),
        rows(&[(2, "b")]),
    )
    .await
    .unwrap();
    let mut writer = f
        .lake
        .begin(intent(WriteMode::Append, schema(), 3))
        .await
        .unwrap();
    writer.write(rows(&[(3, "c")]), None).await.unwrap();
    let prepared = writer.prepare().await.unwrap();
    // Every file looks a month old; the removal is from today.
    let month_ago = SystemTime::now() - Duration::from_secs(30 * 86_400);
    for entry in std::fs::read_dir(root(&f.lake).join("raw/things")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(month_ago).unwrap();
        }
    }
    let week = Duration::from_secs(7 * 86_400);
    let swept = f.reopened().vacuum(&table(), week, false).await.unwrap();
    assert!(swept.files.is_empty(), "{swept:?}");
    // Even at once: what is being written has an owner.
    let swept = f
        .reopened()
        .vacuum(&table(), Duration::ZERO, false)
        .await
        .unwrap();
    assert_eq!(swept.files.len(), 1, "only what the replacement removed");
    prepared.commit(position(3)).await.unwrap();
    assert_eq!(held(&f.reopened()).await, owned(&[(2, "b"), (3, "c")]));
}

#[tokio::test]
async fn a_live_writers_files_outlive_every_other_write() {
    let f = Fixture::new();
    append(&f.lake, 1, "a").await;
    let live = prepare(
        &f.lake,
        intent(WriteMode::Append, schema(), 2),
        vec![(rows(&[(2, "live")]), None)],
    )
    .await
    .unwrap();
    let dead = prepare(
        &f.lake,
        intent(WriteMode::Append, schema(), 2),
        vec![(rows(&[(2, "dead")]), None)],
    )
    .await
    .unwrap();
    drop(dead);
    assert_eq!(data_files(&f.lake), 3);
    assert_eq!(f.reopened().writers(&table()).await.unwrap(), 1);
    let mut other = intent(WriteMode::Append, schema(), 1);
    other.task = task("another");
    load(&f.reopened(), other, rows(&[(9, "x")])).await.unwrap();
    assert_eq!(
        data_files(&f.lake),
        3,
        "the dead one's is gone, a new one came"
    );
    live.commit(position(2)).await.unwrap();
    assert_eq!(
        held(&f.reopened()).await,
        owned(&[(1, "a"), (2, "live"), (9, "x")])
    );
    assert_eq!(count(&f.lake, "_towpath/writers"), 0);
}

/// What a process of its own does, when a test starts this test program again.
#[tokio::test]
async fn a_writer_in_another_process() {
    let Ok(folder) = std::env::var("TOWPATH_TEST_LAKE") else {
        return;
    };
    let lake = Lake::open(&folder, MEMORY).unwrap();
    let prepared = prepare(
        &lake,
        intent(WriteMode::Append, schema(), 2),
        vec![(rows(&[(2, "other process")]), None)],
    )
    .await
    .unwrap();
    std::fs::write(root(&lake).join("ready"), "").unwrap();
    // Until it is killed.
    let _ = std::io::Read::read(&mut std::io::stdin(), &mut [0]);
    drop(prepared);
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_files_until_the_next_write() {
    let f = Fixture::new();
    append(&f.lake, 1, "a").await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "lake::tests::maintenance::a_writer_in_another_process",
        ])
        .env("TOWPATH_TEST_LAKE", root(&f.lake))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = root(&f.lake).join("ready");
    while !ready.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::yield_now();
    }
    let mut other = intent(WriteMode::Append, schema(), 1);
    other.task = task("another");
    load(&f.lake, other, rows(&[(8, "x")])).await.unwrap();
    assert_eq!(data_files(&f.lake), 3, "it lives: nothing of it is touched");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(data_files(&f.lake), 3);
    append(&f.lake, 2, "b").await;
    assert_eq!(data_files(&f.lake), 3, "its file went, a new one came");
    assert_eq!(
        held(&f.reopened()).await,
        owned(&[(1, "a"), (2, "b"), (8, "x")])
    );
    assert_eq!(count(&f.lake, "_towpath/writers"), 0);
}

#[tokio::test]
async fn a_restore_never_takes_rows_of_a_task_it_does_not_carry() {
    let f = Fixture::new();
    append(&f.lake, 1, "a").await;
    append(&f.lake, 2, "b").await;
    let seen = carried(&f.lake.tasks_then(&table(), 0).await.unwrap());
    // A load of another pipeline commits between the look and the restore.
    let mut other = intent(WriteMode::Append, schema(), 1);
    other.task = task("another");
    load(&f.reopened(), other, rows(&[(7, "late")]))
        .await
        .unwrap();
    let refused = f.lake.restore(&table(), 0, seen, "shop#3").await;
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.code.as_str(), refused.remedy),
        ("R0410", Remedy::Retry)
    );
    let all = owned(&[(1, "a"), (2, "b"), (7, "late")]);
    assert_eq!(held(&f.reopened()).await, all);
    let again = carried(&f.lake.tasks_then(&table(), 0).await.unwrap());
    assert_eq!(again.len(), 2);
    f.lake.restore(&table(), 0, again, "shop#3").await.unwrap();
    let last = f.lake.last(&task("another"), &table()).await.unwrap();
    assert!(last.unwrap().token.position.is_empty(), "it reads again");
}

#[tokio::test]
async fn a_compaction_whose_log_does_not_answer_keeps_the_files_it_may_have_committed() {
    let f = Fixture::new();
    append(&f.lake, 1, "a").await;
    append(&f.lake, 2, "b").await;
    let expected = owned(&[(1, "a"), (2, "b")]);
    let links = LINKS.lock().await;
    let silent = Silent::at(&f.lake, 2);
    let failure = f.lake.compact(&table(), "lake compact").await;
    silent.over();
    drop(links);
    assert_eq!(failure.unwrap_err().code, "R0429");
    assert_eq!(held(&f.reopened()).await, expected);
    // The next write finds the marker of the dead attempt and must leave what the log names.
    append(&f.reopened(), 3, "c").await;
    assert_eq!(held(&f.reopened()).await.len(), 3);
}
