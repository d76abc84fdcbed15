//! What a process leaves behind that is killed while it writes.

use super::*;

/// A database as it is when a process is killed while it writes more than its page cache holds: new
/// pages in the file, and beside it the journal that brings the old ones back.
fn left_behind() -> TestProject {
    let project = TestProject::with(
        "PRAGMA journal_mode = delete; CREATE TABLE t (k INTEGER, v INTEGER); INSERT INTO t VALUES (1, 10);",
    );
    let writing = project.own();
    writing
        .execute_batch(
            "PRAGMA cache_size = 10; BEGIN; UPDATE t SET v = 11;
             WITH RECURSIVE n(k) AS (SELECT 2 UNION ALL SELECT k + 1 FROM n WHERE k < 50000)
             INSERT INTO t SELECT k, k FROM n;",
        )
        .unwrap();
    let left = TestProject::new();
    for name in ["data.db", "data.db-journal"] {
        let copied = std::fs::copy(project.dir.path().join(name), left.dir.path().join(name));
        assert!(copied.unwrap() > 0);
    }
    left
}

#[tokio::test]
async fn a_write_that_was_killed_is_rolled_back_by_the_next_read() {
    let left = left_behind();
    assert_eq!(left.read(&table("t")).await.rows, ["1|10"]);
    assert!(!left.dir.path().join("data.db-journal").exists());
}

#[tokio::test]
async fn a_write_that_was_killed_is_rolled_back_by_the_next_write() {
    let left = left_behind();
    let how = how("t", WriteMode::Append, 1);
    assert_eq!(left.last(&how).await, None);
    let left = left_behind();
    left.write(&how, &write::pairs(&[(Some(2), 20)]), None)
        .await
        .unwrap();
    assert_eq!(left.last(&how).await, Some(1));
    assert_eq!(left.read(&table("t")).await.rows, ["1|10", "2|20"]);
}

#[tokio::test]
async fn a_log_that_was_not_moved_into_the_file_is_read() {
    let project = TestProject::with(
        "PRAGMA journal_mode = wal; CREATE TABLE t (k INTEGER, v INTEGER); INSERT INTO t VALUES (1, 10);",
    );
    let writing = project.own();
    writing
        .execute_batch("INSERT INTO t VALUES (2, 20); BEGIN; INSERT INTO t VALUES (3, 30);")
        .unwrap();
    let left = TestProject::new();
    for name in ["data.db", "data.db-wal"] {
        std::fs::copy(project.dir.path().join(name), left.dir.path().join(name)).unwrap();
    }
    assert_eq!(left.read(&table("t")).await.rows, ["1|10", "2|20"]);
}
