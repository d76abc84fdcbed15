//! Conformance cases about commits: what becomes visible when, which writer wins, what is stored.
//!
//! Every destination passes them; a case fails by a panic with the write mode. They know no system: that
//! is `DestinationUnderTest`. Read next: `write.rs`.

use std::collections::BTreeMap;

use towpath_ports::{CandidateRows, Checkpoint};
use towpath_vocab::{Remedy, WriteMode};

use super::DestinationUnderTest;
use super::write::{assert_reported, candidate, commit, position, rows, seen, sorted, write};
use crate::conformance::lines_of_batch;

/// A table, and each of its versions, is visible after its commit and not before.
pub async fn nothing_shows_before_the_commit(under: &dyn DestinationUnderTest) {
    let first = write(under, WriteMode::Replace);
    let batch = rows(&[(1, "a")]);
    assert_eq!(first.last().await, None);
    let mut writer = first.begin(batch.schema()).await.unwrap();
    assert_eq!(first.look().await, None, "after begin");
    writer.write(batch, None).await.unwrap();
    assert_eq!(first.look().await, None, "after write");
    let prepared = writer.prepare().await.unwrap();
    assert_eq!(first.look().await, None, "after prepare");
    assert_eq!(
        under.destination().schema(&first.table()).await.unwrap(),
        None,
        "no columns of a table nobody sees"
    );
    prepared.commit(commit(1)).await.unwrap();
    assert_eq!(first.look().await, seen(&[(1, "a")]));
    for (generation, mode) in [(2, WriteMode::Append), (3, WriteMode::Replace)] {
        let next = first.generation(generation).mode(mode);
        let before = next.look().await;
        let prepared = next.prepare(&rows(&[(2, "b")])).await.unwrap();
        assert_eq!(next.look().await, before, "{mode:?} shows early");
        prepared.commit(commit(generation)).await.unwrap();
        assert_ne!(next.look().await, before, "{mode:?} does not show");
    }
}

/// The state of operators is stored with its commit and reads back unchanged, or is refused with its name.
/// It is dropped with an aborted write, and with the next commit without state.
pub async fn state_is_kept_with_its_commit_or_refused(under: &dyn DestinationUnderTest) {
    let first = write(under, WriteMode::Replace);
    let batch = rows(&[(1, "a")]);
    let states = BTreeMap::from([("window".to_owned(), vec![batch.clone(), batch.clone()])]);
    let state = Checkpoint { states };
    let held = || async {
        let task = first.task();
        let found = under.destination().checkpoint(&task, &task.table).await;
        found.unwrap()
    };
    let mut prepared = first.prepare(&batch).await.unwrap();
    if let Err(failure) = prepared.keep(&state).await {
        assert_eq!(failure.code, "R0726", "{failure}");
        prepared.discard().await.unwrap();
        return;
    }
    prepared.discard().await.unwrap();
    assert_eq!(held().await, None, "of a write that was given up");
    let mut prepared = first.prepare(&batch).await.unwrap();
    prepared.keep(&state).await.unwrap();
    prepared.commit(commit(1)).await.unwrap();
    assert_eq!(held().await, Some(state));
    let next = first.generation(2).prepare(&batch).await.unwrap();
    next.commit(commit(2)).await.unwrap();
    assert_eq!(held().await, None, "the last commit has none");
}

/// Aborting at any step changes nothing, and the same generation can be written afterwards.
pub async fn a_discard_or_an_abort_leaves_the_version_before(under: &dyn DestinationUnderTest) {
    let first = write(under, WriteMode::Replace);
    let batch = rows(&[(1, "a")]);
    first
        .prepare(&batch)
        .await
        .unwrap()
        .discard()
        .await
        .unwrap();
    let mut writer = first.begin(batch.schema()).await.unwrap();
    writer.write(batch.clone(), None).await.unwrap();
    writer.abort().await.unwrap();
    drop(first.prepare(&batch).await.unwrap());
    assert_eq!((first.look().await, first.last().await), (None, None));
    first.done(&batch).await;
    for mode in under.modes() {
        let next = first.generation(2).mode(mode);
        let other = rows(&[(1, "x"), (2, "b")]);
        next.prepare(&other).await.unwrap().discard().await.unwrap();
        let mut writer = next.begin(other.schema()).await.unwrap();
        writer.write(other, None).await.unwrap();
        writer.abort().await.unwrap();
        assert_eq!(next.look().await, seen(&[(1, "a")]), "{mode:?}");
        assert_eq!(next.last_generation().await, Some(1), "{mode:?}");
    }
    first.generation(2).done(&rows(&[(9, "z")])).await;
    assert_eq!(first.look().await, seen(&[(9, "z")]));
}

/// A second attempt of a committed generation gets the commit of the first one, whatever it writes.
pub async fn a_retry_adopts_the_first_commit(under: &dyn DestinationUnderTest) {
    for mode in [WriteMode::Append, WriteMode::Replace] {
        let name = format!("t {mode:?}").to_lowercase();
        let first = write(under, mode).named(&name);
        let made = first.done(&rows(&[(1, "a")])).await;
        let again = first.put(&rows(&[(1, "a"), (2, "b")])).await.unwrap();
        assert!(again.adopted, "{mode:?}");
        assert_eq!(again.committed.token, made.committed.token);
        assert_eq!(again.committed.version, made.committed.version);
        assert_eq!(first.look().await, seen(&[(1, "a")]), "{mode:?}");
        // Even if it knows the commit after which the source was read.
        let mut knowing = first.clone();
        knowing.after = Some(0);
        assert!(knowing.put(&rows(&[(1, "a")])).await.unwrap().adopted);
        assert_eq!(first.look().await, seen(&[(1, "a")]), "{mode:?}");
    }
}

/// Two attempts at once: one is visible, the other adopts it or must try again.
pub async fn of_two_writers_of_one_generation_one_is_visible(under: &dyn DestinationUnderTest) {
    let both = write(under, WriteMode::Append);
    let one = both.prepare(&rows(&[(1, "a")])).await.unwrap();
    let batch = rows(&[(1, "a")]);
    let (made, other) = futures::join!(one.commit(commit(1)), both.put(&batch));
    let mut receipts = Vec::new();
    for result in [made, other] {
        receipts.push(match result {
            Ok(receipt) => receipt,
            Err(failure) => {
                assert_eq!(assert_reported(failure).remedy, Remedy::Retry);
                both.put(&rows(&[(1, "a")])).await.unwrap()
            }
        });
    }
    let (made, other) = (&receipts[0], &receipts[1]);
    assert_ne!(made.adopted, other.adopted, "exactly one of them wrote");
    assert_eq!(made.committed.token, other.committed.token);
    assert_eq!(both.look().await, seen(&[(1, "a")]));
}

/// Two tasks that append to one table at once: no row is lost and none is duplicated.
pub async fn of_two_tasks_at_once_none_is_lost(under: &dyn DestinationUnderTest) {
    let one = write(under, WriteMode::Append);
    one.done(&rows(&[(0, "held")])).await;
    let one = one.generation(2);
    let mut other = one.generation(1);
    other.step = "other";
    let prepared = one.prepare(&rows(&[(1, "a")])).await.unwrap();
    let batch = rows(&[(2, "b")]);
    let (made, second) = futures::join!(prepared.commit(commit(2)), other.put(&batch));
    for (result, again, row) in [(made, &one, (1, "a")), (second, &other, (2, "b"))] {
        if let Err(failure) = result {
            assert_eq!(assert_reported(failure).remedy, Remedy::Retry);
            again.done(&rows(&[row])).await;
        }
    }
    assert_eq!(one.look().await, seen(&[(0, "held"), (1, "a"), (2, "b")]));
    assert_eq!(one.last_generation().await, Some(2));
    assert_eq!(other.last_generation().await, Some(1));
}

/// Rows that were read before another process committed the same task are refused and must be read again.
pub async fn a_write_read_after_another_commit_is_refused(under: &dyn DestinationUnderTest) {
    let mut next = write(under, WriteMode::Append);
    next.after = Some(0);
    next.done(&rows(&[(1, "a")])).await;
    next = next.generation(2);
    assert_eq!(next.refused(&rows(&[(2, "b")])).await.remedy, Remedy::Retry);
    next.after = Some(1);
    next.done(&rows(&[(2, "b")])).await;
    next = next.generation(4);
    assert_eq!(next.refused(&rows(&[(3, "c")])).await.remedy, Remedy::Retry);
    assert_eq!(next.look().await, seen(&[(1, "a"), (2, "b")]));
    assert_eq!(next.last_generation().await, Some(2));
    next.after = Some(2);
    next.done(&rows(&[(3, "c")])).await;
    assert_eq!(next.last_generation().await, Some(4));
}

/// A generation below the committed one is never written.
pub async fn an_older_generation_is_refused(under: &dyn DestinationUnderTest) {
    let third = write(under, WriteMode::Append).generation(3);
    third.done(&rows(&[(3, "c")])).await;
    let failure = third.generation(2).refused(&rows(&[(2, "b")])).await;
    assert!(
        matches!(failure.remedy, Remedy::Retry | Remedy::Refused),
        "{failure:?}"
    );
    assert_eq!(third.look().await, seen(&[(3, "c")]));
    assert_eq!(third.last_generation().await, Some(3));
}

/// After reopening, the destination returns the last commit: task, generation, position, version.
pub async fn last_tells_token_and_position_when_reopened(under: &dyn DestinationUnderTest) {
    let first = write(under, WriteMode::Append);
    let mut versions = Vec::new();
    for generation in [1, 2, 7] {
        let next = first.generation(generation);
        let receipt = next.done(&rows(&[(generation, "x")])).await;
        assert_eq!(receipt.committed.stats.rows_in, 1);
        if let Some(after) = receipt.committed.stats.rows_after {
            assert_eq!(after, next.look().await.unwrap().len() as u64);
        }
        let last = next.last().await.unwrap();
        assert_eq!(last, receipt.committed);
        assert_eq!(last.token.task, next.task());
        assert_eq!(last.token.generation.0, generation);
        assert_eq!(last.token.position, position(generation));
        versions.push(last.version);
    }
    versions.dedup();
    assert_eq!(versions.len(), 3, "each commit is a version: {versions:?}");
}

/// Two tasks that write one table have separate tokens.
pub async fn tasks_are_remembered_apart(under: &dyn DestinationUnderTest) {
    let one = write(under, WriteMode::Append);
    let mut other = one.clone();
    other.step = "load+ä";
    one.done(&rows(&[(1, "a")])).await;
    assert_eq!(other.last().await, None);
    other.after = Some(0);
    other.done(&rows(&[(2, "b")])).await;
    one.generation(2).done(&rows(&[(3, "c")])).await;
    assert_eq!(one.last_generation().await, Some(2));
    assert_eq!(other.last_generation().await, Some(1));
    assert_eq!(one.look().await, seen(&[(1, "a"), (2, "b"), (3, "c")]));
}

/// Writing one table never changes another one, even while both are written.
pub async fn tables_do_not_disturb_each_other(under: &dyn DestinationUnderTest) {
    let one = write(under, WriteMode::Replace);
    let other = one.named("t2");
    one.done(&rows(&[(1, "a")])).await;
    assert_eq!((other.look().await, other.last().await), (None, None));
    other.done(&rows(&[(2, "b")])).await;
    let (one, other) = (one.generation(2), other.generation(2));
    one.prepare(&rows(&[(3, "c")]))
        .await
        .unwrap()
        .discard()
        .await
        .unwrap();
    other.mode(WriteMode::Append).done(&rows(&[(4, "d")])).await;
    assert_eq!(one.look().await, seen(&[(1, "a")]));
    assert_eq!(other.look().await, seen(&[(2, "b"), (4, "d")]));
    one.done(&rows(&[(5, "e")])).await;
    assert_eq!(other.look().await, seen(&[(2, "b"), (4, "d")]));
    assert_eq!(one.last_generation().await, Some(2));
}

/// `CandidateRows::AfterCommit` is the table after the commit, `CandidateRows::OfThisWrite` the rows of this write.
pub async fn the_candidate_is_what_readers_would_see(under: &dyn DestinationUnderTest) {
    for mode in under.modes() {
        let name = format!("t {mode:?}").to_lowercase();
        let base = write(under, WriteMode::Replace).named(&name);
        base.done(&rows(&[(1, "a"), (2, "b"), (3, "c")])).await;
        let next = base.generation(2).mode(mode);
        let incoming = rows(&[(3, "C"), (4, "D")]);
        let prepared = next.prepare(&incoming).await.unwrap();
        let stats = prepared.stats();
        let table = candidate(prepared.as_ref(), CandidateRows::AfterCommit).await;
        let new = candidate(prepared.as_ref(), CandidateRows::OfThisWrite).await;
        assert_eq!(stats.rows_in, 2, "{mode:?}");
        assert_eq!(
            stats.rows_after.unwrap_or(table.len() as u64),
            table.len() as u64,
            "{mode:?}"
        );
        if mode == WriteMode::InsertOnly {
            assert!(new.contains(&"id=4 v=D".to_owned()), "{new:?}");
        } else {
            assert_eq!(new, sorted(lines_of_batch(&incoming)), "{mode:?}");
        }
        assert_eq!(
            next.look().await,
            seen(&[(1, "a"), (2, "b"), (3, "c")]),
            "looking at the candidate of {mode:?} shows it to others"
        );
        prepared.commit(commit(2)).await.unwrap();
        assert_eq!(next.look().await, Some(table), "{mode:?}");
    }
}
