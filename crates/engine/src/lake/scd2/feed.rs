//! What becomes of one key of a change feed whose rows say themselves from when on they are valid.
//!
//! Promise: pure, no files. The order of the feed counts; times only say how long each version was valid. Two
//! changes that their times do not tell apart make one version, the later one. A delete has no time: the key
//! is gone at the time of the load, unless the feed has it again. Read next: `decide.rs`, for other loads.

use super::decide::{KeyState, Opened, Outcome, Version, VersionConflict, Why};

/// A version of the key, in the order of the feed.
struct Step {
    /// None for the one that is in the table.
    change: Option<Version>,
    from: i64,
    print: u128,
}

/// Decides about one key, in a load at this time; `changes` are in the order of the feed.
pub(super) fn judge_feed(
    known: KeyState,
    changes: &[Version],
    at: i64,
) -> Result<Outcome, VersionConflict> {
    let mut steps: Vec<Step> = Vec::new();
    steps.extend(known.current.map(|known| Step {
        change: None,
        from: known.from,
        print: known.print,
    }));
    for change in changes.iter().filter(|change| !change.is_delete) {
        take(known, &mut steps, change, at)?;
    }
    let gone = changes.last().filter(|last| last.is_delete);
    let gone = gone.zip(steps.last().map(|last| last.from));
    if let Some((delete, from)) = gone.filter(|(_, from)| at <= *from) {
        let (row, why) = (delete.row, Why::Future);
        return Err(VersionConflict { row, from, why });
    }
    Ok(outcome(&steps, gone.map(|_| at)))
}

fn take(
    known: KeyState,
    steps: &mut Vec<Step>,
    change: &Version,
    at: i64,
) -> Result<(), VersionConflict> {
    let step = |from| Step {
        change: Some(*change),
        from,
        print: change.print,
    };
    let is_same = |steps: &[Step]| steps.last().is_some_and(|last| last.print == change.print);
    if is_same(steps) {
        return Ok(());
    }
    let (is_after, since) = match (steps.last(), known.last_end) {
        (Some(last), _) => (change.from > last.from, Some(last.from)),
        (None, end) => (end.is_none_or(|end| change.from >= end), end),
    };
    let is_of_load = steps.last().is_some_and(|last| last.change.is_some());
    if is_after {
        steps.push(step(change.from));
    } else if is_of_load {
        let last = steps.pop();
        if !is_same(steps) {
            steps.extend(last.map(|last| step(last.from)));
        }
    } else {
        // What the table has is not changed: the feed has something newer as of this load.
        let since = since.unwrap_or(i64::MIN);
        if at <= since {
            let (row, from, why) = (change.row, change.from, Why::Clock(since));
            return Err(VersionConflict { row, from, why });
        }
        steps.push(step(at));
    }
    Ok(())
}

fn outcome(steps: &[Step], gone_at: Option<i64>) -> Outcome {
    let mut outcome = Outcome {
        ends: gone_at.is_some(),
        ..Outcome::default()
    };
    for (place, step) in steps.iter().enumerate() {
        let until = steps.get(place + 1).map(|next| next.from).or(gone_at);
        match &step.change {
            None => outcome.closed_at = until,
            Some(change) => outcome.opened.push(Opened {
                row: change.row,
                from: (step.from != change.from).then_some(step.from),
                until,
            }),
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::decide::Current;
    use super::*;

    fn change(row: u64, from: i64, print: u128) -> Version {
        Version {
            print,
            ..Version::new(0, row, from)
        }
    }

    fn delete(row: u64) -> Version {
        Version {
            is_delete: true,
            ..change(row, 0, 0)
        }
    }

    fn known(from: i64, print: u128) -> KeyState {
        let current = Current {
            file: 0,
            row: 0,
            from,
            said: from,
            print,
        };
        KeyState {
            current: Some(current),
            last_end: None,
        }
    }

    fn opened(row: u64, from: Option<i64>, until: Option<i64>) -> Opened {
        Opened { row, from, until }
    }

    #[test]
    fn each_change_that_its_time_tells_apart_makes_a_version() {
        let changes = [
            change(0, 5, 8),
            change(1, 5, 9),
            change(2, 7, 9),
            change(3, 8, 6),
        ];
        let outcome = judge_feed(known(1, 7), &changes, 100).unwrap();
        let expected = [opened(1, None, Some(8)), opened(3, None, None)];
        assert_eq!(
            (outcome.closed_at, outcome.opened),
            (Some(5), expected.to_vec())
        );
        // There and back within one instant is no change.
        let back = [change(0, 5, 8), change(1, 5, 7)];
        assert_eq!(
            judge_feed(known(1, 7), &back, 100).unwrap(),
            Outcome::default()
        );
    }

    #[test]
    fn a_change_with_an_older_time_is_newer_as_of_the_load() {
        let outcome = judge_feed(known(5, 7), &[change(0, 4, 8), change(1, 3, 9)], 100).unwrap();
        assert_eq!(outcome.closed_at, Some(100));
        assert_eq!(outcome.opened, [opened(1, Some(100), None)]);
        let clock = judge_feed(known(5, 7), &[change(0, 4, 8)], 5).unwrap_err();
        assert_eq!(clock.why, Why::Clock(5));
        let gone = KeyState {
            current: None,
            last_end: Some(50),
        };
        let back = judge_feed(gone, &[change(0, 4, 8)], 100).unwrap();
        assert_eq!(back.opened, [opened(0, Some(100), None)]);
    }

    #[test]
    fn a_delete_ends_the_key_unless_it_comes_again() {
        let ended = judge_feed(known(1, 7), &[change(0, 5, 8), delete(1)], 100).unwrap();
        assert_eq!((ended.closed_at, ended.ends), (Some(5), true));
        assert_eq!(ended.opened, [opened(0, None, Some(100))]);
        let again = judge_feed(known(1, 7), &[delete(0), change(1, 5, 8)], 100).unwrap();
        assert_eq!((again.closed_at, again.ends), (Some(5), false));
        assert_eq!(
            judge_feed(KeyState::default(), &[delete(0)], 100).unwrap(),
            Outcome::default()
        );
        let future = judge_feed(known(200, 7), &[delete(3)], 100).unwrap_err();
        assert_eq!((future.row, future.why), (3, Why::Future));
    }
}
