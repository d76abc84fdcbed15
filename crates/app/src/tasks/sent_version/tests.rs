//! What a publish remembers, and what shows that others changed its target.

#![allow(clippy::unwrap_used, reason = "tests")]

use towpath_ports::{Committed, TableState};
use towpath_vocab::{TaskKey, TaskKind, Token};

use super::*;

fn claim(position: Position, annotations: Annotations) -> GenerationClaim {
    let task = TaskKey {
        project: "p".into(),
        environment: "dev".into(),
        pipeline: "l".into(),
        step: "back".into(),
        kind: TaskKind::Step,
        table: TableName::new("back", "t"),
    };
    GenerationClaim {
        generation: Generation(2),
        last: Some(Committed {
            token: Token {
                position,
                annotations,
                ..Token::of(task, Generation(1))
            },
            version: "commit 1".to_owned(),
            stats: Default::default(),
        }),
        is_done: false,
    }
}

fn sent() -> Sent {
    Sent {
        version: 7,
        table: "id".to_owned(),
        commit: Some("c".to_owned()),
        task: "task".to_owned(),
        filter: Some("a > 1".to_owned()),
        key: vec!["a".to_owned()],
        columns: vec!["a".to_owned(), "b".to_owned()],
        rows: Some(5),
        sole: false,
    }
}

fn target(committed: Option<(&str, u64)>, now: Option<(&str, u64)>) -> TargetComparison {
    let state = |(identity, rows): (&str, u64)| TableState {
        identity: identity.to_owned(),
        rows: Some(rows),
        ..TableState::default()
    };
    let states = TableStates {
        committed: committed.map(state),
        now: now.map(state),
    };
    TargetComparison::new(states, &claim(Position::default(), Annotations::default()))
}

#[test]
fn what_was_sent_is_read_from_the_token() {
    let none = Annotations::default;
    let held = claim(sent().position(), sent().annotations());
    assert_eq!(Sent::of(&held), Some(sent()));
    assert_eq!(Sent::of(&claim(Position::default(), none())), None);
    assert_eq!(Sent::of(&claim(sent().position(), none())), None);
    // As earlier versions stored it: in the position; the first of them without a commit.
    let resume = json!({ "table": "id", "commit": "c", "task": "task", "where": "a > 1", "key": ["a"],
        "columns": ["a", "b"], "rows": 5, "sole": false });
    let old = Position::single(LAKE, SplitPosition { order: 7, resume });
    assert_eq!(Sent::of(&claim(old, none())), Some(sent()));
    let resume = json!({ "table": "id", "task": "task" });
    let old = Position::single(LAKE, SplitPosition { order: 7, resume });
    let old = Sent::of(&claim(old, none())).unwrap();
    assert_eq!((old.version, old.commit, old.rows), (7, None, None));
}

#[test]
fn what_others_did_to_a_target_shows() {
    let drift = |committed, now| target(committed, now).drift();
    assert_eq!(drift(Some(("1/2", 5)), Some(("1/2", 5))), None);
    assert_eq!(drift(None, Some(("1/2", 5))), None);
    for (now, expected) in [
        (
            Some(("1/3", 0)),
            "not as commit 1 left it: it had 5 rows, now 0",
        ),
        (
            Some(("1/3", 5)),
            "not as commit 1 left it: it was emptied, rewritten or recreated",
        ),
        (None, "not as commit 1 left it: it is gone"),
    ] {
        assert_eq!(drift(Some(("1/2", 5)), now).as_deref(), Some(expected));
    }
    assert!(target(Some(("1", 5)), Some(("1", 0))).is_emptied());
    assert!(!target(Some(("1", 0)), Some(("1", 0))).is_emptied());
}

fn of(
    sent: Option<&Sent>,
    committed: Option<(&str, u64)>,
    now: Option<TableState>,
) -> TargetComparison {
    let claim = match sent {
        Some(sent) => claim(sent.position(), sent.annotations()),
        None => claim(Position::default(), Annotations::default()),
    };
    let committed = committed.map(|committed| state(committed, None));
    TargetComparison::new(TableStates { committed, now }, &claim)
}

fn state((identity, rows): (&str, u64), newer: Option<u64>) -> TableState {
    TableState {
        identity: identity.to_owned(),
        rows: Some(rows),
        newer,
        moment: None,
    }
}

#[test]
fn a_target_is_ours_alone_when_its_rows_say_so() {
    let sole = |sent: &Sent, committed, now: Option<(&str, u64)>| {
        of(Some(sent), committed, now.map(|now| state(now, None))).is_sole()
    };
    let sent = sent();
    assert!(
        sole(&sent, Some(("1", 5)), Some(("1", 5))),
        "as many as were sent"
    );
    assert!(
        !sole(&sent, Some(("1", 6)), Some(("1", 6))),
        "one of others"
    );
    assert!(
        !sole(&sent, Some(("1", 5)), Some(("1", 6))),
        "one more since"
    );
    assert!(
        !sole(&sent, Some(("1", 5)), Some(("1", 4))),
        "one less since, and who knows"
    );
    assert!(sole(&sent, Some(("1", 5)), Some(("2", 0))), "empty");
    assert!(sole(&sent, Some(("1", 5)), None), "gone");
    assert!(
        !of(None, None, Some(state(("1", 5), None))).is_sole(),
        "never written"
    );
    let all = Sent {
        sole: true,
        rows: None,
        ..sent.clone()
    };
    assert!(sole(&all, Some(("1", 9)), Some(("1", 9))));
    let counted = Sent { sole: true, ..sent };
    assert!(
        !sole(&counted, Some(("1", 6)), Some(("1", 6))),
        "one came during the write"
    );
}

#[test]
fn where_rows_tell_who_wrote_them_deletions_and_rewrites_do_no_harm() {
    let compared = |now, newer| of(Some(&sent()), Some(("1", 5)), Some(state(now, Some(newer))));
    let one_less = compared(("1", 4), 0);
    assert!(one_less.is_sole() && one_less.drift().is_some());
    let same = compared(("1", 5), 0);
    assert!(same.is_sole() && same.drift().is_none());
    // One was deleted, another inserted: the count is equal.
    let swapped = compared(("1", 5), 1);
    assert!(!swapped.is_sole());
    let expected = swapped.drift().unwrap();
    assert!(
        expected.ends_with("others wrote 1 of its rows"),
        "{expected}"
    );
    assert!(!compared(("2", 5), 0).is_sole(), "another table");
    // Others have rows there anyway: theirs may change.
    let shared = of(
        Some(&sent()),
        Some(("1", 6)),
        Some(state(("1", 6), Some(1))),
    );
    assert!(!shared.is_sole() && shared.drift().is_none());
}

#[test]
fn more_rows_than_a_commit_left_are_not_all_ours() {
    let compared = |rows, newer| {
        let now = TableState {
            rows,
            newer,
            ..state(("1", 0), None)
        };
        of(Some(&sent()), Some(("1", 5)), Some(now))
    };
    assert!(!compared(Some(6), Some(0)).is_sole());
    assert!(compared(Some(6), Some(0)).drift().is_some());
    // What this user may not count shows nothing, and proves nothing.
    assert!(compared(None, None).drift().is_none());
    assert!(!compared(None, None).is_sole());
}
