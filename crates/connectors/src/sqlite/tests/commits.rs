//! What the commit table says of an attempt whose COMMIT was not answered.

use super::super::session::Session;
use super::super::sql::Writing;
use super::*;
use crate::relational::commits::{AttemptId, Settled, settle};

impl TestProject {
    /// The attempt that made a commit.
    fn attempt(&self, generation: i64) -> AttemptId {
        let sql =
            "SELECT json_extract(stats, '$.attempt') FROM _towpath_commits WHERE generation = ?";
        let own = self.own();
        let text: String = own.query_row(sql, [generation], |row| row.get(0)).unwrap();
        serde_json::from_value(Value::String(text)).unwrap()
    }

    async fn settled(&self, how: &How, attempt: &AttemptId) -> Settled {
        let writing = Writing {
            session: Session::new(self.own(), "data.db"),
            table: how.object.to_owned(),
        };
        let rows = write::pairs(&[(Some(1), 1)]);
        settle(&writing, &how.intent(rows.schema()), attempt)
            .await
            .unwrap()
    }

    async fn append(&self, generation: i64) {
        let rows = write::pairs(&[(Some(generation), generation)]);
        let how = how("t", WriteMode::Append, generation);
        self.write(&how, &rows, None).await.unwrap();
    }
}

#[tokio::test]
async fn an_attempt_is_told_from_others_and_from_later_commits() {
    let project = TestProject::new();
    let stranger = AttemptId::new().unwrap();
    let first = how("t", WriteMode::Append, 1);
    let nothing = project.settled(&first, &stranger).await;
    assert!(matches!(nothing, Settled::Not), "{nothing:?}");
    project.append(1).await;
    let own = project.attempt(1);
    for later in [1, 2, 3] {
        if later > 1 {
            project.append(later).await;
        }
        match project.settled(&first, &own).await {
            Settled::Own(committed) => assert_eq!(committed.token.generation.0, 1),
            other => panic!("{other:?}"),
        }
        match project.settled(&first, &stranger).await {
            Settled::Another(committed) => assert_eq!(committed.token.generation.0, 1),
            other => panic!("{other:?}"),
        }
    }
    assert_ne!(project.attempt(2), project.attempt(3));
    let next = project
        .settled(&how("t", WriteMode::Append, 4), &stranger)
        .await;
    assert!(matches!(next, Settled::Not), "{next:?}");
}

#[tokio::test]
async fn a_generation_that_was_left_out_is_not_committed_while_its_row_would_be_kept() {
    let project = TestProject::new();
    let stranger = AttemptId::new().unwrap();
    project.append(1).await;
    project.append(3).await;
    let second = how("t", WriteMode::Append, 2);
    let settled = project.settled(&second, &stranger).await;
    assert!(matches!(settled, Settled::Overtaken(3)), "{settled:?}");
    // Rows of commits are kept for a hundred generations.
    project.append(102).await;
    let settled = project.settled(&second, &stranger).await;
    assert!(matches!(settled, Settled::Overtaken(102)), "{settled:?}");
    project.append(103).await;
    let settled = project.settled(&second, &stranger).await;
    assert!(matches!(settled, Settled::Unknown), "{settled:?}");
}

/// Commits of earlier versions do not say which attempt made them.
#[tokio::test]
async fn a_commit_of_an_earlier_version_is_that_of_another_attempt() {
    let project = TestProject::new();
    project.append(1).await;
    let own = project.attempt(1);
    let sql = "UPDATE _towpath_commits SET stats = json_remove(stats, '$.attempt')";
    project.own().execute_batch(sql).unwrap();
    let first = how("t", WriteMode::Append, 1);
    let settled = project.settled(&first, &own).await;
    assert!(matches!(settled, Settled::Another(_)), "{settled:?}");
    assert_eq!(project.last(&first).await, Some(1));
}
